package learn

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
)

// memory is a stream without a server, to tell its part in a benchmark.
type memory struct {
	mu    sync.Mutex
	items []state.Item
	added chan struct{}
}

func (m *memory) Append(_ context.Context, _ string, value []byte) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := fmt.Sprintf("%016x", len(m.items)+1)
	m.items = append(m.items, state.Item{ID: id, Value: slices.Clone(value)})
	close(m.added)
	m.added = make(chan struct{})
	return id, nil
}

func (m *memory) Read(ctx context.Context, stream, after string, most int, wait time.Duration) ([]state.Item, error) {
	m.mu.Lock()
	i := slices.IndexFunc(m.items, func(it state.Item) bool { return it.ID > after })
	items, added := []state.Item(nil), m.added
	if i >= 0 {
		items = m.items[i:min(i+most, len(m.items))]
	}
	m.mu.Unlock()
	if len(items) > 0 || wait <= 0 {
		return items, nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-added:
		return m.Read(ctx, stream, after, most, 0)
	case <-t.C:
	case <-ctx.Done():
	}
	return nil, ctx.Err()
}

func (m *memory) Ends(context.Context, string) (first, last string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.items) == 0 {
		return "", "", nil
	}
	return m.items[0].ID, m.items[len(m.items)-1].ID, nil
}

func BenchmarkLearn(b *testing.B) {
	for _, bc := range []struct {
		name   string
		stream func() Stream
	}{
		{"alone", func() Stream { return nil }},
		{"memory", func() Stream { return &memory{added: make(chan struct{})} }},
		{"redis", func() Stream { return streamOf(b, redistest.Single(b)) }},
	} {
		b.Run(bc.name, func(b *testing.B) {
			l, err := OpenWith(context.WithoutCancel(b.Context()), b.TempDir(), Default(), Deps{Stream: bc.stream()}, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			features := largeFeatures(b, 1)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				w := Wish{Spam: true, Source: CLI, Items: []Item{{Trace: Trace{MessageID: fmt.Sprint(n)}, Features: features}}}
				if r, err := l.Learn(b.Context(), w); err != nil || r.Outcomes[0].What != New {
					b.Fatal(r, err)
				}
			}
			b.ReportMetric(float64(len(features)), "B/features")
		})
	}
}
