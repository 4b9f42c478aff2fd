package learn

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/learn/trace"
	"github.com/gatepost/gatepost/internal/sqlite"
)

// Choice chooses learns. What is set has to hold; an empty Choice chooses none
// to undo, and all to list.
type Choice struct {
	// ID is the number of a learn; Message a Message-ID, a queue id, or the key
	// that List prints.
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
}

const undoStep = 200

// Undo takes learns back. It works in steps, each of which is durable when it
// is done: a second call goes on where an error ended the first.
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
		if err := l.undoAll(ctx, step, &u); err != nil {
			return u, err
		}
	}
	return u, nil
}

func (l *Learner) undoAll(ctx context.Context, ids []int64, u *Undone) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead != nil {
		return l.dead
	}
	b := batch{l: l, seq: l.seq}
	tooOld := 0
	err := sqlite.Tx(ctx, l.db.Writer, func(tx *sql.Tx) error {
		for _, id := range ids {
			err := b.undo(ctx, tx, id)
			if errors.Is(err, errTooOld) {
				tooOld++
				continue
			}
			if err != nil {
				return err
			}
		}
		return l.at("inserted")
	})
	if err != nil {
		return errors.Join(fmt.Errorf("learn journal: %w", err), l.count(context.WithoutCancel(ctx)))
	}
	u.Undone += len(b.changes)
	u.TooOld += tooOld
	u.Dropped += len(ids) - len(b.changes) - tooOld
	return l.follow(b.changes, b.seq)
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
	ids, err := l.ids(ctx, "SELECT id FROM learns WHERE state = 0 AND user = ? ORDER BY id", user)
	if err != nil {
		return Result{}, err
	}
	if len(ids) == 0 {
		return Result{}, ErrNone
	}
	about, err := l.about(ctx, Wish{Source: Move, User: user})
	if err != nil {
		return Result{}, err
	}
	var all Result
	for step := range slices.Chunk(ids, undoStep) {
		r, err := l.approve(ctx, user, step, about)
		all.Outcomes = append(all.Outcomes, r.Outcomes...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

func (l *Learner) approve(ctx context.Context, user string, ids []int64, about History) (Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := batch{l: l, about: about, policy: policyOf(*l.cfg.Load()), who: user, now: time.Now()}
	const query = "SELECT message_id, queue_id, arrived, campaign, spam, features FROM learns WHERE id = ? AND state = 0"
	list := make([]string, 0, len(ids))
	for _, id := range ids {
		j := job{from: id, event: Event{Source: Move, User: user, Approved: true}}
		var arrived int64
		err := l.db.Reader.QueryRowContext(ctx, query, id).Scan(&j.item.Trace.MessageID, &j.item.Trace.QueueID, &arrived,
			&j.item.Campaign, &j.event.Spam, &j.item.Features)
		if errors.Is(err, sql.ErrNoRows) {
			continue // somebody was faster
		}
		if err != nil {
			return Result{}, fmt.Errorf("read learn journal: %w", err)
		}
		j.item.Trace.Arrived = time.Unix(arrived, 0)
		b.jobs = append(b.jobs, j)
		list = append(list, strconv.FormatInt(id, 10))
	}
	b.done = "UPDATE learns SET state = 4, features = NULL, reason = 'approved' WHERE id IN (" + strings.Join(list, ",") + ")"
	return b.run(ctx)
}

// Drop forgets what waits of a mailbox, and returns how many messages it was.
func (l *Learner) Drop(ctx context.Context, user string) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead != nil {
		return 0, l.dead
	}
	res, err := l.db.Writer.ExecContext(ctx, "UPDATE learns SET state = 4, features = NULL WHERE state = 0 AND user = ?", strings.ToLower(user))
	if err != nil {
		return 0, fmt.Errorf("learn journal: %w", err)
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = ErrNone
	}
	return int(n), err
}
