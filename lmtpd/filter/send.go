package filter

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/sieve"
)

// leave returns the sender under which mail goes to others: rewritten where both
// it and one of them are not ours, so that SPF passes there.
func (f *Filter) leave(ctx context.Context, from mailaddr.Address, to []mailaddr.Address, now time.Time) (mailaddr.Address, error) {
	if f.deps.SRS == nil || from.IsNull() {
		return from, nil
	}
	ours, err := f.ours(ctx, from.Domain)
	if err != nil || ours {
		return from, err
	}
	for _, a := range to {
		ours, err := f.ours(ctx, a.Domain)
		if err != nil {
			return from, err
		}
		if !ours {
			return f.deps.SRS.Forward(from, now), nil
		}
	}
	return from, nil
}

func (f *Filter) ours(ctx context.Context, domain string) (bool, error) {
	_, err := f.deps.Accounts.Domain(ctx, domain)
	if errors.Is(err, account.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// turn returns what the mails of one user are sent under, so that two messages
// at a time do not both find that nobody was answered.
func (f *Filter) turn(user mailaddr.Address) *sync.Mutex {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user.Folded().String())) // never fails
	return &f.turns[h.Sum32()%stripes]
}

// Send brings the mails of p into the spool. They are durable when it returns.
// A mail that stood in for a copy and that cannot be sent becomes one: so Send
// comes before the copies are written. What an earlier try of this message sent
// is not sent again.
func (f *Filter) Send(ctx context.Context, p *Plan) {
	if len(p.mails) > 0 {
		turn := f.turn(p.user.Addr)
		turn.Lock()
		for i := range p.mails {
			f.sendOne(ctx, p, &p.mails[i])
		}
		turn.Unlock()
		p.mails = nil
	}
	if p.undone && len(p.Copies) == 0 && p.Refuse.IsZero() {
		p.Notes = append(p.Notes, "kept: a mail in its place was not sent")
		p.Copies = append(p.Copies, Copy{Folder: p.folder, Create: !p.noCreate, Source: p.keepSource})
	}
}

// sendOne sends one mail, and notes what became of it.
func (f *Filter) sendOne(ctx context.Context, p *Plan, w *pending) {
	mem := memory{store: f.deps.State, user: p.user.Addr, source: p.source}
	before, err := mem.sent(ctx, w.id)
	if err != nil {
		p.Err = errors.Join(p.Err, err) // in doubt it is sent again
	}
	if !before {
		if why := f.trySend(ctx, p, mem, w); why != "" {
			p.undone = p.undone || w.keeps
			p.Notes = append(p.Notes, w.what+" not sent: "+why)
			if w.keeps || why != answered {
				p.lines = append(p.lines, "error: "+w.what+" was not sent: "+why)
			}
			return
		}
		if err := mem.noteSent(ctx, w.id, p.now); err != nil {
			p.Err = errors.Join(p.Err, err)
		}
	}
	if err := mem.remember(ctx, w.marks, p.now, true); err != nil {
		p.Err = errors.Join(p.Err, err)
	}
}

// answered is why a mail is not sent that a message at the same time has sent.
const answered = "it was sent a moment ago"

// trySend puts a mail into the spool, or returns why not.
func (f *Filter) trySend(ctx context.Context, p *Plan, mem memory, w *pending) (why string) {
	switch {
	case p.user.Held:
		return "the user's outgoing mail is held"
	case p.user.Disabled:
		return "the user is disabled"
	case !f.deps.Outgoing.On():
		return "this server sends no mail of its own"
	}
	if seen, err := anySeen(ctx, mem, w.marks); err != nil {
		p.Err = errors.Join(p.Err, err)
		return "a store is away"
	} else if seen {
		return answered
	}
	counted, why := f.count(ctx, p, w)
	if why != "" {
		return why
	}
	if err := f.deps.Outgoing.Add(w.mail); err != nil {
		p.Err = errors.Join(p.Err, fmt.Errorf("%s: %w", w.what, err))
		if gerr := f.give(ctx, counted); gerr != nil {
			p.Err = errors.Join(p.Err, gerr)
		}
		return "it could not be queued"
	}
	return ""
}

func anySeen(ctx context.Context, mem memory, marks []sieve.Mark) (bool, error) {
	for _, m := range marks {
		if seen, err := mem.Seen(ctx, m.ID); seen || err != nil {
			return seen, err
		}
	}
	return false, nil
}

// count holds a mail against the user's outgoing limits. State that is away lets
// it pass, as everywhere (package limit).
func (f *Filter) count(ctx context.Context, p *Plan, w *pending) (counted []limit.Result, why string) {
	set := f.snap.Load().limits
	if f.deps.Limits == nil || set.Empty() {
		return nil, ""
	}
	sender := w.mail.MailFrom.Folded()
	if base, _, ok := sender.CutDetail(f.snap.Load().RecipientDelimiter); ok {
		sender = base
	}
	m := limit.Mail{
		Now: p.now, Outbound: true, User: p.user.Addr.String(), Sender: sender.String(), Bounce: w.mail.MailFrom.IsNull(),
		Recipients: int64(len(w.mail.RcptTo)), Bytes: int64(len(w.mail.Raw)),
	}
	for _, to := range w.mail.RcptTo {
		m.Rcpts = append(m.Rcpts, limit.Rcpt{ID: rcptID(to.Folded().String()), Domain: to.Domain})
	}
	if f.deps.Standings != nil {
		st, err := f.deps.Standings.Standing(ctx, p.user.Addr)
		if err != nil {
			p.Err = errors.Join(p.Err, err)
		}
		m.Groups = st.Groups
		for _, r := range st.Rates {
			m.Stored = append(m.Stored, limit.Stored{Limit: r.Limit, Rate: r.Rate})
		}
	}
	counted, err := f.deps.Limits.Take(ctx, set, &m)
	if err != nil {
		p.Err = errors.Join(p.Err, fmt.Errorf("limit not counted: %w", err))
		return nil, ""
	}
	if r := limit.Refused(counted); r != nil {
		return nil, "limit " + r.Limit.Name + " of outgoing mail is reached"
	}
	return counted, ""
}

// give takes back what a mail counted that was not sent.
func (f *Filter) give(ctx context.Context, counted []limit.Result) error {
	if len(counted) == 0 {
		return nil
	}
	return f.deps.Limits.Give(ctx, counted, "", -1)
}

// rcptID stands for an address as policyd's counters have it.
func rcptID(s string) uint64 {
	sum := sha256.Sum256([]byte(s))
	return binary.LittleEndian.Uint64(sum[:8]) | 1
}

// Done remembers what the scripts of p want remembered, and writes the user's
// log. It is called once every copy is safe. Its error is for the log: the
// message is delivered.
func (f *Filter) Done(ctx context.Context, p *Plan) error {
	mem := memory{store: f.deps.State, user: p.user.Addr, source: p.source}
	err := mem.remember(ctx, p.marks, p.now, false)
	if len(p.lines) > 0 {
		err = errors.Join(err, f.home(f.snap.Load(), p.user.Addr).tell(p.now, p.lines))
	}
	return err
}
