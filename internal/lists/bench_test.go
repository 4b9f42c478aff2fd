package lists

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/unit"
)

// slowServer answers every question after delay: listed for what begins with
// "2.0.0.127." or "test.", else not.
func slowServer(b *testing.B, delay time.Duration) string {
	b.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ready := make(chan struct{})
	srv := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(ready) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			name := q.Question[0].Name
			if strings.HasPrefix(name, "test.") || strings.HasPrefix(name, "2.0.0.127.") {
				m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 2)})
			} else {
				m.Rcode = dns.RcodeNameError
			}
			time.AfterFunc(delay, func() { _ = w.WriteMsg(m) })
		})}
	go func() { _ = srv.ActivateAndServe() }()
	<-ready
	b.Cleanup(func() { _ = srv.Shutdown() })
	return pc.LocalAddr().String()
}

// BenchmarkAsk asks forty questions of a message, of a server that takes 20 ms
// for each and with none in the cache, and reports the median time of a message.
func BenchmarkAsk(b *testing.B) {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
		b.Run(delay.String(), func(b *testing.B) {
			rc := resolver.Default()
			rc.Servers, rc.CacheSize = []string{slowServer(b, delay)}, 0
			res, err := resolver.New(rc, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			cfg := with()
			cfg.Timeout = unit.Duration(3 * time.Second)
			for i := range 4 {
				l := uriList()
				l.Name, l.Zone = fmt.Sprintf("L%d", i), fmt.Sprintf("l%d.net", i)
				cfg.Lists = append(cfg.Lists, l)
			}
			l, err := New(cfg, res, nil, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			l.Test(b.Context())
			var urls []string
			for i := range 10 {
				urls = append(urls, fmt.Sprintf("https://www.site%d.net/", i))
			}
			q := Query{Client: netip.MustParseAddr("8.8.8.8"), Text: links(urls...)}
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				at := time.Now()
				if lines := l.Ask(b.Context(), q); len(lines) != 0 {
					b.Fatal(told(lines))
				}
				took = append(took, time.Since(at))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
		})
	}
}

// BenchmarkPlan is all that asking costs beside the resolver.
func BenchmarkPlan(b *testing.B) {
	s, err := compile(with(all()), time.Unix(0, 0))
	if err != nil {
		b.Fatal(err)
	}
	var urls []string
	for i := range 40 {
		urls = append(urls, fmt.Sprintf("https://www.site%d.net/a/b?c=%d", i%20, i))
	}
	q := Query{Client: netip.MustParseAddr("8.8.8.8"), Helo: "mail.bulk.net", Text: links(urls...)}
	b.ReportAllocs()
	for b.Loop() {
		s.plan(s.items(q))
	}
}
