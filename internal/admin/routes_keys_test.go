package admin

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/secret"
)

// oneServer is a zone with one server and no negative TTL.
type oneServer struct{ records map[string]string }

func (z oneServer) LookupTXT(_ context.Context, name string) ([]string, error) {
	if r, ok := z.records[name]; ok {
		return []string{r}, nil
	}
	return nil, nil
}

func (z oneServer) Authoritative(ctx context.Context, name string) ([]resolver.Shown, time.Duration, error) {
	txt, _ := z.LookupTXT(ctx, name)
	return []resolver.Shown{{Server: "ns1.example.org (192.0.2.1)", Records: txt}}, 0, nil
}

// TestRotateOverTheSocket goes through a rotation, and back.
func TestRotateOverTheSocket(t *testing.T) {
	dns := oneServer{map[string]string{}}
	c, _ := start(t, []int{os.Getuid()}, func(b *Backend) { b.DNS = dns })
	ctx := t.Context()
	states := func(ks []Key) string {
		var out []string
		for _, k := range ks {
			out = append(out, k.State)
		}
		return strings.Join(out, " ")
	}
	if _, err := c.RotateKeys(ctx, "example.org", RotateNext); !errors.Is(err, keys.ErrNoKey) {
		t.Errorf("rotate without a key: %v", err)
	}
	old, err := c.CreateKey(ctx, NewKey{Domain: "example.org", Selector: "a", Algorithm: "ed25519"})
	if err != nil {
		t.Fatal(err)
	}
	do := func(what Rotate, want string) Rotated {
		t.Helper()
		got, err := c.RotateKeys(ctx, "example.org", what)
		if err != nil || states(got.Keys) != want {
			t.Fatalf("%s: %s, %v, want %s", what, states(got.Keys), err, want)
		}
		return got
	}
	next := do(RotateNext, "active pending").Keys[1]
	if got := do(RotateCheck, "active pending"); got.Keys[1].Next != "publish its record: ns1.example.org (192.0.2.1): has no record" {
		t.Errorf("Next is %q", got.Keys[1].Next)
	}
	dns.records[next.Name] = next.Record
	do(RotateCheck, "retiring active")
	if got := do(RotateUndo, "active pending"); got.Undone != "activate" {
		t.Errorf("undone: %q", got.Undone)
	}
	do(RotateNext, "active pending")
	do(RotateNow, "retiring active")
	if err := c.RemoveKey(ctx, "example.org", old.Selector); !errors.Is(err, keys.ErrInUse) {
		t.Errorf("remove a key in use: %v", err)
	}
	var refused *Error
	if _, err := c.RotateKeys(ctx, "example.org", "dance"); !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
		t.Errorf("unknown step: %v", err)
	}
	if _, err := c.CreateKey(ctx, NewKey{Domain: "example.net", Algorithm: "rsa", Pending: true}); err != nil {
		t.Error(err)
	}
	if l, err := c.Keys(ctx, "example.net"); err != nil || states(l) != "pending" || len(l[0].Strings) != 2 || !strings.HasPrefix(l[0].Update, "update delete ") {
		t.Errorf("Keys = %+v, %v", l, err)
	}
}

// TestImportOverTheSocket: a private key goes in, and never comes out.
func TestImportOverTheSocket(t *testing.T) {
	c, _ := start(t, []int{os.Getuid()}, nil)
	s, err := keys.Open(t.TempDir()+"/dkim", discard)
	if err != nil {
		t.Fatal(err)
	}
	k, err := s.Create("example.org", "mail", keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(k.Path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.ImportKey(t.Context(), "example.org", "mail", secret.New(text))
	if err != nil || got.Record != k.Record() || got.State != "active" {
		t.Errorf("ImportKey = %+v, %v", got, err)
	}
	if _, err := c.ImportKey(t.Context(), "example.org", "bad", secret.String("planted")); err == nil || strings.Contains(err.Error(), "planted") {
		t.Errorf("ImportKey of no key = %v", err)
	}
}
