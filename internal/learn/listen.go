package learn

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
	"github.com/gatepost/gatepost/internal/state"
)

// listen performs what the stream has, in its order, until ctx ends.
func (s *shared) listen(ctx context.Context) {
	for ctx.Err() == nil {
		items, err := s.read(ctx)
		if ctx.Err() != nil {
			return
		}
		s.report(ctx, reading, err)
		if s.in.doubt = err != nil; s.in.doubt {
			pause(ctx, retryEvery)
		}
		for _, it := range items {
			s.insist(ctx, it)
		}
	}
}

// read returns what follows.
func (s *shared) read(ctx context.Context) ([]state.Item, error) {
	if s.in.doubt {
		if err := s.check(ctx); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	items, err := s.stream.Read(ctx, streamName, s.in.mark, readMost, readWait)
	if err != nil || len(items) > 0 {
		return items, err
	}
	return nil, errors.Join(s.check(ctx), s.resend(ctx, began))
}

// check compares the mark with what the stream has. A stream that ends before
// the mark was begun anew, or has lost its end in a failover: then all that it
// has is read, and what was performed before is known.
func (s *shared) check(ctx context.Context) error {
	_, last, err := s.stream.Ends(ctx, streamName)
	if err != nil {
		return err
	}
	if s.in.atEnd {
		if _, err := s.l.db.Writer.ExecContext(ctx, "UPDATE stream SET mark = ?", last); err != nil {
			return err
		}
		s.in.atEnd, s.in.mark = false, last
	}
	if last != "" && last < s.in.mark {
		s.l.log.LogAttrs(ctx, slog.LevelWarn, "the learn stream has lost its end, what it has is read again")
		s.in.mark = ""
	}
	return nil
}

// insist performs it, however long the disk may refuse. An event of a newer
// version waits until this host is upgraded: what was skipped never comes back.
func (s *shared) insist(ctx context.Context, it state.Item) {
	told := false
	for ctx.Err() == nil {
		err := s.take(ctx, it)
		if err == nil || errors.Is(err, ErrClosed) || ctx.Err() != nil {
			return
		}
		if !told {
			told = true
			s.l.log.LogAttrs(ctx, slog.LevelError, "an event of the learn stream can not be performed, it is tried again", slog.Any("err", err))
		}
		s.report(ctx, reading, err)
		pause(ctx, retryEvery)
	}
}

// take performs one item.
func (s *shared) take(ctx context.Context, it state.Item) error {
	e, err := parseEvent(it.Value)
	if errors.Is(err, errNewer) {
		return err
	}
	if err != nil {
		return s.skip(ctx, it.ID, err)
	}
	d, err := s.l.perform(ctx, e.act, place{stamp: e.stamp, id: it.ID})
	if err != nil {
		return err
	}
	s.in.mark = it.ID
	if d.again {
		return s.requeue(ctx, e)
	}
	s.applied.Add(1)
	s.deliver(e.stamp, d)
	if d.missed {
		s.tellGap(ctx)
	}
	if d.strange > 0 {
		return s.skip(ctx, it.ID, errFeaturesOf)
	}
	return nil
}

// errFeaturesOf means that an event was made by a version with other features.
var errFeaturesOf = errors.New("its messages have features of another version of gatepost")

// tellGap counts that events were missed, and says so.
func (s *shared) tellGap(ctx context.Context) {
	s.gaps.Add(1)
	s.tell(ctx, "events of the learn stream were missed: this host was away for longer than they are kept, or the stream has lost them", nil)
}

// skip goes on behind an item that cannot be read.
func (s *shared) skip(ctx context.Context, id string, cause error) error {
	if _, err := s.l.db.Writer.ExecContext(ctx, "UPDATE stream SET mark = ?, skipped = skipped + 1", id); err != nil {
		return err
	}
	s.in.mark = id
	s.skipped.Add(1)
	s.tell(ctx, "events of the learn stream were skipped", cause)
	return nil
}

// tell says once an hour that the model is no longer that of the other hosts.
func (s *shared) tell(ctx context.Context, what string, cause error) {
	if time.Since(s.in.told[what]) < tellEvery {
		return
	}
	s.in.told[what] = time.Now()
	s.l.log.LogAttrs(ctx, slog.LevelError, what, slog.Any("err", cause), slog.String("remedy", copyModel))
}

// settle notes in the transaction of an event that it is performed. It reports
// whether it was before, and whether one before it was missed.
func (l *Learner) settle(ctx context.Context, tx *sql.Tx, at place, t time.Time) (again, missed bool, err error) {
	if at.id != "" {
		if _, err := tx.ExecContext(ctx, "UPDATE stream SET mark = ?", at.id); err != nil {
			return false, false, err
		}
	}
	seq, err := lastOf(ctx, tx, at.run)
	if err != nil || at.seq <= seq {
		return err == nil, false, err
	}
	res, err := tx.ExecContext(ctx, "DELETE FROM outbox WHERE run = ? AND seq = ?", at.run, int64(at.seq))
	if err != nil {
		return false, false, err
	}
	own, err := res.RowsAffected()
	if err != nil {
		return false, false, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO runs (run, seq, time, own) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (run) DO UPDATE SET seq = ?2, time = ?3, own = max(own, ?4)`, at.run, int64(at.seq), milli(t), own); err != nil {
		return false, false, err
	}
	if missed, err = l.missed(ctx, tx, at, seq); missed && err == nil {
		_, err = tx.ExecContext(ctx, "UPDATE stream SET gaps = gaps + 1")
	}
	return false, missed, err
}

// missed reports whether the event that the same host sent before did not come
// here, although it was sent since this host follows the stream.
func (l *Learner) missed(ctx context.Context, tx *sql.Tx, at place, seq uint64) (bool, error) {
	if l.shared == nil || at.prevRun == 0 || at.prevTime.Before(l.shared.joined) {
		return false, nil
	}
	if at.prevRun == at.run {
		return at.prevSeq > seq, nil
	}
	seq, err := lastOf(ctx, tx, at.prevRun)
	return at.prevSeq > seq, err
}

// lastOf returns the last event of a run that was performed here, 0 for none.
func lastOf(ctx context.Context, tx *sql.Tx, run int64) (seq uint64, err error) {
	var n int64
	err = tx.QueryRowContext(ctx, "SELECT seq FROM runs WHERE run = ?", run).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return uint64(n), err
}

// runsKept is how long a run is known that sends nothing any more.
const runsKept = 400 * 24 * time.Hour

// forgetRuns lets go of runs that ended long ago.
func (l *Learner) forgetRuns(ctx context.Context, now time.Time) error {
	return sqlite.Tx(ctx, l.db.Writer, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM runs WHERE time < ?", now.Add(-runsKept).UnixMilli())
		return err
	})
}
