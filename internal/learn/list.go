package learn

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/learn/kept"
)

// Entry is one row of the journal for a person.
type Entry struct {
	// ID is that of this host's journal: on another host of the stream the same
	// learn may have another one.
	ID   int64     `json:"id"`
	Time time.Time `json:"time"`
	// State is learned, undone, refused, waiting or dropped.
	State  string  `json:"state"`
	Class  string  `json:"class"`
	Source Source  `json:"source"`
	User   string  `json:"user,omitempty"`
	Share  float64 `json:"share"`
	Reason string  `json:"reason,omitempty"`
	// Message is the key of the message by its content.
	Message   string `json:"message"`
	MessageID string `json:"message_id,omitempty"`
	QueueID   string `json:"queue_id,omitempty"`
	// Undoable says that its features are still kept.
	Undoable bool `json:"undoable"`
}

var stateNames = [...]string{"waiting", "learned", "undone", "refused", "dropped"}

// Class returns the word for a class.
func Class(spam bool) string {
	if spam {
		return "spam"
	}
	return "ham"
}

const (
	listDefault = 100
	listMost    = 10_000
)

// List returns the newest rows that c chooses, the newest first.
func (l *Learner) List(ctx context.Context, c Choice) (list []Entry, err error) {
	where, args := c.where()
	limit := c.Limit
	if limit <= 0 {
		limit = listDefault
	}
	rows, err := l.db.Reader.QueryContext(ctx, `SELECT id, time, state, spam, source, user, share, reason, message, message_id,
		queue_id, features IS NOT NULL FROM learns WHERE `+where+" ORDER BY id DESC LIMIT ?", append(args, min(limit, listMost))...)
	if err != nil {
		return nil, fmt.Errorf("read learn journal: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e Entry
		var at int64
		var state int
		var spam bool
		var k []byte
		if err := rows.Scan(&e.ID, &at, &state, &spam, &e.Source, &e.User, &e.Share, &e.Reason, &k, &e.MessageID, &e.QueueID, &e.Undoable); err != nil {
			return nil, fmt.Errorf("read learn journal: %w", err)
		}
		e.Time, e.State, e.Class, e.Message = time.UnixMilli(at), stateNames[state], Class(spam), hex.EncodeToString(k)
		e.Undoable = e.Undoable && state == stateLearned
		list = append(list, e)
	}
	return list, rows.Err()
}

// WatchStatus is what the watcher of mailboxes says of itself.
type WatchStatus struct {
	// Mailboxes is how many there are; Watched of them are told of by the kernel
	// at once, the others are looked at now and then.
	Mailboxes int `json:"mailboxes"`
	Watched   int `json:"watched"`
	// Problem is what keeps it from its work, and what mends that.
	Problem string `json:"problem,omitempty"`
}

// ReportWatch takes the newest status of the watcher.
func (l *Learner) ReportWatch(s WatchStatus) { l.watch.Store(&s) }

// Pending is what waits of one mailbox.
type Pending struct {
	User  string    `json:"user"`
	Class string    `json:"class"`
	Count int       `json:"count"`
	Since time.Time `json:"since"`
}

// Status is where learning stands.
type Status struct {
	// Ham and Spam count what the model has learned; Weight is how much of its
	// full weight it carries in a score, 0 to 1.
	Ham    int     `json:"ham"`
	Spam   int     `json:"spam"`
	Weight float64 `json:"weight"`
	// BySource counts the learns that hold; Undone and Refused those that do
	// not.
	BySource map[Source]int `json:"by_source"`
	Undone   int            `json:"undone"`
	Refused  int            `json:"refused"`
	Waiting  []Pending      `json:"waiting"`
	Kept     kept.Stats     `json:"kept"`
	Watch    WatchStatus    `json:"watch"`
	// Unsaved is how many changes the file of weights does not have yet; the
	// journal has them.
	Unsaved int64 `json:"unsaved"`
	// Stream is where this host stands in the learn stream, nil without one.
	Stream *StreamStatus `json:"stream,omitempty"`
}

// Status returns where learning stands.
func (l *Learner) Status(ctx context.Context) (s Status, err error) {
	score := l.model.Score(&classify.Features{})
	s = Status{Ham: score.Ham, Spam: score.Spam, Weight: score.Weight, BySource: map[Source]int{}, Waiting: []Pending{}, Watch: *l.watch.Load()}
	l.mu.Lock()
	s.Unsaved = l.seq - l.saved
	l.mu.Unlock()
	if st, ok := l.StreamStatus(); ok {
		s.Stream = &st
	}
	if s.Kept, err = l.kept.Stats(ctx); err != nil {
		return s, err
	}
	err = l.each(ctx, "SELECT source, state, count(*) FROM learns WHERE state IN (1, 2, 3) GROUP BY 1, 2", func(rows *sql.Rows) error {
		var source Source
		var state, n int
		if err := rows.Scan(&source, &state, &n); err != nil {
			return err
		}
		switch state {
		case stateLearned:
			s.BySource[source] = n
		case stateUndone:
			s.Undone += n
		default:
			s.Refused += n
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	return s, l.each(ctx, "SELECT user, spam, count(*), min(time) FROM learns WHERE state = 0 GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 100", func(rows *sql.Rows) error {
		var p Pending
		var spam bool
		var since int64
		err := rows.Scan(&p.User, &spam, &p.Count, &since)
		p.Class, p.Since = Class(spam), time.UnixMilli(since)
		s.Waiting = append(s.Waiting, p)
		return err
	})
}

func (l *Learner) each(ctx context.Context, query string, f func(*sql.Rows) error, args ...any) (err error) {
	rows, err := l.db.Reader.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("read learn journal: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return fmt.Errorf("read learn journal: %w", err)
		}
	}
	return rows.Err()
}

// Seen returns what the watcher noted of a mailbox, nil for nothing.
func (l *Learner) Seen(ctx context.Context, mailbox string) ([]byte, error) {
	return l.kept.Seen(ctx, mailbox)
}

// SetSeen notes what the watcher saw.
func (l *Learner) SetSeen(ctx context.Context, mailbox string, seen []byte) error {
	return l.kept.SetSeen(ctx, mailbox, seen)
}

// NoteFiled notes where our own delivery put a file, by its base name. It never
// blocks.
func (l *Learner) NoteFiled(base string, junk bool) { l.kept.NoteFiled(base, junk) }

// Filed reports whether our own delivery put a file into Junk; ok is false where
// it is not known.
func (l *Learner) Filed(ctx context.Context, base string) (junk, ok bool) {
	return l.kept.Filed(ctx, base)
}
