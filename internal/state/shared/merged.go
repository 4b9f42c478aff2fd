package shared

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// Merge adds what another process of this host counted alone; see state.SQLite. The
// local store takes it first, so that it is in the copy, and what the common one does
// not take now waits for it under the same id.
func (s *Store) Merge(ctx context.Context, id string, counts []state.Merged) error {
	if err := s.local.Merge(ctx, id, counts); err != nil {
		return err
	}
	_, err := do(s, ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.remote.Merge(ctx, id, counts) })
	if !away(err) {
		return err
	}
	s.owe(&job{ID: id, Counts: talliesOf(counts, time.Now())})
	return nil
}

// talliesOf returns counts by our clock. A second job of the same id adds nothing.
func talliesOf(counts []state.Merged, now time.Time) (all []*tally) {
	for _, m := range counts {
		t := &tally{Key: m.Key, Max: m.Max, Window: m.Window}
		for _, g := range m.Grants {
			t.Grants = append(t.Grants, grant{At: now.Add(-max(g.Ago, 0)).UnixNano(), N: g.N})
		}
		slices.SortFunc(t.Grants, func(a, b grant) int { return cmp.Compare(a.At, b.At) })
		if len(t.Grants) > 0 {
			all = append(all, t)
		}
	}
	return all
}
