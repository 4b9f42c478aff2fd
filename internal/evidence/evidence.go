// Package evidence gathers what is known about a message besides who sent it:
// what lists and maps have of it, what the memory knows of its author, and what
// the learned filter says. Afterwards it tells memory and filter how the message
// was judged.
//
// Lists are asked from the moment the message is there, while SPF, DKIM and
// DMARC are checked, so that all of DNS takes one round trip's time. Nothing
// here fails a message: what has no answer is not known.
package evidence

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/known"
	"github.com/gatepost/gatepost/internal/learn/trace"
	"github.com/gatepost/gatepost/internal/lists"
	"github.com/gatepost/gatepost/internal/lists/maps"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/verdict"
)

// filter is the learned filter, and keeps what it saw for later learning
// (package learn). Neither call blocks.
type filter interface {
	Score(f *classify.Features) classify.Score
	Keep(t trace.Trace, f *classify.Features)
}

// lister asks DNS lists (package lists).
type lister interface {
	Ask(ctx context.Context, q lists.Query) []verdict.Line
}

// mapper looks into local lists (package maps).
type mapper interface {
	Lines(q maps.Query) []verdict.Line
}

// memory knows who writes to whom (package known).
type memory interface {
	Ask(ctx context.Context, c known.Came) (known.Facts, error)
	Judged(ctx context.Context, c known.Came, spam float64) error
	Sent(ctx context.Context, s known.Sent) error
}

// wisher remembers whom the scorer wants to see again (package greylist).
type wisher interface {
	Wish(ctx context.Context, client netip.Addr, sender string) error
	Unwish(ctx context.Context, client netip.Addr, sender string) error
}

// Deps are the parts that are asked. A nil one is not.
type Deps struct {
	Filter filter
	Lists  lister
	Maps   mapper
	Memory memory
	// Greylist is told whose mail looked bad.
	Greylist wisher
	// OwnDomain reports whether a domain, in lower case, is ours.
	OwnDomain func(ctx context.Context, domain string) bool
	// MaySend says whether a login may use an address in the header From. Nil
	// means that none may, and nothing that users send is remembered.
	MaySend func(ctx context.Context, user, as mailaddr.Address) (bool, error)
}

// Gatherer gathers. It is safe for concurrent use.
type Gatherer struct {
	deps Deps
	log  *slog.Logger
	// scratch has *classify.Features, which take 260 KB once they were used.
	scratch sync.Pool
}

// New returns a Gatherer that asks deps.
func New(deps Deps, log *slog.Logger) *Gatherer { return &Gatherer{deps: deps, log: log} }

// Case is one message. It is not safe for concurrent use.
type Case struct {
	g        *Gatherer
	m        scan.Message
	came     known.Came
	listed   chan answer // nil when no list was asked
	features *classify.Features
}

// answer is what asking the lists came to.
type answer struct {
	lines []verdict.Line
	panic any
}

// Begin decodes the text of m, finds out which recipients are ours, and has the
// lists asked. Message has to be called on what it returns.
func (g *Gatherer) Begin(ctx context.Context, m scan.Message) *Case {
	if m.Text == nil {
		m.Text = message.Decode(m.Raw)
	}
	m.OwnDomains = g.ownDomains(ctx, m.RcptTo)
	c := &Case{g: g, m: m}
	if m.Direction == scan.Inbound && g.deps.Lists != nil {
		c.askLists(ctx)
	}
	return c
}

// ownDomains returns the domains of recipients that are ours.
func (g *Gatherer) ownDomains(ctx context.Context, rcpts []mailaddr.Address) []string {
	if g.deps.OwnDomain == nil {
		return nil
	}
	const most = 20
	var out []string
	seen := map[string]bool{}
	for _, r := range rcpts {
		d := strings.ToLower(r.Domain)
		if d == "" || seen[d] || len(seen) == most {
			continue
		}
		seen[d] = true
		if g.deps.OwnDomain(ctx, d) {
			out = append(out, d)
		}
	}
	return out
}

// askLists lets a goroutine ask, which Message waits for. A panic in it comes
// out there, in the session that it belongs to.
func (c *Case) askLists(ctx context.Context) {
	q := lists.Query{
		Client: c.m.Client.Addr, ClientName: c.m.Client.Name, Helo: c.m.Client.Helo, MailFrom: c.m.MailFrom,
		From: addresses(c.m.Text.From), ReplyTo: c.addressesIn("Reply-To"), Text: c.m.Text, OwnDomains: c.m.OwnDomains,
	}
	c.listed = make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			a.panic = recover()
			c.listed <- a
		}()
		a.lines = c.g.deps.Lists.Ask(ctx, q)
	}()
}

func addresses(boxes []mailaddr.Mailbox) []mailaddr.Address {
	out := make([]mailaddr.Address, 0, len(boxes))
	for _, b := range boxes {
		out = append(out, b.Addr)
	}
	return out
}

// addressesIn returns the addresses in all fields of that name.
func (c *Case) addressesIn(name string) []mailaddr.Address {
	var out []mailaddr.Address
	for i := range c.m.Raw.Fields {
		if f := &c.m.Raw.Fields[i]; f.Is(name) && len(out) < mailaddr.MaxMailboxes {
			boxes, _ := mailaddr.ParseMailboxes(f.Value) // what can be read of it
			out = append(out, addresses(boxes)...)
		}
	}
	return out
}

// Message returns the message with all that is known of it; auth is who sent
// it.
func (c *Case) Message(ctx context.Context, auth mailauth.Results) scan.Message {
	c.m.Auth = auth
	c.came = known.Came{
		Client: c.m.Client.Addr, RcptTo: c.m.RcptTo, OwnDomains: c.m.OwnDomains, At: time.Now(),
		References: known.References(c.m.Raw.Values("In-Reply-To"), c.m.Raw.Values("References")),
	}
	if len(c.m.Text.From) == 1 {
		c.came.Author, c.came.Name = c.m.Text.From[0].Addr, c.m.Text.From[0].Name
		c.came.Proved = auth.Proves(c.came.Author.Domain)
	}
	if c.m.Direction == scan.Inbound {
		c.remember(ctx)
		c.learned()
		c.mapped()
	}
	if c.listed != nil {
		a := <-c.listed
		if c.listed = nil; a.panic != nil {
			panic(a.panic)
		}
		c.m.Listed = append(c.m.Listed, a.lines...)
	}
	return c.m
}

// remember asks the memory.
func (c *Case) remember(ctx context.Context) {
	if c.g.deps.Memory == nil {
		return
	}
	k, err := c.g.deps.Memory.Ask(ctx, c.came)
	if err != nil {
		c.g.log.LogAttrs(ctx, state.LogLevel(err), "memory not asked", slog.Any("err", err))
		return
	}
	c.m.Known = scan.Known{
		Asked: true, Reply: k.Reply, Thread: k.Thread, Correspondent: k.Correspondent,
		First: k.First, Namesake: k.Namesake,
	}
	for _, r := range k.Reputation {
		c.m.Known.Reputation = append(c.m.Known.Reputation, scan.Reputation(r))
	}
}

// learned asks the learned filter.
func (c *Case) learned() {
	if c.g.deps.Filter == nil {
		return
	}
	c.features, _ = c.g.scratch.Get().(*classify.Features)
	if c.features == nil {
		c.features = &classify.Features{}
	}
	c.features.Extract(c.m.Raw, c.m.Text)
	s := c.g.deps.Filter.Score(c.features)
	c.m.Learned = scan.Learned{Logit: s.Logit, Weight: s.Weight, Ham: s.Ham, Spam: s.Spam}
}

// mapped looks into the local lists.
func (c *Case) mapped() {
	if c.g.deps.Maps == nil {
		return
	}
	q := maps.Query{
		Client: c.m.Client.Addr, ClientName: c.m.Client.Name, Helo: c.m.Client.Helo, MailFrom: c.m.MailFrom,
		From: addresses(c.m.Text.From), ReplyTo: c.addressesIn("Reply-To"), RcptTo: c.m.RcptTo, Text: c.m.Text,
		Header: func(name string) []string {
			values := c.m.Raw.Values(name)
			for i := range values {
				values[i] = header.DecodeText(values[i])
			}
			return values
		},
	}
	for _, a := range append([]mailaddr.Address{c.m.MailFrom}, q.From...) {
		if d := strings.ToLower(a.Domain); d != "" && c.m.Auth.Proves(d) {
			q.Proved = append(q.Proved, d)
		}
	}
	c.m.Listed = append(c.m.Listed, c.g.deps.Maps.Lines(q)...)
}

// Outcome is what became of a message.
type Outcome struct {
	// QueueID and Arrived find the message again when it is learned. MessageID is
	// the header field's, with angle brackets.
	QueueID   string
	Arrived   time.Time
	MessageID string
	// Taken says that it was not refused.
	Taken bool
	// Result is what was said of it, nil when it was not scored; Mark is the
	// score of what counts as spam.
	Result *scan.Result
	Mark   float64
	// User is the login that submitted it, "" for none.
	User string
}

// Done remembers the message: what it looked like, who wrote to whom, and how it
// was. It is the last call.
func (c *Case) Done(ctx context.Context, o Outcome) {
	if c.features != nil {
		defer c.g.scratch.Put(c.features)
	}
	if c.features != nil && o.Taken {
		c.g.deps.Filter.Keep(trace.Trace{QueueID: o.QueueID, Arrived: o.Arrived, MessageID: trace.Canonical(o.MessageID)}, c.features)
	}
	c.wish(ctx, o)
	if c.g.deps.Memory == nil {
		return
	}
	var err error
	switch {
	case c.m.Direction == scan.Inbound && o.Result != nil:
		err = c.g.deps.Memory.Judged(ctx, c.came, spamminess(o))
	case c.m.Direction == scan.Outbound && o.Taken && c.mayBe(ctx, o.User):
		err = c.g.deps.Memory.Sent(ctx, known.Sent{
			User: c.came.Author, Name: c.came.Name, MessageID: o.MessageID, RcptTo: c.m.RcptTo, At: c.came.At,
		})
	}
	if err != nil {
		c.g.log.LogAttrs(ctx, state.LogLevel(err), "memory not told", slog.Any("err", err))
	}
}

// wish tells the greylist whether the sender should come back next time.
func (c *Case) wish(ctx context.Context, o Outcome) {
	if c.g.deps.Greylist == nil || c.m.Direction != scan.Inbound || o.Result == nil {
		return
	}
	tell := c.g.deps.Greylist.Unwish
	if o.Result.Greylist {
		tell = c.g.deps.Greylist.Wish
	}
	if err := tell(ctx, c.m.Client.Addr, c.m.MailFrom.String()); err != nil {
		c.g.log.LogAttrs(ctx, state.LogLevel(err), "greylist not told", slog.Any("err", err))
	}
}

// mayBe reports whether the author of a message that user submitted may be he.
// Else one user could choose correspondents and names for all others.
func (c *Case) mayBe(ctx context.Context, user string) bool {
	login, err := mailaddr.Parse(user)
	if err != nil || c.came.Author.Domain == "" || c.g.deps.MaySend == nil {
		return false
	}
	may, err := c.g.deps.MaySend(ctx, login, c.came.Author)
	return may && err == nil
}

// spamminess returns 1 for spam, 0 for mail that is wanted, and something
// between where nobody can say. What the memory itself said is left out: it
// must not feed on itself.
func spamminess(o Outcome) float64 {
	score := 0.0
	for _, l := range o.Result.Lines {
		if l.Group != "known" {
			score += l.Score
		}
	}
	switch {
	case o.Mark > 0 && score >= o.Mark:
		return 1
	case o.Taken && o.Result.Verdict == verdict.Accept && score < o.Mark/2:
		return 0
	}
	return 0.5
}
