package resolver

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// FuzzAnswer reads what a server may send.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{records, "a.example. 5 IN CNAME a.example.", `a.example. 1 IN TXT "" "\000\255"`} {
		p := dns.NewZoneParser(strings.NewReader(text), ".", "")
		m := new(dns.Msg).SetQuestion("example.org.", dns.TypeTXT)
		m.Response = true
		for rr, ok := p.Next(); ok; rr, ok = p.Next() {
			m.Answer = append(m.Answer, rr)
		}
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	types := []uint16{dns.TypeTXT, dns.TypeMX, dns.TypeA, dns.TypeAAAA, dns.TypePTR}
	f.Fuzz(func(t *testing.T, wire []byte) {
		m := new(dns.Msg)
		if m.Unpack(wire) != nil || len(m.Question) == 0 {
			return
		}
		for _, typ := range types {
			hops := 0
			ans, _, err := read(m, key{fold(m.Question[0].Name), typ}, &hops)
			if err == nil && (hops > maxAliases || len(ans.addrs)+len(ans.mx)+len(ans.text) > maxRecords || ans.ttl < 0) {
				t.Fatalf("read(%v) = %+v after %d aliases", m, ans, hops)
			}
			for _, s := range ans.text {
				if typ == dns.TypePTR && strings.ContainsAny(s, "\\\r\n\x00;( ") {
					t.Fatalf("PTR gives %q", s)
				}
			}
		}
	})
}

// FuzzQuestion holds question against the library: what we ask for is what
// comes back from the wire.
func FuzzQuestion(f *testing.F) {
	for _, s := range []string{"example.org", "A.b.", "a b(c);@\".\\x", "\x00\xff.example", "..", "a:b/c.d", "é.example", "a\\.b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		q, ok := question(name)
		if !ok {
			return
		}
		m := new(dns.Msg).SetQuestion(q, dns.TypeTXT)
		wire, err := m.Pack()
		if err != nil {
			t.Fatalf("question(%q) = %q: %v", name, q, err)
		}
		back := new(dns.Msg)
		if err := back.Unpack(wire); err != nil || fold(back.Question[0].Name) != q {
			t.Fatalf("question(%q) = %q comes back as %v, %v", name, q, back.Question, err)
		}
		if dns.CountLabel(q) != strings.Count(strings.TrimSuffix(name, "."), ".")+1 {
			t.Fatalf("question(%q) = %q has %d labels", name, q, dns.CountLabel(q))
		}
	})
}
