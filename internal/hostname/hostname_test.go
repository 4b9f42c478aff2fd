package hostname

import (
	"net/netip"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	for _, tc := range []struct {
		name, org, addr string
		want            Grade
	}{
		{"mail.example.org", "example.org", "192.0.2.7", Named},
		{"example.org", "example.org", "192.0.2.7", Named},
		{"example.org", "", "192.0.2.7", Named},
		{"", "", "192.0.2.7", Named},
		{"7-2-0-192.dsl.example.net", "example.net", "192.0.2.7", Sure},
		{"DYN-192-0-2-7.Example.NET.", "example.net", "192.0.2.7", Sure},
		{"c0000207.dyn.example.net", "example.net", "192.0.2.7", Sure},
		{"c0000207.example.net", "example.net", "192.0.2.7", Likely},
		{"192-0-2-7.example.net", "example.net", "192.0.2.7", Likely},
		{"pool-12.example.net", "example.net", "198.51.100.9", Likely},
		{"dynamic.example.net", "example.net", "192.0.2.7", Named},
		{"static-192-0-2-7.example.net", "example.net", "192.0.2.7", Rented},
		{"ec2-192-0-2-7.compute.example.net", "example.net", "192.0.2.7", Rented},
		{"mx7.pool2.example.net", "example.net", "192.0.2.7", Named},
		{"mail.dsl-192-0-2-7.example.net", "example.net", "192.0.2.7", Sure},
		{"a1-2-3-4.example.net", "example.net", "", Likely},
		{"a1.example.net", "example.net", "", Named},
		{"mail.dsl.example", "dsl.example", "192.0.2.7", Named},
		{"7.2.0.192.dsl.example.net", "example.net", "2001:db8::1", Likely},
		{"7.2.0.192.dsl.example.net", "example.net", "::ffff:192.0.2.7", Sure},
	} {
		var a netip.Addr
		if tc.addr != "" {
			a = netip.MustParseAddr(tc.addr)
		}
		if got := Of(tc.name, tc.org, a); got != tc.want {
			t.Errorf("Of(%q, %q, %s) = %d, want %d", tc.name, tc.org, tc.addr, got, tc.want)
		}
	}
}

func FuzzOf(f *testing.F) {
	f.Add("dyn-192-0-2-7.example.net", "example.net")
	f.Add(strings.Repeat("1.", 200), "")
	f.Fuzz(func(t *testing.T, name, org string) {
		if g := Of(name, org, netip.MustParseAddr("192.0.2.7")); g < Named || g > Sure {
			t.Errorf("Of(%q, %q) = %d", name, org, g)
		}
	})
}

func BenchmarkOf(b *testing.B) {
	a := netip.MustParseAddr("192.0.2.7")
	b.ReportAllocs()
	for b.Loop() {
		Of("dyn-192-0-2-7.pool.region.example.net", "example.net", a)
	}
}
