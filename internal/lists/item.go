package lists

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/link"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/message"
)

// item is one thing that lists may be asked about.
type item struct {
	of Of
	// host and domain are a whole name and its registered domain.
	host, domain string
	addr         netip.Addr
	email        mailaddr.Address
}

// about is what a person reads of it in a question with label: a name as it is
// asked for, whole or registered, else what is behind the digits.
func (i item) about(label string) string {
	switch {
	case i.addr.IsValid():
		return i.addr.String()
	case i.of == Email:
		return i.email.String()
	}
	return label
}

// items returns what of q may be asked about, the most telling first, each
// once and no more than the configuration allows.
func (s *set) items(q Query) []item {
	c := collector{set: s, own: q.OwnDomains, seen: make(map[thing]bool)}
	if a := q.Client.Unmap().WithZone(""); public(a) {
		c.out = append(c.out, item{of: Client, addr: a})
	}
	c.name(PTR, q.ClientName)
	c.name(Helo, q.Helo)
	c.name(Sender, q.MailFrom.Domain)
	for _, a := range q.From {
		c.name(Sender, a.Domain)
	}
	c.email(q.ReplyTo...)
	c.email(q.From...)
	c.email(q.MailFrom)
	if q.Text != nil {
		c.links(q.Text.Links)
		c.text(q.Text)
	}
	return c.out
}

// collector gathers items.
type collector struct {
	set    *set
	own    []string
	seen   map[thing]bool
	emails int
	out    []item
}

// thing is what is asked about in one role.
type thing struct {
	of  Of
	key string
}

// first reports whether key was not there before.
func (c *collector) first(of Of, key string) bool {
	t := thing{of, key}
	if c.seen[t] {
		return false
	}
	c.seen[t] = true
	return true
}

// name takes a name in whose registered domain lists may be interested.
func (c *collector) name(of Of, host string) {
	if it, ok := c.named(of, host); ok && c.first(of, it.host) {
		c.out = append(c.out, it)
	}
}

// named returns the item of host; false for what nobody is asked about: our own
// names, those that everybody knows, and what is no name.
func (c *collector) named(of Of, host string) (item, bool) {
	host = link.ToASCII(strings.TrimSuffix(host, "."))
	if !hostname(host) || !link.Real(host) {
		return item{}, false
	}
	if c.set.never.has(host) || slices.ContainsFunc(c.own, func(o string) bool { return within(host, o) }) {
		return item{}, false
	}
	return item{of: of, host: host, domain: link.Registered(host)}, true
}

// maxLabel bounds one part of a name (RFC 1035 §2.3.4).
const maxLabel = 63

// hostname reports whether s has only what names of hosts have.
func hostname(s string) bool {
	label := 0
	for i := range len(s) {
		c := s[i]
		if c == '.' && label > 0 {
			label = 0
			continue
		}
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') || label == maxLabel {
			return false
		}
		label++
	}
	return label > 0
}

// email takes addresses as far as there is room.
func (c *collector) email(all ...mailaddr.Address) {
	for _, a := range all {
		if a.LocalPart == "" || a.Domain == "" || c.emails >= c.set.cfg.MaxEmails {
			continue
		}
		if slices.ContainsFunc(c.own, func(o string) bool { return within(a.Domain, o) }) || !c.first(Email, canonical(a)) {
			continue
		}
		c.emails++
		c.out = append(c.out, item{of: Email, email: a.Folded()})
	}
}

// text takes the addresses that a reader may answer to.
func (c *collector) text(m *message.Message) {
	for i := range m.Links {
		if u := target(&m.Links[i]); u.Scheme == "mailto" {
			c.email(findEmails(u.Path, 1)...)
		}
	}
	for _, t := range append(slices.Clone(m.Text), m.Visible) {
		c.email(findEmails(t, c.set.cfg.MaxEmails)...)
	}
}

// links takes the hosts of links: those of links that look odd first, then from
// both ends in turn, so that neither a flood before nor one behind what counts
// pushes it out.
func (c *collector) links(links []message.Link) {
	var odd, rest []item
	for i := range links {
		u := target(&links[i])
		if u.Host == "" || u.Scheme == "mailto" || !c.first(URI, u.Host) {
			continue
		}
		it, ok := c.hostItem(u.Host)
		if !ok {
			continue
		}
		if u.Odd != 0 || u.Port != "" || strings.Contains(it.host, "xn--") {
			odd = append(odd, it)
		} else {
			rest = append(rest, it)
		}
	}
	domains := make(map[string]bool)
	for _, it := range append(odd, fromBothEnds(rest)...) {
		key := it.domain
		if it.of == URIAddr {
			key = it.addr.String()
		}
		if !domains[key] && len(domains) >= c.set.cfg.MaxDomains {
			continue
		}
		domains[key] = true
		c.out = append(c.out, it)
	}
}

// target returns where l leads: as it was read, or as a program takes it that
// thinks of a host where there is no scheme.
func target(l *message.Link) link.URL {
	if l.To.Scheme != "" {
		return l.To
	}
	if u, ok := link.Parse(l.URL); ok {
		return u
	}
	return link.ParseHost(l.URL)
}

// hostItem returns the item of a link's host.
func (c *collector) hostItem(host string) (item, bool) {
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap().WithZone("")
		return item{of: URIAddr, addr: a}, public(a)
	}
	return c.named(URI, host)
}

// fromBothEnds returns all with the first, the last, the second, the last but
// one and so on.
func fromBothEnds(all []item) []item {
	out := make([]item, 0, len(all))
	for i, j := 0, len(all)-1; i <= j; i, j = i+1, j-1 {
		out = append(out, all[i])
		if i != j {
			out = append(out, all[j])
		}
	}
	return out
}
