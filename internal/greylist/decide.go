package greylist

import (
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/hostname"
	"github.com/gatepost/gatepost/internal/publicsuffix"
)

// Query is one recipient that a stranger names. The addresses are without
// brackets.
type Query struct {
	Client netip.Addr
	// Name is the client's verified name, "" when it has none.
	Name string
	Helo string
	// MailFrom is "" for the null reverse-path.
	MailFrom, RcptTo string
}

// Why says why a mail passes or waits, in words for the journal.
type Why string

// The reasons. The first group is known without the state.
const (
	WhyOff        Why = "greylisting is off"
	WhyNull       Why = "null reverse-path"
	WhyNoClient   Why = "no client address"
	WhyClient     Why = "the configuration lets the client in"
	WhyListed     Why = "a whitelist file has the client"
	WhyRecipient  Why = "a whitelist file has the recipient"
	WhyOptOut     Why = "the recipient wants no delay"
	WhyUnsuspect  Why = "not suspicious"
	WhyKnown      Why = "passed before"
	WhyAllowed    Why = "an administrator let the client in"
	WhyAutoAllow  Why = "the client passed often enough"
	WhyWritten    Why = "the recipient has written to the sender"
	WhyPassed     Why = "came back in time"
	WhyFirst      Why = "first try"
	WhyEarly      Why = "came back too early"
	WhyStateFault Why = "the state does not answer"
)

// Suspect says what makes a client suspicious, in words for the journal.
type Suspect string

// What makes a client suspicious.
const (
	SuspectNameless Suspect = "no verified name"
	SuspectDynamic  Suspect = "a name of an access line"
	SuspectListed   Suspect = "on a DNS list"
	SuspectWish     Suspect = "its last mail looked like spam"
)

// Outcome is what became of a query.
type Outcome struct {
	// Defer asks the client to come back.
	Defer bool
	// Observe says that nobody shall be told: the configuration only observes.
	Observe bool
	Why     Why
	// Suspect is "" in mode always, and where it was not looked at.
	Suspect Suspect
	// Client is the network or the organization that is remembered.
	Client string
	// First is when the triplet was first seen, Back when it may come back.
	First, Back time.Time
	// Now is when this was decided.
	Now time.Time
	// Err is the fault that kept the greylist from working; the mail passes.
	Err error
}

// Seconds is how long the client has to wait, rounded up: 0 if it has not.
func (o Outcome) Seconds() int {
	if !o.Defer {
		return 0
	}
	return int((o.Back.Sub(o.Now) + time.Second - 1) / time.Second)
}

// exempt returns why q is not asked, by the configuration alone, or "".
func (p *policy) exempt(q *Query) Why {
	switch {
	case p.Mode == Off || p.Mode == "":
		return WhyOff
	case q.MailFrom == "":
		return WhyNull
	case !q.Client.IsValid():
		return WhyNoClient
	case p.never.has(q.Client):
		return WhyClient
	}
	if why := p.spares(foldRecipient(q.RcptTo, p.RecipientDelimiter)); why != "" {
		return why
	}
	if p.lists.client(q.Client, q.Name) {
		return WhyListed
	}
	return ""
}

// spares returns why the configuration lets a recipient have no delay, or "".
func (p *policy) spares(rcpt string) Why {
	_, domain, _ := cutLast(rcpt)
	switch {
	case p.optOut[rcpt], p.optOut["@"+domain]:
		return WhyOptOut
	case p.lists.recipient(rcpt):
		return WhyRecipient
	}
	return ""
}

// suspect returns what the name of a client says against it, or "".
func suspect(q *Query) Suspect {
	if q.Name == "" {
		return SuspectNameless
	}
	org, ok := publicsuffix.Organization(q.Name)
	if ok && hostname.Of(q.Name, org, q.Client) >= hostname.Likely {
		return SuspectDynamic
	}
	return ""
}

// memory is what the state has about one name of the client: its network, or
// its organization.
type memory struct {
	key     string // "" if the client has no such name
	client  client
	triplet triplet
	seen    bool // there is a triplet
	// expires is when the triplet ends, clientEnds when the client's row does.
	expires, clientEnds time.Time
}

// waits reports whether the triplet waits for its second try.
func (m *memory) waits() bool { return m.seen && m.triplet.Passed.IsZero() }

// passed returns why m lets a mail in, or "".
func (m *memory) passed(autoAllow int) Why {
	switch {
	case m.key == "":
		return ""
	case m.client.Allowed:
		return WhyAllowed
	case m.seen && !m.triplet.Passed.IsZero():
		return WhyKnown
	case autoAllow > 0 && m.client.Passes >= uint64(autoAllow):
		return WhyAutoAllow
	}
	return ""
}

// step is what changes in the state.
type step struct {
	// keys are those under which the triplet is put; expires is when it ends.
	keys    []string
	put     triplet
	expires time.Time
	// passes is the key for which the pass is counted, renews the one whose count
	// is kept for another time.
	passes, renews string
}

// judge decides about a triplet that nothing exempts. It waits under the
// organization where that is known, for its next try may come from another
// network. What passed is remembered under both: the next mail may come when
// DNS does not tell the organization.
func (p *policy) judge(network, org memory, now time.Time) (Outcome, step) {
	for _, m := range [...]*memory{&network, &org} {
		if why := m.passed(p.AutoAllow); why != "" {
			return Outcome{Why: why, Client: m.key, First: m.triplet.First}, p.renew(m, network.key, why, now)
		}
	}
	best, other := &network, &org
	if org.key != "" {
		best, other = &org, &network
	}
	t, known := earliest(best, other)
	if !known || now.Before(t.First) || now.Sub(t.First) > p.Window.Std() {
		t = triplet{First: now} // or the clock was set back, or the window shortened
		known = false
	}
	s := step{keys: []string{best.key}, put: t, expires: t.First.Add(p.Window.Std())}
	back := t.First.Add(p.Delay.Std())
	if known && !now.Before(back) {
		s.put.Passed, s.expires, s.passes = now, now.Add(p.Keep.Std()), best.key
		if other.key != "" {
			s.keys = append(s.keys, other.key)
		}
		return Outcome{Why: WhyPassed, Client: best.key, First: t.First}, s
	}
	s.put.Tries++
	o := Outcome{Defer: true, Why: WhyFirst, Client: best.key, First: t.First, Back: back}
	if known {
		o.Why = WhyEarly
	}
	return o, s
}

// earliest returns the triplet that waits for longest.
func earliest(a, b *memory) (triplet, bool) {
	switch {
	case a.waits() && (!b.waits() || !b.triplet.First.Before(a.triplet.First)):
		return a.triplet, true
	case b.waits():
		return b.triplet, true
	}
	return triplet{}, false
}

// renew keeps what let a mail in for another time, but not with each mail: a day
// or a quarter of the time is near enough. What the organization let in is
// remembered of this network, too, which spares the next mail the question.
func (p *policy) renew(m *memory, network string, why Why, now time.Time) step {
	keep := p.Keep.Std()
	near := now.Add(keep - min(24*time.Hour, keep/4))
	switch {
	case why == WhyKnown && m.key != network:
		return step{keys: []string{network, m.key}, put: m.triplet, expires: now.Add(keep)}
	case why == WhyKnown && m.expires.Before(near):
		return step{keys: []string{m.key}, put: m.triplet, expires: now.Add(keep)}
	case why == WhyAutoAllow && m.clientEnds.Before(near):
		return step{renews: m.key}
	}
	return step{}
}
