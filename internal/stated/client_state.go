package stated

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// listTime is the limit of a call that may answer with a whole table.
const listTime = 30 * time.Second

// State is the state of the other process.
type State struct {
	c      *Client
	closed atomic.Bool
}

var (
	_ state.Store   = (*State)(nil)
	_ state.Watcher = (*State)(nil)
)

// call asks, unless s was closed.
func (s *State) call(ctx context.Context, q question, out any) error {
	if s.closed.Load() {
		return state.ErrClosed
	}
	return s.c.ask(ctx, q, out)
}

// Get implements state.Store.
func (s *State) Get(ctx context.Context, t state.Table, key string) (state.Entry, error) {
	var e entry
	if err := s.call(ctx, question{name: "state/get", in: row{t, []byte(key)}, again: true}, &e); err != nil {
		return state.Entry{}, err
	}
	return e.entry(), nil
}

// Put implements state.Store.
func (s *State) Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error {
	if len(e.Value) > state.MaxValueBytes || len(e.Key) > state.MaxKeyBytes {
		return fmt.Errorf("%w: entry with a key of %d bytes, a value of %d", state.ErrInvalid, len(e.Key), len(e.Value))
	}
	return s.call(ctx, question{name: "state/put", in: put{t, entryOf(e), sync}, again: true}, nil)
}

// Delete implements state.Store.
func (s *State) Delete(ctx context.Context, t state.Table, key string) error {
	return s.call(ctx, question{name: "state/delete", in: row{t, []byte(key)}, again: true}, nil)
}

// List implements state.Store.
func (s *State) List(ctx context.Context, t state.Table, prefix string) ([]state.Entry, error) {
	var all []entry
	if err := s.call(ctx, question{name: "state/list", in: row{t, []byte(prefix)}, again: true, within: listTime}, &all); err != nil {
		return nil, err
	}
	out := make([]state.Entry, len(all))
	for i, e := range all {
		out[i] = e.entry()
	}
	return out, nil
}

// Take implements state.Store.
func (s *State) Take(ctx context.Context, key string, n, max int64, window time.Duration) (u state.Usage, err error) {
	err = s.call(ctx, question{name: "state/take", in: claim{[]byte(key), n, max, window, false}}, &u)
	return u, err
}

// TakeAll implements state.Store.
func (s *State) TakeAll(ctx context.Context, all []state.Claim, ask bool) ([]state.Usage, error) {
	return s.takeAll(ctx, all, ask, time.Time{})
}

// takeAll is TakeAll that counts nothing after a time, if that is not zero.
func (s *State) takeAll(ctx context.Context, all []state.Claim, ask bool, until time.Time) (out []state.Usage, err error) {
	in := claims{Claims: make([]claim, len(all)), Ask: ask, Until: until}
	for i, c := range all {
		in.Claims[i] = claim{[]byte(c.Key), c.N, c.Max, c.Window, c.Soft}
	}
	err = s.call(ctx, question{name: "state/take-all", in: in, again: ask}, &out)
	if err == nil && len(out) != len(all) {
		err = fmt.Errorf("state answered %d claims of %d", len(out), len(all))
	}
	return out, err
}

// Give implements state.Store.
func (s *State) Give(ctx context.Context, key string, n int64, at time.Time) error {
	return s.call(ctx, question{name: "state/give", in: give{[]byte(key), n, at}}, nil)
}

// Reset implements state.Store.
func (s *State) Reset(ctx context.Context, key string) error {
	return s.call(ctx, question{name: "state/reset", in: row{"", []byte(key)}, again: true}, nil)
}

// Counters implements state.Store.
func (s *State) Counters(ctx context.Context, prefix string) ([]state.Counter, error) {
	var all []counter
	err := s.call(ctx, question{name: "state/counters", in: row{"", []byte(prefix)}, again: true, within: listTime}, &all)
	if err != nil {
		return nil, err
	}
	out := make([]state.Counter, len(all))
	for i, c := range all {
		out[i] = c.Counter
		out[i].Key = string(c.Key)
	}
	return out, nil
}

// Watch implements state.Watcher. It comes back by itself when the other process
// does, and then calls missed.
func (s *State) Watch(ctx context.Context, tables []state.Table, changed func(state.Change), missed func()) error {
	for _, t := range tables {
		if !slices.Contains(state.Watched, t) {
			return fmt.Errorf("%w: table %q is not watched", state.ErrInvalid, t)
		}
	}
	return s.c.follow(ctx, tables, false, func(e event) {
		switch {
		case e.Missed:
			missed()
		case e.Entry != nil && slices.Contains(tables, e.Table):
			changed(state.Change{Table: e.Table, Entry: e.Entry.entry(), Deleted: e.Deleted})
		}
	}, nil)
}

// Close implements state.Store: the connection stays, for others.
func (s *State) Close() error {
	s.closed.Store(true)
	return nil
}
