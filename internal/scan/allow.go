package scan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/publicsuffix"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// The names of what the entries give.
const (
	allowedRule  = "ALLOWED"
	deniedRule   = "DENIED"
	unprovedRule = "ALLOW_UNPROVED"
)

// accessRules describe the lines of allow and deny entries. They are no rules
// about a message, so weights are not fitted to them.
var accessRules = []rule{
	{Rule: Rule{allowedRule, "entry", -100, "An allow entry names the proved author or the client."}, inbound: true},
	{Rule: Rule{deniedRule, "entry", 100, "A deny entry names the author, the envelope sender or the client."}, inbound: true},
	{Rule: Rule{unprovedRule, "entry", 0, "An allow entry names the author, and nothing proves that it is he: it does not count."}, inbound: true, fact: true},
}

// Entry is one entry of a list of senders: an address, a domain with all below
// it, "@" and a domain alone, or a network of clients.
type Entry struct {
	// text is as it is shown.
	text    string
	address string // local@domain, lower case
	domain  string
	below   bool // what is below domain counts too
	network netip.Prefix
}

// UnmarshalText reads user@example.com, example.com, @example.com (which
// SpamAssassin writes *@example.com) or 192.0.2.0/24.
func (e *Entry) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	if p, err := netaddr.ParsePrefix(s); err == nil {
		*e = Entry{text: netaddr.String(p), network: p}
		return nil
	}
	domain, only := strings.CutPrefix(strings.TrimPrefix(s, "*"), "@")
	if only || !strings.Contains(s, "@") && !strings.HasPrefix(s, "*") {
		d, err := mailaddr.ParseDomain(strings.TrimPrefix(domain, "."))
		if err != nil || !strings.Contains(d, ".") {
			return fmt.Errorf("%q is not a sender: use user@example.com, example.com (with what is below it), @example.com (that alone) or a network", s)
		}
		*e = Entry{text: d, domain: d, below: !only}
		if only {
			e.text = "@" + d
		}
		return nil
	}
	a, err := mailaddr.Parse(s)
	if err != nil || a.Domain == "" || strings.Contains(s, "*") {
		return fmt.Errorf("%q is not a sender: use user@example.com, example.com (with what is below it), @example.com (that alone) or a network", s)
	}
	*e = Entry{text: folded(a.String()), address: folded(a.String())}
	return nil
}

// MarshalText writes e as UnmarshalText reads it.
func (e Entry) MarshalText() ([]byte, error) { return []byte(e.text), nil }

// String is the text of MarshalText.
func (e Entry) String() string { return e.text }

// entryList finds the nearest of many entries.
type entryList struct {
	addresses map[string]Entry
	exact     map[string]Entry // "@domain"
	domains   map[string]Entry // with what is below
	networks  map[netip.Prefix]Entry
	bits      []int // the lengths of networks, the longest first
}

func newEntryList(entries []Entry) entryList {
	l := entryList{map[string]Entry{}, map[string]Entry{}, map[string]Entry{}, map[netip.Prefix]Entry{}, nil}
	for _, e := range entries {
		switch {
		case e.address != "":
			l.addresses[e.address] = e
		case e.below:
			l.domains[e.domain] = e
		case e.domain != "":
			l.exact[e.domain] = e
		case e.network.IsValid():
			l.networks[e.network.Masked()] = e
			if b := e.network.Bits(); !slices.Contains(l.bits, b) {
				l.bits = append(l.bits, b)
			}
		}
	}
	slices.SortFunc(l.bits, func(a, b int) int { return b - a })
	return l
}

// The ranks of entries by what they name: the nearer one holds. A longer domain
// or network is nearer than a shorter one.
const (
	rankNetwork = 1
	rankDomain  = 1 << 10
	rankExact   = 1 << 20
	rankAddress = 1 << 21
)

// sender finds the entry nearest to an address; rank 0 is none.
func (l *entryList) sender(a mailaddr.Address) (Entry, int) {
	if a.Domain == "" {
		return Entry{}, 0
	}
	a = a.Folded()
	if e, ok := l.addresses[a.String()]; ok {
		return e, rankAddress
	}
	if e, ok := l.exact[a.Domain]; ok {
		return e, rankExact
	}
	for d := a.Domain; d != ""; _, d, _ = strings.Cut(d, ".") {
		if e, ok := l.domains[d]; ok {
			return e, rankDomain + len(d)
		}
	}
	return Entry{}, 0
}

// client finds the entry nearest to the client's address.
func (l *entryList) client(a netip.Addr) (Entry, int) {
	a = a.Unmap().WithZone("")
	for _, bits := range l.bits {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if e, ok := l.networks[p]; ok {
			return e, rankNetwork + bits
		}
	}
	return Entry{}, 0
}

// accessLevel is what the server, a domain or a mailbox allows and denies.
type accessLevel struct{ allow, deny entryList }

// access holds all entries.
type access struct {
	some           bool // there is an entry at all
	server         accessLevel
	domains, users map[string]accessLevel
	settings       []setting // of accessRules
}

func newAccess(cfg Config) access {
	a := access{domains: map[string]accessLevel{}, users: map[string]accessLevel{}}
	level := func(allow, deny []Entry) accessLevel {
		a.some = a.some || len(allow)+len(deny) > 0
		return accessLevel{newEntryList(allow), newEntryList(deny)}
	}
	a.server = level(cfg.Allow, cfg.Deny)
	for name, rc := range cfg.Domains {
		if len(rc.Allow)+len(rc.Deny) > 0 {
			a.domains[folded(name)] = level(rc.Allow, rc.Deny)
		}
	}
	for name, rc := range cfg.Users {
		if len(rc.Allow)+len(rc.Deny) > 0 {
			a.users[folded(name)] = level(rc.Allow, rc.Deny)
		}
	}
	return a
}

// parties are whom entries may name.
type parties struct {
	// authors are the mailboxes of From; proved says that there is one, and that
	// its domain answers for the message.
	authors  []mailaddr.Mailbox
	proved   bool
	mailFrom mailaddr.Address
	client   netip.Addr
}

// found is the entry that holds, by the name of its line; "" for none.
type found struct{ name, entry string }

// find returns the entry of a level that holds: the nearest, and of two that
// are as near the one that denies.
func (l *accessLevel) find(p parties) found {
	allow, near := l.allow.client(p.client)
	deny, far := l.deny.client(p.client)
	unproved := ""
	for _, b := range p.authors {
		if e, rank := l.allow.sender(b.Addr); rank > near {
			if p.proved {
				allow, near = e, rank
			} else {
				unproved = e.text
			}
		}
		if e, rank := l.deny.sender(b.Addr); rank > far {
			deny, far = e, rank
		}
	}
	if e, rank := l.deny.sender(p.mailFrom); rank > far {
		deny, far = e, rank
	}
	switch {
	case far > 0 && far >= near:
		return found{deniedRule, deny.text}
	case near > 0:
		return found{allowedRule, allow.text}
	case unproved != "":
		return found{unprovedRule, unproved}
	}
	return found{}
}

// forRecipient returns what holds for one recipient: his own entries come before
// his domain's, and those before the server's.
func (a *access) forRecipient(to mailaddr.Address, p parties, server found) found {
	best := found{}
	take := func(f found) bool {
		if best.name == "" {
			best = f
		}
		if f.name == "" || f.name == unprovedRule {
			return false
		}
		best = f
		return true
	}
	if l, ok := lookup(a.users, to); ok && take(l.find(p)) {
		return best
	}
	if l, ok := a.domains[to.Folded().Domain]; ok && take(l.find(p)) {
		return best
	}
	take(server)
	return best
}

// entries adds the lines of allow and deny entries. What holds for all
// recipients is in the sum; what holds for some of them is told in a line of 0
// points, and returned as points for each recipient, and behind them for an
// address that is none.
func (e *Engine) entries(f *facts, s *sum) []float64 {
	if !e.access.some || f.Direction != Inbound {
		return nil
	}
	p := parties{authors: f.text.From, mailFrom: f.MailFrom, client: f.Client.Addr}
	p.proved = len(p.authors) == 1 && f.proved(p.authors[0].Addr.Domain)
	server := e.access.server.find(p)
	held := []found{server}
	if len(f.RcptTo) > 0 {
		held = held[:0]
		for _, to := range f.RcptTo {
			held = append(held, e.access.forRecipient(to, p, server))
		}
	}
	same := !slices.ContainsFunc(held, func(h found) bool { return h.name != held[0].name })
	if !same {
		held = append(held, server)
	}
	var own []float64
	for i := range accessRules {
		own = e.entryLine(i, f, held, same, own, s)
	}
	return own
}

// entryLine adds the line of one of accessRules, where an entry gives it, and own
// points.
func (e *Engine) entryLine(at int, f *facts, held []found, same bool, own []float64, s *sum) []float64 {
	r, set := &accessRules[at], e.access.settings[at]
	var options []string
	for i, h := range held {
		if h.name != r.Name || set.mode == unit.Off {
			continue
		}
		text := h.entry
		switch {
		case same:
		case i == len(f.RcptTo):
			text = ""
		default:
			text = f.RcptTo[i].String() + ": " + h.entry + ", " + points(set.score) + " for this recipient"
		}
		if text != "" && len(options) < maxOptions && !slices.Contains(options, text) {
			options = append(options, clip(text, maxOption))
		}
		if !same && set.mode != unit.Observe && set.score != 0 {
			if own == nil {
				own = make([]float64, len(held))
			}
			own[i] = set.score
		}
	}
	if options == nil {
		return own
	}
	set.hits.Add(1)
	l := verdict.Line{Name: r.Name, Group: r.Group, Score: set.score, Text: r.Text, Options: options}
	switch {
	case !same:
		l.Score = 0
	case set.mode == unit.Observe:
		l = observed(l)
	}
	s.add(l)
	return own
}

// proved reports whether the domain of an author answers for the message: by
// DMARC, or, where it publishes no policy, by a signature or an envelope sender
// of the same organization that was checked.
func (f *facts) proved(domain string) bool {
	switch f.Auth.DMARC.Result {
	case authres.Pass:
		return sameOrg(f.Auth.DMARC.Domain, domain)
	case authres.Fail, authres.PermError:
		return false
	}
	for _, d := range f.Auth.DKIM {
		if d.Result == authres.Pass && !d.Partial && sameOrg(d.Domain, domain) {
			return true
		}
	}
	m := f.Auth.SPF.MailFrom
	return m.Result == authres.Pass && !m.NullPath && sameOrg(m.Domain, domain)
}

// sameOrg reports whether two names are of one organization.
func sameOrg(a, b string) bool {
	if strings.EqualFold(a, b) {
		return a != ""
	}
	x, ok := publicsuffix.Organization(a)
	y, okay := publicsuffix.Organization(b)
	return ok && okay && x == y
}

func folded(s string) string { return strings.ToLower(s) }

// domainOf returns what stands behind the last "@".
func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }
