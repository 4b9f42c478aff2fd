package learn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/sqlite"
)

// done is what an act did.
type done struct {
	Result
	Undone
	// again says that the event was performed before, missed that one before it
	// was not.
	again, missed bool
	// strange counts messages with features of another version.
	strange int
}

// place says where in the stream an act stands; of a host alone it is zero.
type place struct {
	stamp
	// id is that of the item, "" for an event that never was in the stream.
	id string
}

// batch is an act in one transaction of the journal. The model follows once
// that is durable.
type batch struct {
	*act
	l       *Learner
	at      place
	about   History
	policy  Policy
	changes []change
	seq     int64
	noted   int // rows of the mailbox within 24 hours of what was not learned
	done    done
}

// perform does what a says, once: an event of the stream that was performed
// before does nothing.
func (l *Learner) perform(ctx context.Context, a act, at place) (done, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead != nil {
		return done{}, l.dead
	}
	b := batch{act: &a, l: l, at: at, seq: l.seq, policy: policyOf(Config{MailboxDaily: a.daily}), about: History{Held: a.held, Mailboxes: a.mailboxes}}
	err := sqlite.Tx(ctx, l.db.Writer, func(tx *sql.Tx) error {
		if at.run != 0 {
			var err error
			b.done.again, b.done.missed, err = l.settle(ctx, tx, at, a.time)
			if err != nil || b.done.again {
				return err
			}
		}
		if err := b.run(ctx, tx); err != nil {
			return err
		}
		return l.at("inserted")
	})
	if err != nil {
		return done{}, errors.Join(fmt.Errorf("learn journal: %w", err), l.count(context.WithoutCancel(ctx)))
	}
	return b.done, l.follow(b.changes, b.seq)
}

func (b *batch) run(ctx context.Context, tx *sql.Tx) error {
	switch b.kind {
	case kindUndo:
		return b.undoAll(ctx, tx)
	case kindDrop:
		res, err := tx.ExecContext(ctx, "UPDATE learns SET state = ?, features = NULL WHERE state = ? AND user = ?", stateDropped, stateWaiting, b.user)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		b.done.Dropped = int(n)
		return err
	}
	return b.learnAll(ctx, tx)
}

// learnAll decides about each message.
func (b *batch) learnAll(ctx context.Context, tx *sql.Tx) error {
	if err := b.history(ctx, tx); err != nil {
		return err
	}
	var waited []int64
	for i := range b.items {
		it := &b.items[i]
		if it.of.none() {
			if err := b.one(ctx, tx, i, 0); err != nil {
				return err
			}
			continue
		}
		id, err := it.of.row(ctx, tx, stateWaiting)
		if err != nil {
			return err
		}
		if id == 0 { // somebody was faster
			b.done.Outcomes = append(b.done.Outcomes, Outcome{What: Already, Reason: "it waits no more"})
			continue
		}
		if err := b.one(ctx, tx, i, id); err != nil {
			return err
		}
		waited = append(waited, id)
	}
	for _, id := range waited {
		if _, err := tx.ExecContext(ctx, "UPDATE learns SET state = ?, features = NULL, reason = 'approved' WHERE id = ?", stateDropped, id); err != nil {
			return err
		}
	}
	return nil
}

// undoAll takes back what is there and was not taken back before.
func (b *batch) undoAll(ctx context.Context, tx *sql.Tx) error {
	for i := range b.items {
		it := &b.items[i]
		id, err := it.of.row(ctx, tx, stateWaiting, stateLearned)
		if err != nil {
			return err
		}
		if id == 0 {
			continue
		}
		before := len(b.changes)
		err = b.undo(ctx, tx, id, it.Features)
		switch {
		case errors.Is(err, errTooOld):
			b.done.TooOld++
		case err != nil:
			return err
		case len(b.changes) > before:
			b.done.Undone.Undone++
		default:
			b.done.Dropped++
		}
	}
	return nil
}

// row returns the id of the row of n here that is in one of two states, 0 where
// there is none.
func (n name) row(ctx context.Context, tx *sql.Tx, states ...int) (id int64, err error) {
	first, last := states[0], states[len(states)-1]
	switch {
	case n.id != 0:
		err = tx.QueryRowContext(ctx, "SELECT id FROM learns WHERE id = ? AND state IN (?, ?)", n.id, first, last).Scan(&id)
	case n.run != 0:
		err = tx.QueryRowContext(ctx, "SELECT id FROM learns WHERE run = ? AND seq = ? AND item = ? AND message = ? AND state IN (?, ?)",
			n.run, int64(n.seq), n.item, n.key[:], first, last).Scan(&id)
	default: // older than the stream, or than this host's part in it
		err = tx.QueryRowContext(ctx, `SELECT id FROM learns WHERE message = ? AND run IS NULL AND user = ? AND source = ? AND spam = ? AND time = ?
			AND state IN (?, ?) ORDER BY id LIMIT 1`, n.key[:], n.user, n.source, n.spam, n.time.UnixMilli(), first, last).Scan(&id)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return id, err
}

// follow makes changes that the journal has. It needs l.mu.
func (l *Learner) follow(list []change, seq int64) error {
	if err := l.at("committed"); err != nil {
		return err
	}
	l.seq = seq
	for _, c := range list {
		l.apply(c)
		if err := l.at("applied"); err != nil {
			return err
		}
	}
	return nil
}

// history fills what is the same for all items, which are of one mailbox.
func (b *batch) history(ctx context.Context, tx *sql.Tx) error {
	if !b.source.byUser() {
		return nil
	}
	b.about.Mailboxes = max(b.about.Mailboxes, len(b.l.tally.own))
	return tx.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE state IN (?, ?)), count(*) FILTER (WHERE state NOT IN (?, ?))
		FROM learns WHERE user = ? AND time > ? AND source IN (?, ?)`, stateLearned, stateUndone, stateLearned, stateUndone,
		b.user, b.time.Add(-24*time.Hour).UnixMilli(), Move, Weak).Scan(&b.about.Today, &b.noted)
}

// event returns what Decide is asked about an item.
func (b *batch) event(it *actItem) Event {
	e := Event{Spam: it.spam, Source: b.source, Minute: b.minute, Approved: b.approved}
	if b.source.byUser() {
		e.User = b.user
	}
	return e
}

// one decides about an item and writes it down. From is the row that waited for
// it, 0 for none.
func (b *batch) one(ctx context.Context, tx *sql.Tx, i int, from int64) error {
	o, err := b.decide(ctx, tx, i, from)
	b.done.Outcomes = append(b.done.Outcomes, o)
	return err
}

func (b *batch) decide(ctx context.Context, tx *sql.Tx, i int, from int64) (o Outcome, err error) {
	l, h, it := b.l, b.about, &b.items[i]
	if b.at.run != 0 && !readable(it.Features) {
		b.done.strange++
		return Outcome{What: Refused, Reason: "its features are those of another version of gatepost"}, nil
	}
	e, k := b.event(it), key(it.Features, it.Trace.MessageID)
	if h.Votes, err = b.votes(ctx, tx, k, it, from); err != nil {
		return o, err
	}
	h.Own, h.Total = l.tally.own[e.User], l.tally.total
	h.Ham, h.Spam = l.model.Counts()
	if e.Source == Move && it.Campaign != 0 {
		if err := tx.QueryRowContext(ctx, `SELECT count(DISTINCT user) FROM learns
			WHERE campaign = ? AND time > ? AND state = 1 AND spam = ? AND source = ? AND user <> ?`,
			it.Campaign, b.time.Add(-agreeFor).UnixMilli(), e.Spam, Move, e.User).Scan(&h.Agree); err != nil {
			return o, err
		}
	}
	d := Decide(b.policy, e, h)
	o = Outcome{What: d.What, Reason: d.Reason}
	if d.What == Already || d.What == Refused && saidBefore(h.Votes, e) {
		return o, nil
	}
	if d.What == Refused || d.What == Waiting {
		if b.noted++; e.Source.byUser() && b.noted > l.noted {
			return Outcome{What: Refused, Reason: fmt.Sprintf("%d messages of the mailbox were refused or wait, more are not noted within 24 hours", l.noted)}, nil
		}
	}
	if d.What == New || d.What == Corrected {
		for _, id := range d.Undo {
			err := b.undo(ctx, tx, id, nil)
			if errors.Is(err, errTooOld) {
				err = b.overrule(ctx, tx, id)
			}
			if err != nil {
				return o, err
			}
		}
	}
	o.ID, err = b.insert(ctx, tx, i, k, d)
	return o, err
}

// readable reports whether this program can read features: those of an event
// come from a host that may have another version.
func readable(features []byte) bool {
	var f classify.Features
	return f.UnmarshalBinary(features) == nil
}

// maxNoted bounds the rows that one mailbox makes in 24 hours with what is not
// learned, or not yet. A row that waits has some 16 KB of features, and the
// oldest rows of all go when the journal is full.
const maxNoted = 5000

// saidBefore reports whether the same wish was refused before: one row tells it.
func saidBefore(votes []Vote, e Event) bool {
	for _, v := range votes {
		if v.Refused && v.User == e.User && v.Spam == e.Spam {
			return true
		}
	}
	return false
}
