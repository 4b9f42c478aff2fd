package access

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// Subject is whom an entry may be about, and for whom the mail is. An address
// without local part is one of its domain that is not known.
type Subject struct {
	MailFrom mailaddr.Address
	Client   netip.Addr
	// ClientName is the verified name of the client; empty without one.
	ClientName string
	Helo       string
	RcptTo     mailaddr.Address
	// Delimiter is recipient_delimiter: an entry for alice holds for alice+x.
	Delimiter string
}

// List finds the entry that holds. It is not changed after New, and is safe for
// concurrent use. A nil List has no entries.
type List struct {
	scopes map[string]*scope
	n      int
}

// New returns a List of entries. One that is not as Normal writes it is left
// out: the store refused it when it was added.
func New(entries []Entry) *List {
	l := &List{scopes: map[string]*scope{}}
	patterns := 0
	for _, e := range entries {
		n, err := parseName(e.Name)
		if err != nil || n.pattern != nil && patterns == MaxPatterns || l.n == MaxEntries {
			continue
		}
		if n.pattern != nil {
			patterns++
		}
		s := l.scopes[e.For]
		if s == nil {
			s = &scope{exact: map[key][]Entry{}}
			l.scopes[e.For] = s
		}
		s.add(n, e)
		l.n++
	}
	return l
}

// Len returns the number of entries.
func (l *List) Len() int {
	if l == nil {
		return 0
	}
	return l.n
}

// Find returns the entry that holds at now, and whether there is one.
func (l *List) Find(s Subject, now time.Time) (Entry, bool) {
	if l.Len() == 0 {
		return Entry{}, false
	}
	s.MailFrom, s.RcptTo = s.MailFrom.Folded(), s.RcptTo.Folded()
	s.MailFrom.Domain = inASCII(s.MailFrom.Domain)
	s.Helo = strings.ToLower(strings.TrimSuffix(s.Helo, "."))
	s.ClientName = strings.ToLower(strings.TrimSuffix(s.ClientName, "."))
	s.Client = s.Client.Unmap().WithZone("")
	for _, name := range scopesOf(s.RcptTo, s.Delimiter) {
		if sc := l.scopes[name]; sc != nil {
			if e, ok := sc.find(s, now); ok {
				return e, true
			}
		}
	}
	return Entry{}, false
}

// scopesOf returns the scopes that a recipient is in, the nearest first.
func scopesOf(to mailaddr.Address, delim string) []string {
	var out []string
	if to.Domain == "" {
		return []string{""}
	}
	if to.LocalPart != "" {
		out = append(out, to.String())
		if base, _, ok := to.CutDetail(delim); ok {
			out = append(out, base.String())
		}
	}
	out = append(out, "@"+to.Domain)
	return append(out, "")
}

// key names entries that are found by a map.
type key struct {
	kind kind
	text string
}

// scope has the entries of the server, a domain or a mailbox.
type scope struct {
	exact    map[key][]Entry
	bits     []int // the lengths of networks, the longest first
	patterns []pattern
}

type pattern struct {
	name
	entry Entry
}

func (s *scope) add(n name, e Entry) {
	if n.pattern != nil {
		s.patterns = append(s.patterns, pattern{n, e})
		return
	}
	k := key{n.kind, n.key}
	s.exact[k] = append(s.exact[k], e)
	if n.kind != ofNetwork {
		return
	}
	p, err := netip.ParsePrefix(n.key)
	if err == nil && !slices.Contains(s.bits, p.Bits()) {
		s.bits = append(s.bits, p.Bits())
		slices.SortFunc(s.bits, func(a, b int) int { return b - a })
	}
}

// find returns the nearest entry of a scope.
func (s *scope) find(sub Subject, now time.Time) (Entry, bool) {
	if from := sub.MailFrom; from.Domain != "" {
		if e, ok := s.pick(key{ofAddress, from.String()}, now); ok {
			return e, true
		}
		if e, ok := s.pick(key{ofExact, from.Domain}, now); ok {
			return e, true
		}
		for d := from.Domain; d != ""; _, d, _ = strings.Cut(d, ".") {
			if e, ok := s.pick(key{ofDomain, d}, now); ok {
				return e, true
			}
		}
	}
	for _, bits := range s.bits {
		p, err := sub.Client.Prefix(bits)
		if err != nil {
			continue
		}
		if e, ok := s.pick(key{ofNetwork, p.String()}, now); ok {
			return e, true
		}
	}
	if e, ok := s.client(ofHelo, sub.Helo, now); ok {
		return e, true
	}
	return s.client(ofClientName, sub.ClientName, now)
}

// client finds an entry by a name of the client, the plain one first.
func (s *scope) client(k kind, text string, now time.Time) (found Entry, ok bool) {
	if text == "" {
		return Entry{}, false
	}
	if e, ok := s.pick(key{k, text}, now); ok {
		return e, true
	}
	for i := range s.patterns {
		p := &s.patterns[i]
		if p.kind != k || p.entry.Ended(now) || ok && !p.entry.Deny || !p.pattern.MatchString(text) {
			continue
		}
		found, ok = p.entry, true
		if found.Deny {
			return found, true
		}
	}
	return found, ok
}

// pick returns the entry of that key that has not ended; one that denies comes
// first.
func (s *scope) pick(k key, now time.Time) (found Entry, ok bool) {
	for _, e := range s.exact[k] {
		if e.Ended(now) || ok && !e.Deny {
			continue
		}
		found, ok = e, true
	}
	return found, ok
}
