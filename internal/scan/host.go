package scan

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// hostOf returns the host of an http or https URL in lower case, "" for any
// other. It reads as browsers do, not as RFC 3986: white space inside is
// dropped, a backslash is a slash, user and password go.
func hostOf(url string) string {
	url = strings.Map(func(r rune) rune {
		switch r {
		case '\t', '\r', '\n':
			return -1
		case '\\':
			return '/'
		}
		return r
	}, clip(url, 2048))
	scheme, rest, ok := strings.Cut(url, ":")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return ""
	}
	rest = strings.TrimLeft(rest, "/")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return hostname(rest[strings.LastIndexByte(rest, '@')+1:])
}

// hostname returns an authority without user in lower case, without port and
// brackets.
func hostname(s string) string {
	if strings.HasPrefix(s, "[") {
		s, _, _ = strings.Cut(s[1:], "]")
		return strings.ToLower(s)
	}
	s, _, _ = strings.Cut(s, ":")
	return ascii(strings.ToLower(strings.TrimSuffix(s, ".")))
}

// ascii returns a domain with its labels in ASCII (RFC 5891); one that cannot
// be is returned as it is.
func ascii(domain string) string {
	for i := range len(domain) {
		if domain[i] >= 0x80 {
			if a, err := idna.Lookup.ToASCII(domain); err == nil {
				return a
			}
			break
		}
	}
	return domain
}

// shownHost returns the host that a link's text shows a reader: the text is one
// word, a URL or a host name under a real top-level domain; else "".
func shownHost(text string) string {
	text = strings.Trim(text, " \t\"'<>()[].,;:!")
	if text == "" || len(text) > 500 || strings.ContainsAny(text, " @") {
		return ""
	}
	h := hostOf(text)
	if h == "" {
		if i := strings.IndexAny(text, "/?#"); i >= 0 {
			text = text[:i]
		}
		h = hostname(text)
	}
	if !strings.Contains(h, ".") || !hasPublicSuffix(h) {
		return ""
	}
	return h
}

// hasPublicSuffix reports whether host ends in a domain that exists for
// registration, so that "report.doc" and "v1.2" are no hosts.
func hasPublicSuffix(host string) bool {
	_, icann := publicsuffix.PublicSuffix(ascii(host))
	return icann
}

// sameOrganization reports whether two hosts are under one registered domain.
func sameOrganization(a, b string) bool {
	a, b = ascii(strings.ToLower(a)), ascii(strings.ToLower(b))
	return a == b || registered(a) == registered(b)
}

// registered returns the registered domain of host: one label more than its
// public suffix; host itself where it has none.
func registered(host string) string {
	d, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return d
}

// isNumericHost reports whether h is an address, also in the forms of one
// number that browsers take.
func isNumericHost(h string) bool {
	if _, err := netip.ParseAddr(h); err == nil {
		return true
	}
	_, err := strconv.ParseUint(h, 0, 32)
	return err == nil
}

// clip returns at most n bytes of s, whole characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
