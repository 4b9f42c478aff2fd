package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/secret"
)

// accountClient is a client of a store with one user.
func accountClient(t *testing.T) (*account.SQLite, *Client) {
	t.Helper()
	store, err := account.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "accounts.db"), discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	accounttest.Fill(t, store, "example.org", "alice@example.org")
	srv := &Server{mux: http.NewServeMux(), log: discard}
	srv.accountRoutes(store)
	return store, &Client{path: "the test", http: &http.Client{Transport: localTransport{srv.mux}}}
}

func TestAppPasswordsOverTheSocket(t *testing.T) {
	ctx := t.Context()
	store, c := accountClient(t)
	a, alice := c.Accounts(), accounttest.Addr(t, "alice@example.org")
	end := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	p := account.AppPassword{User: alice, Name: "phone & ü/x", Hash: secret.String("{SSHA256}planted"), Services: []string{"smtp", "imap"}, Expires: end}
	if err := a.AddAppPassword(ctx, p); err != nil {
		t.Fatalf("AddAppPassword() = %v", err)
	}
	if err := a.AddAppPassword(ctx, p); !errors.Is(err, account.ErrExists) {
		t.Errorf("AddAppPassword twice = %v", err)
	}
	if err := a.AddAppPassword(ctx, account.AppPassword{User: alice, Name: "x", Hash: p.Hash, Services: []string{"ftp"}}); !errors.Is(err, account.ErrInvalid) {
		t.Errorf("AddAppPassword for nothing we know = %v", err)
	}
	stored, err := store.AppPasswords(ctx, alice)
	if err != nil || len(stored) != 1 || !stored[0].Hash.Equal(p.Hash) {
		t.Fatalf("the store has %+v, %v", stored, err)
	}
	used := time.Now().Truncate(time.Millisecond)
	store.UsedAppPassword(stored[0], used, netip.MustParseAddr("192.0.2.7"))
	all, err := a.AppPasswords(ctx, alice)
	if err != nil || len(all) != 1 {
		t.Fatalf("AppPasswords() = %v, %v", all, err)
	}
	if got := all[0]; got.User != alice || got.Name != p.Name || !got.Hash.IsEmpty() || !slices.Equal(got.Services, []string{"imap", "submission"}) ||
		!got.Expires.Equal(end) || !got.LastUsed.Equal(used) || got.LastAddr.String() != "192.0.2.7" {
		t.Errorf("AppPasswords() = %+v", got)
	}
	if b, err := json.Marshal(all); err != nil || strings.Contains(string(b), "hash") {
		t.Errorf("the list says %s, %v", b, err)
	}
	if err := a.RemoveAppPassword(ctx, alice, p.Name); err != nil {
		t.Errorf("RemoveAppPassword() = %v", err)
	}
	if err := a.RemoveAppPassword(ctx, alice, p.Name); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("RemoveAppPassword twice = %v", err)
	}
}

// No answer holds a hash.
func TestHashesStayInside(t *testing.T) {
	store, c := accountClient(t)
	alice := accounttest.Addr(t, "alice@example.org")
	if err := errors.Join(store.SetPassword(t.Context(), alice, secret.String("{PLAIN}planted")),
		store.AddAppPassword(t.Context(), account.AppPassword{User: alice, Name: "phone", Hash: secret.String("planted")})); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/users", "/v1/users/alice@example.org", "/v1/users/alice@example.org/app-passwords"} {
		res, err := c.http.Get("http://gatepost" + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || strings.Contains(string(b), "planted") {
			t.Errorf("%s answers %s, %v", path, b, err)
		}
	}
}

func TestRestrictionsOverTheSocket(t *testing.T) {
	ctx := t.Context()
	_, c := accountClient(t)
	a, alice := c.Accounts(), accounttest.Addr(t, "alice@example.org")
	nets := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	end := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	if err := errors.Join(a.SetAllowNets(ctx, alice, nets), a.SetNoLogin(ctx, alice, "moved"),
		a.SetServices(ctx, alice, []string{"smtp"}), a.SetExpires(ctx, alice, end)); err != nil {
		t.Fatal(err)
	}
	u, err := a.User(ctx, alice)
	if err != nil || !slices.Equal(u.AllowNets, nets) || u.NoLogin != "moved" || !slices.Equal(u.Services, []string{account.Submission}) || !u.Expires.Equal(end) {
		t.Errorf("User() = %+v, %v", u, err)
	}
	u.Addr.LocalPart = "bob"
	if err := a.AddUser(ctx, u); err != nil {
		t.Fatalf("AddUser() = %v", err)
	}
	if err := errors.Join(a.SetAllowNets(ctx, alice, nil), a.SetNoLogin(ctx, alice, ""),
		a.SetServices(ctx, alice, nil), a.SetExpires(ctx, alice, time.Time{})); err != nil {
		t.Fatal(err)
	}
	u, err = a.User(ctx, alice)
	if err != nil || u.AllowNets != nil || u.NoLogin != "" || u.Services != nil || !u.Expires.IsZero() {
		t.Errorf("User() = %+v, %v, want no restriction", u, err)
	}
	bob, err := a.User(ctx, accounttest.Addr(t, "bob@example.org"))
	if err != nil || !slices.Equal(bob.AllowNets, nets) || bob.NoLogin != "moved" || !bob.Expires.Equal(end) {
		t.Errorf("User(bob) = %+v, %v", bob, err)
	}
	if err := a.SetServices(ctx, alice, []string{"ftp"}); !errors.Is(err, account.ErrInvalid) {
		t.Errorf("SetServices() = %v", err)
	}
}
