package authd

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/state"
)

// harness is a Server with its surroundings, alice and three special accounts.
type harness struct {
	t        testing.TB
	srv      *Server
	guard    *guard.Guard
	watch    *fakeWatch
	accounts *fakeAccounts
	hasher   *fakeHasher
	journal  *fakeJournal
	meter    *fakeMeter
	log      *syncBuffer
	cred     listen.Cred
	credErr  error
	lns      map[Kind]*pipes
	cancel   context.CancelFunc
	served   sync.WaitGroup
}

// start runs all four listeners; call it inside synctest.Test.
func start(t testing.TB, edit func(*Config)) *harness {
	t.Helper()
	h := &harness{
		t: t, accounts: &fakeAccounts{users: map[mailaddr.Address]account.User{}}, hasher: &fakeHasher{Pool: password.NewPool(password.DefaultMemory)},
		journal: &fakeJournal{}, meter: &fakeMeter{verdicts: map[string]int{}}, log: &syncBuffer{},
		cred: listen.Cred{UID: 0, PID: 19557}, lns: map[Kind]*pipes{},
	}
	h.accounts.set("alice@example.org", "wonderland", nil)
	h.accounts.set("held@example.org", "wonderland", func(u *account.User) { u.Held = true })
	h.accounts.set("disabled@example.org", "wonderland", func(u *account.User) { u.Disabled = true })
	h.accounts.set("nopassword@example.org", "", func(u *account.User) { u.Password = secret.Value{} })
	cfg := Default()
	if edit != nil {
		edit(&cfg)
	}
	log := slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	h.guard, err = guard.New(t.Context(), guard.Default(), guard.Deps{State: &fakeState{rows: map[string]state.Entry{}}, Journal: h.journal}, log)
	if err != nil {
		t.Fatal(err)
	}
	h.watch = &fakeWatch{watch: h.guard}
	h.srv, err = New(cfg, Deps{
		Accounts: h.accounts, Guard: h.watch, Journal: h.journal, Meter: h.meter, Passwords: h.hasher,
		PeerCred: func(net.Conn) (listen.Cred, error) { return h.cred, h.credErr },
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	for k := Client; k <= Userdb; k++ {
		ln := newPipes()
		h.lns[k] = ln
		h.served.Go(func() {
			if err := h.srv.Serve(ctx, ln, k); err != nil {
				t.Errorf("Serve(%v) = %v", k, err)
			}
		})
	}
	return h
}

// stop ends the server; nothing of it may be left.
func (h *harness) stop() {
	h.t.Helper()
	h.cancel()
	h.served.Wait()
	if h.meter.sessions != 0 {
		h.t.Errorf("%d sessions are open after Serve", h.meter.sessions)
	}
	if len(h.srv.byPID) != 0 {
		h.t.Errorf("%d login processes are remembered after Serve", len(h.srv.byPID))
	}
}

// run is one test with a server in a bubble of synctest.
func run(t *testing.T, edit func(*Config), test func(t *testing.T, h *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, edit)
		defer h.stop()
		test(t, h)
	})
}

// peer is one connection to the server. Its lines are read at all times.
type peer struct {
	t      testing.TB
	conn   net.Conn
	lines  chan string
	cookie string
}

func (h *harness) dial(k Kind) *peer {
	h.t.Helper()
	ours, theirs := net.Pipe()
	h.lns[k].conns <- theirs
	return newPeer(h.t, ours)
}

func newPeer(t testing.TB, c net.Conn) *peer {
	p := &peer{t: t, conn: c, lines: make(chan string, 10_000)}
	go func() {
		defer close(p.lines)
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			p.lines <- strings.TrimSuffix(line, "\n")
		}
	}()
	t.Cleanup(func() { _ = c.Close() })
	return p
}

// hello dials, reads the handshake and sends one with that minor version.
func (h *harness) hello(k Kind, minor, pid string) *peer {
	h.t.Helper()
	p := h.dial(k)
	if k == Master || k == Userdb {
		p.send("VERSION\t1\t" + minor)
		p.want("VERSION\t1\t1")
		p.recv()
		return p
	}
	p.send("VERSION\t1\t"+minor, "CPID\t"+pid)
	for {
		line := p.recv()
		if rest, ok := strings.CutPrefix(line, "COOKIE\t"); ok {
			p.cookie = rest
		}
		if line == "DONE" {
			return p
		}
	}
}

func (p *peer) send(lines ...string) {
	p.t.Helper()
	if _, err := p.conn.Write([]byte(strings.Join(lines, "\n") + "\n")); err != nil {
		p.t.Errorf("write %q: %v", lines, err)
	}
}

// recv returns the next line; what it costs of time is the bubble's.
func (p *peer) recv() string {
	p.t.Helper()
	line, ok := <-p.lines
	if !ok {
		p.t.Fatal("the connection was closed")
	}
	return line
}

func (p *peer) want(want ...string) {
	p.t.Helper()
	for _, w := range want {
		if got := p.recv(); got != w {
			p.t.Errorf("the server says %q, want %q", got, w)
		}
	}
}

// closed expects that the server closes without another line.
func (p *peer) closed() {
	p.t.Helper()
	if line, ok := <-p.lines; ok {
		p.t.Errorf("the server says %q, want a closed connection", line)
	}
}

// silent expects that the server says nothing now.
func (p *peer) silent() {
	p.t.Helper()
	synctest.Wait()
	select {
	case line, ok := <-p.lines:
		p.t.Errorf("the server says %q (open: %v), want nothing", line, ok)
	default:
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// plain is an AUTH with PLAIN as Postfix sends it.
func plain(id, user, password string) string {
	return "AUTH\t" + id + "\tPLAIN\tservice=smtp\tnologin\tlip=127.0.0.1\trip=203.0.113.9\tsecured\tresp=" + b64("\x00"+user+"\x00"+password)
}

// imap is an AUTH with PLAIN as Dovecot sends it.
func imap(id, user, password string) string {
	return "AUTH\t" + id + "\tPLAIN\tservice=imap\tsecured=tls\tsession=K2KMd69g\trip=203.0.113.9\trport=55836\tresp=" + b64("\x00"+user+"\x00"+password)
}

var errAway = errors.New("disk on fire")

// pipe returns two ends that are closed with the test.
func pipe(t testing.TB) (ours, theirs net.Conn) {
	ours, theirs = net.Pipe()
	t.Cleanup(func() { _ = ours.Close() })
	return ours, theirs
}

func mustName(s string) mailaddr.Address {
	a, ok := accountName(s)
	if !ok {
		panic(s)
	}
	return a
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// pass is a guard that has nothing against anybody.
func pass(guard.Attempt) guard.Decision { return guard.Decision{} }
