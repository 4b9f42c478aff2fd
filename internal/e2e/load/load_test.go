//go:build linux

package load

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/milter"
)

// BenchmarkMixed is one message of the corpora after the other, SPF, DKIM and
// DMARC with the DNS in the cache, no lists: rules, memory and learned filter.
func BenchmarkMixed(b *testing.B) {
	mixed, taught := sample(b)
	addr, _, _ := names(b, 0)
	s := start(b, taught, settings(addr, false))
	var says []session
	for _, m := range mixed {
		says = append(says, say(m.raw, "sender@d1.example"))
	}
	run(b, s, len(says), func(i int) session { return says[i%len(says)] })
}

// BenchmarkLists is a signed message of 36 KB, with forty questions to DNS
// lists that are not in the cache; SPF, DKIM and DMARC are.
func BenchmarkLists(b *testing.B) {
	_, taught := sample(b)
	addr, sign, zone := names(b, 0)
	s := start(b, taught, settings(addr, true))
	time.Sleep(500 * time.Millisecond) // the lists are tested
	run(b, s, 100, func(i int) session { return say(sign(linked(i, 10), domain(i)), "sender@"+domain(i)) })
	if n := len(zone.Queries()) / (100 + b.N); n < 40 {
		b.Errorf("%d questions a message", n)
	}
}

// BenchmarkSlowDNS is the same with 20 ms for each answer, and nothing in the
// cache: the median time of a session.
func BenchmarkSlowDNS(b *testing.B) {
	_, taught := sample(b)
	addr, sign, _ := names(b, 20*time.Millisecond)
	s := start(b, taught, strings.Replace(settings(addr, true), "]}", "], cache_size: 0B}", 1))
	time.Sleep(time.Second)
	var took []time.Duration
	b.ResetTimer()
	for i := range b.N {
		b.StopTimer()
		m := say(sign(linked(i, 10), domain(i)), "sender@"+domain(i))
		b.StartTimer()
		at := time.Now()
		if err := send(s.socket(), m, i); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(at))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
}

// BenchmarkParallel is the mixed mail in 32 sessions at once: the most memory
// that the process has had.
func BenchmarkParallel(b *testing.B) {
	mixed, taught := sample(b)
	addr, _, _ := names(b, 0)
	s := start(b, taught, settings(addr, false))
	var says []session
	for _, m := range mixed {
		says = append(says, say(m.raw, "sender@d1.example"))
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	var n atomic.Int64
	for range 32 {
		wg.Go(func() {
			// Each session has a good many messages, whatever b.N is.
			for i := int(n.Add(1)); i <= max(b.N, 3000); i = int(n.Add(1)) {
				if err := send(s.socket(), says[i%len(says)], i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(s.peak(b), "MB-peak")
}

// BenchmarkLong is a message longer than what is looked at, beside one that is
// as long.
func BenchmarkLong(b *testing.B) {
	for _, mb := range []int{4, 20} {
		b.Run(fmt.Sprintf("%dMB", mb), func(b *testing.B) {
			addr, _, _ := names(b, 0)
			s := start(b, nil, settings(addr, false))
			m := say(long(mb<<20), "sender@d1.example")
			run(b, s, 3, func(int) session { return m })
			b.ReportMetric(s.peak(b), "MB-peak")
		})
	}
}

// BenchmarkLongSigned is the same with a DKIM signature, which is over all of it:
// the body is kept, read again and hashed.
func BenchmarkLongSigned(b *testing.B) {
	for _, mb := range []int{4, 20} {
		b.Run(fmt.Sprintf("%dMB", mb), func(b *testing.B) {
			addr, sign, _ := names(b, 0)
			s := start(b, nil, settings(addr, false))
			m := say(sign(long(mb<<20), domain(1)), "sender@d1.example")
			run(b, s, 3, func(int) session { return m })
			b.ReportMetric(s.peak(b), "MB-peak")
		})
	}
}

// BenchmarkLongChecks is what is done with such a message once it is there, in
// this process: it is cut, parsed and decoded, and its features and rules are
// found.
func BenchmarkLongChecks(b *testing.B) {
	e, err := scan.New(scan.Default(), scan.Deps{})
	if err != nil {
		b.Fatal(err)
	}
	for _, mb := range []int{4, 20} {
		b.Run(fmt.Sprintf("%dMB", mb), func(b *testing.B) {
			raw := bytes.ReplaceAll(long(mb<<20), []byte("\r\n"), []byte("\n"))
			b.ReportAllocs()
			var f classify.Features
			for b.Loop() {
				cut := raw[:min(len(raw), int(milter.Default().ScanBytes))]
				m := scan.Message{Direction: scan.Inbound, Raw: rawmsg.Scan(cut, rawmsg.Default()), Size: int64(len(raw))}
				m.Text = message.Decode(m.Raw)
				f.Extract(m.Raw, m.Text)
				e.Scan(m, time.Unix(1763600000, 0))
			}
		})
	}
}

// run sends b.N messages one after the other, some before them to warm up, and
// reports what the process used for each.
func run(b *testing.B, s *server, warm int, next func(i int) session) {
	for i := range warm {
		if err := send(s.socket(), next(i), i); err != nil {
			b.Fatal(err)
		}
	}
	var used time.Duration
	b.ResetTimer()
	const batch = 50 // made before it is sent
	for i := 0; i < b.N; {
		b.StopTimer()
		var says []session
		for j := i; j < min(i+batch, b.N); j++ {
			says = append(says, next(warm+j))
		}
		before := s.cpu(b)
		b.StartTimer()
		for _, m := range says {
			i++
			if err := send(s.socket(), m, warm+i); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		used += s.cpu(b) - before
		b.StartTimer()
	}
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/msg")
}
