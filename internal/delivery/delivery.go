// Package delivery keeps the delivery verdict: what the milter decided about a
// message, for the delivery daemon to file it by. No header decides that.
//
// A row is found by Postfix's queue id together with the time of arrival,
// because short queue ids come back. It is there before the milter answers to
// end-of-message, on the disk before it when a recipient's verdict is Mark or
// worse, and stays for five days, the longest that Postfix keeps a message
// (maximal_queue_lifetime).
package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/received"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/verdict"
)

const (
	// Kept is how long a row lives after the arrival of its message, with some
	// time to spare over the five days.
	Kept = 5*24*time.Hour + time.Hour
	// Apart is how far the arrival of a row may lie from the time in Postfix's
	// Received line.
	Apart = time.Hour

	// maxRows bounds the rows of one queue id that Find looks at.
	maxRows = 1000
)

// Row is the verdict on one message.
type Row struct {
	// QueueID is Postfix's queue id: letters and digits.
	QueueID string
	// Arrived is when Postfix was given the message.
	Arrived time.Time
	Score   float64
	// Verdict is that on the message; ByRcpt is that for a recipient where it
	// differs. Its keys are envelope addresses as Key writes them.
	Verdict verdict.Verdict
	ByRcpt  map[string]verdict.Verdict
}

// For returns the verdict for one recipient; rcpt is the envelope address.
func (r Row) For(rcpt string) verdict.Verdict {
	if v, ok := r.ByRcpt[Key(rcpt)]; ok {
		return v
	}
	return r.Verdict
}

// Key returns the key of a recipient in Row.ByRcpt: rcpt in lower case.
func Key(rcpt string) string { return strings.ToLower(rcpt) }

// worst returns the worst verdict that r has for anybody.
func (r Row) worst() verdict.Verdict {
	v := r.Verdict
	for _, w := range r.ByRcpt {
		v = max(v, w)
	}
	return v
}

// store is what Verdicts needs of the state.
type store interface {
	Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error
	List(ctx context.Context, t state.Table, prefix string) ([]state.Entry, error)
}

// Verdicts keeps rows in the state. It is safe for concurrent use.
type Verdicts struct{ store store }

// New returns the Verdicts in s.
func New(s store) *Verdicts { return &Verdicts{store: s} }

// value is how a row is stored.
type value struct {
	Arrived time.Time                  `json:"arrived"`
	Score   float64                    `json:"score"`
	Verdict verdict.Verdict            `json:"verdict"`
	ByRcpt  map[string]verdict.Verdict `json:"by_rcpt,omitempty"`
}

// Put keeps r. Find sees it as soon as Put returns; it is durable by then when
// it is Mark or worse for anybody. A row that only accepts may be lost by a
// crash: its message then is "not scanned" and goes to the same inbox. An error
// of the state is transient; that of a queue id which is none is permanent.
func (v *Verdicts) Put(ctx context.Context, r Row) error {
	if !received.ValidQueueID(r.QueueID) {
		return mailerr.With(mailerr.Permanent, fmt.Errorf("delivery verdict: queue id %q is not letters and digits", r.QueueID))
	}
	b, err := json.Marshal(value{Arrived: r.Arrived, Score: r.Score, Verdict: r.Verdict, ByRcpt: r.ByRcpt})
	if err != nil {
		return fmt.Errorf("delivery verdict of %s: %w", r.QueueID, err)
	}
	key := r.QueueID + "/" + strconv.FormatInt(r.Arrived.UnixNano(), 10)
	e := state.Entry{Key: key, Value: b, Expires: r.Arrived.Add(Kept)}
	if err := v.store.Put(ctx, state.Delivery, e, r.worst() >= verdict.Mark); err != nil {
		return fmt.Errorf("keep delivery verdict of %s: %w", r.QueueID, err)
	}
	return nil
}

// Find returns the row of queueID whose arrival is nearest to received, the
// time in Postfix's Received line, and at most Apart from it. Without one ok is
// false and the error is nil: the message is not scanned.
func (v *Verdicts) Find(ctx context.Context, queueID string, at time.Time) (r Row, ok bool, err error) {
	if !received.ValidQueueID(queueID) {
		return Row{}, false, nil
	}
	entries, err := v.store.List(ctx, state.Delivery, queueID+"/")
	if err != nil {
		return Row{}, false, fmt.Errorf("find delivery verdict of %s: %w", queueID, err)
	}
	best := Apart + 1
	for i, e := range entries {
		if i == maxRows {
			break
		}
		var val value
		if err := json.Unmarshal(e.Value, &val); err != nil {
			return Row{}, false, fmt.Errorf("read delivery verdict of %s: %w", queueID, err)
		}
		if d := at.Sub(val.Arrived).Abs(); d < best {
			best = d
			r = Row{QueueID: queueID, Arrived: val.Arrived, Score: val.Score, Verdict: val.Verdict, ByRcpt: val.ByRcpt}
		}
	}
	return r, best <= Apart, nil
}
