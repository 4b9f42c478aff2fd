package tail

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// Event is one failed login that a foreign program wrote of.
type Event struct {
	Addr netip.Addr
	// User is what was typed as a name, "" where the line has none or one that
	// no account could have.
	User    string
	Service string
}

// maxUser bounds a name.
const maxUser = 255

// pattern is a regular expression that takes a line as a whole.
type pattern struct {
	re         *regexp.Regexp
	addr, user int // groups; user is 0 for none
}

// compile checks a pattern.
func compile(text string) (*pattern, error) {
	if len(text) > maxPatternBytes {
		return nil, fmt.Errorf("it has %d bytes, at most %d", len(text), maxPatternBytes)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if !edge(tree, true) || !edge(tree, false) {
		return nil, errors.New("it has to begin with ^ and to end with $ in each of its branches: what is in the middle of a line can be what a stranger typed")
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	p := &pattern{re: re}
	for i, name := range re.SubexpNames() {
		switch {
		case name == "addr" && p.addr == 0:
			p.addr = i
		case name == "user" && p.user == 0:
			p.user = i
		case name != "":
			return nil, fmt.Errorf("the group %q is unknown or there twice: use (?P<addr>…) once, and (?P<user>…) at most once", name)
		}
	}
	if p.addr == 0 {
		return nil, errors.New("it has no group (?P<addr>…)")
	}
	return p, nil
}

// edge reports whether each match of r begins where the text does, or ends
// where it does. (?m)^ is the begin of any line, and is not enough.
func edge(r *syntax.Regexp, begin bool) bool {
	switch r.Op {
	case syntax.OpBeginText:
		return begin
	case syntax.OpEndText:
		return !begin
	case syntax.OpCapture:
		return edge(r.Sub[0], begin)
	case syntax.OpConcat:
		if begin {
			return edge(r.Sub[0], begin)
		}
		return edge(r.Sub[len(r.Sub)-1], begin)
	case syntax.OpAlternate:
		return !slices.ContainsFunc(r.Sub, func(s *syntax.Regexp) bool { return !edge(s, begin) })
	}
	return false
}

// match reads a line. A line whose address is none is no event: what a pattern
// takes for one came from text.
func (p *pattern) match(line string) (Event, bool) {
	m := p.re.FindStringSubmatch(line)
	if m == nil {
		return Event{}, false
	}
	a, err := netip.ParseAddr(m[p.addr])
	if err != nil || a.Zone() != "" {
		return Event{}, false
	}
	if a = a.Unmap(); a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() {
		return Event{}, false
	}
	e := Event{Addr: a}
	if u := m[p.user]; p.user > 0 && len(u) <= maxUser && utf8.ValidString(u) && !strings.ContainsFunc(u, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		e.User = u
	}
	return e, true
}

// event says what a line of a source tells.
func (r *resolved) event(program, text string) (Event, bool) {
	if len(r.Programs) > 0 && !slices.Contains(r.Programs, program) {
		return Event{}, false
	}
	for _, p := range r.patterns {
		if e, ok := p.match(text); ok {
			e.Service = r.Service
			return e, true
		}
	}
	return Event{}, false
}

// line says what a line of a file tells.
func (r *resolved) line(s string) (Event, bool) {
	if len(r.Programs) == 0 {
		return r.event("", s)
	}
	program, text, ok := cutSyslog(s)
	if !ok {
		return Event{}, false
	}
	return r.event(program, text)
}
