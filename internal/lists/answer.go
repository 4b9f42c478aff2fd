package lists

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Answer is a pattern for the address that a list answers with. Its text is
// one of
//
//	127.0.0.2       this address
//	127.0.0.4-7     a range in any octet but the first
//	127.0.*.3       any number
//	127.0.2.0/24    a network
//	bit 8           any address that has this bit, or all bits of this number,
//	                in its last three octets
//
// The zero Answer matches nothing.
type Answer struct {
	text      string
	low, high [4]byte
	net       netip.Prefix
	bits      uint32
}

// maxBits are the octets behind the first, which is 127.
const maxBits = 1<<24 - 1

// UnmarshalText reads the forms above.
func (a *Answer) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	got, err := parseAnswer(s)
	if err != nil {
		return err
	}
	*a = got
	return nil
}

func parseAnswer(s string) (Answer, error) {
	bad := fmt.Errorf("%q is not an answer such as 127.0.0.2, 127.0.0.4-7, 127.0.*.3, 127.0.2.0/24 or \"bit 8\"", s)
	a := Answer{text: s}
	if n, ok := strings.CutPrefix(s, "bit "); ok {
		v, err := strconv.ParseUint(strings.TrimSpace(n), 0, 32)
		if err != nil || v == 0 || v > maxBits {
			return Answer{}, bad
		}
		a.bits = uint32(v)
		return a, nil
	}
	if strings.IndexByte(s, '/') >= 0 {
		p, err := netip.ParsePrefix(s)
		if err != nil || !p.Addr().Is4() || p != p.Masked() || p.Bits() < 8 || !valid(p.Addr()) {
			return Answer{}, bad
		}
		a.net = p
		return a, nil
	}
	octets := strings.Split(s, ".")
	if len(octets) != 4 || octets[0] != "127" {
		return Answer{}, bad
	}
	for i, o := range octets {
		low, high, ok := octetRange(o)
		if !ok {
			return Answer{}, bad
		}
		a.low[i], a.high[i] = low, high
	}
	return a, nil
}

// octetRange reads "4", "4-7" or "*".
func octetRange(s string) (low, high byte, ok bool) {
	if s == "*" {
		return 0, 255, true
	}
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	l, err := strconv.ParseUint(from, 10, 8)
	h, err2 := strconv.ParseUint(to, 10, 8)
	return byte(l), byte(h), err == nil && err2 == nil && l <= h
}

// MarshalText writes a as UnmarshalText reads it.
func (a Answer) MarshalText() ([]byte, error) { return []byte(a.text), nil }

// String is the text of MarshalText.
func (a Answer) String() string { return a.text }

// Match reports whether addr, an IPv4 address, is of the pattern.
func (a Answer) Match(addr netip.Addr) bool {
	if !addr.Is4() || a.text == "" {
		return false
	}
	b := addr.As4()
	switch {
	case a.bits != 0:
		return b[0] == 127 && binary.BigEndian.Uint32(b[:])&a.bits == a.bits
	case a.net.IsValid():
		return a.net.Contains(addr)
	}
	for i := range b {
		if b[i] < a.low[i] || b[i] > a.high[i] {
			return false
		}
	}
	return true
}

// valid reports whether addr is one that a list may answer with (RFC 5782 §2.1).
func valid(addr netip.Addr) bool { return addr.Is4() && addr.As4()[0] == 127 }

// at is the address 127.b.c.d.
func at(b, c, d byte) Answer { return span(b, c, d, d) }

// span is the addresses 127.b.c.low to 127.b.c.high.
func span(b, c, low, high byte) Answer {
	a := Answer{low: [4]byte{127, b, c, low}, high: [4]byte{127, b, c, high}}
	a.text = fmt.Sprintf("127.%d.%d.%d", b, c, low)
	if low != high {
		a.text += "-" + strconv.Itoa(int(high))
	}
	return a
}

// trust is 127.0.*.level.
func trust(level byte) Answer {
	return Answer{low: [4]byte{127, 0, 0, level}, high: [4]byte{127, 0, 255, level}, text: "127.0.*." + strconv.Itoa(int(level))}
}

// bit is a bit of the last octet.
func bit(n byte) Answer { return Answer{bits: uint32(n), text: "bit " + strconv.Itoa(int(n))} }
