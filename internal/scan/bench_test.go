package scan

import (
	"fmt"
	"testing"

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
