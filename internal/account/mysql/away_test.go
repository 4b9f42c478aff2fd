package mysql

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mariadbtest"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/unit"
)

// isTransient fails unless err is one of a store that is away.
func isTransient(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, account.ErrNotFound) {
		t.Errorf("%s = %v, want an error that the store is away", what, err)
	}
}

// The server dies while names are looked up: known ones are served, others are
// an error, and so is each password.
func TestServerKilledInTraffic(t *testing.T) {
	server := mariadbtest.Start(t, writesThrough())
	cfg := ownConfig(t, server)
	s := openStore(t, cfg)
	ctx := t.Context()
	accounttest.Fill(t, s, "example.org", "alice@example.org", "info@example.org=alice@example.org")
	names := func() error { return lookAtNames(ctx, s) }
	if err := names(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.User(ctx, accounttest.Addr(t, "nobody@example.org")); !errors.Is(err, account.ErrNotFound) {
		t.Fatalf("User(nobody) = %v", err)
	}
	traffic := startTraffic(t, names)
	server.Kill(t)
	accounttest.Eventually(t, "the server's end is not noticed", s.hosts.write.down.Load)
	if err := names(); err != nil {
		t.Errorf("known names while the server is away: %v", err)
	}
	if u, err := s.User(ctx, alice); err != nil || !u.Password.IsEmpty() {
		t.Errorf("User() while the server is away = %v, and it has a password: %v", err, !u.Password.IsEmpty())
	}
	for _, name := range []string{"nobody@example.org", "never@example.org"} {
		_, err := s.User(ctx, accounttest.Addr(t, name))
		isTransient(t, "User("+name+")", err)
	}
	_, err := s.Domain(ctx, "never.example")
	isTransient(t, "Domain(never.example)", err)
	fresh := s.Fresh()
	_, err = fresh.User(ctx, alice)
	isTransient(t, "Fresh().User()", err)
	_, err = fresh.AppPasswords(ctx, alice)
	isTransient(t, "Fresh().AppPasswords()", err)
	_, err = s.AppPasswords(ctx, alice)
	isTransient(t, "AppPasswords()", err)
	isTransient(t, "SetHeld()", s.SetHeld(ctx, alice, true))
	isTransient(t, "Writable()", s.Writable(ctx))
	server.Restart(t)
	accounttest.Eventually(t, "logins do not work again", func() bool { u, err := fresh.User(ctx, alice); return err == nil && !u.Password.IsEmpty() })
	if err := s.SetHeld(ctx, alice, true); err != nil {
		t.Errorf("SetHeld() after the restart = %v", err)
	}
	traffic()
}

// lookAtNames asks what is asked at RCPT.
func lookAtNames(ctx context.Context, s *Store) error {
	_, err := s.Domain(ctx, "example.org")
	errs := []error{err}
	for _, local := range []string{"alice", "info"} {
		a := mailaddr.Address{LocalPart: local, Domain: "example.org"}
		u, err := s.User(ctx, a)
		if (err == nil) != (local == "alice") {
			errs = append(errs, err)
		}
		if err == nil && u.Addr != a {
			errs = append(errs, errors.New("another user"))
		}
		if _, err := s.Alias(ctx, a); (err == nil) != (local == "info") || err != nil && !errors.Is(err, account.ErrNotFound) {
			errs = append(errs, err)
		}
		if _, err := s.Posting(ctx, a); !errors.Is(err, account.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// startTraffic calls fn all the time, until the function that it returns is
// called. No call may be an error.
func startTraffic(t *testing.T, fn func() error) (end func()) {
	t.Helper()
	var all sync.WaitGroup
	var stop atomic.Bool
	for range 4 {
		all.Go(func() {
			for !stop.Load() {
				if err := fn(); err != nil {
					t.Errorf("in traffic: %v", err)
					return
				}
			}
		})
	}
	return func() { stop.Store(true); all.Wait() }
}

// A password that was changed by another host is not accepted after that, also
// when the server dies at once.
func TestChangedPasswordIsNotAccepted(t *testing.T) {
	server := mariadbtest.Start(t, writesThrough())
	cfg := ownConfig(t, server)
	a, b := openStore(t, cfg), openStore(t, cfg)
	ctx := t.Context()
	accounttest.Fill(t, a, "example.org", "alice@example.org")
	accounttest.Eventually(t, "the other host does not see alice", func() bool { _, err := b.Fresh().User(ctx, alice); return err == nil })
	if err := a.SetPassword(ctx, alice, secret.String("{PLAIN}new")); err != nil {
		t.Fatal(err)
	}
	changed := time.Now()
	server.Kill(t)
	for time.Since(changed) < 3*time.Second {
		u, err := b.Fresh().User(ctx, alice)
		// What was proved a second ago may be told.
		if age := time.Since(changed); err == nil && age > freshFor+pollEvery && string(u.Password.Reveal()) != "{PLAIN}new" {
			t.Fatalf("%v after the change the old password is shown", age)
		}
		if u, err := b.User(ctx, alice); err == nil && time.Since(changed) > namesFor && !u.Password.IsEmpty() {
			t.Fatal("the view of names shows a password of a server that is away")
		}
	}
	server.Restart(t)
	accounttest.Eventually(t, "logins do not work again", func() bool { _, err := b.Fresh().User(ctx, alice); return err == nil })
	if u, err := b.Fresh().User(ctx, alice); err != nil || string(u.Password.Reveal()) != "{PLAIN}new" {
		t.Errorf("after the restart the password is another one: %v", err)
	}
}

// The same with another program's tables.
func TestServerOfForeignSchemaKilled(t *testing.T) {
	server := mariadbtest.Start(t, writesThrough())
	s, _ := guideStore(t, server, func(c *Config) { c.CacheTime = 0 })
	ctx := t.Context()
	if err := s.SetHeld(ctx, alice, true); err != nil {
		t.Fatal(err)
	}
	if u, err := s.User(ctx, alice); err != nil || !u.Held {
		t.Fatalf("User() = %+v, %v", u, err)
	}
	server.Kill(t)
	accounttest.Eventually(t, "the server's end is not noticed", s.hosts.write.down.Load)
	if u, err := s.User(ctx, alice); err != nil || !u.Held || !u.Password.IsEmpty() {
		t.Errorf("User() of a known name = %+v, %v, want held and without a password", u, err)
	}
	_, err := s.User(ctx, accounttest.Addr(t, "rené@example.org"))
	isTransient(t, "User() of one that was never asked", err)
	_, err = s.Fresh().User(ctx, alice)
	isTransient(t, "Fresh().User()", err)
	_, err = s.Fresh().AppPasswords(ctx, alice)
	isTransient(t, "Fresh().AppPasswords()", err)
	server.Restart(t)
	accounttest.Eventually(t, "logins do not work again", func() bool { u, err := s.Fresh().User(ctx, alice); return err == nil && u.Held })
}

// A server that does not let us in any more is as good as away: known names are
// served, and nothing else.
func TestServerLetsNobodyIn(t *testing.T) {
	server := mariadbtest.Start(t)
	cfg := ownConfig(t, server)
	s := openStore(t, cfg)
	ctx := t.Context()
	accounttest.Fill(t, s, "example.org", "alice@example.org")
	if _, err := s.User(ctx, alice); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(cfg.PasswordFile)
	if err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "ALTER USER '"+cfg.User+"'@'%' IDENTIFIED BY 'another'; KILL USER '"+cfg.User+"'")
	accounttest.Eventually(t, "it is not noticed", s.hosts.write.down.Load)
	for range 3 {
		if u, err := s.User(ctx, alice); err != nil || !u.Password.IsEmpty() {
			t.Errorf("User(alice) = %v, and she has a password: %v", err, !u.Password.IsEmpty())
		}
		_, err = s.User(ctx, accounttest.Addr(t, "never@example.org"))
		isTransient(t, "User(never)", err)
		_, err = s.Fresh().User(ctx, alice)
		isTransient(t, "Fresh().User()", err)
	}
	server.Exec(t, "ALTER USER '"+cfg.User+"'@'%' IDENTIFIED BY '"+strings.TrimSpace(string(old))+"'")
	accounttest.Eventually(t, "logins do not work again", func() bool { _, err := s.Fresh().User(ctx, alice); return err == nil })
}

// last_good: no.
func TestWithoutLastGood(t *testing.T) {
	server := mariadbtest.Start(t, writesThrough())
	cfg := ownConfig(t, server)
	cfg.LastGood = false
	s := openStore(t, cfg)
	accounttest.Fill(t, s, "example.org", "alice@example.org")
	if _, err := s.User(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	server.Kill(t)
	accounttest.Eventually(t, "a name is told for longer than it is proved", func() bool { _, err := s.User(t.Context(), alice); return err != nil })
	_, err := s.User(t.Context(), alice)
	isTransient(t, "User()", err)
}

// A store that begins without its server answers when that is there, and makes
// the tables then.
func TestOpenWithoutServer(t *testing.T) {
	server := mariadbtest.Start(t, writesThrough())
	cfg := ownConfig(t, server)
	server.Stop(t)
	var log lockedBuffer
	s := openLogged(t, cfg, &log)
	_, err := s.Domains(t.Context())
	isTransient(t, "Domains()", err)
	_, err = s.Fresh().User(t.Context(), alice)
	isTransient(t, "Fresh().User()", err)
	isTransient(t, "AddDomain()", s.AddDomain(t.Context(), "example.org"))
	if !strings.Contains(log.String(), "account server does not answer") {
		t.Errorf("the log does not tell: %s", log.String())
	}
	server.Restart(t)
	accounttest.Eventually(t, "the store does not come to life", func() bool { return s.AddDomain(t.Context(), "example.org") == nil })
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A server that hangs holds a call up for its time limit once, and others not at
// all.
func TestServerHangs(t *testing.T) {
	server := mariadbtest.Start(t)
	cfg := ownConfig(t, server)
	cfg.MaxStatementTime, cfg.ConnectTimeout = unit.Duration(200*time.Millisecond), unit.Duration(200*time.Millisecond)
	s := openStore(t, cfg)
	accounttest.Fill(t, s, "example.org", "alice@example.org")
	if _, err := s.User(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	server.Pause(t)
	accounttest.Eventually(t, "the server's silence is not noticed", s.hosts.write.down.Load)
	fresh := s.Fresh()
	var slow int
	for range 50 {
		began := time.Now()
		_, err := fresh.User(t.Context(), alice)
		isTransient(t, "Fresh().User()", err)
		if time.Since(began) > 50*time.Millisecond {
			slow++
		}
	}
	if slow > 10 { // those that try the server again
		t.Errorf("%d of 50 look-ups waited for a server that hangs", slow)
	}
	if _, err := s.User(t.Context(), alice); err != nil {
		t.Errorf("User() of a known name = %v", err)
	}
	server.Resume(t)
	accounttest.Eventually(t, "logins do not work again", func() bool { _, err := fresh.User(t.Context(), alice); return err == nil })
}

// A look-up whose asker has gone does not go on at the server.
func TestCancelledQueryEndsOnServer(t *testing.T) {
	server := mariadbtest.Start(t)
	theirs, ours := server.CreateDatabase(t), server.CreateDatabase(t)
	server.ExecIn(t, theirs, guideTables)
	cfg := configAs(t, server, theirs, server.CreateUser(t, "SELECT ON `"+theirs+"`.*", "ALL ON `"+ours+"`.*"))
	cfg.OwnDBName, cfg.Schema, cfg.MaxStatementTime = ours, "guide", unit.Duration(700*time.Millisecond)
	cfg.Queries.Domain = "SELECT name AS domain FROM domains WHERE name = %d AND SLEEP(60) = 0"
	s := openStore(t, cfg)
	root := server.Open(t, "")
	running := func() (n int) {
		t.Helper()
		if err := root.QueryRow("SELECT count(*) FROM information_schema.processlist WHERE command = 'Query' AND info LIKE '%SLEEP(60)%' AND info NOT LIKE '%processlist%'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.Domain(ctx, "example.org")
		done <- err
	}()
	accounttest.Eventually(t, "the query does not run", func() bool { return running() == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Domain() = %v, want that it was cancelled", err)
	}
	began := time.Now()
	accounttest.Eventually(t, "the query goes on at the server", func() bool { return running() == 0 })
	took := time.Since(began)
	t.Logf("it went on for %v", took)
	if took > 5*time.Second {
		t.Errorf("the query went on at the server for %v", took)
	}
	if s.hosts.write.down.Load() {
		t.Error("a call that was cancelled makes the server one that is away")
	}
	var mode, charset string
	var limit float64
	if err := s.hosts.write.db.QueryRow("SELECT @@sql_mode, @@character_set_client, @@max_statement_time").Scan(&mode, &charset, &limit); err != nil ||
		!strings.Contains(mode, "STRICT_ALL_TABLES") || strings.Contains(mode, "BACKSLASH") || charset != "utf8mb4" || limit != 0.7 {
		t.Errorf("a session has %s, %s, %v, %v", mode, charset, limit, err)
	}
}
