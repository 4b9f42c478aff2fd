package shared

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

var errDown = errors.New("connection refused")

// fake is a common store with faults, in front of a store of its own. The real
// one is asked in redis_test.go; this one breaks at the moment that a test wants.
type fake struct {
	*state.SQLite

	mu     sync.Mutex // guards the fields below
	down   bool
	hole   bool          // no answer until the deadline, and nothing is done
	delay  time.Duration // an answer comes later, and is done at once
	deaf   bool          // the answer is lost: done, then no answer until the deadline
	bad    string        // a key that can not be put
	merged map[string]bool
	puts   int
	watch  func(state.Change)
	missed func()
	cut    chan struct{} // closed by Interrupt
}

// Interrupt implements Remote.
func (f *fake) Interrupt() {
	f.set(func(f *fake) { close(f.cut); f.cut = make(chan struct{}) })
}

// at returns what happens to a request now.
func (f *fake) fault(ctx context.Context) error {
	f.mu.Lock()
	down, hole, delay, cut := f.down, f.hole, f.delay, f.cut
	f.mu.Unlock()
	switch {
	case down:
		return errDown
	case hole:
		return gone(ctx, cut)
	case delay > 0:
		select {
		case <-time.After(delay):
		case <-cut:
			return io.EOF
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// lost ends a request whose answer is lost.
func (f *fake) lost(ctx context.Context, err error) error {
	f.mu.Lock()
	deaf, cut := f.deaf, f.cut
	f.mu.Unlock()
	if !deaf {
		return err
	}
	return gone(ctx, cut)
}

// gone waits for an answer that does not come.
func gone(ctx context.Context, cut <-chan struct{}) error {
	select {
	case <-cut:
		return io.EOF
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) Get(ctx context.Context, t state.Table, key string) (state.Entry, error) {
	if err := f.fault(ctx); err != nil {
		return state.Entry{}, err
	}
	return f.SQLite.Get(ctx, t, key)
}

func (f *fake) Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error {
	if err := f.fault(ctx); err != nil {
		return err
	}
	bad := false
	f.set(func(f *fake) { f.puts++; bad = e.Key == f.bad })
	if bad {
		return errors.New("WRONGTYPE")
	}
	return f.lost(ctx, f.SQLite.Put(ctx, t, e, sync))
}

func (f *fake) Delete(ctx context.Context, t state.Table, key string) error {
	if err := f.fault(ctx); err != nil {
		return err
	}
	return f.SQLite.Delete(ctx, t, key)
}

func (f *fake) List(ctx context.Context, t state.Table, prefix string) ([]state.Entry, error) {
	if err := f.fault(ctx); err != nil {
		return nil, err
	}
	return f.SQLite.List(ctx, t, prefix)
}

func (f *fake) Counters(ctx context.Context, prefix string) ([]state.Counter, error) {
	if err := f.fault(ctx); err != nil {
		return nil, err
	}
	return f.SQLite.Counters(ctx, prefix)
}

// TakeAll counts at once and answers after the delay, as a slow network does.
func (f *fake) TakeAll(ctx context.Context, claims []state.Claim, ask bool) ([]state.Usage, error) {
	f.mu.Lock()
	down, hole := f.down, f.hole
	f.mu.Unlock()
	if down || hole {
		return nil, f.fault(ctx)
	}
	all, err := f.SQLite.TakeAll(ctx, claims, ask)
	if late := f.fault(ctx); late != nil {
		return nil, late
	}
	return all, f.lost(ctx, err)
}

func (f *fake) Give(ctx context.Context, key string, n int64, at time.Time) error {
	if err := f.fault(ctx); err != nil {
		return err
	}
	return f.SQLite.Give(ctx, key, n, at)
}

func (f *fake) Reset(ctx context.Context, key string) error {
	if err := f.fault(ctx); err != nil {
		return err
	}
	return f.SQLite.Reset(ctx, key)
}

func (f *fake) Probe(ctx context.Context) error { return f.fault(ctx) }

// Merge adds the grants as of now, and an id once.
func (f *fake) Merge(ctx context.Context, id string, counts []state.Merged) error {
	if err := f.fault(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	again := f.merged[id]
	f.merged[id] = true
	f.mu.Unlock()
	if !again {
		for _, c := range counts {
			for _, g := range c.Grants {
				claim := []state.Claim{{Key: c.Key, N: g.N, Max: state.MaxCount, Window: c.Window}}
				if _, err := f.SQLite.TakeAll(ctx, claim, false); err != nil {
					return err
				}
			}
		}
	}
	return f.lost(ctx, nil)
}

func (f *fake) Watch(ctx context.Context, _ []state.Table, changed func(state.Change), missed func()) error {
	f.set(func(f *fake) { f.watch, f.missed = changed, missed })
	missed()
	<-ctx.Done()
	return ctx.Err()
}

func (f *fake) Append(ctx context.Context, _ string, _ []byte) (string, error) {
	return "1", f.fault(ctx)
}

func (f *fake) Read(ctx context.Context, _, _ string, _ int, wait time.Duration) ([]state.Item, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(wait):
		return nil, f.fault(ctx)
	}
}

func (f *fake) Ends(ctx context.Context, _ string) (string, string, error) {
	return "1", "2", f.fault(ctx)
}

// used returns what a counter of the fake has.
func (f *fake) used(t *testing.T, key string) int64 {
	t.Helper()
	u, err := f.SQLite.Take(t.Context(), key, 0, state.MaxCount, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return u.Used
}

// logBuffer is a log that a test can read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

// lab is a host with its own store, and the common one.
type lab struct {
	*Store
	cfg  Config
	far  *fake
	log  *logBuffer
	path string
}

func openSQLite(t testing.TB, path string) *state.SQLite {
	t.Helper()
	s, err := state.OpenSQLite(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newLab opens both below dir.
func newLab(t *testing.T, dir string) *lab {
	t.Helper()
	return newLabWith(t, dir, Default())
}

func newLabWith(t *testing.T, dir string, cfg Config) *lab {
	t.Helper()
	l := &lab{
		cfg: cfg, far: &fake{SQLite: openSQLite(t, filepath.Join(dir, "far.db")), merged: map[string]bool{}, cut: make(chan struct{})},
		path: filepath.Join(dir, "near.db"), log: &logBuffer{},
	}
	l.open(t)
	return l
}

// open opens the host's part.
func (l *lab) open(t *testing.T) {
	t.Helper()
	s, err := open(t.Context(), l.cfg, l.far, openSQLite(t, l.path), nil, slog.New(slog.NewTextHandler(l.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	l.Store = s
}

// crash ends the host's part as kill -9 a second after its last write would: the
// common store stays.
func (l *lab) crash(t *testing.T) {
	t.Helper()
	l.life.Lock()
	l.Store.closed = true
	l.life.Unlock()
	l.stop()
	l.ended.Wait()
	if err := l.local.Close(); err != nil {
		t.Fatal(err)
	}
}
