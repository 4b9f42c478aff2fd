package geo

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "geo.csv")
	text := "prefix,asn,cc\n# ours\n\n192.0.2.0/24,64500,de\n192.0.2.128/25,AS64501,FR\n192.0.2.128/26,,\n10.0.0.0/8,1,\n" +
		"\"2001:db8::/32\",\"64502\",\"US\"\n255.255.255.255/32,7,NL\n0.0.0.0/1,9,XX\n10.1.0.0/16,2,AT\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]Place{
		"192.0.2.1": {64500, "DE"}, "192.0.2.127": {64500, "DE"}, "192.0.2.200": {64501, "FR"}, "192.0.2.130": {},
		"::ffff:192.0.2.1": {64500, "DE"}, "192.0.3.1": {}, "10.2.0.1": {1, ""}, "10.1.255.255": {2, "AT"}, "10.255.255.255": {1, ""},
		"11.0.0.0": {9, "XX"}, "127.255.255.255": {9, "XX"}, "128.0.0.0": {}, "255.255.255.255": {7, "NL"}, "255.255.255.254": {},
		"2001:db8::1": {64502, "US"}, "2001:db9::": {}, "::1": {}, "fe80::1%eth0": {},
	} {
		if got := table.Find(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Find(%s) = %v, want %v", addr, got, want)
		}
	}
	var none *Table
	if got := none.Find(netip.MustParseAddr("192.0.2.1")); got != (Place{}) || table.Find(netip.Addr{}) != (Place{}) {
		t.Errorf("a nil Table knows %v", got)
	}
}

func TestFaults(t *testing.T) {
	for _, line := range []string{"x", "192.0.2.0/24,1", "192.0.2.1/24,1,DE", "192.0.2.0/24,x,DE", "192.0.2.0/24,1,DEU", "192.0.2.0/24,1,D1",
		"192.0.2.0/24,4294967296,DE", "::ffff:192.0.2.0/120,1,DE", strings.Repeat("x", 2000)} {
		_, err := Read(strings.NewReader("10.0.0.0/8,1,DE\n" + line + "\n"))
		if err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("Read(%.40q) = %v, want an error of line 2", line, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("Open() of no file = nil")
	}
}

// The table finds what going through all prefixes finds.
func TestFindProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var rows []row
		var text strings.Builder
		for i := range 1 + r.IntN(30) {
			p, _ := netip.AddrFrom4([4]byte{byte(r.IntN(4) * 85), byte(r.IntN(3)), 0, 0}).Prefix(r.IntN(18))
			fmt.Fprintf(&text, "%s,%d,DE\n", p, i+1)
			rows = append(rows, row{p, packed{asn: uint32(i + 1)}})
		}
		table, err := Read(strings.NewReader(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			a := netip.AddrFrom4([4]byte{byte(r.IntN(256)), byte(r.IntN(4)), byte(r.IntN(256)), 1})
			best, bits := uint32(0), -1
			for _, w := range rows {
				if w.prefix.Contains(a) && w.prefix.Bits() >= bits {
					best, bits = w.asn, w.prefix.Bits()
				}
			}
			if got := table.Find(a); got.ASN != best {
				t.Fatalf("Find(%s) = %d, want %d of\n%s", a, got.ASN, best, text.String())
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("192.0.2.0/24,64500,DE\n192.0.2.128/25,1,\n::/0,2,FR\n", "192.0.2.130")
	f.Add("prefix,asn,cc\n0.0.0.0/0,AS1,US\n255.0.0.0/8,2,DE", "255.255.255.255")
	f.Fuzz(func(t *testing.T, text, addr string) {
		table, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		if a, err := netip.ParseAddr(addr); err == nil {
			table.Find(a)
		}
		for i := 1; i < len(table.starts); i++ {
			if !table.starts[i-1].Less(table.starts[i]) {
				t.Fatalf("the table is not sorted: %v", table.starts)
			}
		}
	})
}

func BenchmarkFind(b *testing.B) {
	var text strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&text, "%d.%d.%d.0/24,%d,DE\n", i>>16+1, i>>8&255, i&255, i)
	}
	t, err := Read(strings.NewReader(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	a := netip.MustParseAddr("2.7.9.1")
	b.ReportAllocs()
	for b.Loop() {
		t.Find(a)
	}
}
