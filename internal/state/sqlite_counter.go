package state

import (
	"context"
	"fmt"
	"time"
)

// valid reports whether c breaks a bound.
func (c *Claim) valid() error {
	if c.Key == "" || c.N < 0 || c.N > MaxCount || c.Max < 0 || c.Max > MaxCount || c.Window <= 0 || c.Window > MaxWindow {
		return fmt.Errorf("%w: counter with n %d, max %d, window %v", ErrInvalid, c.N, c.Max, c.Window)
	}
	if len(c.Key) > MaxKeyBytes {
		return fmt.Errorf("%w: a key of %d bytes", ErrInvalid, len(c.Key))
	}
	return nil
}

// counter returns the counter of key, an empty one if there is none. It needs
// s.mu.
func (s *SQLite) counter(key string) *counter {
	if known := s.counters.rows[key]; known != nil {
		return known.item.(*counter)
	}
	return &counter{key: key}
}

// keep puts a counter that has changed. It needs s.mu.
func (s *SQLite) keep(ctx context.Context, c *counter) {
	s.counters.put(c)
	s.dirty[rowID{counterTable, c.key}] = struct{}{}
	s.evict(ctx, counterTable, s.counters)
}

// Take implements Store.
func (s *SQLite) Take(ctx context.Context, key string, n, max int64, window time.Duration) (Usage, error) {
	u, err := s.TakeAll(ctx, []Claim{{Key: key, N: n, Max: max, Window: window}}, false)
	if err != nil {
		return Usage{}, err
	}
	return u[0], nil
}

// TakeAll implements Store.
func (s *SQLite) TakeAll(ctx context.Context, claims []Claim, ask bool) ([]Usage, error) {
	for i := range claims {
		if err := claims[i].valid(); err != nil {
			return nil, err
		}
	}
	if _, err := s.enter(ctx, counterTable, ""); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	all, fits := make([]Usage, len(claims)), true
	for i := range claims {
		c := &claims[i]
		all[i] = s.counter(c.Key).look(now, c.N, c.Max, c.Window)
		all[i].At = now
		fits = fits && (all[i].OK || c.Soft)
	}
	if ask || !fits {
		return all, nil
	}
	for i := range claims {
		c := &claims[i]
		if !all[i].OK || c.N == 0 {
			continue
		}
		known := s.counter(c.Key)
		if i > 0 && known.used > c.Max-c.N { // counted again by a claim of the same key
			all[i].OK = known.look(now, c.N, c.Max, c.Window).OK
		}
		if all[i].OK {
			next, u := known.grant(now, c.N, c.Max, c.Window)
			s.keep(ctx, next)
			all[i], all[i].At = u, now
		}
	}
	return all, nil
}

// Give implements Store.
func (s *SQLite) Give(ctx context.Context, key string, n int64, at time.Time) error {
	if key == "" || n < 0 || n > MaxCount {
		return fmt.Errorf("%w: %d given back", ErrInvalid, n)
	}
	m, err := s.enter(ctx, counterTable, key)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	known := m.rows[key]
	if known == nil || n == 0 {
		return nil
	}
	next := known.item.(*counter).give(n, at)
	if len(next.buckets) > 0 {
		s.keep(ctx, next)
		return nil
	}
	m.remove(key)
	s.dirty[rowID{counterTable, key}] = struct{}{}
	return nil
}

// Reset implements Store.
func (s *SQLite) Reset(ctx context.Context, key string) error {
	return s.Delete(ctx, counterTable, key)
}

// Counters implements Store.
func (s *SQLite) Counters(ctx context.Context, prefix string) ([]Counter, error) {
	now := time.Now()
	m, err := s.enter(ctx, counterTable, prefix)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var all []Counter
	for _, it := range m.list(prefix, now) {
		c := it.(*counter)
		c = c.at(now, c.window)
		all = append(all, Counter{Key: c.key, Used: c.used, Max: c.max, Window: c.window, Ends: c.expires()})
	}
	return all, nil
}
