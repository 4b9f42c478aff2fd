package stated

import (
	"context"
	"time"

	"github.com/gatepost/gatepost/internal/abuse"
	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/notice"
)

const (
	// scoreTime is how long a message waits for the filter.
	scoreTime = 2 * time.Second
	// learnTime is how long a mailbox that was moved about may take.
	learnTime = 90 * time.Second
)

// Journal is that of the other process. Record never blocks.
type Journal struct{ t *teller }

// Record takes a record.
func (j *Journal) Record(r journal.Record) {
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	j.t.tell("record", r)
}

// Flush returns when the other process has what was recorded before.
func (j *Journal) Flush(ctx context.Context) error { return j.t.flush(ctx) }

// Dropped counts records that found no room.
func (j *Journal) Dropped() uint64 { _, lost := j.t.queued(); return lost }

// Queued counts records that wait.
func (j *Journal) Queued() int { n, _ := j.t.queued(); return n }

// Events takes what is told to the other parts. Nothing of it blocks.
type Events struct{ t *teller }

func (e *Events) tell(kind string, what any) { e.t.tell(kind, what) }

// Tell tells people.
func (e *Events) Tell(n notice.Event) {
	if n.Time.IsZero() {
		n.Time = time.Now()
	}
	e.tell("notice", telling{n, n.Window, n.AdminOnly, n.UserOnly})
}

// Sent tells the watcher of accounts of a message.
func (e *Events) Sent(s abuse.Sent) { e.tell("sent", s) }

// Bounced tells it of a notification.
func (e *Events) Bounced(b abuse.Bounced) { e.tell("bounced", b) }

// Refused tells it of a recipient that was refused.
func (e *Events) Refused(r abuse.Refused) { e.tell("refused", r) }

// Login tells it of a login.
func (e *Events) Login(l abuse.Login) { e.tell("login", l) }

// Learner is the learned filter of the other process.
type Learner struct{ c *Client }

// Learner returns it.
func (c *Client) Learner() *Learner { return &Learner{c} }

// Score judges a message. Without an answer in time the filter says nothing.
func (l *Learner) Score(f *classify.Features) (s classify.Score) {
	b, err := f.AppendBinary(make([]byte, 0, 16<<10))
	if err != nil {
		return classify.Score{}
	}
	if l.c.ask(context.Background(), question{name: "learn/score", in: b, again: true, within: scoreTime}, &s) != nil {
		return classify.Score{}
	}
	return s
}

// Keep keeps what was scored, for later. It does not block.
func (l *Learner) Keep(t learn.Trace, f *classify.Features) {
	if b, err := f.AppendBinary(make([]byte, 0, 16<<10)); err == nil {
		l.c.events.tell("keep", keeping{t, b})
	}
}

// NoteFiled tells where a delivery put a file. It does not block.
func (l *Learner) NoteFiled(base string, junk bool) { l.c.events.tell("filed", filing{base, junk}) }

// ReportWatch tells how the watcher is. It does not block.
func (l *Learner) ReportWatch(s learn.WatchStatus) { l.c.events.tell("watch", s) }

// Filed implements watch.Filings.
func (l *Learner) Filed(ctx context.Context, base string) (junk, ok bool) {
	var f filed
	err := l.c.ask(ctx, question{name: "learn/filed", in: filing{Base: base}, again: true}, &f)
	return f.Junk, f.Known && err == nil
}

// Learn learns what it may of w.
func (l *Learner) Learn(ctx context.Context, w learn.Wish) (r learn.Result, err error) {
	err = l.c.ask(ctx, question{name: "learn/learn", in: w, within: learnTime}, &r)
	return r, err
}

// Seen returns what SetSeen kept of a mailbox.
func (l *Learner) Seen(ctx context.Context, mailbox string) ([]byte, error) {
	var s seen
	err := l.c.ask(ctx, question{name: "learn/seen", in: seen{Mailbox: mailbox}, again: true}, &s)
	return s.Seen, err
}

// SetSeen keeps what the watcher knows of a mailbox.
func (l *Learner) SetSeen(ctx context.Context, mailbox string, known []byte) error {
	return l.c.ask(ctx, question{name: "learn/set-seen", in: seen{mailbox, known}, again: true, within: listTime}, nil)
}
