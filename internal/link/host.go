package link

import (
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Host returns the host of a link, "" where it has none.
func Host(s string) string {
	u, ok := Parse(s)
	if !ok {
		return ""
	}
	return u.Host
}

// Registered returns the registered domain of host, which is in A-labels and
// lower case: one label more than its public suffix. It is host itself where
// that has none, as an address.
func Registered(host string) string {
	if isAddress(host) {
		return host
	}
	d, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return d
}

// isAddress tells by a look at the last character, which no top-level domain
// has as a digit.
func isAddress(host string) bool {
	if host == "" {
		return false
	}
	if c := host[len(host)-1]; c >= '0' && c <= '9' || strings.IndexByte(host, ':') >= 0 {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	return false
}

// Real reports whether host ends in a domain that exists for registration, so
// that "report.doc" and "v1.2" are no hosts.
func Real(host string) bool {
	if strings.IndexByte(host, '.') < 0 {
		return false
	}
	_, icann := publicsuffix.PublicSuffix(host)
	if icann {
		return true
	}
	// A suffix of the private section, as github.io, has a real one below.
	suffix := host[strings.LastIndexByte(host, '.')+1:]
	_, icann = publicsuffix.PublicSuffix(suffix)
	return icann
}

// Same reports whether two hosts are of one organization: equal, or under one
// registered domain.
func Same(a, b string) bool {
	a, b = ToASCII(a), ToASCII(b)
	return a == b || Registered(a) == Registered(b)
}

// Label returns the label of host that someone chose and registered: "example"
// of "www.example.co.uk".
func Label(host string) string {
	d := Registered(host)
	label, _, _ := strings.Cut(d, ".")
	return label
}

// Shown returns the host that a link's text shows a reader: the text is one
// word, a link or a host under a real top-level domain; else "". White space
// is no part of a host, so "paypal .com" shows none.
func Shown(text string) string {
	text = strings.Trim(text, " \t\"'<>()[].,;:!»«“”")
	if text == "" || len(text) > 500 || strings.ContainsAny(text, " @") {
		return ""
	}
	u, ok := Parse(text)
	if !ok || !u.Web() {
		if strings.IndexByte(text, '.') < 0 {
			return ""
		}
		u = ParseHost(text)
	}
	if u.Odd.Has(BadHost) || u.Odd.Has(Numeric) || !Real(u.Host) {
		return ""
	}
	return u.Host
}
