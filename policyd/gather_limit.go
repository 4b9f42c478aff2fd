package policyd

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// correspondents remembers to whom users wrote.
type correspondents interface {
	// Wrote reports whether user wrote to rcpt before.
	Wrote(ctx context.Context, user, rcpt mailaddr.Address) (bool, error)
}

// nobodyKnown takes everybody for known, so that nobody is new.
type nobodyKnown struct{}

func (nobodyKnown) Wrote(context.Context, mailaddr.Address, mailaddr.Address) (bool, error) {
	return true, nil
}

// counting is what limits do about one request.
type counting struct {
	*gatherer
	snap    *snapshot
	profile *profile
	req     *Request
	tx      *transaction
	facts   *Facts
	memo    *limit.Memo // of the connection; nil for none
	now     time.Time

	mail     limit.Mail
	rcpt     uint64       // at RCPT, for this process; 0 before
	rcpts    []limit.Rcpt // of the transaction with this one
	took     []string     // limits that have counted it now
	toppedUp bool
}

// needed reports whether a limit may concern the request.
func (c *counting) needed() bool {
	if c.profile.limits.Empty() || c.facts.AccountsAway {
		return false
	}
	return c.outbound() || c.profile.inbound
}

func (c *counting) outbound() bool { return c.profile.outboundFor(c.req) }

// ask asks the limits at RCPT, and takes from them at DATA or END-OF-MESSAGE,
// whichever comes first.
func (c *counting) ask(ctx context.Context) {
	m := c.describe()
	var err error
	switch {
	case c.req.ProtocolState == StateRcpt:
		err = c.predict(ctx, m)
	case counts(c.req.ProtocolState):
		err = c.take(ctx, m)
	}
	if err != nil {
		c.log.LogAttrs(ctx, slog.LevelWarn, "limit not counted, mail passes",
			slog.String("user", c.facts.User), slog.String("session", c.req.Instance), slog.Any("err", err))
	}
}

// describe describes the mail of the request without its recipients.
func (c *counting) describe() *limit.Mail {
	c.mail = limit.Mail{
		Now: c.now, Outbound: c.outbound(), User: c.facts.User, Client: c.req.Client.Addr,
		Bounce: c.req.MailFrom == "", Bytes: c.req.Size, Groups: c.facts.Standing.Groups, Memo: c.memo,
	}
	for _, r := range c.facts.Standing.Rates {
		c.mail.Stored = append(c.mail.Stored, limit.Stored{Limit: r.Limit, Rate: r.Rate})
	}
	if c.profile.needsSender {
		c.mail.Sender = c.fold(c.req.MailFrom)
	}
	return &c.mail
}

// predict asks whether the mail would be allowed with this recipient.
func (c *counting) predict(ctx context.Context, m *limit.Mail) (err error) {
	c.rcpt = c.hash.text(c.req.RcptTo) | 1
	m.Recipients = c.tx.predicted(c.rcpt)
	c.rcpts = c.tx.rcpts
	if c.profile.needsRcpts && m.Recipients > c.tx.passed && len(c.rcpts) < maxRcpts {
		c.rcpts = append(c.rcpts, c.one(ctx, c.req.RcptTo))
	}
	m.Rcpts = c.rcpts
	c.facts.Predicted = true
	c.facts.Limits, err = c.limits.Ask(ctx, c.profile.limits, m)
	return err
}

// take counts the mail on the limits that have not counted it yet. At
// END-OF-MESSAGE the real size takes the place of the one that was claimed.
func (c *counting) take(ctx context.Context, m *limit.Mail) (err error) {
	m.Recipients = c.req.RecipientCount
	if m.Recipients == 0 {
		m.Recipients = max(c.tx.passed, 1)
	}
	// All that passed here: which of them Postfix refused afterwards is not known,
	// and they shall not hide others.
	m.Rcpts = c.tx.rcpts
	if len(m.Rcpts) == 0 && c.profile.needsRcpts && c.req.RcptTo != "" {
		m.Rcpts = []limit.Rcpt{c.one(ctx, c.req.RcptTo)}
	}
	set := c.profile.limits
	if n := len(c.tx.counted); n > 0 && n == len(set.Names()) && slices.Equal(c.tx.counted, set.Names()) {
		set = nil
	} else if n > 0 {
		set = set.Only(func(l *limit.Limit) bool { return !slices.Contains(c.tx.counted, l.Name) })
	}
	if !set.Empty() {
		c.took = set.Names()
		if c.facts.Limits, err = c.limits.Take(ctx, set, m); err != nil {
			return err
		}
	}
	if c.req.ProtocolState != StateEndOfMessage || c.tx.sized || len(c.tx.counted) == 0 || c.profile.bytes.Empty() {
		return nil
	}
	c.toppedUp = true
	return c.topUp(ctx, m)
}

// topUp counts what the message is larger than it said, or gives back what it
// is smaller.
func (c *counting) topUp(ctx context.Context, m *limit.Mail) error {
	claimed := c.tx.size
	m.Bytes = c.req.Size - claimed
	if m.Bytes < 0 {
		return c.limits.GiveBack(ctx, c.tx.taken, limit.Bytes, -m.Bytes)
	}
	m.Memo = nil // it has the results that were found before
	more, err := c.limits.Take(ctx, c.profile.bytes, m)
	for i := range more { // as if it were asked for at once
		more[i].Asked += claimed
		more[i].Used -= claimed
		if more[i].Never() {
			more[i].Ends = time.Time{}
		}
	}
	c.facts.Limits = append(c.facts.Limits, more...)
	return err
}

// settle keeps in the transaction what was passed or counted. A mail that is
// refused at END-OF-MESSAGE after all gets back what it counted at DATA.
func (c *counting) settle(ctx context.Context, v *Verdict) {
	t := c.tx
	refused := v.Action.Refuses()
	switch {
	case refused && c.req.ProtocolState == StateEndOfMessage && len(t.taken) > 0:
		if err := c.limits.GiveBack(ctx, t.taken, "", -1); err != nil {
			c.log.LogAttrs(ctx, slog.LevelWarn, "refused mail stays counted",
				slog.String("session", c.req.Instance), slog.Any("err", err))
		}
		t.taken = nil
	case refused:
	case c.req.ProtocolState == StateRcpt && c.rcpt != 0:
		t.rcpts = c.rcpts
		t.pass(c.rcpt)
	case len(c.took) > 0:
		if t.counted == nil { // as nearly always: nobody writes to either
			t.counted = slices.Clip(c.took)
		} else {
			t.counted = append(t.counted, c.took...)
		}
		t.taken = limit.CountedBy(t.taken, c.facts.Limits) // the results are the connection's
		t.size = c.req.Size
		t.sized = c.req.ProtocolState == StateEndOfMessage
	}
	t.sized = t.sized || c.toppedUp
	if !refused {
		return
	}
	if r := limit.Refused(c.facts.Limits); r != nil && v.Rule == "limit "+r.Limit.Name {
		if e, first := c.limits.First(ctx, r, c.facts.User); first {
			c.notice(ctx, e)
		}
	}
}

// one returns what limits need to know of a recipient.
func (c *counting) one(ctx context.Context, rcpt string) limit.Rcpt {
	key := c.fold(rcpt)
	_, domain, _ := cutLast(key)
	r := limit.Rcpt{ID: rcptID(key), Domain: strings.Clone(domain)}
	if !c.profile.needsNew {
		return r
	}
	user, err := mailaddr.Parse(c.facts.User)
	to, err2 := mailaddr.Parse(key)
	if err != nil || err2 != nil {
		return r
	}
	wrote, err := c.known.Wrote(ctx, user, to)
	if err != nil { // a fault of ours makes nobody new
		c.log.LogAttrs(ctx, slog.LevelWarn, "new recipient not counted", slog.String("user", c.facts.User), slog.Any("err", err))
		wrote = true
	}
	r.New = !wrote
	return r
}

// fold returns an address by which something is counted; one that is none is
// only put in lower case.
func (c *counting) fold(s string) string {
	if s == "" {
		return ""
	}
	s = rewritten(s)
	a, err := mailaddr.Parse(s)
	if err != nil {
		return strings.ToLower(s)
	}
	return folded(a, c.snap.cfg.RecipientDelimiter)
}

func cutLast(address string) (local, domain string, ok bool) {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address, "", false
	}
	return address[:at], address[at+1:], true
}

// rcptID stands for an address, the same in every process and on every host. It
// is never 0.
func rcptID(s string) uint64 {
	sum := sha256.Sum256([]byte(s))
	return binary.LittleEndian.Uint64(sum[:8]) | 1
}
