package mtasts

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/state"
)

// world is all that a Finder sees.
type world struct {
	mu      sync.Mutex // guards the fields below
	txt     string     // of every domain; "" for none
	txtErr  error
	policy  Policy
	err     error
	wait    chan struct{} // a fetch waits for it
	fetches int
	rows    map[string]state.Entry
	f       *Finder
}

func newWorld(t *testing.T) *world {
	w := &world{rows: map[string]state.Entry{}}
	w.f = newFinder(Deps{DNS: w, Store: w}, &fetcher{}, quiet)
	w.f.fetch = w.fetch
	t.Cleanup(w.f.Close)
	return w
}

func (w *world) LookupIP(context.Context, string, string) ([]netip.Addr, error) { return nil, nil }

func (w *world) LookupTXT(context.Context, string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.txtErr != nil || w.txt == "" {
		return nil, w.txtErr
	}
	return []string{w.txt}, nil
}

func (w *world) Get(_ context.Context, _ state.Table, key string) (state.Entry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.rows[key]
	if !ok {
		return e, state.ErrNotFound
	}
	return e, nil
}

func (w *world) Put(_ context.Context, _ state.Table, e state.Entry, _ bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows[e.Key] = e
	return nil
}

func (w *world) fetch(ctx context.Context, _ string) (Policy, error) {
	w.mu.Lock()
	w.fetches++
	p, err, wait := w.policy, w.err, w.wait
	w.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return Policy{}, ctx.Err()
		}
	}
	return p, err
}

// publish sets what the domain says.
func (w *world) publish(txt string, p Policy, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.txt, w.policy, w.err = txt, p, err
}

// want asks and compares mode and the number of fetches so far.
func (w *world) want(t *testing.T, what string, mode Mode, fetches int) {
	t.Helper()
	p, err := w.f.Find(t.Context(), "Example.ORG")
	if err != nil || p.Mode != mode {
		t.Errorf("%s: Find() = %+v, %v, want mode %q", what, p, err, mode)
	}
	synctest.Wait() // for what goes on behind our back
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fetches != fetches {
		t.Errorf("%s: %d fetches, want %d", what, w.fetches, fetches)
	}
}

var (
	enforced = Policy{Enforce, []string{"mx.example.org"}, 48 * time.Hour}
	tested   = Policy{Testing, []string{"mx.example.org"}, 48 * time.Hour}
	ended0   = Policy{None, nil, 48 * time.Hour}
	errDown  = errors.New("connection refused")
)

func TestFindLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.want(t, "no record", "", 0)
		w.publish("v=STSv1; id=1", enforced, nil)
		w.want(t, "first", Enforce, 1)
		w.want(t, "again", Enforce, 1)
		time.Sleep(23 * time.Hour)
		w.want(t, "a day later", Enforce, 1)
		time.Sleep(2 * time.Hour)
		w.publish("v=STSv1; id=1", Policy{}, errDown)
		w.want(t, "refreshed, and the server is away", Enforce, 2)
		w.want(t, "not asked again at once", Enforce, 2)
		time.Sleep(retryAfter)
		w.want(t, "but after a while", Enforce, 3)
		w.publish("", Policy{}, errDown)
		w.want(t, "the record has gone, the policy holds", Enforce, 3)
		time.Sleep(24 * time.Hour)
		w.want(t, "until it ends", "", 3)
		w.publish("v=STSv1; id=2", tested, nil)
		w.want(t, "testing", Testing, 4)
		w.publish("v=STSv1; id=3", ended0, nil)
		w.want(t, "a new id is fetched first", None, 5)
		w.publish("v=STSv1; id=4", Policy{}, errDown)
		w.want(t, "a new id that cannot be fetched", None, 6)
	})
}

// TestFindRefreshes: the new policy holds though its id is the old.
func TestFindRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("v=STSv1; id=1", enforced, nil)
		w.want(t, "first", Enforce, 1)
		w.publish("v=STSv1; id=1", tested, nil)
		time.Sleep(25 * time.Hour)
		w.want(t, "the old one while it is fetched", Enforce, 2)
		w.want(t, "then the new one", Testing, 2)
	})
}

func TestFindFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("v=STSv1; id=1", Policy{}, errDown)
		w.want(t, "cannot be fetched", "", 1)
		w.want(t, "nor is it asked again at once", "", 1)
		w.publish("v=STSv1", enforced, nil)
		w.want(t, "not a record", "", 1)
		w.txtErr = errors.New("SERVFAIL")
		w.want(t, "DNS is away", "", 1)
		w.txtErr = nil
		time.Sleep(retryAfter)
		w.publish("v=STSv1; id=1", enforced, nil)
		w.want(t, "back", Enforce, 2)
		w.txtErr = errors.New("SERVFAIL")
		w.want(t, "DNS takes no policy away", Enforce, 2)
		w.rows["example.org"] = state.Entry{Key: "example.org", Value: []byte("{")}
		w.txtErr = nil
		w.want(t, "a damaged row", Enforce, 3)
		for _, name := range []string{"", "example", "[192.0.2.1]", "192.0.2.1", "a b.example", "../x.example", "b\xc3\xbccher.example"} {
			if p, err := w.f.Find(t.Context(), name); p.Mode != "" || err != nil {
				t.Errorf("Find(%q) = %+v, %v", name, p, err)
			}
		}
		w.f.fetch = func(context.Context, string) (Policy, error) { panic("planted") }
		w.publish("v=STSv1; id=9", enforced, nil)
		w.want(t, "a panic is a failure", Enforce, 3)
	})
}

// TestFindShares: one fetch for all who ask at once, which outlives them.
func TestFindShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.wait = make(chan struct{})
		w.publish("v=STSv1; id=1", enforced, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := w.f.Find(ctx, "example.org")
				if !errors.Is(err, context.DeadlineExceeded) || mailerr.ClassOf(err) != mailerr.Transient {
					t.Errorf("Find() = %v, want a transient end", err)
				}
			})
		}
		wg.Wait()
		close(w.wait)
		synctest.Wait()
		w.want(t, "the answer is there", Enforce, 1)
	})
}

// TestFindTurns: no more than maxFetches servers are asked at once.
func TestFindTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.wait = make(chan struct{})
		w.publish("v=STSv1; id=1", enforced, nil)
		var wg sync.WaitGroup
		for i := range maxFetches + 5 {
			wg.Go(func() { _, _ = w.f.Find(t.Context(), string(rune('a'+i))+".example") })
		}
		synctest.Wait()
		if w.fetches != maxFetches {
			t.Errorf("%d fetches at once, want %d", w.fetches, maxFetches)
		}
		close(w.wait)
		wg.Wait()
		if w.fetches != maxFetches+5 {
			t.Errorf("%d fetches in all", w.fetches)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.wait = make(chan struct{}) // never
		w.publish("v=STSv1; id=1", enforced, nil)
		var wg sync.WaitGroup
		wg.Go(func() {
			if p, err := w.f.Find(t.Context(), "example.org"); p.Mode != "" || err != nil {
				t.Errorf("Find() = %+v, %v", p, err)
			}
		})
		synctest.Wait()
		w.f.Close()
		wg.Wait()
		w.want(t, "closed", "", 1)
	})
}
