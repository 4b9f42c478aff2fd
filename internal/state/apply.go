package state

import (
	"context"
	"fmt"
)

// Write is one change that Apply makes.
type Write struct {
	Table Table
	// Entry is put, or with Delete that of its key removed.
	Entry  Entry
	Delete bool
}

// Apply makes all writes in one step: who reads sees none or all of them, and
// with sync they are in one commit, which is durable before Apply returns. What
// a crash leaves of them without sync may be a part.
func (s *SQLite) Apply(ctx context.Context, writes []Write, sync bool) error {
	if len(writes) == 0 {
		return ctx.Err()
	}
	kept := make([]*Entry, len(writes))
	for i := range writes {
		w := &writes[i]
		if s.tables[w.Table] == nil || len(w.Entry.Key) > maxKeyBytes(w.Table) {
			return fmt.Errorf("%w: table %q, a key of %d bytes", ErrInvalid, w.Table, len(w.Entry.Key))
		}
		if w.Delete {
			continue
		}
		var err error
		if kept[i], err = w.Entry.own(); err != nil {
			return err
		}
	}
	if _, err := s.enter(ctx, Outbox, ""); err != nil {
		return err
	}
	var g *group
	for i := range writes {
		w := &writes[i]
		m, id := s.tables[w.Table], rowID{w.Table, w.Entry.Key}
		if w.Delete {
			s.remove(m, id)
		} else if err := s.put(ctx, m, id, kept[i]); err != nil {
			s.mu.Unlock()
			return err
		}
		if sync {
			g = s.join(id)
		}
	}
	s.mu.Unlock()
	if g == nil {
		return nil
	}
	return s.wait(ctx, g)
}

// Durable waits until the rows of writes are on the disk as memory has them.
func (s *SQLite) Durable(ctx context.Context, writes []Write) error {
	if len(writes) == 0 {
		return ctx.Err()
	}
	if _, err := s.enter(ctx, Outbox, ""); err != nil {
		return err
	}
	var g *group
	for i := range writes {
		g = s.join(rowID{writes[i].Table, writes[i].Entry.Key})
	}
	s.mu.Unlock()
	return s.wait(ctx, g)
}
