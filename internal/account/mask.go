package account

import (
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// Mask selects addresses in a list: see Reader.Users.
type Mask struct {
	// Domain is the only one that can match; empty for any.
	Domain  string
	pattern string // of local-part@domain, with * and ?; empty for any
}

// NewMask reads a mask.
func NewMask(s string) Mask {
	s = strings.ToLower(s)
	switch {
	case s == "" || s == "*":
		return Mask{}
	case !strings.ContainsAny(s, "@*?"):
		return Mask{Domain: FoldDomain(s)}
	}
	m := Mask{pattern: s}
	if _, domain, ok := strings.Cut(s, "@"); ok && !strings.ContainsAny(domain, "@*?") {
		m.Domain = domain
	}
	return m
}

// Match reports whether a, which is folded, is selected.
func (m Mask) Match(a mailaddr.Address) bool {
	if m.Domain != "" && a.Domain != m.Domain {
		return false
	}
	return m.pattern == "" || wild(m.pattern, a.LocalPart+"@"+a.Domain)
}

// wild reports whether s matches a pattern of "*" and "?". It goes back to the
// last "*" only, so its time is at most len(pattern) times len(s).
func wild(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
