package learn

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/learn/trace"
)

// Choice chooses learns. What is set has to hold; an empty Choice chooses none
// to undo, and all to list.
type Choice struct {
	// ID is the number of a learn in this host's journal; Message a Message-ID, a
	// queue id, or the key that List prints, which is the same on all hosts.
	ID      int64  `json:"id,omitempty"`
	Message string `json:"message,omitempty"`
	User    string `json:"user,omitempty"`
	// Since leaves out what is older.
	Since time.Time `json:"since,omitzero"`
	// Limit bounds a list; 0 means 100, at most 10,000.
	Limit int `json:"limit,omitempty"`
}

// ErrChoice means that nothing was chosen.
var ErrChoice = errors.New("say which: an id, a message, a user or a time")

// ErrNone means that nothing that is chosen holds.
var ErrNone = errors.New("no such learn")

// ErrLater means that a wish is durable, and that the learn stream is away.
var ErrLater = errors.New("the learn stream is away; it will be done when it is back")

// where returns the condition of c.
func (c Choice) where() (string, []any) {
	cond, args := []string{"1"}, []any{}
	add := func(s string, v ...any) { cond, args = append(cond, s), append(args, v...) }
	if c.ID != 0 {
		add("id = ?", c.ID)
	}
	if c.Message != "" {
		id := trace.Canonical(c.Message)
		k, err := hex.DecodeString(c.Message)
		if err != nil || len(k) != keyBytes {
			k = nil
		}
		add("(message_id = ? AND message_id <> '' OR queue_id = ? AND queue_id <> '' OR message = ?)", id, id, k)
	}
	if c.User != "" {
		add("user = ?", strings.ToLower(c.User))
	}
	if !c.Since.IsZero() {
		add("time >= ?", c.Since.UnixMilli())
	}
	return strings.Join(cond, " AND "), args
}

// Undone is what Undo did.
type Undone struct {
	// Undone counts what was taken back, TooOld what could not be, because its
	// features are no longer kept.
	Undone int `json:"undone"`
	TooOld int `json:"too_old"`
	// Dropped counts what had waited for approval.
	Dropped int `json:"dropped"`
	// Queued counts what is taken back as soon as the stream is there again.
	Queued int `json:"queued,omitempty"`
}

func (u *Undone) add(v Undone) {
	u.Undone += v.Undone
	u.TooOld += v.TooOld
	u.Dropped += v.Dropped
	u.Queued += v.Queued
}

const undoStep = 200

// Undo takes learns back, on all hosts of the stream. It works in steps, each of
// which is durable when it is done: a second call goes on where an error ended
// the first.
func (l *Learner) Undo(ctx context.Context, c Choice) (u Undone, err error) {
	if c.ID == 0 && c.Message == "" && c.User == "" && c.Since.IsZero() {
		return u, ErrChoice
	}
	where, args := c.where()
	ids, err := l.ids(ctx, "SELECT id FROM learns WHERE state IN (0, 1) AND "+where+" ORDER BY id DESC", args...)
	if err != nil {
		return u, err
	}
	if len(ids) == 0 {
		return u, ErrNone
	}
	for step := range slices.Chunk(ids, undoStep) {
		a := act{kind: kindUndo, source: CLI}
		if err := l.about(ctx, &a); err != nil {
			return u, err
		}
		rows, err := l.named(ctx, step)
		if err != nil {
			return u, err
		}
		for _, r := range rows {
			if l.shared != nil && r.state == stateLearned && len(r.Features) == 0 {
				u.TooOld++ // here and now, so that all hosts keep it
				continue
			}
			a.items = append(a.items, actItem{Item: Item{Features: r.Features}, of: r.of})
		}
		if len(a.items) == 0 {
			continue
		}
		d, err := l.do(ctx, a)
		u.add(d.Undone)
		if err != nil {
			return u, err
		}
	}
	return u, nil
}

// namedRow is a row of the journal with its name.
type namedRow struct {
	actItem
	state int
}

// named reads rows that are learned or wait, in the order of ids.
func (l *Learner) named(ctx context.Context, ids []int64) (rows []namedRow, err error) {
	const query = `SELECT message, message_id, queue_id, arrived, campaign, spam, features, file, user, source, time, state, run, seq, item
		FROM learns WHERE id = ? AND state IN (0, 1)`
	for _, id := range ids {
		r := namedRow{actItem: actItem{of: name{id: id}}}
		var k []byte
		var arrived, file, at int64
		var run, seq, item sql.NullInt64
		err := l.db.Reader.QueryRowContext(ctx, query, id).Scan(&k, &r.Trace.MessageID, &r.Trace.QueueID, &arrived, &r.Campaign, &r.spam,
			&r.Features, &file, &r.of.user, &r.of.source, &at, &r.state, &run, &seq, &item)
		if errors.Is(err, sql.ErrNoRows) {
			continue // somebody was faster
		}
		if err != nil {
			return nil, fmt.Errorf("read learn journal: %w", err)
		}
		r.Trace.Arrived, r.File = time.Unix(arrived, 0), uint64(file)
		if !inTime(r.Trace.Arrived) {
			r.Trace.Arrived = time.Time{}
		}
		copy(r.of.key[:], k)
		r.of.spam, r.of.time = r.spam, time.UnixMilli(at)
		r.of.run, r.of.seq, r.of.item = run.Int64, uint64(seq.Int64), int(item.Int64)
		rows = append(rows, r)
	}
	return rows, nil
}

func (l *Learner) ids(ctx context.Context, query string, args ...any) (ids []int64, err error) {
	rows, err := l.db.Reader.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read learn journal: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// Approve learns what a mailbox moved at once and what waits since, as if it
// had moved the messages one by one; without a word on how many a day it may.
func (l *Learner) Approve(ctx context.Context, user string) (Result, error) {
	user = strings.ToLower(user)
	since := time.Time{}
	if l.shared != nil { // what is older some hosts may have let go
		since = time.Now().AddDate(0, 0, -l.cfg.Load().KeepDays)
	}
	ids, err := l.ids(ctx, "SELECT id FROM learns WHERE state = 0 AND user = ? AND time > ? ORDER BY id", user, milli(since))
	if err != nil {
		return Result{}, err
	}
	if len(ids) == 0 {
		return Result{}, ErrNone
	}
	var all Result
	for step := range slices.Chunk(ids, undoStep) {
		a := act{kind: kindLearn, source: Move, user: user, approved: true}
		if err := l.about(ctx, &a); err != nil {
			return all, err
		}
		rows, err := l.named(ctx, step)
		if err != nil {
			return all, err
		}
		for _, r := range rows {
			if r.state == stateWaiting {
				a.items = append(a.items, r.actItem)
			}
		}
		d, err := l.do(ctx, a)
		all.Outcomes = append(all.Outcomes, d.Outcomes...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// Drop forgets what waits of a mailbox, and returns how many messages it was.
// With ErrLater it is done when the stream is there again.
func (l *Learner) Drop(ctx context.Context, user string) (int, error) {
	a := act{kind: kindDrop, source: CLI, user: strings.ToLower(user)}
	if a.user == "" {
		return 0, ErrNone
	}
	if err := l.about(ctx, &a); err != nil {
		return 0, err
	}
	d, err := l.do(ctx, a)
	switch {
	case err != nil:
		return 0, err
	case d.Queued > 0:
		return 0, ErrLater
	case d.Dropped == 0:
		return 0, ErrNone
	}
	return d.Dropped, nil
}
