package authd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/metric"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/state"
)

// whole is a Server with the parts that a running process has: SQLite, the
// journal and a log file, behind a Unix socket.
type whole struct {
	store  *account.SQLite
	state  *state.SQLite
	guard  *guard.Guard
	srv    *Server
	socket string
}

func startWhole(t testing.TB, guarding guard.Config, edit func(*Config)) *whole {
	t.Helper()
	dir := t.TempDir()
	logFile, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(logFile, nil))
	w := &whole{socket: filepath.Join(dir, "s")}
	ctx, cancel := context.WithCancel(context.Background())
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			cancel()
			t.Fatal(err)
		}
	}
	w.store, err = account.OpenSQLite(ctx, filepath.Join(dir, "accounts.db"), log)
	fatal(err)
	w.state, err = state.OpenSQLite(ctx, filepath.Join(dir, "state.db"), log)
	fatal(err)
	j, err := journal.Open(ctx, filepath.Join(dir, "journal.db"), journal.Default(), log)
	fatal(err)
	fatal(w.store.AddDomain(ctx, "example.org"))
	hash, err := password.Hash(password.Default, []byte("wonderland"))
	fatal(err)
	fatal(w.store.AddUser(ctx, account.User{Addr: mustName(alice), Password: hash}))
	w.guard, err = guard.New(ctx, guarding, guard.Deps{State: w.state, Journal: j}, log)
	fatal(err)
	cfg := Default()
	cfg.FailureDelay = 0
	if edit != nil {
		edit(&cfg)
	}
	meter := metric.New("test")
	meter.Daemon("authd", "ok", "fail", "refused", "temp") // as the program does at its start
	srv, err := New(cfg, Deps{Accounts: w.store, Guard: w.guard, Journal: j, Meter: meter}, log)
	fatal(err)
	w.srv = srv
	ln, err := net.Listen("unix", w.socket)
	fatal(err)
	var served sync.WaitGroup
	served.Go(func() {
		if err := srv.Serve(ctx, ln, Client); err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		served.Wait()
		for _, c := range []io.Closer{j, w.state, w.store, logFile} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

func (w *whole) dial(t testing.TB) *peer {
	t.Helper()
	c, err := net.Dial("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, c)
	p.send("VERSION\t1\t0", "CPID\t1")
	for p.recv() != "DONE" {
	}
	return p
}

// TestWhole logs in over a Unix socket with real parts: changes made through
// the store hold at once, and a ban is in the state file.
func TestWhole(t *testing.T) {
	guarding := guard.Default()
	guarding.MaxFailures = 1 // a tarpit would come before a second one
	w := startWhole(t, guarding, nil)
	ctx := t.Context()
	p := w.dial(t)
	n := 0
	try := func(pw, want string) {
		t.Helper()
		n++
		p.send(plain(fmt.Sprint(n), alice, pw))
		p.want(fmt.Sprintf(want, n))
	}
	const ok, fail = "OK\t%d\tuser=" + alice, "FAIL\t%d\tuser=" + alice
	try("wonderland", ok)
	try("wonderland", ok)
	if err := w.store.SetHeld(ctx, mustName(alice), true); err != nil {
		t.Fatal(err)
	}
	try("wonderland", fail+"\treason="+textHeld)
	if err := w.store.SetHeld(ctx, mustName(alice), false); err != nil {
		t.Fatal(err)
	}
	hash, err := password.Hash(password.SHA512Crypt, []byte("looking-glass"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.SetPassword(ctx, mustName(alice), hash); err != nil {
		t.Fatal(err)
	}
	try("wonderland", fail)
	try("looking-glass", ok)
	// From elsewhere, where nobody proved to be alice.
	n++
	p.send(strings.Replace(plain(fmt.Sprint(n), alice, "guess"), "203.0.113.9", "198.51.100.7", 1))
	if got := p.recv(); !strings.Contains(got, "refused until") {
		t.Errorf("the server says %q", got)
	}
	if rows, err := w.state.List(ctx, state.Ban, ""); err != nil || len(rows) != 1 || !strings.Contains(rows[0].Key, "198.51.100.7") {
		t.Errorf("bans in the state: %v, %v", rows, err)
	}
}

// TestServeEndsWithItsListener: a listener that somebody else closed is an error.
func TestServeEndsWithItsListener(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		ln := newPipes()
		_ = ln.Close()
		if err := h.srv.Serve(t.Context(), ln, Client); err == nil {
			t.Error("Serve() = nil")
		}
		if err := h.srv.Serve(t.Context(), ln, 0); err == nil {
			t.Error("Serve() takes a listener of no kind")
		}
	})
}
