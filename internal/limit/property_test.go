package limit

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// granted is one mail that passed.
type granted struct {
	at    time.Time
	n     int64
	rcpts []Rcpt
}

// TestNeverMoreThanTheRate takes at random from many goroutines, and looks at
// every window that ends with a grant.
func TestNeverMoreThanTheRate(t *testing.T) {
	limits := []Limit{
		{Name: "several", Rate: Rates{{Count: 7, Window: time.Minute}, {Count: 40, Window: time.Hour}}},
		{Name: "messages", Of: Messages, Rate: Per(25, time.Hour)},
		{Name: "distinct", Of: DistinctRecipients, Rate: Per(12, 30*time.Minute)},
	}
	synctest.Test(t, func(t *testing.T) {
		grants := takeAtRandom(t, New(openStore(t, t.TempDir())), limits)
		if len(grants) < 40 {
			t.Fatalf("%d grants, want more for the test to mean something", len(grants))
		}
		for _, last := range grants {
			checkWindow(t, "recipients", grants, last.at, 7, time.Minute, func(g granted) int64 { return g.n })
			checkWindow(t, "recipients", grants, last.at, 40, time.Hour, func(g granted) int64 { return g.n })
			checkWindow(t, "messages", grants, last.at, 25, time.Hour, func(granted) int64 { return 1 })
			seen := map[uint64]bool{}
			checkWindow(t, "distinct", grants, last.at, 12, 30*time.Minute, func(g granted) (fresh int64) {
				for _, r := range g.rcpts {
					if !seen[r.ID] {
						seen[r.ID] = true
						fresh++
					}
				}
				return fresh
			})
		}
	})
}

// takeAtRandom returns what eight goroutines were granted in some four hours.
func takeAtRandom(t *testing.T, l *Limiter, limits []Limit) []granted {
	var mu sync.Mutex
	var grants []granted
	var wg sync.WaitGroup
	set := Compile(limits)
	for i := range 8 {
		rnd := rand.New(rand.NewPCG(1, uint64(i)))
		wg.Go(func() {
			for range 120 {
				time.Sleep(time.Duration(rnd.Int64N(int64(4 * time.Minute))))
				m := of(rnd.Int64N(5) + 1)
				for range m.Recipients {
					m.Rcpts = append(m.Rcpts, to(fmt.Sprint(rnd.IntN(60), "@x"))...)
				}
				got, err := l.Take(t.Context(), set, m)
				if err != nil {
					t.Errorf("Take(%d) = %v", m.Recipients, err)
					return
				}
				if Refused(got) != nil {
					continue
				}
				mu.Lock()
				grants = append(grants, granted{time.Now(), m.Recipients, m.Rcpts})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return grants
}

func checkWindow(t *testing.T, what string, grants []granted, end time.Time, most int64, window time.Duration, count func(granted) int64) {
	t.Helper()
	var sum int64
	for _, g := range grants {
		if age := end.Sub(g.at); age >= 0 && age < window {
			sum += count(g)
		}
	}
	if sum > most {
		t.Errorf("%d %s in the %v that end %v, want at most %d", sum, what, window, end, most)
	}
}

// TestRestart counts on with what was counted before.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	limits := []Limit{hourly("a", 3, ""), {Name: "d", Of: DistinctRecipients, Rate: Per(3, time.Hour)}}
	m := with(of(2), func(m *Mail) { m.Rcpts = to("a@x", "b@x") })
	s := openStore(t, dir)
	take(t, New(s), limits, m)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m.Rcpts = to("c@x", "d@x")
	if got := allowed(take(t, New(openStore(t, dir)), limits, m)); got != "--" {
		t.Errorf("Take() after a restart %q, want both to refuse", got)
	}
}
