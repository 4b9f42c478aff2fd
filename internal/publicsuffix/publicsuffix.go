// Package publicsuffix tells the domains below which others may register names
// from those that someone registered, by the list of publicsuffix.org in its
// ICANN and its private section, as golang.org/x/net/publicsuffix holds it.
//
// The list in the library is the only thing it knows: it is as old as that
// module. A name that no rule matches has its last label as suffix (the rule
// "*" of the list's algorithm).
package publicsuffix

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Version says which list is built in.
func Version() string { return publicsuffix.List.String() }

// Suffix returns the public suffix of name, as A-labels in lower case. It is
// false for what is no name of DNS: an empty label, an address.
func Suffix(name string) (string, bool) {
	n, ok := normal(name)
	if !ok {
		return "", false
	}
	s, _ := publicsuffix.PublicSuffix(n)
	return s, true
}

// Organization returns the public suffix of name and one label more, which is
// the Organizational Domain of RFC 7489 §3.2, as A-labels in lower case. It is
// false for a name that is a suffix itself, and for what is no name of DNS.
func Organization(name string) (string, bool) {
	n, ok := normal(name)
	if !ok {
		return "", false
	}
	s, _ := publicsuffix.PublicSuffix(n)
	above, ok := strings.CutSuffix(n, "."+s)
	if !ok {
		return "", false
	}
	return n[strings.LastIndexByte(above, '.')+1:], true
}

// normal returns name as the list has its names: the library folds nothing.
func normal(name string) (string, bool) {
	n := strings.ToLower(strings.TrimSuffix(name, "."))
	for i := range len(n) {
		if n[i] >= 0x80 {
			a, err := idna.Lookup.ToASCII(n)
			if err != nil {
				return "", false
			}
			n = a
			break
		}
	}
	if n == "" || len(n) > 253 || n[0] == '.' || n[len(n)-1] == '.' || strings.Contains(n, "..") {
		return "", false
	}
	if _, err := netip.ParseAddr(n); err == nil {
		return "", false
	}
	return n, true
}
