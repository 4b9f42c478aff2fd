package dmarc

import (
	"strings"

	"golang.org/x/net/idna"
)

// Bounds of a name in DNS, in octets as written (RFC 1035 §2.3.4).
const (
	maxName  = 253
	maxLabel = 63
)

// prefix stands before the domain in the name that is asked for.
const prefix = "_dmarc."

// canonical returns a domain as names are compared: A-labels in lower case,
// no final dot. It is false for what is no domain.
func canonical(domain string) (string, bool) {
	d := strings.TrimSuffix(domain, ".")
	for i := range len(d) {
		if d[i] >= 0x80 {
			a, err := idna.Lookup.ToASCII(d)
			if err != nil {
				return "", false
			}
			d = a
			break
		}
	}
	d = strings.ToLower(d)
	label := 0
	for i := range len(d) {
		switch c := d[i]; {
		case c == '.' && label > 0:
			label = 0
			continue
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			label++
		default:
			return "", false
		}
	}
	return d, label > 0
}

// inDNS reports whether DNS can hold name. One that it cannot hold has no
// record and does not exist, without a question.
func inDNS(name string) bool {
	if len(name) > maxName {
		return false
	}
	for name != "" {
		label, rest, _ := strings.Cut(name, ".")
		if len(label) > maxLabel {
			return false
		}
		name = rest
	}
	return true
}

// above returns the name that a walk comes to after name, "" after the last
// (RFC 9989 §4.10): the parent, but of 8 labels and more the last 7 are left.
func above(name string) string {
	cut := 1
	if n := strings.Count(name, ".") + 1; n >= 8 {
		cut = n - 7
	}
	for range cut {
		_, name, _ = strings.Cut(name, ".")
	}
	return name
}

// under reports whether name is domain or below it.
func under(name, domain string) bool {
	head, ok := strings.CutSuffix(name, domain)
	return ok && (head == "" || head[len(head)-1] == '.')
}

// oneMore returns domain with the label of name before it, which is below it.
func oneMore(domain, name string) string {
	head := strings.TrimSuffix(name, "."+domain)
	return name[strings.LastIndexByte(head, '.')+1:]
}

// topLabel returns the last label of name.
func topLabel(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }
