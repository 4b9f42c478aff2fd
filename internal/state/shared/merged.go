package shared

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// maxWaiting bounds the counters of other processes that wait for the common store:
// 25 MB of the largest.
const maxWaiting = 10_000

// errWaiting means that no more can wait; who counted keeps it, and tries again.
var errWaiting = errors.New("too many counts wait for the shared state already")

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
	return s.oweMerge(&job{ID: id, Counts: talliesOf(counts, time.Now())})
}

// oweMerge has the common store told later, unless that waits already.
func (s *Store) oweMerge(j *job) error {
	q := &s.queue
	q.mu.Lock() // held while it is written: who does the job removes the row
	defer q.mu.Unlock()
	waiting := len(j.Counts)
	for _, o := range q.jobs {
		if o.ID == j.ID {
			return nil
		}
		waiting += len(o.Counts)
	}
	if len(q.jobs) >= maxJobs || waiting > maxWaiting {
		return errWaiting
	}
	q.add(j)
	s.apply(j.write(time.Now()))
	return nil
}

// talliesOf returns counts by our clock. The common store adds an id once.
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
