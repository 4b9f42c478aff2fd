package learn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
)

// enqueue makes events of acts and writes them into the outbox, which is durable
// when it returns. A row stays there until its event has come back and was
// performed: what a stream loses is sent again.
func (s *shared) enqueue(ctx context.Context, acts []act) (w waits, err error) {
	s.order.Lock()
	defer s.order.Unlock()
	if err := s.l.ended(); err != nil {
		return w, err
	}
	var full int64
	if err := s.l.db.Reader.QueryRowContext(ctx, "SELECT ifnull(sum(length(value)), 0) FROM outbox").Scan(&full); err != nil {
		return w, fmt.Errorf("learn outbox: %w", err)
	}
	if full > outboxBytes {
		return w, ErrFull
	}
	last := s.last
	values := make([][]byte, 0, len(acts))
	for _, a := range acts {
		e := event{stamp: last, act: a}
		e.run, e.seq = s.run, last.seq+1
		b, err := e.appendTo(nil)
		if err != nil {
			return w, fmt.Errorf("learn outbox: %w", err)
		}
		values, w.seqs, w.done = append(values, b), append(w.seqs, e.seq), append(w.done, make(chan done, 1))
		last = after(&e)
	}
	s.mu.Lock()
	for i, seq := range w.seqs {
		s.waiters[seq] = w.done[i]
	}
	s.mu.Unlock()
	if err := s.put(ctx, w.seqs, values); err != nil {
		for i, seq := range w.seqs {
			s.leave(seq, w.done[i])
		}
		return waits{}, fmt.Errorf("learn outbox: %w", err)
	}
	s.last = last
	s.hurry()
	return w, s.l.at("queued")
}

func (s *shared) put(ctx context.Context, seqs []uint64, values [][]byte) error {
	return sqlite.Tx(ctx, s.l.db.Writer, func(tx *sql.Tx) error {
		for i, v := range values {
			if _, err := tx.ExecContext(ctx, "INSERT INTO outbox (run, seq, value) VALUES (?, ?, ?)", s.run, int64(seqs[i]), v); err != nil {
				return err
			}
		}
		return nil
	})
}

// hurry wakes who sends.
func (s *shared) hurry() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

// send appends what the outbox has to the stream, in order, until ctx ends. One
// that may have been added in spite of an error is sent again: whoever reads
// the second one knows the first.
func (s *shared) send(ctx context.Context) {
	for ctx.Err() == nil {
		sent, err := s.sendNext(ctx)
		if ctx.Err() != nil {
			return
		}
		s.report(ctx, sending, err)
		switch {
		case err != nil:
			pause(ctx, retryEvery)
		case !sent:
			select {
			case <-s.wake:
			case <-ctx.Done():
			}
		}
	}
}

// sendNext sends one row, and reports whether there was one.
func (s *shared) sendNext(ctx context.Context) (bool, error) {
	if s.unsure.Swap(false) && len(s.out.acked) > 0 {
		if err := s.verify(ctx); err != nil {
			s.unsure.Store(true)
			return true, err
		}
	}
	s.mu.Lock()
	after, round := s.progress.sent, s.progress.round
	s.mu.Unlock()
	id, value, err := s.next(ctx, after)
	if err != nil || id == 0 {
		return false, err
	}
	if err := s.append(ctx, value); err != nil {
		return true, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.progress.round == round {
		s.progress.sent, s.progress.sentAt = id, time.Now()
	}
	return true, nil
}

// ack is an event that the stream has acknowledged.
type ack struct {
	id    string
	at    time.Time
	value []byte
}

// What was acknowledged within ackFor is looked for after each fault, maxAcks of
// it at most: a replica that takes over may not have had it.
const (
	ackFor  = 10 * time.Second
	maxAcks = 32
)

func (s *shared) append(ctx context.Context, value []byte) error {
	if err := s.l.at("sending"); err != nil {
		return err
	}
	id, err := s.stream.Append(ctx, streamName, value)
	if err != nil {
		return err
	}
	s.out.acked = append(s.out.acked, ack{id, time.Now(), value})
	for len(s.out.acked) > maxAcks || time.Since(s.out.acked[0].at) > ackFor {
		s.out.floor, s.out.acked = s.out.acked[0].id, s.out.acked[1:]
	}
	return s.l.at("sent")
}

// verify sends again what the stream has acknowledged and no longer has, before
// anything newer: those who have performed it know it.
func (s *shared) verify(ctx context.Context) error {
	has := map[string]bool{}
	for after := s.out.floor; ; {
		items, err := s.stream.Read(ctx, streamName, after, readMost, 0)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			break
		}
		for _, it := range items {
			has[it.ID], after = true, it.ID
		}
	}
	for i, a := range s.out.acked {
		if has[a.id] {
			continue
		}
		id, err := s.stream.Append(ctx, streamName, a.value)
		if err != nil {
			return err
		}
		s.out.acked[i].id = id
	}
	return nil
}

// next returns the row behind after, 0 for none.
func (s *shared) next(ctx context.Context, after int64) (id int64, value []byte, err error) {
	err = s.l.db.Reader.QueryRowContext(ctx, "SELECT id, value FROM outbox WHERE id > ? ORDER BY id LIMIT 1", after).Scan(&id, &value)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil, nil
	}
	return id, value, err
}

// requeue gives another number to an event that waits here and whose number is
// over, because a later one was performed before it: the stream had lost it, and
// nobody knew yet. A host that performed it nevertheless knows its messages.
func (s *shared) requeue(ctx context.Context, e event) error {
	var id int64
	err := s.l.db.Reader.QueryRowContext(ctx, "SELECT id FROM outbox WHERE run = ? AND seq = ?", e.run, int64(e.seq)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // of another host, or performed
	}
	if err != nil {
		return fmt.Errorf("learn outbox: %w", err)
	}
	s.order.Lock()
	defer s.order.Unlock()
	old := e.stamp
	e.stamp = s.last
	e.run, e.seq = s.run, s.last.seq+1
	value, err := e.appendTo(nil)
	if err != nil {
		return fmt.Errorf("learn outbox: %w", err)
	}
	err = sqlite.Tx(ctx, s.l.db.Writer, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM outbox WHERE id = ?", id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO outbox (run, seq, value) VALUES (?, ?, ?)", e.run, int64(e.seq), value)
		return err
	})
	if err != nil {
		return fmt.Errorf("learn outbox: %w", err)
	}
	s.last = after(&e)
	s.mu.Lock()
	if c, ok := s.waiters[old.seq]; ok && old.run == s.run {
		delete(s.waiters, old.seq)
		s.waiters[e.seq] = c
	}
	s.mu.Unlock()
	s.hurry()
	return nil
}

// after is the stamp from which that of the event behind e is made.
func after(e *event) stamp {
	return stamp{seq: e.seq, prevRun: e.run, prevSeq: e.seq, prevTime: e.time}
}

// resend has everything sent again that is still in the outbox, if some of it
// was sent before began, when nothing was left to read: the stream has lost it.
func (s *shared) resend(ctx context.Context, began time.Time) error {
	s.mu.Lock()
	sent, early := s.progress.sent, s.progress.sentAt.Before(began)
	s.mu.Unlock()
	if sent == 0 || !early {
		return nil
	}
	id, _, err := s.next(ctx, 0)
	if err != nil || id == 0 || id > sent {
		return err
	}
	s.mu.Lock()
	s.progress.sent = 0
	s.progress.round++
	s.mu.Unlock()
	s.hurry()
	return nil
}

// Drain performs what waits for a stream that this host has no more; with one it
// does nothing. It is not for who only looks into a data directory: the other
// hosts would never hear of it.
func (l *Learner) Drain(ctx context.Context) error {
	if l.shared != nil {
		return nil
	}
	s := shared{l: l}
	for after := int64(0); ; {
		id, value, err := s.next(ctx, after)
		if err != nil || id == 0 {
			return err
		}
		after = id
		e, err := parseEvent(value)
		if err != nil {
			continue // of another version; it stays for the stream
		}
		if _, err := l.perform(ctx, e.act, place{stamp: e.stamp}); err != nil {
			return err
		}
	}
}
