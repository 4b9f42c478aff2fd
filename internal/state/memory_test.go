package state

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// first returns what ends first of all rows, and among equals the lesser key, by
// looking at each.
func first(m *memory) item {
	var best item
	for _, n := range m.rows {
		switch {
		case best == nil, n.item.expires().Before(best.expires()):
			best = n.item
		case n.item.expires().Equal(best.expires()) && n.item.name() < best.name():
			best = n.item
		}
	}
	return best
}

// TestMemoryOldest changes rows to end later and earlier, and looks each time
// which one goes first.
func TestMemoryOldest(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		m := newMemory(bound{entries: 1000, bytes: 1 << 20})
		now := start
		for i := range 600 {
			key := fmt.Sprint(rnd.IntN(30))
			switch rnd.IntN(8) {
			case 0:
				m.remove(key)
			case 1: // as expire does
				for n := m.over(now); n != nil; n = m.over(now) {
					if n.item.expires().After(now) {
						t.Fatalf("seed %d, step %d: %s is over at %v, it ends %v", seed, i, n.item.name(), now, n.item.expires())
					}
					m.remove(n.item.name())
				}
				if f := first(m); f != nil && !f.expires().After(now) {
					t.Fatalf("seed %d, step %d: %s is left, it ended %v", seed, i, f.name(), f.expires())
				}
			default:
				m.put(&Entry{Key: key, Expires: now.Add(time.Duration(rnd.IntN(20)+1) * time.Second)})
			}
			if rnd.IntN(3) == 0 {
				now = now.Add(time.Second)
			}
			if rnd.IntN(4) > 0 { // else several changes lie between two questions
				continue
			}
			n, want := m.oldest(), first(m)
			if n == nil && want != nil || n != nil && n.item != want {
				t.Fatalf("seed %d, step %d: oldest() = %+v, want %+v", seed, i, n, want)
			}
		}
	}
}

// TestMemoryOldestCounter has a counter change under its node, as a grant does.
func TestMemoryOldestCounter(t *testing.T) {
	m := newMemory(counterBound)
	now := time.Unix(1_800_000_000, 0)
	for _, key := range []string{"a", "b", "c"} {
		c, _ := (&counter{key: key}).take(now, 1, 9, time.Hour)
		m.put(c)
		now = now.Add(time.Second)
	}
	a := m.rows["a"]
	c, _ := a.item.(*counter).grant(now, 1, 9, time.Hour)
	m.change(a, c)
	if got := m.oldest().item.name(); got != "b" {
		t.Errorf("after a grant to a, %s goes first, want b", got)
	}
	back := m.rows["c"]
	m.change(back, back.item.(*counter).at(now.Add(-time.Hour), time.Hour)) // the clock went back
	if got := m.oldest().item.name(); got != "c" {
		t.Errorf("after c ends earlier, %s goes first", got)
	}
}

// TestTakeAllInFullTable counts on two counters, of which the first makes the
// second go.
func TestTakeAllInFullTable(t *testing.T) {
	inBubble(t, func(t *testing.T, s *SQLite, _ *logBuffer) {
		claim := func(key string, window time.Duration) Claim { return Claim{Key: key, N: 1, Max: 9, Window: window} }
		take := func(claims ...Claim) {
			if _, err := s.TakeAll(t.Context(), claims, false); err != nil {
				t.Fatal(err)
			}
		}
		s.mu.Lock()
		s.counters.entries = 2
		s.mu.Unlock()
		take(claim("day", 24*time.Hour), claim("hour", time.Hour))
		time.Sleep(40 * time.Minute)
		take(claim("new", 30*time.Minute), claim("hour", time.Hour))
		list, err := s.Counters(t.Context(), "")
		if err != nil || len(list) != 2 || list[0].Key != "day" || list[1].Key != "hour" || list[1].Used != 1 {
			t.Errorf("Counters() = %+v, %v, want day and hour", list, err)
		}
	})
}
