package hold

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/queue"
	"github.com/gatepost/gatepost/internal/state"
)

// shared is a state of several hosts.
type shared struct {
	mu    sync.Mutex
	rows  map[string]state.Entry
	hosts []*part
}

// part is what one host has of it.
type part struct {
	all  *shared
	news chan state.Change
	away bool // guarded by shared.mu
}

func (p *part) Get(_ context.Context, t state.Table, key string) (state.Entry, error) {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	e, ok := p.all.rows[string(t)+" "+key]
	if !ok {
		return e, state.ErrNotFound
	}
	return e, nil
}

func (p *part) Put(_ context.Context, t state.Table, e state.Entry, _ bool) error {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	p.all.rows[string(t)+" "+e.Key] = e
	for _, o := range p.all.hosts {
		if o != p && t == state.Login && !o.away {
			o.news <- state.Change{Table: t, Entry: e}
		}
	}
	return nil
}

func (p *part) List(_ context.Context, t state.Table, prefix string) (all []state.Entry, err error) {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	for key, e := range p.all.rows {
		if strings.HasPrefix(key, string(t)+" "+prefix) {
			all = append(all, e)
		}
	}
	return all, nil
}

func (p *part) Watch(ctx context.Context, _ []state.Table, changed func(state.Change), missed func()) error {
	missed()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-p.news:
			changed(c)
		}
	}
}

// TestQueuesOfAllHosts: a hold on one host holds the account's mail in the queue
// of each, a release gives it back on each, and one that was down then does it
// when it is back, once.
func TestQueuesOfAllHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := &shared{rows: map[string]state.Entry{}}
		var worlds []*world
		var keepers []*Keeper
		for _, name := range []string{"mx1", "mx2"} {
			w, k := newWorld()
			p := &part{all: all, news: make(chan state.Change, 10)}
			all.hosts = append(all.hosts, p)
			k.deps.State, k.deps.Host = p, name
			worlds, keepers = append(worlds, w), append(keepers, k)
		}
		run := func(k *Keeper) (stop func()) {
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _ = k.Run(ctx) }) // it returns nil
			return func() {
				cancel()
				wg.Wait()
			}
		}
		did := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			keepers[1].working.Lock() // Run looks at its world under it
			defer keepers[1].working.Unlock()
			if got := worlds[1].did; !slices.Equal(got, want) {
				t.Errorf("%s: the other host did %q, want %q", when, got, want)
			}
			worlds[1].did = nil
		}
		stop0, stop1 := run(keepers[0]), run(keepers[1])
		if _, err := keepers[0].Hold(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		did("held", "hold AAAAAA1", "hold AAAAAA2")

		edit := func(f func(w *world)) {
			synctest.Wait()
			keepers[1].working.Lock()
			defer keepers[1].working.Unlock()
			f(worlds[1])
		}
		edit(func(w *world) { w.queueErr = errors.New("helper is away") })
		if _, err := keepers[0].Release(t.Context(), alice, Send); err != nil {
			t.Fatal(err)
		}
		edit(func(w *world) {
			w.did, w.queueErr = nil, nil
			w.items[0].Queue, w.items[1].Queue = "hold", "hold"
		})
		time.Sleep(2 * orderAgain)
		did("released, at the second try", "release AAAAAA1", "release AAAAAA2")

		// It is down for a hold and the deletion, and hears of the last.
		stop1()
		all.mu.Lock()
		all.hosts[1].away = true
		all.mu.Unlock()
		worlds[1].items[0].Queue = "hold"
		if _, err := keepers[0].Hold(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		if _, err := keepers[0].Release(t.Context(), alice, Drop); err != nil {
			t.Fatal(err)
		}
		stop1 = run(keepers[1])
		did("back", "delete AAAAAA1")
		stop1()
		worlds[1].items[0].Queue = "hold" // by an administrator, later
		stop1 = run(keepers[1])
		did("back again")
		stop1()
		stop0()
	})
}

// TestOrderIgnored: what is no order, or our own, does nothing.
func TestOrderIgnored(t *testing.T) {
	_, k := newWorld()
	k.deps.Host = "mx1"
	for _, v := range []string{`{`, `{"host":"mx2","verb":"list"}`, `{"host":"mx1","verb":"delete"}`} {
		k.hear(t.Context(), state.Entry{Key: orderPrefix + "alice@example.org", Value: []byte(v)}, false)
	}
	if len(k.orders) != 0 {
		t.Errorf("orders = %+v", k.orders)
	}
}

// TestOrderListedLate: a list that was asked for before an order was told does not
// take its place.
func TestOrderListedLate(t *testing.T) {
	_, k := newWorld()
	k.deps.Host = "mx1"
	hear := func(verb, at string, listed bool) {
		k.hear(t.Context(), state.Entry{Key: orderPrefix + "alice@example.org",
			Value: []byte(`{"host":"mx2","verb":"` + verb + `","at":"` + at + `"}`)}, listed)
	}
	hear("release", "2026-11-20T12:00:01Z", false)
	hear("hold", "2026-11-20T12:00:00Z", true)
	if o := k.orders[alice]; o.Verb != "release" {
		t.Errorf("the older order %q counts", o.Verb)
	}
	hear("delete", "2026-11-20T12:00:00Z", false) // of a host whose clock is behind
	if o := k.orders[alice]; o.Verb != "delete" {
		t.Errorf("the order told last is not %q", o.Verb)
	}
}

func FuzzParseOrder(f *testing.F) {
	f.Add("hold/alice@example.org", []byte(`{"host":"mx1","verb":"hold","at":"2026-11-20T12:00:00Z"}`))
	f.Add("hold/", []byte(`{}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		o, err := parseOrder(state.Entry{Key: key, Value: value})
		if err != nil {
			return
		}
		switch queue.Verb(o.Verb) {
		case queue.Hold, queue.Release, queue.Delete, queue.Verb(Keep):
		default:
			t.Errorf("parseOrder(%q, %q) = %+v", key, value, o)
		}
		b, err := json.Marshal(o)
		if err != nil {
			return // a time that JSON has no form for
		}
		if again, err := parseOrder(state.Entry{Key: o.key(), Value: b}); err != nil || again.account != o.account || again.Verb != o.Verb {
			t.Errorf("parseOrder(%+v) = %+v, %v", o, again, err)
		}
	})
}
