package link

import (
	"net/netip"
	"strconv"
	"strings"
)

// endsInNumber reports whether the last label of s is a number, which makes
// the host an address for a browser (WHATWG URL §3.5, ends in a number).
func endsInNumber(s string) bool {
	last := s[strings.LastIndexByte(s, '.')+1:]
	if last == "" || last[0] < '0' || last[0] > '9' {
		return false
	}
	if _, ok := number(last); ok {
		return true
	}
	for i := range len(last) {
		if last[i] < '0' || last[i] > '9' {
			return false
		}
	}
	return true
}

// number reads one part of an address: decimal, octal behind "0", hexadecimal
// behind "0x".
func number(s string) (uint64, bool) {
	base := 10
	switch {
	case strings.HasPrefix(s, "0x"):
		s, base = s[2:], 16
		if s == "" {
			return 0, true
		}
	case len(s) > 1 && s[0] == '0':
		s, base = s[1:], 8
	}
	n, err := strconv.ParseUint(s, base, 32)
	return n, err == nil && s[0] != '+'
}

// ip4 reads an IPv4 address of one to four parts (WHATWG URL §3.5, IPv4
// parser) and makes the usual form of it.
func (u *URL) ip4(s string) {
	u.Odd |= Numeric
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		u.Odd |= BadHost
		return
	}
	var addr uint64
	for i, p := range parts {
		n, ok := number(p)
		most := uint64(255)
		if i == len(parts)-1 {
			most = 1<<(8*(5-len(parts))) - 1
		}
		if !ok || p == "" || n > most {
			u.Odd |= BadHost
			return
		}
		if i == len(parts)-1 {
			addr = addr<<(8*(5-len(parts))) | n
		} else {
			addr = addr<<8 | n
		}
	}
	a := netip.AddrFrom4([4]byte{byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)})
	u.Host = a.String()
	if u.Host != s {
		u.Odd |= Disguised
	}
	u.private(a)
}

func (u *URL) ip6(s string) {
	u.Host = s
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() || a.Zone() != "" {
		u.Odd |= BadHost
		return
	}
	u.Host = a.String()
	u.Odd |= Numeric
	u.private(a.Unmap())
}

func (u *URL) private(a netip.Addr) {
	if a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() {
		u.Odd |= Private
	}
}
