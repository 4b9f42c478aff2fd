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

// The states of a row.
const (
	stateWaiting = iota
	stateLearned
	stateUndone
	stateRefused
	stateDropped
)

// MaxItems is how many messages one Learn takes.
const MaxItems = 500

// ErrTooMany means that one request has more than MaxItems messages.
var ErrTooMany = errors.New("too many messages at once")

// ErrSource means that a request names no source, or no mailbox.
var ErrSource = errors.New("who learns is not known")

// Wish is a number of messages that somebody wants learned.
type Wish struct {
	Spam   bool   `json:"spam"`
	Source Source `json:"source"`
	// User is the mailbox, for Move and Weak; or else who asked.
	User  string `json:"user,omitempty"`
	Items []Item `json:"items"`
	// Minute is how many messages the mailbox moved within the minute; 0 means
	// as many as there are Items.
	Minute int `json:"minute,omitempty"`
}

// Outcome is what became of one message.
type Outcome struct {
	// ID is the number of the journal row, 0 for none.
	ID     int64  `json:"id,omitempty"`
	What   What   `json:"what"`
	Reason string `json:"reason,omitempty"`
}

// Result is what became of a Wish, in the order of its items.
type Result struct {
	Outcomes []Outcome `json:"outcomes"`
}

// Count returns how many outcomes are w.
func (r Result) Count(w What) int {
	n := 0
	for _, o := range r.Outcomes {
		if o.What == w {
			n++
		}
	}
	return n
}

// Learn learns what it may of w. What it learned is durable, and in the model,
// when it returns. An error means that nothing was learned.
func (l *Learner) Learn(ctx context.Context, w Wish) (Result, error) {
	if len(w.Items) > MaxItems {
		return Result{}, fmt.Errorf("%w: %d of at most %d", ErrTooMany, len(w.Items), MaxItems)
	}
	if !w.Source.Known() || w.Source.byUser() && w.User == "" || len(w.User) > 320 {
		return Result{}, ErrSource
	}
	for i := range w.Items {
		if err := w.Items[i].check(); err != nil {
			return Result{}, err
		}
		features, ok, err := l.kept.Find(ctx, w.Items[i].Trace)
		if err != nil && ctx.Err() != nil {
			return Result{}, err
		}
		var f classify.Features
		if err == nil && ok && f.UnmarshalBinary(features) == nil { // what was scored; else the file will do
			w.Items[i].Features = features
		}
	}
	about, err := l.about(ctx, w)
	if err != nil {
		return Result{}, err
	}
	e := Event{Spam: w.Spam, Source: w.Source, Minute: max(w.Minute, len(w.Items))}
	if w.Source.byUser() {
		e.User = w.User
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := batch{l: l, about: about, policy: policyOf(*l.cfg.Load()), who: w.User, now: time.Now()}
	for _, it := range w.Items {
		b.jobs = append(b.jobs, job{item: it, event: e, from: 0})
	}
	return b.run(ctx)
}

// about returns what is known of the mailbox.
func (l *Learner) about(ctx context.Context, w Wish) (h History, err error) {
	if !w.Source.byUser() || l.accounts == nil {
		return h, nil
	}
	if h.Held, err = l.accounts.Held(ctx, w.User); err != nil {
		return h, fmt.Errorf("account of %s: %w", w.User, err)
	}
	if h.Mailboxes, err = l.accounts.Mailboxes(ctx); err != nil {
		return h, fmt.Errorf("count mailboxes: %w", err)
	}
	return h, nil
}

// job is one message to decide about. From is the row that waited for it, if
// any.
type job struct {
	item  Item
	event Event
	from  int64
}

// batch is a number of jobs in one transaction of the journal. The model
// follows once that is durable.
type batch struct {
	l       *Learner
	about   History
	policy  Policy
	who     string
	now     time.Time
	jobs    []job
	changes []change
	seq     int64
	noted   int    // rows of the mailbox within 24 hours of what was not learned
	done    string // a statement that ends the transaction, "" for none
}

// run needs l.mu.
func (b *batch) run(ctx context.Context) (Result, error) {
	l := b.l
	if l.dead != nil {
		return Result{}, l.dead
	}
	var r Result
	b.seq = l.seq
	err := sqlite.Tx(ctx, l.db.Writer, func(tx *sql.Tx) error {
		if err := b.history(ctx, tx); err != nil {
			return err
		}
		for _, j := range b.jobs {
			o, err := b.one(ctx, tx, j)
			if err != nil {
				return err
			}
			r.Outcomes = append(r.Outcomes, o)
		}
		if b.done != "" {
			if _, err := tx.ExecContext(ctx, b.done); err != nil {
				return err
			}
		}
		return l.at("inserted")
	})
	if err != nil {
		return Result{}, errors.Join(fmt.Errorf("learn journal: %w", err), l.count(context.WithoutCancel(ctx)))
	}
	return r, l.follow(b.changes, b.seq)
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

// history fills what is the same for all jobs, which are of one mailbox.
func (b *batch) history(ctx context.Context, tx *sql.Tx) error {
	if len(b.jobs) == 0 || !b.jobs[0].event.Source.byUser() {
		return nil
	}
	h, user := &b.about, b.jobs[0].event.User
	h.Mailboxes = max(h.Mailboxes, len(b.l.tally.own))
	return tx.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE state IN (?, ?)), count(*) FILTER (WHERE state NOT IN (?, ?))
		FROM learns WHERE user = ? AND time > ? AND source IN (?, ?)`, stateLearned, stateUndone, stateLearned, stateUndone,
		user, b.now.Add(-24*time.Hour).UnixMilli(), Move, Weak).Scan(&h.Today, &b.noted)
}

// one decides about one job and writes it down.
func (b *batch) one(ctx context.Context, tx *sql.Tx, j job) (Outcome, error) {
	l, h, e := b.l, b.about, j.event
	k := key(j.item.Features, j.item.Trace.MessageID)
	votes, err := votesOn(ctx, tx, k, j.item.Trace, j.from)
	if err != nil {
		return Outcome{}, err
	}
	h.Votes = votes
	h.Own, h.Total = l.tally.own[e.User], l.tally.total
	h.Ham, h.Spam = l.model.Counts()
	if e.Source == Move && j.item.Campaign != 0 {
		if err := tx.QueryRowContext(ctx, `SELECT count(DISTINCT user) FROM learns
			WHERE campaign = ? AND time > ? AND state = 1 AND spam = ? AND source = ? AND user <> ?`,
			j.item.Campaign, b.now.Add(-agreeFor).UnixMilli(), e.Spam, Move, e.User).Scan(&h.Agree); err != nil {
			return Outcome{}, err
		}
	}
	d := Decide(b.policy, e, h)
	o := Outcome{What: d.What, Reason: d.Reason}
	if d.What == Already {
		return o, nil
	}
	if d.What == Refused && saidBefore(votes, e) {
		return o, nil
	}
	if d.What == Refused || d.What == Waiting {
		if b.noted++; e.Source.byUser() && b.noted > l.noted {
			return Outcome{What: Refused, Reason: fmt.Sprintf("%d messages of the mailbox were refused or wait, more are not noted within 24 hours", l.noted)}, nil
		}
	}
	if d.What == New || d.What == Corrected {
		for _, id := range d.Undo {
			err := b.undo(ctx, tx, id)
			if errors.Is(err, errTooOld) {
				err = b.overrule(ctx, tx, id)
			}
			if err != nil {
				return Outcome{}, err
			}
		}
	}
	o.ID, err = b.insert(ctx, tx, j, k, d)
	return o, err
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

// insert writes the row of a decision.
func (b *batch) insert(ctx context.Context, tx *sql.Tx, j job, k []byte, d Decision) (int64, error) {
	state, applied, features := stateLearned, any(nil), any(j.item.Features)
	switch d.What {
	case Waiting:
		state = stateWaiting
	case Refused:
		state, features = stateRefused, nil
	default:
		b.seq++
		applied = b.seq
	}
	who := b.who
	if j.event.User != "" {
		who = j.event.User
	}
	t := j.item.Trace
	res, err := tx.ExecContext(ctx, `INSERT INTO learns (time, message, message_id, queue_id, arrived, campaign, spam, source,
		user, share, state, reason, applied, features) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		b.now.UnixMilli(), k, t.MessageID, t.QueueID, t.Arrived.Unix(), j.item.Campaign, j.event.Spam, j.event.Source,
		who, d.Share, state, d.Reason, applied, features)
	if err != nil {
		return 0, err
	}
	id, err := res.LastInsertId()
	if err != nil || state != stateLearned {
		return id, err
	}
	b.about.Today++
	b.l.tally.add(who, d.Share)
	b.changes = append(b.changes, change{seq: b.seq, id: id, spam: j.event.Spam, share: d.Share, features: j.item.Features})
	return id, nil
}

// undo takes a row back, or drops one that waits.
func (b *batch) undo(ctx context.Context, tx *sql.Tx, id int64) error {
	c := change{id: id, undo: true}
	var state int
	var user string
	if err := tx.QueryRowContext(ctx, "SELECT state, user, spam, share, features, step FROM learns WHERE id = ?", id).
		Scan(&state, &user, &c.spam, &c.share, &c.features, &c.step); err != nil {
		return err
	}
	if state != stateLearned {
		_, err := tx.ExecContext(ctx, "UPDATE learns SET state = ?, features = NULL WHERE id = ? AND state = ?", stateDropped, id, stateWaiting)
		return err
	}
	if len(c.features) == 0 && len(b.jobs) > 0 { // too old; the message at hand has the same
		c.features = b.sameFeatures(ctx, tx, id)
	}
	if len(c.features) == 0 {
		return errTooOld
	}
	b.seq++
	c.seq = b.seq
	_, err := tx.ExecContext(ctx, "UPDATE learns SET state = ?, undone = ?, features = ? WHERE id = ?", stateUndone, c.seq, c.features, id)
	b.l.tally.add(user, -c.share)
	b.changes = append(b.changes, c)
	return err
}

// overrule takes the say from a row whose features are gone: the model keeps
// what it learned then, and learns the contrary.
func (b *batch) overrule(ctx context.Context, tx *sql.Tx, id int64) error {
	var user string
	var share float64
	err := tx.QueryRowContext(ctx, "UPDATE learns SET state = ?, reason = 'overruled' WHERE id = ? RETURNING user, share", stateDropped, id).Scan(&user, &share)
	if err == nil {
		b.l.tally.add(user, -share)
	}
	return err
}

// errTooOld means that the features of a learn are no longer kept.
var errTooOld = errors.New("its features are no longer kept")

// sameFeatures returns the features of the job whose message is that of a row.
func (b *batch) sameFeatures(ctx context.Context, tx *sql.Tx, id int64) []byte {
	var k []byte
	if err := tx.QueryRowContext(ctx, "SELECT message FROM learns WHERE id = ?", id).Scan(&k); err != nil {
		return nil
	}
	for _, j := range b.jobs {
		if string(key(j.item.Features, j.item.Trace.MessageID)) == string(k) {
			return j.item.Features
		}
	}
	return nil
}

// maxVotes bounds what is looked at of one message.
const maxVotes = 200

// votesOn returns the rows of a message that count, without the row from.
func votesOn(ctx context.Context, tx *sql.Tx, k []byte, t Trace, from int64) (votes []Vote, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, spam, source, user, share, state, reason FROM learns
		WHERE state IN (?, ?, ?) AND id <> ? AND (message = ? OR queue_id = ? AND queue_id <> '' AND message_id = ? AND abs(arrived - ?) < ?)
		ORDER BY id DESC LIMIT ?`, stateWaiting, stateLearned, stateRefused, from, k, t.QueueID, t.MessageID, t.Arrived.Unix(), near.Seconds(), maxVotes)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var v Vote
		var state int
		var reason string
		if err := rows.Scan(&v.ID, &v.Spam, &v.Source, &v.User, &v.Share, &state, &reason); err != nil {
			return nil, err
		}
		v.Outvoted = state == stateRefused && reason == otherwise
		v.Refused, v.Waiting = state == stateRefused, state == stateWaiting
		votes = append(votes, v)
	}
	return votes, rows.Err()
}
