package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/secret"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

type noLimits struct{ limitAdmin }

func (noLimits) Usage(context.Context) ([]limit.Usage, error) {
	return []limit.Usage{{Limit: "outgoing", Key: "alice@example.org", Used: 3, Of: 200}}, nil
}

type noDNS struct{}

func (noDNS) LookupTXT(context.Context, string) ([]string, error) { return nil, nil }

func (noDNS) Authoritative(context.Context, string) ([]resolver.Shown, time.Duration, error) {
	return []resolver.Shown{{Server: "ns1.example.org (192.0.2.1)"}}, time.Hour, nil
}

type fakeGuard struct {
	bans []guard.Ban
	disk error // of a change, which holds in memory
}

func (g *fakeGuard) Bans(context.Context) ([]guard.Ban, error) { return g.bans, nil }

func (g *fakeGuard) Add(_ context.Context, p netip.Prefix, d time.Duration, reason string) (guard.Ban, error) {
	b := guard.Ban{ID: "x", Network: p, Reason: reason, Until: time.Now().Add(d)}
	g.bans = append(g.bans, b)
	return b, g.disk
}

func (g *fakeGuard) Remove(context.Context, netip.Prefix) error {
	if len(g.bans) == 0 {
		return guard.ErrNotFound
	}
	g.bans = nil
	return g.disk
}

// fullDisk is a journal that can be read, and not written.
type fullDisk struct{ journalStore }

func (fullDisk) Flush(context.Context) error { return errors.New("disk is full,\nall of it") }

func (fullDisk) Story(_ context.Context, id string) (journal.Story, error) {
	if id != "Q1" {
		return journal.Story{}, journal.ErrNotFound
	}
	return journal.Story{QueueID: id}, nil
}

type panics struct{ journalStore }

func (panics) Flush(context.Context) error { panic("planted") }

// start serves a backend over a real socket and returns a client of it.
func start(t *testing.T, uids []int, change func(*Backend)) (*Client, *account.SQLite) {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	store, err := account.OpenSQLite(ctx, filepath.Join(dir, "accounts.db"), discard)
	if err != nil {
		t.Fatal(err)
	}
	k, err := keys.Open(filepath.Join(dir, "dkim"), discard)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(ctx, filepath.Join(dir, "journal.db"), journal.Default(), discard)
	if err != nil {
		t.Fatal(err)
	}
	b := Backend{Accounts: store, Keys: k, DNS: noDNS{}, Guard: &fakeGuard{}, Limits: noLimits{}, Journal: j}
	if change != nil {
		change(&b)
	}
	path := filepath.Join(dir, "admin")
	ln, err := listen.Unix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- New(uids, b, discard).Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, j.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return NewClient(path), store
}

func mustAddr(t *testing.T, s string) mailaddr.Address {
	t.Helper()
	var a mailaddr.Address
	if err := a.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAccountsOverTheSocket(t *testing.T) {
	c, local := start(t, []int{os.Getuid()}, nil)
	ctx := t.Context()
	s := c.Accounts()
	alice := mustAddr(t, `"a b/c"@example.org`)
	if err := s.AddUser(ctx, account.User{Addr: alice}); !errors.Is(err, account.ErrNoDomain) {
		t.Errorf("AddUser without domain = %v, want ErrNoDomain", err)
	}
	if err := s.AddDomain(ctx, "example.org"); err != nil {
		t.Fatal(err)
	}
	if err := s.AddDomain(ctx, "example.org"); !errors.Is(err, account.ErrExists) {
		t.Errorf("AddDomain twice = %v, want ErrExists", err)
	}
	if err := s.AddUser(ctx, account.User{Addr: alice, Password: secret.String("{PLAIN}x"), Quota: 5}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetHeld(ctx, alice, true); err != nil {
		t.Fatal(err)
	}
	u, err := s.User(ctx, alice)
	if err != nil || u.Addr != alice || !u.Held || u.Quota != 5 || !u.Password.IsEmpty() {
		t.Errorf("User = %+v, %v; want held, quota 5, and no hash over the socket", u, err)
	}
	if u, err := local.User(ctx, alice); err != nil || !u.Password.Equal(secret.String("{PLAIN}x")) {
		t.Errorf("the hash did not arrive: %v", err)
	}
	if err := s.SetPassword(ctx, alice, secret.String("{PLAIN}y")); err != nil {
		t.Fatal(err)
	}
	if u, err := local.User(ctx, alice); err != nil || !u.Password.Equal(secret.String("{PLAIN}y")) {
		t.Errorf("the changed hash did not arrive: %v", err)
	}
	all := mustAddr(t, "@example.org")
	if err := s.AddAlias(ctx, account.Alias{Addr: all, To: []mailaddr.Address{alice}}); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Alias(ctx, all); err != nil || len(a.To) != 1 || a.To[0] != alice {
		t.Errorf("Alias = %+v, %v", a, err)
	}
	if err := s.RemoveDomain(ctx, "example.org", false); !errors.Is(err, account.ErrNotEmpty) {
		t.Errorf("RemoveDomain = %v, want ErrNotEmpty", err)
	}
	if err := s.RemoveAlias(ctx, all); err != nil {
		t.Error(err)
	}
	if _, err := s.Alias(ctx, all); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("Alias after removal = %v, want ErrNotFound", err)
	}
	if l, err := s.Users(ctx, "example.org"); err != nil || len(l) != 1 {
		t.Errorf("Users = %v, %v", l, err)
	}
	if err := s.RemoveDomain(ctx, "example.org", true); err != nil {
		t.Error(err)
	}
}

func TestKeysBansLimits(t *testing.T) {
	c, _ := start(t, []int{os.Getuid()}, nil)
	ctx := t.Context()
	k, err := c.CreateKey(ctx, NewKey{Domain: "example.org", Algorithm: "ed25519"})
	if err != nil || !strings.Contains(k.Zone, "v=DKIM1; k=ed25519; p=") {
		t.Fatalf("CreateKey = %+v, %v", k, err)
	}
	if l, err := c.Keys(ctx, "example.org"); err != nil || len(l) != 1 || !reflect.DeepEqual(l[0], k) {
		t.Errorf("Keys = %+v, %v", l, err)
	}
	if l, err := c.Keys(ctx, "example.net"); err != nil || len(l) != 0 {
		t.Errorf("Keys of another domain = %+v, %v", l, err)
	}
	if r, err := c.TestKeys(ctx, ""); err != nil || len(r) != 1 || r[0].OK {
		t.Errorf("TestKeys = %+v, %v; the DNS is empty", r, err)
	}
	if _, err := c.CreateKey(ctx, NewKey{Domain: "../etc", Algorithm: "ed25519"}); err == nil {
		t.Error("a key for ../etc was made")
	}
	p := netip.MustParsePrefix("203.0.113.0/24")
	if b, err := c.AddBan(ctx, p, time.Hour, "planted"); err != nil || b.Network != p {
		t.Errorf("AddBan = %+v, %v", b, err)
	}
	if l, err := c.Bans(ctx); err != nil || len(l) != 1 || l[0].Reason != "planted" {
		t.Errorf("Bans = %+v, %v", l, err)
	}
	if err := c.RemoveBan(ctx, p); err != nil {
		t.Error(err)
	}
	var e *Error
	if err := c.RemoveBan(ctx, p); !errors.Is(err, guard.ErrNotFound) || !errors.As(err, &e) || e.Status != http.StatusNotFound {
		t.Errorf("RemoveBan of nothing = %v, want ErrNotFound and 404", err)
	}
	if l, err := c.Limits(ctx); err != nil || len(l) != 1 || l[0].Used != 3 {
		t.Errorf("Limits = %+v, %v", l, err)
	}
	if _, err := c.Story(ctx, "a/b?c"); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("Story of an unknown id = %v, want ErrNotFound", err)
	}
	if l, err := c.Records(ctx, p, time.Now().Add(-time.Hour)); err != nil || len(l) != 0 {
		t.Errorf("Records = %v, %v", l, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Run("another user", func(t *testing.T) {
		c, _ := start(t, []int{os.Getuid() + 1}, nil)
		var e *Error
		if err := c.Health(t.Context()); !errors.As(err, &e) || e.Status != http.StatusForbidden {
			t.Errorf("Health = %v, want 403", err)
		}
	})
	t.Run("a peer without credentials is not root", func(t *testing.T) {
		w := httptest.NewRecorder()
		New([]int{0, -1}, Backend{}, discard).serveHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		if w.Code != http.StatusForbidden {
			t.Errorf("GET /healthz = %d %s, want 403", w.Code, w.Body)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		if err := NewClient(filepath.Join(t.TempDir(), "none")).Health(t.Context()); !errors.Is(err, ErrAway) {
			t.Errorf("Health = %v, want ErrAway", err)
		}
	})
	t.Run("unwell", func(t *testing.T) {
		c, _ := start(t, []int{os.Getuid()}, func(b *Backend) {
			b.Health = func(context.Context) error { return errors.New("disk gone") }
		})
		var e *Error
		if err := c.Health(t.Context()); !errors.As(err, &e) || e.Status != http.StatusServiceUnavailable || e.Text != "disk gone" {
			t.Errorf("Health = %v, want 503 disk gone", err)
		}
	})
	t.Run("a panic is one answer", func(t *testing.T) {
		c, _ := start(t, []int{os.Getuid()}, func(b *Backend) { b.Journal = panics{b.Journal} })
		if _, err := c.Story(t.Context(), "x"); err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("Story = %v, want a fault without its text", err)
		}
		if err := c.Health(t.Context()); err != nil {
			t.Errorf("Health after a panic: %v", err)
		}
	})
	t.Run("unknown field and large body", func(t *testing.T) {
		c, _ := start(t, []int{os.Getuid()}, nil)
		for _, in := range []any{map[string]any{"nope": 1}, map[string]string{"hash": strings.Repeat("x", maxBodyBytes)}} {
			var e *Error
			if err := c.do(t.Context(), http.MethodPost, "/v1/users", in, nil); !errors.As(err, &e) || e.Status != http.StatusBadRequest {
				t.Errorf("POST = %v, want 400", err)
			}
		}
	})
}

// TestFullDisk: what is there can be read and what holds in memory holds; the
// person hears what is missing.
func TestFullDisk(t *testing.T) {
	c, _ := start(t, []int{os.Getuid()}, func(b *Backend) {
		b.Journal = fullDisk{b.Journal}
		b.Guard = &fakeGuard{disk: errors.New("disk is full")}
	})
	var heard []string
	c.Warn = func(text string) { heard = append(heard, text) }
	const late = "the newest records are not written yet: disk is full, all of it"
	p := netip.MustParsePrefix("203.0.113.0/24")
	for _, tc := range []struct {
		name, want string
		do         func() error
	}{
		{"story", late, func() error {
			s, err := c.Story(t.Context(), "Q1")
			if err == nil && s.QueueID != "Q1" {
				t.Errorf("Story = %+v", s)
			}
			return err
		}},
		{"records", late, func() error { _, err := c.Records(t.Context(), p, time.Now()); return err }},
		{"ban", "the ban ends with a restart: disk is full", func() error {
			b, err := c.AddBan(t.Context(), p, time.Hour, "")
			if err == nil && b.Network != p {
				t.Errorf("AddBan = %+v", b)
			}
			return err
		}},
		{"lift", "the ban may come back with a restart: disk is full", func() error { return c.RemoveBan(t.Context(), p) }},
	} {
		heard = nil
		if err := tc.do(); err != nil || len(heard) != 1 || heard[0] != tc.want {
			t.Errorf("%s: %v, and says %q, want %q", tc.name, err, heard, tc.want)
		}
	}
	heard = nil
	if err := c.RemoveBan(t.Context(), p); !errors.Is(err, guard.ErrNotFound) || heard != nil {
		t.Errorf("RemoveBan of nothing = %v, and says %q", err, heard)
	}
	if _, err := c.Story(t.Context(), "Q2"); !errors.Is(err, journal.ErrNotFound) || len(heard) != 1 || heard[0] != late {
		t.Errorf("Story of what may wait for the disk = %v, and says %q", err, heard)
	}
}

func TestLocal(t *testing.T) {
	store, err := account.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "a.db"), discard)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	c := Local(Backend{Accounts: store, Limits: noLimits{}, Guard: &fakeGuard{}}, discard)
	if err := c.Accounts().AddDomain(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	if d, err := store.Domains(t.Context()); err != nil || len(d) != 1 {
		t.Errorf("Domains = %v, %v", d, err)
	}
}

// TestRequestInHandFinishes: whoever waits for Serve closes the stores next, so
// it must not return while a request uses them.
func TestRequestInHandFinishes(t *testing.T) {
	ln, err := listen.Unix(filepath.Join(t.TempDir(), "admin"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked, answer := make(chan struct{}), make(chan struct{})
	b := Backend{Health: func(context.Context) error { close(asked); <-answer; return nil }}
	served, healthy := make(chan error, 1), make(chan error, 1)
	go func() { served <- New([]int{os.Getuid()}, b, discard).Serve(ctx, ln) }()
	go func() { healthy <- NewClient(ln.Addr().String()).Health(t.Context()) }()
	<-asked
	cancel()
	select {
	case err := <-served:
		t.Errorf("Serve() = %v with a request in hand", err)
		served <- err
	case <-time.After(50 * time.Millisecond):
	}
	close(answer)
	if err := errors.Join(<-healthy, <-served); err != nil {
		t.Error(err)
	}
}
