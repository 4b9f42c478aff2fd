package shared

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// job is one thing that the common store has to be told about counters, in the
// order in which they happened.
type job struct {
	seq uint64

	// ID and Counts are a batch that is merged. It never changes, so that a
	// second try under the same ID adds nothing.
	ID     string   `json:"id,omitempty"`
	Counts []*tally `json:"counts,omitempty"`
	// Reset is a counter that is to be forgotten.
	Reset string `json:"reset,omitempty"`
	// Give is a counter of which N that were counted At are given back; Ours says
	// that At is a time of our clock.
	Give string    `json:"give,omitempty"`
	N    int64     `json:"n,omitempty"`
	At   time.Time `json:"at,omitzero"`
	Ours bool      `json:"ours,omitempty"`
}

const (
	queuePrefix = "queue/"
	// maxJobs bounds the queue; what finds no room is not told.
	maxJobs = 10_000
	// jobKept is how long a job that has no end of its own is kept.
	jobKept = 31 * 24 * time.Hour
)

func (j *job) row() string { return fmt.Sprintf("%s%016x", queuePrefix, j.seq) }

func (j *job) write(now time.Time) state.Write {
	b, err := json.Marshal(j)
	if err != nil {
		panic(err) // numbers, strings and a time
	}
	ends := now.Add(jobKept)
	for i, t := range j.Counts {
		if e := t.ends(); i == 0 || e.After(ends) {
			ends = e
		}
	}
	return state.Write{Table: state.Outbox, Entry: state.Entry{Key: j.row(), Value: b, Expires: ends}}
}

func (j *job) remove() state.Write {
	return state.Write{Table: state.Outbox, Entry: state.Entry{Key: j.row()}, Delete: true}
}

// parseJob reads a row of the Outbox.
func parseJob(e state.Entry) (*job, error) {
	j := &job{}
	if _, err := fmt.Sscanf(strings.TrimPrefix(e.Key, queuePrefix), "%x", &j.seq); err != nil {
		return nil, fmt.Errorf("row %.40q has no number", e.Key)
	}
	if err := json.Unmarshal(e.Value, j); err != nil {
		return nil, fmt.Errorf("row %.40q: %w", e.Key, err)
	}
	for _, t := range j.Counts {
		if t == nil {
			return nil, fmt.Errorf("row %.40q has an empty count", e.Key)
		}
		if err := t.valid(); err != nil {
			return nil, err
		}
	}
	if j.N < 0 || j.N > state.MaxCount || len(j.Counts) > 0 && j.ID == "" {
		return nil, fmt.Errorf("row %.40q is damaged", e.Key)
	}
	return j, nil
}

// queue has the jobs in order.
type queue struct {
	mu   sync.Mutex // guards the fields below
	next uint64
	jobs []*job
	lost uint64
}

// add appends a job.
func (q *queue) add(j *job) {
	j.seq = q.next
	q.next++
	q.jobs = append(q.jobs, j)
}

func (q *queue) first() *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) == 0 {
		return nil
	}
	return q.jobs[0]
}

// drop removes the first job, which is j.
func (q *queue) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs = q.jobs[1:]
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.jobs)
}

// owe has the common store told later.
func (s *Store) owe(j *job) {
	q := &s.queue
	q.mu.Lock() // held while it is written: who does the job removes the row
	defer q.mu.Unlock()
	if len(q.jobs) >= maxJobs {
		q.lost++
		return
	}
	q.add(j)
	s.apply(j.write(time.Now()))
}

// apply writes to the local store. It does not wait for the disk, and so fails
// only for a store that is closed.
func (s *Store) apply(writes ...state.Write) {
	ctx := context.Background()
	if err := s.local.Apply(ctx, writes, false); err != nil && !errors.Is(err, state.ErrClosed) {
		s.log.LogAttrs(ctx, slog.LevelWarn, "what is owed to the shared state is not kept", slog.Any("err", err))
	}
}

// through is how the common store is asked: by do, or directly while it is still
// being healed.
type through func(ctx context.Context, f func(context.Context) error) error

func direct(ctx context.Context, f func(context.Context) error) error { return f(ctx) }

// asUsual asks as a request does.
func (s *Store) asUsual(ctx context.Context, f func(context.Context) error) error {
	_, err := do(s, ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

// mergeCounts tells the common store all about counters. Only run calls it.
func (s *Store) mergeCounts(ctx context.Context, ask through) error {
	for {
		for j := s.queue.first(); j != nil; j = s.queue.first() {
			if err := s.tell(ctx, j, ask); err != nil {
				return err
			}
		}
		some := s.ledger.freeze()
		if len(some) == 0 {
			return nil
		}
		s.batch(ctx, some)
	}
}

// batch makes a job of tallies, which is durable when it is begun: after a crash
// they are either still to be batched, or in the batch.
func (s *Store) batch(ctx context.Context, some []*tally) {
	j := &job{ID: rand.Text(), Counts: some}
	s.queue.mu.Lock()
	s.queue.add(j)
	s.queue.mu.Unlock()
	writes := []state.Write{j.write(time.Now())}
	for _, t := range some {
		writes = append(writes, t.remove())
	}
	if err := s.local.Apply(context.WithoutCancel(ctx), writes, true); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "counters are merged, but a crash now would merge them again", slog.Any("err", err))
	}
}

// tell does one job. An error means that it is to be tried again.
func (s *Store) tell(ctx context.Context, j *job, ask through) error {
	now := time.Now()
	switch {
	case j.Give != "":
		// Twice would allow too much: it is forgotten first, and at worst not done.
		if err := s.local.Apply(ctx, []state.Write{j.remove()}, true); err != nil {
			return err
		}
		s.queue.drop()
		at := j.At
		if j.Ours {
			at = at.Add(time.Duration(s.ahead.Load()) - time.Millisecond)
		}
		err := ask(ctx, func(ctx context.Context) error { return s.remote.Give(ctx, j.Give, j.N, at) })
		if errors.Is(err, state.ErrAway) || errors.Is(err, errFailed) {
			s.owe(j) // it was not done for sure
		}
		return err
	case j.Reset != "":
		if err := ask(ctx, func(ctx context.Context) error { return s.remote.Reset(ctx, j.Reset) }); err != nil {
			return err
		}
	default:
		var all []state.Merged
		for _, t := range j.Counts {
			if m, ok := t.merged(now); ok {
				all = append(all, m)
			}
		}
		err := ask(ctx, func(ctx context.Context) error { return s.remote.Merge(ctx, j.ID, all) })
		if errors.Is(err, state.ErrInvalid) {
			s.log.LogAttrs(ctx, slog.LevelError, "counters can not be merged and are dropped", slog.Any("err", err))
		} else if err != nil {
			return err
		}
		s.tallied(len(all))
	}
	s.queue.drop()
	// If this is lost by a crash, the store knows the ID.
	return s.local.Apply(ctx, []state.Write{j.remove()}, j.Reset != "")
}

func (s *Store) tallied(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.mergedCounters += uint64(n)
}
