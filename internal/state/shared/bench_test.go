package shared

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
)

// BenchmarkTakeAll counts three limits of one request, as policyd does: in the
// driver, in the Store over it, and in the Store while Redis is away.
func BenchmarkTakeAll(b *testing.B) {
	srv := redistest.Single(b)
	remote := openRedis(b, "", srv.Addresses...)
	h := openHost(b, filepath.Join(b.TempDir(), "state.db"), remote)
	defer h.Close()
	run := func(name string, s state.Store) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				i := 0
				for pb.Next() {
					i++
					user := strconv.Itoa(i % 1000)
					_, err := s.TakeAll(context.Background(), []state.Claim{
						{Key: "h/" + user, N: 1, Max: state.MaxCount, Window: time.Hour},
						{Key: "d/" + user, N: 1, Max: state.MaxCount, Window: 24 * time.Hour},
						{Key: "net/" + user, N: 1, Max: state.MaxCount, Window: time.Hour},
					}, false)
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
	run("driver", remote)
	run("shared", h.Store)
	h.mu.Lock()
	h.breaker.open = true
	h.opened("the test", nil)
	h.mu.Unlock()
	run("away", h.Store)
}

// BenchmarkMemory tells how many bytes of Redis one key of a kind takes.
func BenchmarkMemory(b *testing.B) {
	srv := redistest.Single(b)
	s := openRedis(b, "", srv.Addresses...)
	defer s.Close()
	usedBytes := regexp.MustCompile(`used_memory:(\d+)`)
	used := func() int64 {
		info, _ := srv.Nodes[0].Do("INFO", "memory").(string)
		n, err := strconv.ParseInt(usedBytes.FindStringSubmatch(info)[1], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	later := time.Now().Add(24 * time.Hour)
	for _, tc := range []struct {
		name string
		add  func(i int) error
	}{
		{"counter of one grant", func(i int) error {
			_, err := s.Take(b.Context(), fmt.Sprintf("limit/outbound/1h0m0s/user:recipients/user%07d@example.org", i), 1, 100, time.Hour)
			return err
		}},
		{"greylist triplet", func(i int) error {
			e := state.Entry{Key: fmt.Sprintf("t\x00192.0.2.0/24\x00sender%07d@example.org\x00rcpt@example.net", i), Value: make([]byte, 16), Expires: later}
			return s.Put(b.Context(), state.Seen, e, false)
		}},
		{"delivery verdict", func(i int) error {
			e := state.Entry{Key: fmt.Sprintf("4XyZ%07dz1b2c3d/1763640000000000000", i), Value: make([]byte, 80), Expires: later}
			return s.Put(b.Context(), state.Delivery, e, false)
		}},
	} {
		b.Run(tc.name, func(b *testing.B) {
			const keys = 20_000
			for b.Loop() {
				before := used()
				for i := range keys {
					if err := tc.add(i); err != nil {
						b.Fatal(err)
					}
				}
				if grown := used() - before; grown > 0 {
					b.ReportMetric(float64(grown)/keys, "B/key")
				}
			}
		})
		srv.Nodes[0].Do("FLUSHALL")
	}
}
