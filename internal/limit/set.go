package limit

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// Set is a list of limits that is ready to be asked. It does not change.
type Set struct {
	limits []compiled
	names  []string
}

// compiled is one limit.
type compiled struct {
	Limit
	parts     []By
	byRcpt    bool // ByRecipientDomain is among parts
	part      string
	base      tariff
	overrides []compiledOverride
}

type compiledOverride struct {
	people
	tariff
}

// tariff is the windows that hold for somebody, with what their counters' keys
// begin with, and as text.
type tariff struct {
	rates           Rates
	prefixes, spans []string
}

// prefix is that of all counters of limits.
const prefix = "limit/"

// Compile returns limits, which are valid, without those that are off.
func Compile(limits []Limit) *Set {
	s := &Set{}
	for _, l := range limits {
		if l.Mode == unit.Off {
			continue
		}
		c := compiled{Limit: l, parts: l.By.parts()}
		c.byRcpt = slices.Contains(c.parts, ByRecipientDomain)
		// No part of a counter's key holds a slash but the last. A limit with
		// another window, key or kind is another counter, one with another count
		// is not.
		c.part = string(l.by())
		if l.Counts() != Recipients {
			c.part += ":" + string(l.Counts())
		}
		c.base = c.tariff(l.Rate)
		for _, o := range l.Overrides {
			c.overrides = append(c.overrides, compiledOverride{parsePeople(o.For), c.tariff(o.Rate)})
		}
		s.limits = append(s.limits, c)
		s.names = append(s.names, c.Name)
	}
	return s
}

func (c *compiled) tariff(r Rates) tariff {
	t := tariff{rates: c.rates(r)}
	for _, one := range t.rates {
		span := unit.Duration(one.Window).String()
		t.spans = append(t.spans, span)
		t.prefixes = append(t.prefixes, prefix+c.Name+"/"+span+"/"+c.part+"/")
	}
	return t
}

// Only returns the limits that keep wants.
func (s *Set) Only(keep func(*Limit) bool) *Set {
	out := &Set{}
	for i := range s.limits {
		if c := &s.limits[i]; keep(&c.Limit) {
			out.limits = append(out.limits, *c)
			out.names = append(out.names, c.Name)
		}
	}
	return out
}

// Empty reports whether s has no limit.
func (s *Set) Empty() bool { return s == nil || len(s.limits) == 0 }

// Concerns reports whether one of s can count mail of that direction.
func (s *Set) Concerns(outbound bool) bool {
	return s != nil && slices.ContainsFunc(s.limits, func(c compiled) bool { return c.concerns(outbound) })
}

// concerns reports whether c can count mail of that direction: who sends from
// outside is no user.
func (c *compiled) concerns(outbound bool) bool {
	if outbound {
		return c.Direction != Inbound
	}
	return c.Direction != Outbound && !c.ofUser()
}

// NeedsRcpts reports whether one of s looks at each recipient, and NeedsNew
// whether at whom the user wrote to before.
func (s *Set) NeedsRcpts() bool {
	return s != nil && slices.ContainsFunc(s.limits, func(c compiled) bool {
		return c.byRcpt || c.Counts() == DistinctRecipients || c.Counts() == NewRecipients
	})
}

// NeedsNew reports whether one of s counts new recipients.
func (s *Set) NeedsNew() bool {
	return s != nil && slices.ContainsFunc(s.limits, func(c compiled) bool { return c.Counts() == NewRecipients })
}

// find returns the limit of that name, or nil.
func (s *Set) find(name string) *compiled {
	for i := range s.limits {
		if s.limits[i].Name == name {
			return &s.limits[i]
		}
	}
	return nil
}

// keySeparator stands between the parts of a key: nothing that Postfix sends
// can hold it.
const keySeparator = "\n"

// maxKeyBytes bounds a key; a longer one ends in its hash.
const maxKeyBytes = 600

// key returns what m is counted by for c, or "" if c does not concern m. domain
// is the recipients' domain that is meant.
func (c *compiled) key(m *Mail, domain string, memo *Memo) string {
	if len(c.parts) == 1 {
		return bounded(keyPart(c.parts[0], m, domain, memo))
	}
	var b strings.Builder
	for i, p := range c.parts {
		part := keyPart(p, m, domain, memo)
		if part == "" {
			return ""
		}
		if i > 0 {
			b.WriteString(keySeparator)
		}
		b.WriteString(part)
	}
	return bounded(b.String())
}

func bounded(key string) string {
	if len(key) <= maxKeyBytes {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return key[:maxKeyBytes] + "..." + hex.EncodeToString(sum[:8])
}

func keyPart(p By, m *Mail, domain string, memo *Memo) string {
	switch p {
	case ByUser:
		return m.User
	case ByUserDomain:
		return domainOf(m.User)
	case ByClient:
		if m.Client.IsValid() {
			return m.Client.String()
		}
	case ByClientNetwork:
		if m.Client.IsValid() {
			return memo.networkOf(m.Client)
		}
	case BySender:
		return m.Sender
	case BySenderDomain:
		return domainOf(m.Sender)
	case ByRecipientDomain:
		return domain
	}
	return ""
}

// network returns the /24 or /64 of a.
func network(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(a, 24).Masked()
	}
	return netaddr.Network(a)
}

func domainOf(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return ""
	}
	return address[at+1:]
}

// shownKey is a key for people.
func shownKey(key string) string { return strings.ReplaceAll(key, keySeparator, ",") }

// tariffOf returns the windows for m: what was set by hand for its key, else
// what the account store has for the user, else what the first override has
// that fits, else the limit's own.
func (c *compiled) tariffOf(m *Mail, key, domain string, set byHand) tariff {
	if len(set) > 0 {
		if r, ok := set[c.Name+"/"+shownKey(key)]; ok && r.valid(c.Counts()) == nil {
			return c.tariff(r)
		}
	}
	ofUser := c.ofUser()
	if ofUser && len(m.Stored) > 0 {
		if r := c.stored(m.Stored); r != nil {
			return c.tariff(r)
		}
	}
	if len(c.overrides) == 0 {
		return c.base
	}
	var groups []string
	if ofUser {
		groups = m.Groups
	}
	address, of := c.subject(m, domain)
	for i := range c.overrides {
		if o := &c.overrides[i]; o.has(address, of, groups, m.Client) {
			return o.tariff
		}
	}
	return c.base
}

// stored returns the first rate of all that is for c, or nil. One that c could
// not have was stored for a limit of that name with another kind: it holds no
// more.
func (c *compiled) stored(all []Stored) Rates {
	for i := range all {
		if all[i].Limit != c.Name {
			continue
		}
		if r, err := ParseRates(all[i].Rate); err == nil && r.valid(c.Counts()) == nil {
			return r
		}
	}
	return nil
}

// ofUser reports whether c counts by who logged in, alone or with others.
func (c *compiled) ofUser() bool {
	return slices.Contains(c.parts, ByUser) || slices.Contains(c.parts, ByUserDomain)
}

// subject returns whose address and domain the overrides of c are about: the
// user's, else the sender's, else the recipients' domain.
func (c *compiled) subject(m *Mail, domain string) (address, of string) {
	switch {
	case c.ofUser():
		return m.User, domainOf(m.User)
	case slices.Contains(c.parts, BySender), slices.Contains(c.parts, BySenderDomain):
		return m.Sender, domainOf(m.Sender)
	case c.byRcpt:
		return "", domain
	}
	return "", ""
}

// Uses reports whether one of s counts by one of parts.
func (s *Set) Uses(parts ...By) bool {
	return s != nil && slices.ContainsFunc(s.limits, func(c compiled) bool {
		return slices.ContainsFunc(parts, func(p By) bool { return slices.Contains(c.parts, p) })
	})
}

// Names returns the names of the limits.
func (s *Set) Names() []string { return s.names }
