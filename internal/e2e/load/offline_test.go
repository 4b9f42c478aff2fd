package load

import (
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/scan"
)

// BenchmarkOffline is what is found out about a message without anybody's help:
// its structure, its text, the learned filter and all rules, in this process and
// on one processor, so that its time is its CPU.
func BenchmarkOffline(b *testing.B) {
	mixed, taught := sample(b)
	model := classify.New()
	var f classify.Features
	read := func(raw []byte) (*rawmsg.Message, *message.Message) {
		m := rawmsg.Scan(raw, rawmsg.Default())
		text := message.Decode(m)
		f.Extract(m, text)
		return m, text
	}
	for _, m := range taught {
		read(m.raw)
		model.Learn(&f, m.spam, 1)
	}
	e, err := scan.New(scan.Default(), scan.Deps{})
	if err != nil {
		b.Fatal(err)
	}
	now, i, hits := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 0, 0
	b.ReportAllocs()
	for b.Loop() {
		m, text := read(mixed[i%len(mixed)].raw)
		s := model.Score(&f)
		res := e.Scan(scan.Message{Raw: m, Text: text, Learned: scan.Learned{Logit: s.Logit, Weight: s.Weight, Ham: s.Ham, Spam: s.Spam}}, now)
		hits += len(res.Lines)
		i++
	}
	if hits == 0 {
		b.Fatal("no rule and no filter said anything")
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "cpu-µs/msg")
}
