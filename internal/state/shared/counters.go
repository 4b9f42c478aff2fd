package shared

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// Take implements state.Store.
func (s *Store) Take(ctx context.Context, key string, n, max int64, window time.Duration) (state.Usage, error) {
	u, err := s.TakeAll(ctx, []state.Claim{{Key: key, N: n, Max: max, Window: window}}, false)
	if err != nil {
		return state.Usage{}, err
	}
	return u[0], nil
}

// TakeAll implements state.Store.
func (s *Store) TakeAll(ctx context.Context, claims []state.Claim, ask bool) ([]state.Usage, error) {
	all, err := do(s, ctx, func(ctx context.Context) ([]state.Usage, error) { return s.remote.TakeAll(ctx, claims, ask) })
	if !away(err) {
		if err == nil && len(all) > 0 {
			s.ahead.Store(int64(time.Until(all[0].At)))
			s.mirror(ctx, claims, all, ask)
		}
		return all, err
	}
	all, lerr := s.local.TakeAll(ctx, claims, ask)
	if lerr != nil || ask {
		return all, lerr
	}
	counted := granted(claims, all)
	for i := range claims {
		if counted[i] {
			s.ledger.add(&claims[i], all[i].At)
		}
	}
	s.alone(errors.Is(err, errUnknown))
	return all, nil
}

// alone counts a request that the local store answered.
func (s *Store) alone(doubtful bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.alone++
	if doubtful {
		s.counts.doubtful++
	}
}

// granted says which claims were counted.
func granted(claims []state.Claim, all []state.Usage) []bool {
	counted, fits := make([]bool, len(claims)), true
	for i := range claims {
		fits = fits && (all[i].OK || claims[i].Soft)
	}
	for i := range claims {
		counted[i] = fits && all[i].OK && claims[i].N > 0
	}
	return counted
}

// mirror counts in the local store what the common one granted to this host, so
// that its limits go on where they were when that is away. It is never more than
// the common store has.
func (s *Store) mirror(ctx context.Context, claims []state.Claim, all []state.Usage, ask bool) {
	if ask {
		return
	}
	mine := make([]state.Claim, 0, len(claims))
	for i, ok := range granted(claims, all) {
		if ok {
			c := claims[i]
			c.Soft = true
			mine = append(mine, c)
		}
	}
	if len(mine) > 0 {
		_, _ = s.local.TakeAll(ctx, mine, false) // a closed store is told by the answer
	}
}

// Give implements state.Store. One of which nobody knows whether it was done is
// not done again: the counter then has too much rather than too little.
func (s *Store) Give(ctx context.Context, key string, n int64, at time.Time) error {
	if key == "" || n < 0 || n > state.MaxCount || len(key) > state.MaxKeyBytes {
		return fmt.Errorf("%w: %d given back", state.ErrInvalid, n)
	}
	ours := s.duringOutage(at)
	here := at
	if !ours {
		here = at.Add(-time.Duration(s.ahead.Load()) - 5*time.Millisecond)
	}
	if err := s.local.Give(ctx, key, n, here); err != nil {
		return err
	}
	if ours {
		if s.ledger.len() > 0 && s.ledger.take(key, n, at) {
			return nil
		}
		// It is in a batch, or merged already.
		if s.queue.len() > 0 || s.near.Load() == nil {
			s.owe(&job{Give: key, N: n, At: at, Ours: true})
			return nil
		}
		at = at.Add(time.Duration(s.ahead.Load()) - time.Millisecond)
	}
	_, err := do(s, ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.remote.Give(ctx, key, n, at)
	})
	if errors.Is(err, errUnknown) {
		return nil
	}
	if away(err) {
		s.owe(&job{Give: key, N: n, At: at})
		return nil
	}
	return err
}

// duringOutage reports whether what was counted at a time was counted here, by
// our clock. The store's clock may be a moment apart, and be taken for ours.
func (s *Store) duringOutage(at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &s.outage
	return !o.begun.IsZero() && !at.Before(o.begun) && (o.ends.IsZero() || at.Before(o.ends))
}

// Reset implements state.Store.
func (s *Store) Reset(ctx context.Context, key string) error {
	if err := s.local.Reset(ctx, key); err != nil {
		return err
	}
	s.ledger.drop(key)
	_, err := do(s, ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.remote.Reset(ctx, key)
	})
	if away(err) {
		s.owe(&job{Reset: key})
		return nil
	}
	return err
}

// Counters implements state.Store. While the store is away they are what this
// host counted.
func (s *Store) Counters(ctx context.Context, prefix string) ([]state.Counter, error) {
	all, err := bulk(s, ctx, func(ctx context.Context) ([]state.Counter, error) { return s.remote.Counters(ctx, prefix) })
	if away(err) {
		return s.local.Counters(ctx, prefix)
	}
	return all, err
}
