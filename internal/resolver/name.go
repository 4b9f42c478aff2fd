package resolver

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Limits of RFC 1035 §2.3.4, in octets.
const (
	maxLabel = 63
	maxName  = 253 // in text, without the final dot
)

// question returns name as package dns writes it, in lower case and with its
// final dot; false for what cannot be a name in DNS. Octets that mean
// something in a zone file are escaped as dns.UnpackDomainName does it, so
// that names can be compared as text.
func question(name string) (string, bool) {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > maxName {
		return "", false
	}
	var b strings.Builder
	b.Grow(len(name) + 1)
	label := 0
	for i := range len(name) {
		c := name[i]
		if c == '.' {
			if label == 0 {
				return "", false
			}
			label = 0
			b.WriteByte('.')
			continue
		}
		if label++; label > maxLabel {
			return "", false
		}
		writeOctet(&b, c)
	}
	if label == 0 {
		return "", false
	}
	b.WriteByte('.')
	return b.String(), true
}

func writeOctet(b *strings.Builder, c byte) {
	switch {
	case c >= 'A' && c <= 'Z':
		b.WriteByte(c + 'a' - 'A')
	case c < ' ' || c > '~':
		b.WriteByte('\\')
		b.WriteByte('0' + c/100)
		b.WriteByte('0' + c/10%10)
		b.WriteByte('0' + c%10)
	case strings.IndexByte(` '@;()"\`, c) >= 0:
		b.WriteByte('\\')
		b.WriteByte(c)
	default:
		b.WriteByte(c)
	}
}

// fold returns a name of an answer in lower case.
func fold(name string) string { return dns.CanonicalName(name) }

// host returns a name from an answer without its final dot, in lower case;
// false for the root and for a name that needs escapes: no host has one, and
// nobody downstream shall have to undo them.
func host(name string) (string, bool) {
	name = strings.TrimSuffix(fold(name), ".")
	if name == "" || strings.IndexByte(name, '\\') >= 0 {
		return "", false
	}
	return name, true
}

// reverse returns the name below which the PTR records of a are (RFC 1035
// §3.5, RFC 3596 §2.5).
func reverse(a netip.Addr) string {
	var b strings.Builder
	raw := a.AsSlice()
	for i := len(raw) - 1; i >= 0; i-- {
		if a.Is4() {
			b.WriteString(strconv.Itoa(int(raw[i])))
			b.WriteByte('.')
			continue
		}
		const hex = "0123456789abcdef"
		b.WriteByte(hex[raw[i]&15])
		b.WriteByte('.')
		b.WriteByte(hex[raw[i]>>4])
		b.WriteByte('.')
	}
	if a.Is4() {
		return b.String() + "in-addr.arpa"
	}
	return b.String() + "ip6.arpa"
}

// unescape undoes the escapes that package dns puts into a character-string.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		if i+2 < len(s) && isDigit(s[i]) && isDigit(s[i+1]) && isDigit(s[i+2]) {
			b = append(b, (s[i]-'0')*100+(s[i+1]-'0')*10+s[i+2]-'0')
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
