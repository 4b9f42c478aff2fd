package shared

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// Watch implements state.Watcher. It keeps the copy of the tables up to date,
// and calls missed when the common store was away and is merged.
func (s *Store) Watch(ctx context.Context, tables []state.Table, changed func(state.Change), missed func()) error {
	var one sync.Mutex // held during a call
	call := func(f func()) {
		one.Lock()
		defer one.Unlock()
		f()
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	healed := s.healed.wait()
	all.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-healed:
			}
			healed = s.healed.wait()
			call(missed)
		}
	})
	return s.remote.Watch(ctx, tables, func(c state.Change) {
		s.heard(c)
		call(func() { changed(c) })
	}, func() { call(missed) })
}

// maybe says that a value may be in the stream although there was an error.
func maybe(err error) error {
	if errors.Is(err, errUnknown) {
		return errors.Join(state.ErrAway, err)
	}
	return err
}

// Append implements state.Streams. It is ErrAway while the store is.
func (s *Store) Append(ctx context.Context, stream string, value []byte) (string, error) {
	id, err := do(s, ctx, func(ctx context.Context) (string, error) { return s.remote.Append(ctx, stream, value) })
	return id, maybe(err)
}

// Read implements state.Streams. It is ErrAway at once while the store is.
func (s *Store) Read(ctx context.Context, stream, after string, most int, wait time.Duration) ([]state.Item, error) {
	items, err := long(s, ctx, wait+s.cfg.Bulk, func(ctx context.Context) ([]state.Item, error) {
		return s.remote.Read(ctx, stream, after, most, wait)
	})
	return items, maybe(err)
}

// Ends implements state.Streams. It is ErrAway while the store is.
func (s *Store) Ends(ctx context.Context, stream string) (first, last string, err error) {
	ends, err := do(s, ctx, func(ctx context.Context) ([2]string, error) {
		first, last, err := s.remote.Ends(ctx, stream)
		return [2]string{first, last}, err
	})
	return ends[0], ends[1], maybe(err)
}
