package scan

import (
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/verdict"
)

// detail separates the mailbox from what its owner put behind it. Postfix's
// recipient_delimiter may be another; an address with that needs an entry of
// its own.
const detail = "+"

// RecipientConfig changes what scores mean for the mail of one domain or one
// mailbox. What is not set is the domain's, and then the server's.
type RecipientConfig struct {
	Reject     *float64 `yaml:"reject"`
	Quarantine *float64 `yaml:"quarantine"`
	Mark       *float64 `yaml:"mark"`
	// Allow and Deny come before those of the domain and the server.
	Allow []Entry `yaml:"allow"`
	Deny  []Entry `yaml:"deny"`
}

// over returns t changed by rc.
func (rc RecipientConfig) over(t Thresholds) Thresholds {
	for _, s := range []struct {
		to   *float64
		from *float64
	}{{&t.Reject, rc.Reject}, {&t.Quarantine, rc.Quarantine}, {&t.Mark, rc.Mark}} {
		if s.from != nil {
			*s.to = *s.from
		}
	}
	return t
}

// levels are the thresholds of the server, and of the domains and mailboxes
// that have their own.
type levels struct {
	server         Thresholds
	domains, users map[string]Thresholds
}

func newLevels(cfg Config) levels {
	l := levels{
		server:  Thresholds{cfg.Reject, cfg.Quarantine, cfg.Mark},
		domains: map[string]Thresholds{}, users: map[string]Thresholds{},
	}
	for name, rc := range cfg.Domains {
		l.domains[folded(name)] = rc.over(l.server)
	}
	for name, rc := range cfg.Users {
		l.users[folded(name)] = rc.over(l.forDomain(domainOf(folded(name))))
	}
	return l
}

func (l *levels) forDomain(domain string) Thresholds {
	if t, ok := l.domains[domain]; ok {
		return t
	}
	return l.server
}

// of returns what counts for the recipients of m; own are their own points, nil
// for none. With nothing that tells them apart there is one for all.
func (l *levels) of(m Message, own []float64) []recipient {
	if m.Direction != Inbound || len(m.RcptTo) == 0 || own == nil && len(l.domains) == 0 && len(l.users) == 0 {
		return []recipient{{Thresholds: l.server}}
	}
	out := make([]recipient, len(m.RcptTo))
	for i, to := range m.RcptTo {
		t, ok := lookup(l.users, to)
		if !ok {
			t = l.forDomain(to.Folded().Domain)
		}
		out[i] = recipient{key: folded(to.String()), Thresholds: t}
		if own != nil {
			out[i].own = own[i]
		}
	}
	return out
}

// lookup finds what a mailbox has in m, by its whole address and then without
// what stands behind the delimiter.
func lookup[V any](m map[string]V, to mailaddr.Address) (V, bool) {
	if len(m) == 0 {
		var none V
		return none, false
	}
	to = to.Folded()
	v, ok := m[to.String()]
	if base, _, cut := to.CutDetail(detail); !ok && cut {
		v, ok = m[base.String()]
	}
	return v, ok
}

// VerdictFor returns the verdict for one recipient.
func (r Result) VerdictFor(to mailaddr.Address) verdict.Verdict {
	if v, ok := r.ByRcpt[folded(to.String())]; ok {
		return v
	}
	return r.Verdict
}
