// Package netaddr has what Gatepost needs of addresses beyond net/netip.
package netaddr

import (
	"fmt"
	"net/netip"
	"strings"
)

// Parse reads an address as Postfix and Dovecot write it: IPv4, bare IPv6, or
// IPv6 behind Sendmail's "IPv6:". An IPv4-mapped IPv6 address becomes IPv4 and
// a zone is dropped, so that one host has one spelling.
func Parse(s string) (netip.Addr, error) {
	if len(s) > 5 && strings.EqualFold(s[:5], "IPv6:") {
		s = s[5:]
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, err
	}
	return a.Unmap().WithZone(""), nil
}

// Network returns the network that one customer of a provider holds: the
// address itself for IPv4, its /64 for IPv6. Counting attackers by anything
// longer lets one of them count as 2^64.
func Network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// String returns p as a person writes it: a single address without "/32" or
// "/128", else the prefix.
func String(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// Prefix is a network in a setting: "192.0.2.0/24", or one address.
type Prefix struct{ netip.Prefix }

// UnmarshalText reads what ParsePrefix does.
func (p *Prefix) UnmarshalText(b []byte) error {
	got, err := ParsePrefix(string(b))
	if err != nil {
		return err
	}
	p.Prefix = got
	return nil
}

// MarshalText writes p as a person does.
func (p Prefix) MarshalText() ([]byte, error) { return []byte(String(p.Prefix)), nil }

// ParsePrefix reads an address or a network. A network with bits set behind
// its length is refused: one of the two is a mistake.
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := Parse(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not an address or a network such as 192.0.2.0/24", s)
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 network in the form of IPv6", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits behind its length: did you mean %v?", s, p.Masked())
	}
	return p, nil
}
