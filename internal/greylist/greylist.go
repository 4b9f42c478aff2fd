package greylist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/state"
)

// store is what the greylist needs of the state.
type store interface {
	Get(ctx context.Context, t state.Table, key string) (state.Entry, error)
	Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error
	Delete(ctx context.Context, t state.Table, key string) error
	List(ctx context.Context, t state.Table, prefix string) ([]state.Entry, error)
}

// authenticator proves the sender's organization. What can not be found out for
// the moment is not proved.
type authenticator interface {
	Authenticated(ctx context.Context, client netip.Addr, helo, mailFrom string) (org string, ok bool)
}

// correspondence knows to whom users wrote.
type correspondence interface {
	Correspondent(ctx context.Context, user string, author mailaddr.Address) bool
}

// listed asks DNS lists about a client. No answer is no.
type listed interface {
	Listed(ctx context.Context, client netip.Addr) bool
}

// mailboxes knows which mailbox an alias leads to.
type mailboxes interface {
	// Mailbox returns the address of the one mailbox that rcpt leads to, "" if
	// there is none, or more.
	Mailbox(ctx context.Context, rcpt string) string
}

// Deps are the parts that the greylist asks. All but State may be nil.
type Deps struct {
	State          store
	Authenticator  authenticator
	Correspondence correspondence
	Listed         listed
	Mailboxes      mailboxes
}

// Greylist decides who has to come back, and remembers it. It is safe for
// concurrent use.
type Greylist struct {
	deps   Deps
	policy atomic.Pointer[policy]
	// mu is held while a pass is counted, so that two connections do not count
	// the same one.
	mu sync.Mutex

	deferred, passed, faults atomic.Uint64
}

// askTime bounds the question to the lists and that about SPF, each. What takes
// longer is not known.
const askTime = 3 * time.Second

// New returns a Greylist, or all that is wrong with cfg. What can not be read of
// the whitelists is told to log, and the rest of them holds: no mail stops for it.
func New(cfg Config, deps Deps, log *slog.Logger) (*Greylist, error) {
	p, err := cfg.policy()
	if err != nil {
		return nil, fmt.Errorf("greylist: %w", err)
	}
	if err := p.lists.readFiles(cfg.WhitelistFiles); err != nil {
		log.LogAttrs(context.Background(), slog.LevelError, "greylist begins without a part of its whitelists", slog.Any("err", err))
	}
	g := &Greylist{deps: deps}
	g.policy.Store(p)
	return g, nil
}

// Reconfigure takes a new configuration, or returns what is wrong with it and
// keeps the old. The whitelists are read again.
func (g *Greylist) Reconfigure(cfg Config) error {
	p, err := cfg.policy()
	if err == nil {
		err = p.lists.readFiles(cfg.WhitelistFiles)
	}
	if err != nil {
		return fmt.Errorf("greylist: %w", err)
	}
	g.policy.Store(p)
	return nil
}

// Stats counts since the start.
type Stats struct {
	// Deferred are the answers that asked to come back, Passed those who did,
	// Faults what passed because the state did not answer.
	Deferred, Passed, Faults uint64
}

// Stats returns what a metric may show.
func (g *Greylist) Stats() Stats {
	return Stats{g.deferred.Load(), g.passed.Load(), g.faults.Load()}
}

// See decides about one recipient of a stranger, and remembers that it was
// here. A fault is in the outcome, which then lets the mail pass.
func (g *Greylist) See(ctx context.Context, q Query, now time.Time) Outcome {
	p := g.policy.Load()
	o, err := g.see(ctx, p, &q, now)
	if err != nil {
		o = Outcome{Why: WhyStateFault, Err: err}
		g.faults.Add(1)
	}
	if o.Defer {
		g.deferred.Add(1)
	} else if o.Why == WhyPassed {
		g.passed.Add(1)
	}
	o.Observe, o.Now = p.Observe, now
	return o
}

func (g *Greylist) see(ctx context.Context, p *policy, q *Query, now time.Time) (Outcome, error) {
	q.Client = q.Client.Unmap().WithZone("")
	if why := p.exempt(q); why != "" {
		return Outcome{Why: why}, nil
	}
	t := names{network: networkOf(q.Client), sender: foldSender(q.MailFrom), rcpt: foldRecipient(q.RcptTo, p.RecipientDelimiter)}
	why, err := g.suspicious(ctx, p, q, t)
	if err != nil || why == "" && p.Mode != Always {
		return Outcome{Why: WhyUnsuspect}, err
	}
	network, err := g.recall(ctx, t.network, t)
	if err != nil {
		return Outcome{}, err
	}
	o, s := p.judge(network, memory{}, now)
	if o.Defer || o.Why == WhyPassed {
		if except, err := g.except(ctx, p, q, t); err != nil || except != "" {
			return Outcome{Why: except, Suspect: why}, err
		}
		org, err := g.organization(ctx, q, t)
		if err != nil {
			return Outcome{}, err
		}
		o, s = p.judge(network, org, now)
	}
	o.Suspect = why
	return o, g.apply(ctx, p, t, s, now)
}

// names are the words of a triplet.
type names struct{ network, sender, rcpt string }

func (t names) key(client string) string { return rowKey(tripletRow, client, t.sender, t.rcpt) }

// suspicious says what is suspicious of a client. What costs most is asked last.
func (g *Greylist) suspicious(ctx context.Context, p *policy, q *Query, t names) (Suspect, error) {
	if p.Mode == Always {
		return "", nil
	}
	if why := suspect(q); why != "" {
		return why, nil
	}
	if _, ok, err := g.get(ctx, rowKey(wishRow, t.network, t.sender)); err != nil || ok {
		return SuspectWish, err
	}
	if g.deps.Listed == nil {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if g.deps.Listed.Listed(ctx, q.Client) {
		return SuspectListed, nil
	}
	return "", nil
}

// except returns why the recipient, or the user whose alias it is, is not made
// to wait, or "".
func (g *Greylist) except(ctx context.Context, p *policy, q *Query, t names) (Why, error) {
	rcpts := []string{t.rcpt}
	if g.deps.Mailboxes != nil {
		user := foldRecipient(g.deps.Mailboxes.Mailbox(ctx, q.RcptTo), p.RecipientDelimiter)
		if user != "" && user != t.rcpt {
			rcpts = append(rcpts, user)
		}
	}
	sender, err := mailaddr.Parse(q.MailFrom)
	asks := err == nil && g.deps.Correspondence != nil
	for _, rcpt := range rcpts {
		if why := p.spares(rcpt); why != "" {
			return why, nil
		}
		_, domain, _ := cutLast(rcpt)
		for _, key := range [...]string{rcpt, "@" + domain} {
			if _, ok, err := g.get(ctx, rowKey(recipientRow, key)); err != nil || ok {
				return WhyOptOut, err
			}
		}
		if asks && g.deps.Correspondence.Correspondent(ctx, rcpt, sender) {
			return WhyWritten, nil
		}
	}
	return "", nil
}

// organization returns what is remembered of the sender's organization, if it
// is proved.
func (g *Greylist) organization(ctx context.Context, q *Query, t names) (memory, error) {
	if g.deps.Authenticator == nil {
		return memory{}, nil
	}
	asking, cancel := context.WithTimeout(ctx, askTime)
	org, ok := g.deps.Authenticator.Authenticated(asking, q.Client, q.Helo, q.MailFrom)
	cancel()
	if !ok || org == "" {
		return memory{}, nil
	}
	return g.recall(ctx, word(org), t)
}

// recall returns what is remembered of a client. A row that can not be read as
// one is as good as none.
func (g *Greylist) recall(ctx context.Context, key string, t names) (memory, error) {
	m := memory{key: key}
	e, ok, err := g.get(ctx, rowKey(clientRow, key))
	if err != nil {
		return m, err
	}
	if c, bad := parseClient(e.Value); ok && bad == nil {
		m.client, m.clientEnds = c, e.Expires
	}
	e, ok, err = g.get(ctx, t.key(key))
	if err != nil {
		return m, err
	}
	if row, bad := parseTriplet(e.Value); ok && bad == nil {
		m.triplet, m.seen, m.expires = row, true, e.Expires
	}
	return m, nil
}

// apply writes what changes.
func (g *Greylist) apply(ctx context.Context, p *policy, t names, s step, now time.Time) error {
	if key := s.passes + s.renews; key != "" { // never both
		g.mu.Lock()
		defer g.mu.Unlock()
		if err := g.count(ctx, t, key, s.passes != "", now.Add(p.Keep.Std())); err != nil {
			return err
		}
	}
	for _, key := range s.keys {
		if err := g.put(ctx, t.key(key), s.put.append(nil), s.expires, false); err != nil {
			return err
		}
	}
	return nil
}

// count counts the pass of a triplet for its client, once, or only keeps the
// count.
func (g *Greylist) count(ctx context.Context, t names, key string, pass bool, expires time.Time) error {
	m, err := g.recall(ctx, key, t)
	if err != nil || m.client.Allowed || pass && m.seen && !m.waits() {
		return err
	}
	if pass {
		m.client.Passes++
	}
	return g.put(ctx, rowKey(clientRow, key), m.client.append(nil), expires, false)
}

func (g *Greylist) get(ctx context.Context, key string) (e state.Entry, ok bool, err error) {
	e, err = g.deps.State.Get(ctx, state.Seen, key)
	if errors.Is(err, state.ErrNotFound) {
		return e, false, nil
	}
	return e, err == nil, err
}

func (g *Greylist) put(ctx context.Context, key string, value []byte, expires time.Time, sync bool) error {
	return g.deps.State.Put(ctx, state.Seen, state.Entry{Key: key, Value: value, Expires: expires}, sync)
}

// Wish remembers that mail of sender from client looked so much like spam that
// its next one shall come twice. The client's network has to earn anew that it
// is asked no more, unless an administrator let it in. It holds until Unwish, at
// most as long as a try waits.
func (g *Greylist) Wish(ctx context.Context, client netip.Addr, sender string) error {
	p := g.policy.Load()
	if p.Mode != Suspicious || !client.IsValid() || sender == "" {
		return nil
	}
	network := networkOf(client.Unmap().WithZone(""))
	err := g.put(ctx, rowKey(wishRow, network, foldSender(sender)), nil, time.Now().Add(p.Window.Std()), false)
	if err != nil {
		return fmt.Errorf("greylist: remember a wish: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	e, ok, err := g.get(ctx, rowKey(clientRow, network))
	if c, bad := parseClient(e.Value); !ok || bad == nil && c.Allowed {
		return err
	}
	return g.deps.State.Delete(ctx, state.Seen, e.Key)
}

// Unwish forgets the wish: the last mail of sender from client was good.
func (g *Greylist) Unwish(ctx context.Context, client netip.Addr, sender string) error {
	if !client.IsValid() || sender == "" {
		return nil
	}
	key := rowKey(wishRow, networkOf(client.Unmap().WithZone("")), foldSender(sender))
	if _, ok, err := g.get(ctx, key); err != nil || !ok {
		return err
	}
	return g.deps.State.Delete(ctx, state.Seen, key)
}
