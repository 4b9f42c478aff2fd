package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

const (
	// MaxMerged is how many counters one Merge takes: it is one step of a server
	// that does nothing else meanwhile.
	MaxMerged = 100
	// mergeKept is for how long a merge is remembered.
	mergeKept = 24 * time.Hour
)

// Merge adds what was counted elsewhere while the store was away. An id that was
// merged within the last day adds nothing, so a merge that is tried again counts
// once. The counters of one call are one step, MaxMerged at most. Merge may put
// a counter above its max: it was counted, so that is the truth.
func (s *Store) Merge(ctx context.Context, id string, counters []state.Merged) error {
	if err := s.enter(ctx, state.Limit, id); err != nil {
		return err
	}
	if id == "" || len(counters) > MaxMerged {
		return fmt.Errorf("%w: merge %q of %d counters", state.ErrInvalid, id, len(counters))
	}
	keys, packed := []string{s.names.merge(id)}, []byte(nil)
	for i := range counters {
		m := &counters[i]
		if err := checkMerged(m); err != nil {
			return err
		}
		keys = append(keys, s.names.counter(m.Key))
		packed = appendMerged(packed, m)
	}
	if len(counters) == 0 {
		return nil
	}
	err := s.run(ctx, &s.scripts.merge, keys, packed, mergeKept.Milliseconds(), s.at()).Err()
	return s.wrap(ctx, "merge counters", err)
}

func checkMerged(m *state.Merged) error {
	c := state.Claim{Key: m.Key, Max: m.Max, Window: m.Window}
	if err := c.Valid(); err != nil {
		return err
	}
	if len(m.Grants) > maxBuckets {
		return fmt.Errorf("%w: %d grants", state.ErrInvalid, len(m.Grants))
	}
	for _, g := range m.Grants {
		if g.N <= 0 || g.N > state.MaxCount {
			return fmt.Errorf("%w: a grant of %d", state.ErrInvalid, g.N)
		}
	}
	return nil
}

// appendMerged encodes m for the script, the oldest grant first.
func appendMerged(dst []byte, m *state.Merged) []byte {
	dst = appendUint(dst, m.Max, countLen)
	dst = appendUint(dst, micros(m.Window), countLen)
	dst = appendUint(dst, int64(len(m.Grants)), 2)
	byAge := slices.SortedFunc(slices.Values(m.Grants), func(a, b state.Grant) int { return cmp.Compare(b.Ago, a.Ago) })
	for _, g := range byAge {
		// A part of a microsecond is cut off: a grant counts rather too long.
		dst = appendUint(dst, int64(max(g.Ago, 0)/time.Microsecond), timeLen)
		dst = appendUint(dst, g.N, countLen)
	}
	return dst
}
