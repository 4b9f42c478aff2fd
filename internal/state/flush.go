package state

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

const (
	// flushEvery is how far the file may be behind.
	flushEvery = time.Second
	// sweepEvery is how often expired rows leave the file.
	sweepEvery = time.Minute
	// chunk is how many rows one commit has at most, so that a sync Put does
	// not wait for all that is pending.
	chunk = 500
	// logEvery is how often a failing disk is logged.
	logEvery = time.Minute
)

// flush writes to the file until Close: the rows of sync Puts at once, all
// others each second.
func (s *SQLite) flush() {
	defer close(s.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	var swept, logged time.Time
	for {
		select {
		case <-s.wake:
			s.flushGroup()
			continue
		case <-s.stop:
			s.flushGroup()
			s.last = s.flushDirty()
			return
		case <-tick.C:
		}
		s.flushGroup()
		err := s.flushDirty()
		now := time.Now()
		s.expire(now)
		if err == nil && now.Sub(swept) >= sweepEvery {
			var more bool
			if _, more, err = s.sweep(now); !more {
				swept = now
			}
		}
		if err != nil && now.Sub(logged) >= logEvery {
			logged = now
			s.log.LogAttrs(context.Background(), slog.LevelError, "state can not be written, it is in memory only",
				slog.Any("err", err), slog.Int("behind", s.Stats().Behind),
				slog.String("remedy", "make room or mend the disk; no restart is needed"))
		}
	}
}

// flushGroup commits the sync Puts that wait.
func (s *SQLite) flushGroup() {
	s.mu.Lock()
	g := s.group
	s.mu.Unlock()
	if g != nil {
		_ = s.flushRows(nil) // those who wait have it
	}
}

// flushRows commits the sync Puts that wait, together with ids. All of a group
// is in the same commit: what Apply was given is never torn.
func (s *SQLite) flushRows(ids []rowID) error {
	s.mu.Lock()
	g := s.group
	s.group = nil
	var rows []row
	if g != nil {
		rows = s.collect(nil, g.rows)
	}
	rows = s.collect(rows, ids)
	s.mu.Unlock()
	err := s.commit(rows)
	if g != nil {
		g.err = err
		close(g.done)
	}
	return err
}

// flushDirty commits all that was pending when it began, in chunks, and sync
// Puts with them.
func (s *SQLite) flushDirty() error {
	s.mu.Lock()
	ids := make([]rowID, 0, len(s.dirty))
	for id := range s.dirty {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	for len(ids) > 0 {
		n := min(chunk, len(ids))
		if err := s.flushRows(ids[:n]); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// collect moves ids from dirty to in flight and appends what memory has of
// them. It needs s.mu. One that is no longer dirty has been written since.
func (s *SQLite) collect(rows []row, ids []rowID) []row {
	rows = slices.Grow(rows, len(ids))
	for _, id := range ids {
		if _, ok := s.dirty[id]; !ok {
			continue
		}
		delete(s.dirty, id)
		s.inFlight[id] = struct{}{}
		m := s.counters
		if id.t != counterTable {
			m = s.tables[id.t]
		}
		r := row{rowID: id}
		if n := m.rows[id.key]; n != nil {
			r.item = n.item
			if c, ok := n.item.(*counter); ok {
				c.shared = true
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// commit writes rows, which are in flight; after an error they are dirty again.
func (s *SQLite) commit(rows []row) error {
	var err error
	if len(rows) > 0 {
		err = s.write(rows)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(rows) > 0 {
		s.failing = err != nil
	}
	for _, r := range rows {
		delete(s.inFlight, r.rowID)
		if err != nil {
			s.dirty[r.rowID] = struct{}{}
		}
	}
	for t, m := range s.tables {
		if m.onDisk {
			s.evict(context.Background(), t, m)
		}
	}
	return err
}

// expire drops from memory what is over. The file is swept apart, so nothing
// has to be written; an expired row in the file is never read.
func (s *SQLite) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	drop := func(m *memory) {
		for n := m.over(now); n != nil; n = m.over(now) {
			m.remove(n.item.name())
		}
	}
	for _, m := range s.tables {
		drop(m)
	}
	drop(s.counters)
}
