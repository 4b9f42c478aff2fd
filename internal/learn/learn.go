package learn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
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
// when it returns. An error means that nothing was learned. On a stream, a
// message may be Queued: then w is durable, and is learned later.
func (l *Learner) Learn(ctx context.Context, w Wish) (Result, error) {
	if len(w.Items) > MaxItems {
		return Result{}, fmt.Errorf("%w: %d of at most %d", ErrTooMany, len(w.Items), MaxItems)
	}
	if !w.Source.Known() || w.Source.byUser() && w.User == "" || len(w.User) > maxUser {
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
	a := act{kind: kindLearn, source: w.Source, user: w.User, minute: max(w.Minute, len(w.Items))}
	if err := l.about(ctx, &a); err != nil {
		return Result{}, err
	}
	for _, it := range w.Items {
		a.items = append(a.items, actItem{Item: it, spam: w.Spam})
	}
	d, err := l.do(ctx, a)
	return d.Result, err
}

// about fills in what is known here of the mailbox, the settings and the time.
func (l *Learner) about(ctx context.Context, a *act) (err error) {
	cfg := l.cfg.Load()
	a.time, a.daily, a.keepDays = time.UnixMilli(time.Now().UnixMilli()), cfg.MailboxDaily, cfg.KeepDays
	if !a.source.byUser() || l.accounts == nil {
		return nil
	}
	if a.held, err = l.accounts.Held(ctx, a.user); err != nil {
		return fmt.Errorf("account of %s: %w", a.user, err)
	}
	if a.mailboxes, err = l.accounts.Mailboxes(ctx); err != nil {
		return fmt.Errorf("count mailboxes: %w", err)
	}
	return nil
}

// do performs a, by way of the stream if there is one.
func (l *Learner) do(ctx context.Context, a act) (done, error) {
	if l.shared != nil {
		return l.shared.publish(ctx, a)
	}
	return l.perform(ctx, a, place{})
}
