package guard

import (
	"context"
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/unit"
)

// Kind is what happened on port 25, or what another program saw.
type Kind string

const (
	// UnknownRecipient is a RCPT on port 25 for an address that nobody has.
	UnknownRecipient Kind = "unknown-recipient"
	// RelayAttempt is a RCPT on port 25 for a domain that is not ours.
	RelayAttempt Kind = "relay-attempt"
	// SpamRefused is a message that the milter refused for its score.
	SpamRefused Kind = "spam-refused"
	// Accepted is a message that was accepted and whose author's domain passed
	// SPF or DKIM: its client is not closed out of port 25 for 30 days.
	Accepted Kind = "accepted"
	// Reported is a failure that another program saw, such as a webmail.
	Reported Kind = "reported"
)

// Event is one thing that says something of a client.
type Event struct {
	Kind Kind
	// Addr is the client, which the peer itself gave.
	Addr netip.Addr
	// User is an account where the event has one: the recipient who is
	// unknown, or who another program names.
	User string
	// Service is what other programs report of, such as ssh or web.
	Service string
	// Score is that of the message.
	Score float64
}

// MX is port 25 as a service, beside those of Attempt: Postfix says smtp for
// every login, also on the submission ports.
const MX = "mx"

// welcomeTime is how long a client is not closed out of port 25 after mail of it
// was accepted.
const welcomeTime = 30 * day

// sender is a client whose mail was accepted.
type sender struct{ at, wrote uint32 }

// points is how much an event says against a client of port 25.
func (k Kind) points() int {
	switch k {
	case UnknownRecipient:
		return 1
	case SpamRefused:
		return 2
	case RelayAttempt:
		return 4
	}
	return 0
}

// Note takes an event. It asks memory only, unless a ban follows.
func (g *Guard) Note(ctx context.Context, e Event) Decision {
	c := g.cfg.Load()
	if c.Mode == unit.Off || !usable(e.Addr) {
		return Decision{}
	}
	a := Attempt{Addr: e.Addr, User: e.User, Service: e.Service}
	if e.Kind == Reported {
		// Nobody else writes down that it was.
		g.deps.Journal.Record(journal.Record{Time: g.now(), Daemon: "guard", Event: "report", Service: e.Service, User: e.User,
			ClientAddr: e.Addr.Unmap().WithZone(""), Verdict: "fail", Rule: "reported"})
		return g.Report(ctx, a, Wrong)
	}
	a.Service = MX
	v := g.keys.place(&c.Config, e.Addr)
	if v.blameless {
		return Decision{}
	}
	var fx effects
	var d Decision
	now := g.now()
	g.mu.Lock()
	if e.Kind == Accepted {
		fx.accepted = g.accept(v.host, now)
	} else if n := e.Kind.points(); n > 0 && c.Rules.MX.Mode != unit.Off {
		d = g.offend(c, &v, e, n, now, &fx)
	}
	g.mu.Unlock()
	g.apply(ctx, c, &a, &fx)
	return d
}

// accept notes accepted mail, and reports whether that is to be written.
func (g *Guard) accept(host uint64, now time.Time) bool {
	s, _ := g.senders.put(host)
	s.at = seconds(now)
	if s.at-s.wrote < uint32(day/time.Second) {
		return false
	}
	s.wrote = s.at
	return true
}

// welcome reports whether mail of that network was accepted lately.
func (g *Guard) welcome(host uint64, now time.Time) bool {
	s := g.senders.get(host)
	return s != nil && now.Unix()-int64(s.at) < int64(welcomeTime/time.Second)
}

// offend counts points against a client of port 25. A recipient who is asked
// for again counts once.
func (g *Guard) offend(c *settings, v *view, e Event, n int, now time.Time, fx *effects) Decision {
	if g.welcome(v.host, now) {
		return Decision{}
	}
	old, held := g.bans.find(v.addr, true, false, now)
	if held && decision(c.Mode, old).Refuse {
		return decision(c.Mode, old)
	}
	if e.Kind == UnknownRecipient {
		p, _ := g.counts.pairs.put(g.keys.pairKey(v.host, mxAccount))
		p.host = v.host
		if !p.tried.add(uint32(g.keys.accountKey(e.User))) {
			n = 0
		}
	}
	h, gone := g.counts.hosts.put(v.host)
	if gone {
		fx.dropped++
	}
	r := &c.Rules.MX
	span := r.FindTime.Std()
	h.mx.add(n, now, span)
	st := step{banHost, ruleMX, weaker(c.Mode, r.Mode), h.mx.count(now, span), span}
	if st.n < r.Max || held {
		return Decision{}
	}
	network := networkOf(v.host)
	if g.isOwn(network, now) {
		return Decision{}
	}
	h.mx = window{}
	b := g.newBan(c, network, []string{MX}, st, now)
	fx.over = g.bans.put(b, forgotten(c, b), min(c.MaxNetworks, maxBans))
	g.ahead(b, false)
	fx.kept = true
	fx.begin(b, "ban")
	return decision(c.Mode, b)
}

// mxAccount stands for the recipients that a client asked for.
const mxAccount = 1
