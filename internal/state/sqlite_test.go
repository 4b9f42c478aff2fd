package state_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/statetest"
)

func openStore(t testing.TB, path string) *state.SQLite {
	t.Helper()
	s, err := state.OpenSQLite(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSQLiteContract(t *testing.T) {
	dir := t.TempDir()
	statetest.Run(t, func(t *testing.T, name string) state.Store {
		return openStore(t, filepath.Join(dir, name+".db"))
	})
}

func BenchmarkSQLite(b *testing.B) {
	s := openStore(b, filepath.Join(b.TempDir(), "state.db"))
	defer s.Close()
	value := bytes.Repeat([]byte("v"), 200)
	b.Run("Take", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			if _, err := s.Take(b.Context(), fmt.Sprint("user/", i%1000), 1, state.MaxCount, time.Hour); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("TakeAll", func(b *testing.B) { // as for a mail with three limits: asked, then taken
		b.ReportAllocs()
		claims := []state.Claim{
			{N: 1, Max: state.MaxCount, Window: time.Hour}, {N: 1, Max: state.MaxCount, Window: 24 * time.Hour},
			{Key: "network", N: 1, Max: state.MaxCount, Window: time.Hour},
		}
		var keys [1000][2]string
		for i := range keys {
			keys[i] = [2]string{fmt.Sprint("hour/", i), fmt.Sprint("day/", i)}
		}
		for i := 0; b.Loop(); i++ {
			k := &keys[i/2%len(keys)]
			claims[0].Key, claims[1].Key = k[0], k[1]
			if _, err := s.TakeAll(b.Context(), claims, i%2 == 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Put", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			e := state.Entry{Key: fmt.Sprint(i % 100_000), Value: value, Expires: time.Now().Add(time.Hour)}
			if err := s.Put(b.Context(), state.Seen, e, false); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Get(b.Context(), state.Seen, "1"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Put sync, 32 at once", func(b *testing.B) {
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			i := 0
			for pb.Next() {
				i++
				e := state.Entry{Key: fmt.Sprint(&i, i), Value: value, Expires: time.Now().Add(time.Hour)}
				if err := s.Put(b.Context(), state.Delivery, e, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}
