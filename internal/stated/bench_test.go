package stated

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// benchClient is a client of a server beside it.
func benchClient(b *testing.B) *Client {
	p := newParts(b)
	return dial(b, serve(b, filepath.Join(p.dir, "s"), p.Parts, All()).path)
}

func BenchmarkTakeAll(b *testing.B) {
	s := benchClient(b).State()
	claims := []state.Claim{{Key: "a", N: 1, Max: 1 << 40, Window: time.Hour}, {Key: "b", N: 1, Max: 1 << 40, Window: time.Hour}, {Key: "c", N: 1, Max: 1 << 40, Window: time.Hour}}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.TakeAll(context.Background(), claims, false); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkUserAsked(b *testing.B) {
	a := benchClient(b).Accounts()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.User(b.Context(), alice); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUserKept(b *testing.B) {
	a := benchClient(b).Accounts()
	a.live.Store(true) // as while Follow runs
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.User(b.Context(), alice); err != nil {
			b.Fatal(err)
		}
	}
}
