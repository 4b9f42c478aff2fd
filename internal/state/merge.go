package state

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// MaxMerged is how many counters one Merge takes, MaxGrants how many grants
	// each of them has.
	MaxMerged = 100
	MaxGrants = maxBuckets
	// mergeKept is for how long a merge is remembered, in the table Limit.
	mergeKept   = 24 * time.Hour
	mergePrefix = "merged/"
)

// Valid returns ErrInvalid if m breaks a bound.
func (m *Merged) Valid() error {
	c := Claim{Key: m.Key, Max: m.Max, Window: m.Window}
	if err := c.Valid(); err != nil {
		return err
	}
	if len(m.Grants) > MaxGrants {
		return fmt.Errorf("%w: %d grants", ErrInvalid, len(m.Grants))
	}
	for _, g := range m.Grants {
		if g.N <= 0 || g.N > MaxCount {
			return fmt.Errorf("%w: a grant of %d", ErrInvalid, g.N)
		}
	}
	return nil
}

// Merge adds what was counted elsewhere, MaxMerged counters at most. An id that was
// merged within the last day adds nothing, so a merge that is tried again counts
// once: the id and the counters are durable in one commit before Merge returns.
// Merge may put a counter above its max: it was counted, so that is the truth.
func (s *SQLite) Merge(ctx context.Context, id string, counts []Merged) error {
	if id == "" || len(mergePrefix+id) > MaxKeyBytes || len(counts) > MaxMerged {
		return fmt.Errorf("%w: merge %q of %d counters", ErrInvalid, id, len(counts))
	}
	for i := range counts {
		if err := counts[i].Valid(); err != nil {
			return err
		}
	}
	seen := rowID{Limit, mergePrefix + id}
	m, err := s.enter(ctx, Limit, seen.key)
	if err != nil {
		return err
	}
	now := time.Now()
	g := s.join(seen)
	for i := range counts { // again, too: a commit that failed has left them unwritten
		g = s.join(rowID{counterTable, counts[i].Key})
	}
	if m.get(seen.key, now) == nil {
		for i := range counts {
			s.mergeOne(ctx, &counts[i], now)
		}
		err = s.put(ctx, m, seen, &Entry{Key: seen.key, Value: []byte{}, Expires: now.Add(mergeKept)})
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.wait(ctx, g)
}

// mergeOne adds what was counted on one counter. It needs s.mu.
func (s *SQLite) mergeOne(ctx context.Context, m *Merged, now time.Time) {
	n := s.counters.rows[m.Key]
	known := &counter{key: m.Key}
	if n != nil {
		known = n.item.(*counter)
	}
	if next := known.merged(m, now); len(next.buckets) > 0 {
		s.keep(ctx, n, next)
	}
}

// merged returns the counter with what m has, each grant at its own time. What has
// left the window is not added, and no more than MaxCount is counted.
func (c *counter) merged(m *Merged, now time.Time) *counter {
	both := c.at(now, m.Window).buckets
	for _, g := range m.Grants {
		if ago := max(g.Ago, 0); ago < m.Window {
			both = append(both, bucket{now.Add(-ago).UnixNano(), g.N})
		}
	}
	slices.SortStableFunc(both, func(a, b bucket) int { return cmp.Compare(a.at, b.at) })
	next := &counter{key: c.key, max: m.Max, window: m.Window}
	for _, b := range both {
		if n := min(b.n, MaxCount-next.used); n > 0 {
			next.add(b.at, n)
		}
	}
	return next
}
