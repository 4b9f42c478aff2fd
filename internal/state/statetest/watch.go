package statetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// seen is what a watcher was told.
type seen struct {
	mu      sync.Mutex
	changes []state.Change
	missed  int
}

func (w *seen) changed(c state.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, c)
}

func (w *seen) miss() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.missed++
}

// of returns the values told of a key, "-" for deleted.
func (w *seen) of(table state.Table, key string) (values []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.changes {
		if c.Table != table || c.Entry.Key != key {
			continue
		}
		if c.Deleted {
			values = append(values, "-")
		} else {
			values = append(values, string(c.Entry.Value))
		}
	}
	return values
}

func (w *seen) misses() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.missed
}

// watching lets s be watched until the test ends.
func watching(t *testing.T, s state.Store, tables []state.Table) *seen {
	t.Helper()
	w := &seen{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.(state.Watcher).Watch(ctx, tables, w.changed, w.miss) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch() = %v, want that it was cancelled", err)
		}
	})
	eventually(t, "the watch to begin", func() bool { return w.misses() > 0 })
	return w
}

// RunWatcher runs the contract of a state.Watcher on stores that open makes, two
// of each name at once. restart is that of Restarts.
func RunWatcher(t *testing.T, open Open, restart func(t *testing.T)) {
	for _, tc := range []struct {
		name string
		test func(t *testing.T, a, b state.Store)
	}{
		{"told of others", toldOfOthers},
		{"in order", toldInOrder},
		{"one table only", toldOfOne},
		{"not of what is not watched", notWatched},
		{"missed after a restart", func(t *testing.T, a, b state.Store) { missedAfter(t, a, b, restart) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := open(t, "watch "+tc.name), open(t, "watch "+tc.name)
			t.Cleanup(func() { _, _ = a.Close(), b.Close() })
			tc.test(t, a, b)
		})
	}
}

func toldOfOthers(t *testing.T, a, b state.Store) {
	wa, wb := watching(t, a, state.Watched), watching(t, b, state.Watched)
	for _, table := range state.Watched {
		want := later()
		if err := b.Put(t.Context(), table, state.Entry{Key: "k\x00{", Value: []byte("v"), Expires: want}, true); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		eventually(t, "a change to be told", func() bool { return len(wa.of(table, "k\x00{")) == 1 })
		if took := time.Since(began); took > time.Second {
			t.Errorf("a change of %s took %v", table, took)
		}
		wa.mu.Lock()
		if c := wa.changes[len(wa.changes)-1]; !c.Entry.Expires.Equal(want) || string(c.Entry.Value) != "v" || c.Deleted {
			t.Errorf("told %+v", c)
		}
		wa.mu.Unlock()
		if err := b.Delete(t.Context(), table, "k\x00{"); err != nil {
			t.Fatal(err)
		}
		over := state.Entry{Key: "over", Expires: time.Now().Add(-time.Second)}
		if err := b.Put(t.Context(), table, over, false); err != nil {
			t.Fatal(err)
		}
		eventually(t, "deletes to be told", func() bool {
			return len(wa.of(table, "k\x00{")) == 2 && len(wa.of(table, "over")) == 1
		})
		if k, o := wa.of(table, "k\x00{"), wa.of(table, "over"); k[1] != "-" || o[0] != "-" {
			t.Errorf("told %q and %q, want that they were deleted", k, o)
		}
	}
	wb.mu.Lock()
	defer wb.mu.Unlock()
	if len(wb.changes) != 0 {
		t.Errorf("told of its own: %+v", wb.changes)
	}
}

// toldInOrder has two writers of the same keys: the last that is told is what
// the store has.
func toldInOrder(t *testing.T, a, b state.Store) {
	w := watching(t, a, state.Watched)
	const keys, each = 5, 40
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for i := range keys * each {
				key := fmt.Sprint(i % keys)
				e := state.Entry{Key: key, Value: fmt.Append(nil, time.Now().UnixNano()), Expires: later()}
				if err := b.Put(t.Context(), state.Login, e, false); err != nil {
					t.Errorf("Put() = %v", err)
				}
			}
		})
	}
	all.Wait()
	for i := range keys {
		key := fmt.Sprint(i)
		eventually(t, "all changes to be told", func() bool { return len(w.of(state.Login, key)) == 3*each })
		told := w.of(state.Login, key)
		if last, has := told[len(told)-1], get(t, a, state.Login, key); last != has {
			t.Errorf("key %s: told %s at last, the store has %s", key, last, has)
		}
	}
}

func toldOfOne(t *testing.T, a, b state.Store) {
	w := watching(t, a, []state.Table{state.Ban})
	put(t, b, state.Login, "k", "login")
	put(t, b, state.Ban, "k", "ban")
	eventually(t, "a change to be told", func() bool { return len(w.of(state.Ban, "k")) == 1 })
	if told := w.of(state.Login, "k"); len(told) != 0 {
		t.Errorf("told %q of a table that was not asked for", told)
	}
}

func notWatched(t *testing.T, a, _ state.Store) {
	err := a.(state.Watcher).Watch(t.Context(), []state.Table{state.Seen}, func(state.Change) {}, func() {})
	wantErr(t, "Watch of a table that is not watched", err, state.ErrInvalid)
}

// missedAfter restarts servers while another host makes changes: the watcher is
// told of each that was acknowledged, or that it may have missed some.
func missedAfter(t *testing.T, a, b state.Store, restart func(t *testing.T)) {
	w := watching(t, a, state.Watched)
	before := w.misses()
	stop, made := make(chan struct{}), make(chan []string)
	go func() { made <- putUntil(t, b, stop) }()
	restart(t)
	eventually(t, "a change after the restart", func() bool {
		e := state.Entry{Key: "after", Expires: later()}
		return b.Put(t.Context(), state.Ban, e, true) == nil && len(w.of(state.Ban, "after")) > 0
	})
	close(stop)
	keys := <-made
	eventually(t, "the watcher to be told of changes, or that it missed some", func() bool {
		told := 0
		for _, key := range keys {
			told += len(w.of(state.Login, key))
		}
		return told >= len(keys) || w.misses() > before
	})
	t.Logf("%d changes, missed called %d times", len(keys), w.misses()-before)
}

// putUntil puts keys until stop is closed and returns those acknowledged.
func putUntil(t *testing.T, s state.Store, stop <-chan struct{}) (keys []string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return keys
		case <-tick.C:
		}
		key := fmt.Sprint("during/", i)
		if s.Put(t.Context(), state.Login, state.Entry{Key: key, Expires: later()}, false) == nil {
			keys = append(keys, key)
		}
	}
}
