package authd

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/state"
)

// fakeAccounts is an account store in memory, which can be away, slow or broken.
type fakeAccounts struct {
	mu    sync.Mutex
	users map[mailaddr.Address]account.User
	apps  []account.AppPassword
	used  []account.AppPassword
	err   error
	panic bool
}

func (a *fakeAccounts) AppPasswords(_ context.Context, addr mailaddr.Address) (all []account.AppPassword, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.apps {
		if p.User == addr {
			all = append(all, p)
		}
	}
	return all, a.err
}

func (a *fakeAccounts) UsedAppPassword(p account.AppPassword, when time.Time, from netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.LastUsed, p.LastAddr = when, from
	a.used = append(a.used, p)
}

func (a *fakeAccounts) Rehash(_ context.Context, addr mailaddr.Address, old, hash secret.Value, verify func(secret.Value) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, ok := a.users[addr]
	if !ok || !u.Password.Equal(old) {
		return account.ErrChanged
	}
	if err := verify(hash); err != nil {
		return err
	}
	u.Password = hash
	a.users[addr] = u
	return nil
}

func (a *fakeAccounts) User(_ context.Context, addr mailaddr.Address) (account.User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.panic {
		panic("the account store fell over")
	}
	u, ok := a.users[addr]
	if a.err == nil && !ok {
		return account.User{}, account.ErrNotFound
	}
	return u, a.err
}

func (a *fakeAccounts) Users(context.Context, string) ([]account.User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []account.User
	for _, u := range a.users {
		all = append(all, u)
	}
	return all, a.err
}

// set adds or changes a user.
func (a *fakeAccounts) set(name, password string, edit func(*account.User)) {
	addr, ok := accountName(name)
	if !ok {
		panic(name)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	u := account.User{ID: int64(len(a.users) + 1), Addr: addr, Password: secret.String("{PLAIN}" + password)}
	if old, ok := a.users[addr]; ok {
		u.ID = old.ID
	}
	if edit != nil {
		edit(&u)
	}
	a.users[addr] = u
}

func (a *fakeAccounts) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

// fakeHasher compares {PLAIN} and counts the work. gate, when set, holds each
// verification up until it is closed.
type fakeHasher struct {
	*password.Pool  // SCRAM, Scheme, NeedsRehash, Hash
	mu              sync.Mutex
	verified, dummy int
	gate            chan struct{}
	err             error
	panic           bool
}

func (h *fakeHasher) work(ctx context.Context, n *int, still func() error) error {
	h.mu.Lock()
	*n++
	gate, err, broken := h.gate, h.err, h.panic
	h.mu.Unlock()
	if broken {
		panic("the hasher fell over")
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if still == nil {
		return err
	}
	if no := still(); no != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		*n--
		return no
	}
	return err
}

func (h *fakeHasher) Verify(ctx context.Context, hash secret.Value, pw []byte) (bool, error) {
	return h.VerifyIf(ctx, hash, pw, nil)
}

func (h *fakeHasher) VerifyIf(ctx context.Context, hash secret.Value, pw []byte, still func() error) (bool, error) {
	if err := h.work(ctx, &h.verified, still); err != nil {
		return false, err
	}
	if !bytes.HasPrefix(hash.Reveal(), []byte("{PLAIN}")) {
		return h.Pool.Verify(ctx, hash, pw)
	}
	return string(hash.Reveal()) == "{PLAIN}"+string(pw), nil
}

func (h *fakeHasher) DummyIf(ctx context.Context, _ []byte, still func() error) error {
	return h.work(ctx, &h.dummy, still)
}
func (h *fakeHasher) Saw(secret.Value) {}

func (h *fakeHasher) counts() (verified, dummy int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.verified, h.dummy
}

// fakeState is the table of bans.
type fakeState struct {
	mu   sync.Mutex
	rows map[string]state.Entry
}

func (s *fakeState) Put(_ context.Context, _ state.Table, e state.Entry, _ bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[e.Key] = e
	return nil
}
func (s *fakeState) Delete(context.Context, state.Table, string) error { return nil }
func (s *fakeState) List(context.Context, state.Table, string) ([]state.Entry, error) {
	return nil, nil
}

type fakeJournal struct {
	mu  sync.Mutex
	all []journal.Record
}

func (j *fakeJournal) Record(r journal.Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.all = append(j.all, r)
}

// logins returns authd's records.
func (j *fakeJournal) logins() (all []journal.Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.all {
		if r.Daemon == "authd" {
			all = append(all, r)
		}
	}
	return all
}

type fakeMeter struct {
	mu       sync.Mutex
	verdicts map[string]int
	sessions int
}

func (m *fakeMeter) Request(_, verdict string, _ time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.verdicts[verdict]++
}

func (m *fakeMeter) Sessions(_ string, delta int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions += delta
}

// fakeWatch is the guard, or says what a test wants, and notes what it is told.
type fakeWatch struct {
	watch
	mu sync.Mutex
	// check, admit and report replace the guard's answers where they are set.
	check, admit, report func(guard.Attempt) guard.Decision
	admitted             []guard.Attempt
	reported             []guard.Outcome
}

func (w *fakeWatch) Check(ctx context.Context, a guard.Attempt) guard.Decision {
	if w.check != nil {
		return w.check(a)
	}
	return w.watch.Check(ctx, a)
}

func (w *fakeWatch) Admit(ctx context.Context, a guard.Attempt) guard.Decision {
	w.mu.Lock()
	w.admitted = append(w.admitted, a)
	w.mu.Unlock()
	if w.admit != nil {
		return w.admit(a)
	}
	return w.watch.Admit(ctx, a)
}

func (w *fakeWatch) Report(ctx context.Context, a guard.Attempt, o guard.Outcome) guard.Decision {
	w.mu.Lock()
	w.reported = append(w.reported, o)
	w.mu.Unlock()
	if w.report != nil {
		return w.report(a)
	}
	return w.watch.Report(ctx, a, o)
}

// lenient is for tests of something else.
func (w *fakeWatch) lenient() { w.check, w.admit, w.report = pass, pass, pass }

// told returns how often the guard was asked to admit, and what was reported.
func (w *fakeWatch) told() (admitted int, reported []guard.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.admitted), slices.Clone(w.reported)
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// pipes is a listener over net.Pipe.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
