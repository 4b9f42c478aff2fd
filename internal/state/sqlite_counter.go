package state

import (
	"context"
	"fmt"
	"time"
)

// Valid returns ErrInvalid if c breaks a bound.
func (c *Claim) Valid() error {
	if c.Key == "" || c.N < 0 || c.N > MaxCount || c.Max < 0 || c.Max > MaxCount || c.Window <= 0 || c.Window > MaxWindow {
		return fmt.Errorf("%w: counter with n %d, max %d, window %v", ErrInvalid, c.N, c.Max, c.Window)
	}
	if len(c.Key) > MaxKeyBytes {
		return fmt.Errorf("%w: a key of %d bytes", ErrInvalid, len(c.Key))
	}
	return nil
}

// keep puts a counter that has changed in its place n, which is nil for a new
// one. It needs s.mu.
func (s *SQLite) keep(ctx context.Context, n *node, c *counter) {
	if n != nil {
		s.counters.change(n, c)
	} else {
		s.counters.put(c)
	}
	if !c.dirty {
		c.dirty = true
		s.dirty[rowID{counterTable, c.key}] = struct{}{}
	}
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
		if err := claims[i].Valid(); err != nil {
			return nil, err
		}
	}
	all, fits := make([]Usage, len(claims)), true // made without the lock
	if _, err := s.enter(ctx, counterTable, ""); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	for i := range claims {
		c := &claims[i]
		if known := s.counters.rows[c.Key]; known != nil {
			all[i] = s.present(ctx, known, now).look(now, c.N, c.Max, c.Window)
		} else {
			all[i] = (&counter{}).look(now, c.N, c.Max, c.Window)
		}
		all[i].At = now
		fits = fits && (all[i].OK || c.Soft)
	}
	if ask || !fits {
		return all, nil
	}
	for i := range claims {
		if all[i].OK && claims[i].N > 0 {
			s.take(ctx, &claims[i], &all[i], i == 0)
		}
	}
	return all, nil
}

// present returns the counter of n, which no longer lies in the future where the
// clock went back: else one that is full would be so until that time. It needs s.mu.
func (s *SQLite) present(ctx context.Context, n *node, now time.Time) *counter {
	c := n.item.(*counter)
	if !c.future(now) {
		return c
	}
	c = c.at(now, c.window)
	s.keep(ctx, n, c)
	return c
}

// take counts a claim that fits, as u says; unless it is the first, another of
// the same key may have been counted before it. It needs s.mu.
func (s *SQLite) take(ctx context.Context, c *Claim, u *Usage, first bool) {
	n := s.counters.rows[c.Key]
	var known *counter
	if n != nil {
		known = n.item.(*counter)
	} else {
		known = &counter{key: c.Key}
	}
	if !first && known.used > c.Max-c.N {
		if u.OK = known.look(u.At, c.N, c.Max, c.Window).OK; !u.OK {
			return
		}
	}
	now := u.At
	next, after := known.grant(now, c.N, c.Max, c.Window)
	*u, u.At = after, now
	s.keep(ctx, n, next)
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
	if known == nil || n == 0 || time.Since(at) >= known.item.(*counter).window {
		return nil // what it counted has left the window: what is there is of others
	}
	next := known.item.(*counter).give(n, at)
	if len(next.buckets) > 0 {
		s.keep(ctx, known, next)
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
