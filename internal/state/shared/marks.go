package shared

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

const (
	rowPrefix = "row/"
	// maxMarks bounds the rows that wait to be merged.
	maxMarks = 200_000
	// markKept is how long the mark of a deleted row is kept.
	markKept = 31 * 24 * time.Hour
)

// markID names a row that this host wrote while the common store was away. As
// long as it is marked, this host's copy of it is what holds for this host.
type markID struct {
	t   state.Table
	key string
}

func (id markID) row() string { return rowPrefix + string(id.t) + "/" + id.key }

// mark says how often the row was written, and that it was deleted last.
type mark struct {
	seq     uint64
	deleted bool
}

// marks has all marked rows.
type marks struct {
	n    atomic.Int64 // as many as there are, to be asked without the lock
	mu   sync.Mutex   // guards the fields below
	set  map[markID]mark
	seq  uint64
	lost uint64
}

func (m *marks) has(t state.Table, key string) bool {
	if m.n.Load() == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.set[markID{t, key}]
	return ok
}

// add marks a row and reports whether there was room. It needs m.mu.
func (m *marks) add(id markID, deleted bool) bool {
	if _, ok := m.set[id]; !ok && len(m.set) >= maxMarks {
		m.lost++
		return false
	}
	if m.set == nil {
		m.set = map[markID]mark{}
	}
	m.seq++
	m.set[id] = mark{m.seq, deleted}
	m.n.Store(int64(len(m.set)))
	return true
}

// get returns the mark of a row.
func (m *marks) get(id markID) (mark, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.set[id]
	return k, ok
}

// drop removes a mark and has then called, unless the row was written again
// since.
func (m *marks) drop(id markID, was mark, then func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.set[id] == was {
		delete(m.set, id)
		m.n.Store(int64(len(m.set)))
		then()
	}
}

// under returns the marked rows of a table whose keys have the prefix, or with
// t = "" of all, those first that matter most.
func (m *marks) under(t state.Table, prefix string) (all []markID) {
	if m.n.Load() == 0 {
		return nil
	}
	m.mu.Lock()
	for id := range m.set {
		if t == "" || id.t == t && strings.HasPrefix(id.key, prefix) {
			all = append(all, id)
		}
	}
	m.mu.Unlock()
	order := map[state.Table]int{state.Ban: -3, state.Limit: -2, state.Login: -1}
	slices.SortFunc(all, func(a, b markID) int {
		if d := order[a.t] - order[b.t]; d != 0 {
			return d
		}
		return strings.Compare(a.row(), b.row())
	})
	return all
}

// keep puts e, or with deleted removes its key, in the local store alone, to be
// merged later. The mark is written in the same step.
func (s *Store) keep(ctx context.Context, t state.Table, e state.Entry, deleted, sync bool) error {
	id := markID{t, e.Key}
	writes := []state.Write{{Table: t, Entry: e, Delete: deleted}}
	s.marks.mu.Lock() // held while it is written: who has merged the row removes the mark
	if s.marks.add(id, deleted) {
		note := state.Entry{Key: id.row(), Value: []byte{'p'}, Expires: e.Expires}
		if deleted {
			note.Value, note.Expires = []byte{'d'}, time.Now().Add(markKept)
		}
		writes = append(writes, state.Write{Table: state.Outbox, Entry: note})
	}
	err := s.local.Apply(ctx, writes, false)
	s.marks.mu.Unlock()
	if err != nil || !sync {
		return err
	}
	return s.local.Durable(ctx, writes)
}

// load reads what an earlier process left to be merged.
func (s *Store) load(ctx context.Context) error {
	rows, err := s.local.List(ctx, state.Outbox, "")
	if err != nil {
		return fmt.Errorf("read what is to be merged: %w", err)
	}
	for _, e := range rows {
		if err := s.restore(e); err != nil {
			s.log.WarnContext(ctx, "what was to be merged is damaged and is dropped", "err", err)
			_ = s.local.Delete(ctx, state.Outbox, e.Key) // it would be dropped again
		}
	}
	return s.bring(ctx)
}

// joined is the key of the row which says that the local store was once shared.
const joined = "joined"

// bring has what people set, and what was sent, brought along when a host with a
// state of its own begins to share it.
func (s *Store) bring(ctx context.Context) error {
	_, err := s.local.Get(ctx, state.Outbox, joined)
	if !errors.Is(err, state.ErrNotFound) {
		return err
	}
	for _, t := range []state.Table{state.Ban, state.Limit, state.Sieve} {
		rows, err := s.local.List(ctx, t, "")
		if err != nil {
			return err
		}
		for _, e := range rows {
			if err := s.keep(ctx, t, e, false, false); err != nil {
				return err
			}
		}
	}
	return s.local.Put(ctx, state.Outbox, state.Entry{Key: joined, Expires: time.Now().Add(100 * 365 * 24 * time.Hour)}, true)
}

// restore takes one row of the Outbox.
func (s *Store) restore(e state.Entry) error {
	switch {
	case strings.HasPrefix(e.Key, countPrefix):
		t, err := parseTally(e)
		if err != nil {
			return err
		}
		s.ledger.left = append(s.ledger.left, t)
		s.ledger.gen = max(s.ledger.gen, t.gen+1)
	case strings.HasPrefix(e.Key, queuePrefix): // in order, as the keys are
		j, err := parseJob(e)
		if err != nil {
			return err
		}
		s.queue.jobs = append(s.queue.jobs, j)
		s.queue.next = max(s.queue.next, j.seq+1)
	case strings.HasPrefix(e.Key, rowPrefix):
		t, key, ok := strings.Cut(strings.TrimPrefix(e.Key, rowPrefix), "/")
		if !ok || key == "" || !slices.Contains(state.Tables, state.Table(t)) {
			return fmt.Errorf("row %.40q names nothing", e.Key)
		}
		s.marks.add(markID{state.Table(t), key}, string(e.Value) == "d")
	case e.Key != joined:
		return fmt.Errorf("row %.40q is unknown", e.Key)
	}
	return nil
}
