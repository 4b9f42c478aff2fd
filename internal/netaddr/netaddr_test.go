package netaddr

import (
	"net/netip"
	"testing"
)

func TestParseAndNetwork(t *testing.T) {
	for _, tc := range []struct{ in, addr, network string }{
		{"192.0.2.7", "192.0.2.7", "192.0.2.7"},
		{"2001:db8::1", "2001:db8::1", "2001:db8::/64"},
		{"IPv6:2001:DB8::1", "2001:db8::1", "2001:db8::/64"},
		{"::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"},
		{"fe80::1%eth0", "fe80::1", "fe80::/64"},
		{"unknown", "", ""},
		{"", "", ""},
	} {
		a, err := Parse(tc.in)
		if (err != nil) != (tc.addr == "") {
			t.Errorf("Parse(%q) = %v, %v, want %q", tc.in, a, err, tc.addr)
			continue
		}
		if err != nil {
			continue
		}
		if a.String() != tc.addr || String(Network(a)) != tc.network {
			t.Errorf("Parse(%q) = %v in %s, want %s in %s", tc.in, a, String(Network(a)), tc.addr, tc.network)
		}
	}
	if got := String(netip.MustParsePrefix("192.0.2.0/24")); got != "192.0.2.0/24" {
		t.Errorf("String() = %s", got)
	}
}

func TestPrefix(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"192.0.2.7", "192.0.2.7"},
		{"192.0.2.0/24", "192.0.2.0/24"},
		{"2001:db8::/32", "2001:db8::/32"},
		{"192.0.2.7/24", ""},
		{"::ffff:192.0.2.0/120", ""},
		{"example.org", ""},
		{"", ""},
	} {
		var p Prefix
		err := p.UnmarshalText([]byte(tc.in))
		if (err != nil) != (tc.want == "") {
			t.Errorf("Prefix(%q) = %v, %v, want %q", tc.in, p, err, tc.want)
			continue
		}
		if text, _ := p.MarshalText(); err == nil && string(text) != tc.want {
			t.Errorf("Prefix(%q) writes %q, want %q", tc.in, text, tc.want)
		}
	}
}
