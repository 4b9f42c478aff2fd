package shared

import (
	"context"
	"errors"
	"log/slog"

	"github.com/gatepost/gatepost/internal/state"
)

// pending is how many counters, rows and jobs the common store has not seen.
func (s *Store) pending() int { return s.ledger.len() + s.queue.len() + int(s.marks.n.Load()) }

// drain brings to the common store what it has not seen. What fails is tried
// again a second later, or when the store is back. Only run calls it.
func (s *Store) drain(ctx context.Context) {
	err := s.mergeCounts(ctx, s.asUsual)
	if err == nil {
		err = s.mergeRows(ctx)
	}
	if err != nil && ctx.Err() == nil {
		s.log.LogAttrs(ctx, slog.LevelDebug, "the rest is merged later", slog.Any("err", err), slog.Int("pending", s.pending()))
	}
}

// mergeRows brings the marked rows to the common store. One that it refuses does
// not keep the others waiting; it is tried again with them.
func (s *Store) mergeRows(ctx context.Context) error {
	var refused error
	for _, id := range s.marks.under("", "") {
		switch err := s.mergeRow(ctx, id); {
		case errors.Is(err, errFailed):
			refused = err
		case err != nil:
			return err
		}
	}
	return refused
}

// mergeRow brings one row to the common store. If it is written while that goes
// on, its mark stays, and it is brought again.
func (s *Store) mergeRow(ctx context.Context, id markID) error {
	was, ok := s.marks.get(id)
	if !ok {
		return nil
	}
	e, err := s.local.Get(ctx, id.t, id.key)
	switch {
	case err == nil:
		err = s.putRow(ctx, id, e)
	case !errors.Is(err, state.ErrNotFound):
		return err
	case was.deleted:
		err = s.asUsual(ctx, func(ctx context.Context) error { return s.remote.Delete(ctx, id.t, id.key) })
	default:
		err = nil // its time is over, or the copy had no room for it
	}
	if err != nil && !errors.Is(err, state.ErrInvalid) {
		return err
	}
	s.mu.Lock()
	s.counts.mergedRows++
	s.mu.Unlock()
	s.marks.drop(id, was, func() {
		s.apply(state.Write{Table: state.Outbox, Entry: state.Entry{Key: id.row()}, Delete: true})
		if !ruleOf(id.t, id.key).copied {
			s.apply(state.Write{Table: id.t, Entry: state.Entry{Key: id.key}, Delete: true})
		}
	})
	return nil
}

// putRow puts a row of ours, joined with theirs where that can be done.
func (s *Store) putRow(ctx context.Context, id markID, e state.Entry) error {
	if s.join != nil {
		theirs, err := do(s, ctx, func(ctx context.Context) (state.Entry, error) { return s.remote.Get(ctx, id.t, id.key) })
		switch {
		case err == nil:
			e.Value = s.join(id.t, id.key, e.Value, theirs.Value)
			if theirs.Expires.After(e.Expires) {
				e.Expires = theirs.Expires
			}
		case !errors.Is(err, state.ErrNotFound):
			return err
		}
	}
	return s.asUsual(ctx, func(ctx context.Context) error { return s.remote.Put(ctx, id.t, e, false) })
}
