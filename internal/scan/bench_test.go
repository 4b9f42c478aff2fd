package scan

import (
	"fmt"
	"testing"

	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/rawmsg/hostile"
)

func BenchmarkScan(b *testing.B) {
	for _, kb := range []int{4, 36} {
		raw := hostile.Sample(kb << 10)
		b.Run(fmt.Sprintf("%dKB", kb), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			m := Message{Raw: rawmsg.Scan(raw, rawmsg.Default())}
			for b.Loop() {
				Scan(Default(), m, noon)
			}
		})
	}
}

// BenchmarkEngine shows what making an engine saves, and what rules of the
// admin cost.
func BenchmarkEngine(b *testing.B) {
	m := Message{Raw: rawmsg.Scan(hostile.Sample(4<<10), rawmsg.Default())}
	m.Text = message.Decode(m.Raw)
	cfg := Default()
	for i := range 10 {
		cfg.AdminRules = append(cfg.AdminRules, AdminRule{
			Name: fmt.Sprintf("OURS_%d", i), Score: 1,
			When: `from_domain == "news.example" and header("X-Fax") matches "^[0-9]+$" and any(links, .domain == "x.example")`,
		})
	}
	for name, cfg := range map[string]Config{"plain": Default(), "10rules": cfg} {
		e, err := New(cfg, Deps{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Scan(m, noon)
			}
		})
	}
	b.Run("made anew", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Scan(Default(), m, noon)
		}
	})
}
