package keys

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/unit"
)

// TestForms: each form says the same, in strings that DNS can carry.
func TestForms(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "dkim"))
	k := create(t, s, "example.org", "one", RSA)
	rec := k.Record()
	quoted := `"` + rec[:255] + `" "` + rec[255:] + `"`
	for form, got := range map[string]string{
		"one._domainkey.example.org.\t3600\tIN\tTXT\t\t" + quoted + "\n":                                                  k.Zone(),
		"one._domainkey.example.org TXT " + rec + "\n":                                                                    k.Line(),
		"update delete one._domainkey.example.org. TXT\nupdate add one._domainkey.example.org. 3600 TXT " + quoted + "\n": k.Update(),
	} {
		if got != form {
			t.Errorf("printed %q, want %q", got, form)
		}
	}
	for _, part := range k.Strings() {
		if len(part) > 255 {
			t.Errorf("a string of %d octets", len(part))
		}
	}
	k.State = Revoked
	if want := "one._domainkey.example.org.\t3600\tIN\tTXT\t\t\"v=DKIM1; k=rsa; p=\"\n"; k.Zone() != want {
		t.Errorf("revoked: %q, want %q", k.Zone(), want)
	}
}

// TestRun: the process goes on by itself, and ends when it is told to.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, z := rotating(t), newServers()
		next, err := s.Rotate("example.org")
		if err != nil {
			t.Fatal(err)
		}
		z.publish(next, z.a, z.b)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx, z) })
		time.Sleep(time.Hour - time.Second)
		want(t, s, "r:active r2:pending e:active e2:pending", "r e")
		time.Sleep(lookEvery)
		want(t, s, "r:retiring r2:active e:retiring e2:active", "r2 e2")
		time.Sleep(7*24*time.Hour + lookEvery)
		want(t, s, "r:revoked r2:active e:revoked e2:active", "r2 e2")
		stop()
		wg.Wait()
	})
}

// TestExpire: x= is written when the settings want it, and only then.
func TestExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rotating(t)
		const msg = "From: a@example.org\r\n\r\nhello\r\n"
		sign := func() string {
			t.Helper()
			v, err := s.Sign(s.Active("example.org"), strings.NewReader(msg))
			if err != nil {
				t.Fatal(err)
			}
			return strings.Join(v, "\n")
		}
		if v := sign(); strings.Contains(v, "x=") && strings.Contains(v, "; x=") {
			t.Errorf("x= without a setting: %s", v)
		}
		cfg := Default()
		cfg.Expire = unit.Duration(14 * 24 * time.Hour)
		s.Reconfigure(cfg)
		// 1795154400 is 2026-11-20 06:00 UTC, and two weeks are 1209600 s.
		if v := sign(); strings.Count(v, "t=1795154400;") != 2 || strings.Count(v, "x=1796364000") != 2 {
			t.Errorf("want t= and x= in both: %s", v)
		}
	})
}

func TestConfig(t *testing.T) {
	day := unit.Duration(24 * time.Hour)
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Default(), ""},
		{Config{RetireAfter: day, Expire: day}, ""},
		{Config{RetireAfter: day - 1, Expire: 1}, "retire_after: 86399999ms is not between 1d and 366d"},
		{Config{RetireAfter: day, Expire: 367 * day}, "expire: 367d is not 0s or between 1d and 366d"},
	} {
		err := tc.cfg.Validate()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Validate(%+v) = %v, want %q", tc.cfg, err, tc.want)
		}
	}
}

// TestImport: a key of another program keeps its name, and signs at once.
func TestImport(t *testing.T) {
	from := open(t, filepath.Join(t.TempDir(), "dkim"))
	s := open(t, filepath.Join(t.TempDir(), "dkim"))
	m, err := encodeKey(create(t, from, "example.org", "mail", RSA).signer())
	if err != nil {
		t.Fatal(err)
	}
	other, err := generate(Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is there
		k, err := s.Import("Example.org", "Mail", secret.New(m.text))
		if err != nil || k.Name() != "mail._domainkey.example.org" || k.State != Active {
			t.Fatalf("Import = %v (%s), %v", k, k.State, err)
		}
	}
	if _, err := s.Import("example.org", "mail", secret.New(other.text)); !errors.Is(err, ErrExists) {
		t.Errorf("Import of another key = %v", err)
	}
	if _, err := s.Import("example.org", "x", secret.String("planted-secret")); err == nil || strings.Contains(err.Error(), "planted") {
		t.Errorf("Import of no key = %v", err)
	}
	if got, want := s.Active("example.org")[0].Record(), from.Active("example.org")[0].Record(); got != want {
		t.Errorf("imported %q, want %q", got, want)
	}
	if _, err := Open(s.dir, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
}

// oneRecord is DNS with these TXT records at every name.
type oneRecord []string

func (r oneRecord) LookupTXT(context.Context, string) ([]string, error) { return r, nil }

// TestRevokedIsTested: the DNS of a revoked key is right without a key in it.
func TestRevokedIsTested(t *testing.T) {
	k := create(t, open(t, filepath.Join(t.TempDir(), "dkim")), "example.org", "one", Ed25519)
	good := k.Record()
	k.State = Revoked
	for rec, ok := range map[string]bool{good: false, k.Record(): true, "": true} {
		r, err := Test(t.Context(), oneRecord(strings.Fields(strings.ReplaceAll(rec, "; ", ";"))), k)
		if err != nil || r.OK != ok || !r.Revoked {
			t.Errorf("with %q: %+v, %v, want OK %v", rec, r, err, ok)
		}
	}
}
