package tlspolicy

import (
	"strings"

	"github.com/gatepost/gatepost/internal/mtasts"
	"github.com/gatepost/gatepost/internal/resolver"
)

// host is what is known of one mail exchanger.
type host struct {
	name string
	// tlsa says that DNSSEC vouches for TLSA records that can be used; unknown,
	// that nobody could say.
	tlsa, unknown bool
}

// facts are what was found out about a domain.
type facts struct {
	// secure says that DNSSEC vouches for the list of hosts.
	secure bool
	hosts  []host
	// sts is the domain's policy; it is asked for only where DANE says nothing.
	sts mtasts.Policy
}

// decide returns the policy of a domain that is not in the own list, "" for
// none.
func decide(f facts) string {
	if p := decideDANE(f); p != "" {
		return p
	}
	return decideSTS(f.sts)
}

// decideDANE returns "" if DANE has nothing to say.
func decideDANE(f facts) string {
	if !f.secure || len(f.hosts) == 0 {
		return ""
	}
	all, some := true, false
	for _, h := range f.hosts {
		all = all && h.tlsa
		some = some || h.tlsa || h.unknown
	}
	switch {
	case all:
		return levelDANEOnly
	case some:
		return levelDANE
	}
	return ""
}

// decideSTS writes a policy that is to be enforced. SNI is the host's name
// (RFC 8461 §4.2), which Postfix knows as servername=hostname since 3.4.
func decideSTS(p mtasts.Policy) string {
	if p.Mode != mtasts.Enforce || len(p.MX) == 0 {
		return ""
	}
	names := make([]string, len(p.MX))
	for i, m := range p.MX {
		names[i] = strings.TrimPrefix(m, "*")
	}
	return levelSecure + " match=" + strings.Join(names, ":") + " servername=hostname"
}

// usable reports whether Postfix can go by a TLSA record (RFC 7672 §3.1: usages
// 2 and 3 only).
func usable(t resolver.TLSA) bool {
	return (t.Usage == 2 || t.Usage == 3) && t.Selector <= 1 && t.MatchingType <= 2 && t.Data != ""
}

// list is the own list, ready to be asked.
type list map[string]string

func newList(rules []Rule) list {
	l := make(list, len(rules))
	for _, r := range rules {
		l[strings.ToLower(strings.TrimSuffix(r.Domain, "."))] = r.text()
	}
	return l
}

// find returns the policy of a next hop in lower case: its own, else that of the
// nearest parent domain that covers what is below it.
func (l list) find(hop string) (string, bool) {
	if len(l) == 0 {
		return "", false
	}
	if p, ok := l[hop]; ok {
		return p, true
	}
	if !plain(hop) {
		return "", false
	}
	for at := strings.IndexByte(hop, '.'); at >= 0; {
		if p, ok := l[hop[at:]]; ok {
			return p, true
		}
		next := strings.IndexByte(hop[at+1:], '.')
		if next < 0 {
			break
		}
		at += 1 + next
	}
	return "", false
}

// plain reports whether a next hop is a domain: neither a host in brackets nor
// with a port.
func plain(hop string) bool { return hop != "" && hop[0] != '.' && !strings.ContainsAny(hop, "[]: ") }
