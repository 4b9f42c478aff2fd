package stated

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// waiting is how many changes wait for one watcher. With more it has missed some.
const waiting = 4096

// Hub is a state.Store whose writers hear of one another. What it puts goes
// straight to the store behind it. It is safe for concurrent use.
type Hub struct {
	inner state.Store
	seed  maphash.Seed
	// turns keep the changes of one key in their order: one is held while the
	// store is changed and the change is told.
	turns [64]sync.Mutex

	mu   sync.Mutex // guards subs
	subs map[*subscription]struct{}
}

// NewHub returns a Hub in front of s. Its Run must run if s is a state.Watcher.
func NewHub(s state.Store) *Hub {
	return &Hub{inner: s, seed: maphash.MakeSeed(), subs: map[*subscription]struct{}{}}
}

// Run hears what other hosts change, until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	w, ok := h.inner.(state.Watcher)
	if !ok {
		<-ctx.Done()
		return nil
	}
	err := w.Watch(ctx, state.Watched, func(c state.Change) { h.tell("", c) }, h.missed)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// View returns the store as one writer has it, whose own changes it does not
// hear of. Writers have different names.
func (h *Hub) View(writer string) *View { return &View{Store: h.inner, hub: h, writer: writer} }

// subscription is one Watch.
type subscription struct {
	writer  string
	tables  []state.Table
	changes chan state.Change
	lost    chan struct{} // has room for one
}

func (s *subscription) miss() {
	select {
	case s.lost <- struct{}{}:
	default: // it has yet to hear of the last time
	}
}

// drain drops what waits.
func (s *subscription) drain() {
	for {
		select {
		case <-s.changes:
		default:
			return
		}
	}
}

// tell tells all but the writer. Who is too slow has missed it.
func (h *Hub) tell(writer string, c state.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		if s.writer == writer && writer != "" || !slices.Contains(s.tables, c.Table) {
			continue
		}
		select {
		case s.changes <- c:
		default:
			s.miss()
		}
	}
}

// missed tells all that changes were missed.
func (h *Hub) missed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		s.miss()
	}
}

func (h *Hub) subscribe(writer string, tables []state.Table) (*subscription, func(), error) {
	for _, t := range tables {
		if !slices.Contains(state.Watched, t) {
			return nil, nil, fmt.Errorf("%w: table %q is not watched", state.ErrInvalid, t)
		}
	}
	s := &subscription{writer, slices.Clone(tables), make(chan state.Change, waiting), make(chan struct{}, 1)}
	s.miss()
	h.mu.Lock()
	h.subs[s] = struct{}{}
	h.mu.Unlock()
	return s, func() {
		h.mu.Lock()
		delete(h.subs, s)
		h.mu.Unlock()
	}, nil
}

// turn returns what is held while a key changes.
func (h *Hub) turn(t state.Table, key string) *sync.Mutex {
	sum := maphash.String(h.seed, string(t)+"\x00"+key)
	return &h.turns[sum%uint64(len(h.turns))]
}

// View is a Hub as one writer has it. Close does nothing: the store is not its
// own.
type View struct {
	state.Store
	hub    *Hub
	writer string
}

var (
	_ state.Store   = (*View)(nil)
	_ state.Watcher = (*View)(nil)
)

// Put implements state.Store.
func (v *View) Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error {
	if !slices.Contains(state.Watched, t) {
		return v.Store.Put(ctx, t, e, sync)
	}
	turn := v.hub.turn(t, e.Key)
	turn.Lock()
	defer turn.Unlock()
	err := v.Store.Put(ctx, t, e, sync)
	switch {
	case err == nil && !e.Expires.After(time.Now()): // it is gone already
		v.hub.tell(v.writer, state.Change{Table: t, Entry: state.Entry{Key: e.Key}, Deleted: true})
	case err == nil || v.holds(ctx, t, e):
		v.hub.tell(v.writer, state.Change{Table: t, Entry: state.Entry{Key: e.Key, Value: bytes.Clone(e.Value), Expires: e.Expires}})
	}
	return err
}

// holds reports whether an entry is there although its Put failed, as one is that
// is not on disk yet.
func (v *View) holds(ctx context.Context, t state.Table, e state.Entry) bool {
	got, err := v.Store.Get(context.WithoutCancel(ctx), t, e.Key)
	return err == nil && bytes.Equal(got.Value, e.Value)
}

// Delete implements state.Store.
func (v *View) Delete(ctx context.Context, t state.Table, key string) error {
	if !slices.Contains(state.Watched, t) {
		return v.Store.Delete(ctx, t, key)
	}
	turn := v.hub.turn(t, key)
	turn.Lock()
	defer turn.Unlock()
	err := v.Store.Delete(ctx, t, key)
	if err == nil {
		v.hub.tell(v.writer, state.Change{Table: t, Entry: state.Entry{Key: key}, Deleted: true})
	}
	return err
}

// merger is a store that takes what was counted elsewhere; see state.SQLite.
type merger interface {
	Merge(ctx context.Context, id string, counts []state.Merged) error
}

// Merge adds what a writer counted alone, each id once.
func (v *View) Merge(ctx context.Context, id string, counts []state.Merged) error {
	m, ok := v.Store.(merger)
	if !ok {
		return fmt.Errorf("%w: this state takes no counts of others", state.ErrInvalid)
	}
	return m.Merge(ctx, id, counts)
}

// Watch implements state.Watcher.
func (v *View) Watch(ctx context.Context, tables []state.Table, changed func(state.Change), missed func()) error {
	s, end, err := v.hub.subscribe(v.writer, tables)
	if err != nil {
		return err
	}
	defer end()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.lost:
			s.drain() // what waits is older than what missed finds
			missed()
		case c := <-s.changes:
			changed(c)
		}
	}
}

// Close implements state.Store.
func (v *View) Close() error { return nil }
