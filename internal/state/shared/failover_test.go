package shared

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/redis"
)

// TestFailover loses the master that counts limits, under traffic: its replica
// takes over, and until then this host goes on alone. What the replica had not
// been told yet is lost with the master, as Redis says.
func TestFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, tc := range []struct {
		name string
		lab  func(t *testing.T) *redistest.Lab
		fail func(lab *redistest.Lab)
	}{
		{"Cluster", func(t *testing.T) *redistest.Lab { return redistest.Cluster(t, redistest.Replicas()) }, func(lab *redistest.Lab) {
			slot, _ := lab.Nodes[0].Do("CLUSTER", "KEYSLOT", "{l}").(int64)
			lab.Kill(lab.Nodes[slot*3/16384])
		}},
		{"Sentinel", func(t *testing.T) *redistest.Lab { return redistest.Sentinel(t) }, func(lab *redistest.Lab) { lab.Kill(lab.Nodes[0]) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lab := tc.lab(t)
			cfg := redis.Default()
			cfg.Addresses, cfg.MasterName = lab.Addresses, lab.MasterName
			remote, err := redis.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			h := openHost(t, filepath.Join(t.TempDir(), "state.db"), remote)
			begin := time.Now()
			tr := h.sends(t, 4)
			time.Sleep(500 * time.Millisecond)
			h.settled(t)
			down, before := time.Since(begin), tr.granted.Load()
			tc.fail(lab)
			time.Sleep(500 * time.Millisecond)
			h.settled(t)
			back := time.Since(begin) - down
			time.Sleep(300 * time.Millisecond)
			tr.stop()
			h.settled(t)
			first, _ := tr.longest(down-300*time.Millisecond, down+300*time.Millisecond)
			u, err := h.Take(t.Context(), "k", 0, state.MaxCount, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			s := h.Stats()
			t.Logf("%s: first %v, back in %v, away %d times; %d granted, %d counted, %d doubtful", tc.name, first.Round(time.Millisecond),
				back.Round(10*time.Millisecond), s.Trips, tr.granted.Load(), u.Used, s.Doubtful)
			if first > 300*time.Millisecond+slack {
				t.Errorf("a request waited %v", first)
			}
			if g := tr.granted.Load(); u.Used < g-before/10 || u.Used > g+int64(s.Doubtful) {
				t.Errorf("%d counted, want about %d", u.Used, g)
			}
			if err := h.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
		})
	}
}
