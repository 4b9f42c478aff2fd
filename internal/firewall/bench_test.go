package firewall

import (
	"net/netip"
	"testing"
	"time"
)

// BenchmarkPut is one more ban beside 5,000, without the kernel.
func BenchmarkPut(b *testing.B) {
	now := time.Now()
	all := book{}
	for _, ban := range manyBans(5000) {
		all[ban.Network] = held{ban.Services, now.Add(ban.Left)}
	}
	p := netip.MustParsePrefix("198.51.100.7/32")
	b.ReportAllocs()
	for b.Loop() {
		all.put(p, held{[]string{"imap", "submission"}, now.Add(time.Hour)}, now)
		all.put(p, held{}, now)
	}
}

func BenchmarkParseRequest(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseRequest("ban 203.0.113.7/32 imap,pop3,submission 600"); err != nil {
			b.Fatal(err)
		}
	}
}
