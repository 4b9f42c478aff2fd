// Package netaddr has what Gatepost needs of addresses beyond net/netip.
package netaddr

import (
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
