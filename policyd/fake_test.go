package policyd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/state"
)

// addr is mailaddr.Parse for addresses of tests.
func addr(s string) mailaddr.Address {
	if d, ok := strings.CutPrefix(s, "@"); ok {
		return mailaddr.Address{Domain: d}
	}
	a, err := mailaddr.Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

// fakeAccounts is an account store with exact rows.
type fakeAccounts struct {
	mu      sync.Mutex // guards the fields below
	domains map[string]bool
	users   map[mailaddr.Address]account.User
	aliases map[mailaddr.Address]account.Alias
	hook    func(context.Context) error // before each look-up
}

// newAccounts has example.org with alice, bob and aliases.
func newAccounts() *fakeAccounts {
	f := &fakeAccounts{domains: map[string]bool{}, users: map[mailaddr.Address]account.User{}, aliases: map[mailaddr.Address]account.Alias{}}
	f.domains["example.org"] = true
	f.user("alice@example.org")
	f.user("bob@example.org")
	f.alias("sales@example.org", "alice@example.org", "bob@example.org")
	return f
}

func (f *fakeAccounts) user(s string) { f.users[addr(s)] = account.User{Addr: addr(s)} }

func (f *fakeAccounts) alias(s string, to ...string) {
	a := account.Alias{Addr: addr(s)}
	for _, t := range to {
		a.To = append(a.To, addr(t))
	}
	f.aliases[a.Addr] = a
}

func (f *fakeAccounts) setHook(h func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = h
}

func (f *fakeAccounts) setHeld(s string, held bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.users[addr(s)]
	u.Held = held
	f.users[addr(s)] = u
}

func (f *fakeAccounts) enter(ctx context.Context) error {
	f.mu.Lock()
	h := f.hook
	f.mu.Unlock()
	if h == nil {
		return nil
	}
	return h(ctx)
}

func (f *fakeAccounts) Domain(ctx context.Context, name string) (account.Domain, error) {
	if err := f.enter(ctx); err != nil {
		return account.Domain{}, err
	}
	if !f.domains[strings.ToLower(name)] {
		return account.Domain{}, account.ErrNotFound
	}
	return account.Domain{Name: strings.ToLower(name)}, nil
}

func (f *fakeAccounts) User(ctx context.Context, a mailaddr.Address) (account.User, error) {
	if err := f.enter(ctx); err != nil {
		return account.User{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	u, ok := f.users[a.Folded()]
	if !ok {
		return account.User{}, account.ErrNotFound
	}
	return u, nil
}

func (f *fakeAccounts) Alias(ctx context.Context, a mailaddr.Address) (account.Alias, error) {
	if err := f.enter(ctx); err != nil {
		return account.Alias{}, err
	}
	al, ok := f.aliases[a.Folded()]
	if !ok {
		return account.Alias{}, account.ErrNotFound
	}
	return al, nil
}

// fakeCounters counts without windows: nothing ever leaves.
type fakeCounters struct {
	mu   sync.Mutex // guards the fields below
	used map[string]int64
	rows map[string]state.Entry
	err  error
	hook func(context.Context) error // before each question
}

func (f *fakeCounters) TakeAll(ctx context.Context, claims []state.Claim, ask bool) ([]state.Usage, error) {
	if f.hook != nil {
		if err := f.hook(ctx); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	if f.used == nil {
		f.used = map[string]int64{}
	}
	all, fits := make([]state.Usage, len(claims)), true
	for i, c := range claims {
		all[i] = state.Usage{OK: f.used[c.Key]+c.N <= c.Max, Used: f.used[c.Key], Ends: time.Now().Add(c.Window), At: time.Now()}
		fits = fits && (all[i].OK || c.Soft)
	}
	for i, c := range claims {
		if !ask && fits && all[i].OK {
			f.used[c.Key] += c.N
			all[i].Used += c.N
		}
	}
	return all, nil
}

func (f *fakeCounters) Take(ctx context.Context, key string, n, max int64, window time.Duration) (state.Usage, error) {
	u, err := f.TakeAll(ctx, []state.Claim{{Key: key, N: n, Max: max, Window: window}}, false)
	if err != nil {
		return state.Usage{}, err
	}
	return u[0], nil
}

func (f *fakeCounters) Give(_ context.Context, key string, n int64, _ time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used[key] -= n
	return nil
}

func (f *fakeCounters) Counters(_ context.Context, prefix string) ([]state.Counter, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []state.Counter
	for k, n := range f.used {
		if strings.HasPrefix(k, prefix) {
			out = append(out, state.Counter{Key: k, Used: n})
		}
	}
	return out, nil
}

func (f *fakeCounters) Reset(context.Context, string) error { return nil }

func (f *fakeCounters) Get(_ context.Context, t state.Table, key string) (state.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.rows[string(t)+key]
	if !ok {
		return e, state.ErrNotFound
	}
	return e, nil
}

func (f *fakeCounters) Put(_ context.Context, t state.Table, e state.Entry, _ bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rows == nil {
		f.rows = map[string]state.Entry{}
	}
	f.rows[string(t)+e.Key] = e
	return nil
}

func (f *fakeCounters) Delete(_ context.Context, t state.Table, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.rows, string(t)+key)
	return nil
}

func (f *fakeCounters) List(context.Context, state.Table, string) ([]state.Entry, error) {
	return nil, nil
}

// total is the sum of all counters.
func (f *fakeCounters) total() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var sum int64
	for _, n := range f.used {
		sum += n
	}
	return sum
}

// fakeJournal keeps all records.
type fakeJournal struct {
	mu   sync.Mutex // guards list
	list []journal.Record
}

func (f *fakeJournal) Record(r journal.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, r)
}

func (f *fakeJournal) records() []journal.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]journal.Record(nil), f.list...)
}

// rig is a policy server with all that it stands on.
type rig struct {
	accounts *fakeAccounts
	counters *fakeCounters
	journal  *fakeJournal
	server   *Server
	cfg      Config
	dial     func() net.Conn
	stop     func() // ends Serve and waits for it
}

var quiet = slog.New(slog.DiscardHandler)

// newRig starts a server with a configuration that change made of the default,
// on pipes. It is stopped with the test.
func newRig(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	r := &rig{accounts: newAccounts(), counters: &fakeCounters{}, journal: &fakeJournal{}, cfg: Default()}
	if change != nil {
		change(&r.cfg)
	}
	s, err := New(r.cfg, Deps{Accounts: r.accounts, Limits: limit.New(r.counters), Journal: r.journal}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	r.server = s
	ln := newPipeListener()
	r.dial = ln.dial
	r.stop = serve(t, s.Serve, ln)
	return r
}

// serve runs f until the test ends or the returned function is called.
func serve(t testing.TB, f func(context.Context, net.Listener) error, ln net.Listener) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx, ln) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Serve() = %v, want nil", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// pipeListener hands out pipes.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// dial returns nil when the listener is closed.
func (l *pipeListener) dial() net.Conn {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours
	case <-l.done:
		return nil
	}
}

// unixListener listens on a socket in a directory of the test.
func unixListener(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// smtpd is the client side of a policy connection.
type smtpd struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func (r *rig) smtpd(t testing.TB) *smtpd {
	c := r.dial()
	t.Cleanup(func() { _ = c.Close() })
	return &smtpd{t, c, bufio.NewReader(c)}
}

// ask sends a request and returns the action.
func (c *smtpd) ask(req Request) string {
	c.t.Helper()
	b, err := req.Append(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(string(b))
	return c.action()
}

// send writes without waiting for the reader: a pipe has no buffer.
func (c *smtpd) send(s string) {
	go func() { _, _ = io.WriteString(c.conn, s) }()
}

// action reads one reply.
func (c *smtpd) action() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	end, err2 := c.r.ReadString('\n')
	if errors.Join(err, err2) != nil || end != "\n" || !strings.HasPrefix(line, "action=") {
		c.t.Fatalf("reply %q %q, %v, %v, want action=… and an empty line", line, end, err, err2)
	}
	return strings.TrimSuffix(strings.TrimPrefix(line, "action="), "\n")
}

// closed reports what came before the end of the connection.
func (c *smtpd) closed() string {
	b, _ := io.ReadAll(c.r)
	return string(b)
}
