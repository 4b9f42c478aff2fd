package limit

import (
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// TestNeverMoreThanTheRate takes at random from many goroutines, and looks at
// every window that ends with a grant.
func TestNeverMoreThanTheRate(t *testing.T) {
	limits := []Limit{
		{Name: "burst", Rate: unit.Rate{Count: 7, Window: time.Minute}},
		{Name: "hour", Rate: unit.Rate{Count: 40, Window: time.Hour}},
	}
	for _, store := range []string{"memory", "sqlite"} {
		t.Run(store, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				grants := takeAtRandom(t, New(openStore(t, store)), limits)
				if len(grants) < 40 {
					t.Fatalf("%d grants, want more for the test to mean something", len(grants))
				}
				for _, lim := range limits {
					checkWindows(t, lim, grants)
				}
			})
		})
	}
}

func openStore(t *testing.T, name string) counters {
	if name == "memory" {
		return newMemory()
	}
	s, err := state.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "state.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return s
}

// takeAtRandom returns what eight goroutines were granted in some four hours.
func takeAtRandom(t *testing.T, l *Limiter, limits []Limit) []grant {
	var mu sync.Mutex
	var grants []grant
	var wg sync.WaitGroup
	for i := range 8 {
		rnd := rand.New(rand.NewPCG(1, uint64(i)))
		wg.Go(func() {
			for range 120 {
				time.Sleep(time.Duration(rnd.Int64N(int64(4 * time.Minute))))
				n := rnd.Int64N(5)
				got, err := l.Take(t.Context(), limits, alice, n)
				if err != nil {
					t.Errorf("Take(%d) = %v", n, err)
					return
				}
				if _, refused := Refused(got); refused {
					continue
				}
				mu.Lock()
				grants = append(grants, grant{time.Now(), n})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return grants
}

func checkWindows(t *testing.T, lim Limit, grants []grant) {
	for _, last := range grants {
		var sum int64
		for _, g := range grants {
			if age := last.at.Sub(g.at); age >= 0 && age < lim.Rate.Window {
				sum += g.n
			}
		}
		if sum > lim.Rate.Count {
			t.Errorf("limit %s granted %d in the window that ends %v, want at most %d", lim.Name, sum, last.at, lim.Rate.Count)
		}
	}
}
