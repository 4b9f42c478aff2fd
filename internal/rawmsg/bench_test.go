package rawmsg

import (
	"fmt"
	"testing"

	"github.com/gatepost/gatepost/internal/rawmsg/hostile"
)

func BenchmarkScan(b *testing.B) {
	for _, kb := range []int{4, 36} {
		raw := hostile.Sample(kb << 10)
		b.Run(fmt.Sprintf("%dKB", kb), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				Scan(raw, Default())
			}
		})
	}
}
