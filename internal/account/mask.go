package account

import (
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// mask selects addresses in a list.
type mask struct {
	domain  string // all others are out; empty for any
	pattern string // of local-part@domain, with * and ?; empty for any
}

func newMask(s string) mask {
	s = strings.ToLower(s)
	switch {
	case s == "" || s == "*":
		return mask{}
	case !strings.ContainsAny(s, "@*?"):
		return mask{domain: foldDomain(s)}
	}
	m := mask{pattern: s}
	if _, domain, ok := strings.Cut(s, "@"); ok && !strings.ContainsAny(domain, "@*?") {
		m.domain = domain
	}
	return m
}

func (m mask) match(a mailaddr.Address) bool {
	if m.domain != "" && a.Domain != m.domain {
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
