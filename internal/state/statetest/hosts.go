package statetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

const (
	// skew is how far apart the clocks of two hosts may be.
	skew = 2 * time.Second
	// healed is when a store answers again at the latest after its servers do.
	healed = 10 * time.Second
)

// eventually waits until done is true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(healed); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", healed, what)
		}
	}
}

// twoWriters sees at one host what the other did.
func twoWriters(t *testing.T, a state.Store, h *hosts) {
	b, _ := h.two(t, a, 0)
	for _, table := range state.Tables {
		put(t, a, table, "k", "a")
		if got := get(t, b, table, "k"); got != "a" {
			t.Errorf("Get(%s) at the other = %q, want a", table, got)
		}
		put(t, b, table, "k", "b")
		put(t, b, table, "k/2", "b")
		if got := get(t, a, table, "k"); got != "b" {
			t.Errorf("Get(%s) of what the other put over it = %q, want b", table, got)
		}
		if all, err := a.List(t.Context(), table, "k"); err != nil || len(all) != 2 {
			t.Errorf("List(%s) = %+v, %v, want both", table, all, err)
		}
		if err := a.Delete(t.Context(), table, "k"); err != nil {
			t.Fatal(err)
		}
		if got := get(t, b, table, "k"); got != "-" {
			t.Errorf("Get(%s) of what the other deleted = %q", table, got)
		}
	}
	var all sync.WaitGroup
	for w, s := range []state.Store{a, b, a, b} {
		all.Go(func() {
			for i := range 100 {
				e := state.Entry{Key: fmt.Sprintf("w/%d", i), Value: fmt.Append(nil, w, "/", i), Expires: later()}
				if err := s.Put(t.Context(), state.Seen, e, i%10 == 0); err != nil {
					t.Errorf("Put() = %v", err)
				}
			}
		})
	}
	all.Wait()
	for i := range 100 {
		key := fmt.Sprintf("w/%d", i)
		if one, other := get(t, a, state.Seen, key), get(t, b, state.Seen, key); one != other || one == "-" {
			t.Errorf("%s is %q at one and %q at the other", key, one, other)
		}
	}
}

// twoTake counts over both hosts.
func twoTake(t *testing.T, a state.Store, h *hosts) {
	const most = 150
	b, _ := h.two(t, a, 0)
	var granted atomic.Int64
	var all sync.WaitGroup
	for w := range 8 {
		s := []state.Store{a, b}[w%2]
		claims := []state.Claim{
			{Key: "user", N: 1, Max: most, Window: time.Hour},
			{Key: "domain", N: 2, Max: state.MaxCount, Window: 24 * time.Hour},
			{Key: "soft", N: 1, Max: most / 2, Window: time.Minute, Soft: true},
		}
		all.Go(func() {
			for range 50 {
				u, err := s.TakeAll(t.Context(), claims, false)
				if err != nil {
					t.Errorf("TakeAll() = %v", err)
					return
				}
				if u[0].OK {
					granted.Add(1)
				}
			}
		})
	}
	all.Wait()
	for _, s := range []state.Store{a, b} {
		user, domain, soft := used(t, s, "user"), used(t, s, "domain"), used(t, s, "soft")
		if granted.Load() != most || user != most || domain != 2*most || soft != most/2 {
			t.Errorf("granted %d, counted %d, %d and %d, want %d, %d, %d and %d",
				granted.Load(), user, domain, soft, most, most, 2*most, most/2)
		}
	}
	u, err := a.Take(t.Context(), "back", 5, 10, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Give(t.Context(), "back", 2, u.At); err != nil || used(t, a, "back") != 3 {
		t.Errorf("Give() at the other = %v, %d left, want 3", err, used(t, a, "back"))
	}
}

// skewed has a second host whose clock is wrong: a life is as long as was meant,
// and a window too.
func skewed(t *testing.T, a state.Store, h *hosts, ahead time.Duration) {
	b, ahead := h.two(t, a, ahead)
	for _, table := range state.Tables {
		for who, s := range map[string]state.Store{"right": a, "wrong": b} {
			now := time.Now()
			if who == "wrong" {
				now = now.Add(ahead)
			}
			for key, life := range map[string]time.Duration{"long": time.Hour, "short": time.Second, "over": -time.Millisecond} {
				e := state.Entry{Key: who + "/" + key, Value: []byte(key), Expires: now.Add(life)}
				if err := s.Put(t.Context(), table, e, true); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, s := range []state.Store{a, b} {
			for _, who := range []string{"right/", "wrong/"} {
				long, short, over := get(t, s, table, who+"long"), get(t, s, table, who+"short"), get(t, s, table, who+"over")
				if long != "long" || short != "short" || over != "-" {
					t.Errorf("%s has %q, %q and %q of the clock that is %s", table, long, short, over, who)
				}
			}
			if all, err := s.List(t.Context(), table, "right/"); err != nil || len(all) != 2 {
				t.Errorf("List(%s) = %+v, %v, want 2", table, all, err)
			}
		}
	}
	for i, s := range []state.Store{a, b, a} {
		u, err := s.Take(t.Context(), "k", 1, 10, time.Second)
		if err != nil || !u.OK || u.Used != int64(i+1) || u.Ends.Sub(u.At) != time.Second {
			t.Errorf("Take() %d = %+v, %v, want %d used for a second", i, u, err, i+1)
		}
	}
	eventually(t, "short lives and windows to end", func() bool {
		u, err := a.Take(t.Context(), "k", 0, 10, time.Second)
		_, gone := a.Get(t.Context(), state.TLSPolicy, "wrong/short")
		_, goneToo := b.Get(t.Context(), state.Ban, "right/short")
		return err == nil && u.Used == 0 && errors.Is(gone, state.ErrNotFound) && errors.Is(goneToo, state.ErrNotFound)
	})
}

// restartMid finds all that was acknowledged when the servers are back.
func restartMid(t *testing.T, s state.Store, h *hosts) {
	want := later()
	for _, table := range state.Tables {
		if err := s.Put(t.Context(), table, state.Entry{Key: "k", Value: []byte("v"), Expires: want}, true); err != nil {
			t.Fatal(err)
		}
	}
	for range 70 {
		if _, err := s.Take(t.Context(), "c", 1, 100, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	s = h.shake(t, s)
	eventually(t, "the store to answer", func() bool {
		_, err := s.Take(t.Context(), "probe", 1, 1000, time.Hour)
		for _, table := range state.Tables {
			if err == nil {
				err = s.Put(t.Context(), table, state.Entry{Key: "probe", Expires: want}, true)
			}
		}
		return err == nil
	})
	for _, table := range state.Tables {
		e, err := s.Get(t.Context(), table, "k")
		if err != nil || string(e.Value) != "v" || !e.Expires.Equal(want) {
			t.Errorf("Get(%s) after a restart = %+v, %v", table, e, err)
		}
	}
	if n := used(t, s, "c"); n != 70 {
		t.Errorf("the counter has %d after a restart, want 70", n)
	}
}

// traffic is what writers did while servers restarted.
type traffic struct {
	store   atomic.Pointer[state.Store]
	phase   atomic.Int32 // 0 before, 1 during, 2 after the restart
	granted [3]atomic.Int64
	unknown atomic.Int64 // counts whose answer was an error
	puts    [3]atomic.Int64
	mu      sync.Mutex
	rows    map[string]int32 // acknowledged, and in which phase
}

// restartTraffic restarts servers under traffic: what was acknowledged is there,
// and nothing is counted that was not asked for.
func restartTraffic(t *testing.T, s state.Store, h *hosts) {
	tr := &traffic{rows: map[string]int32{}}
	tr.store.Store(&s)
	enough := func(phase int) func() bool {
		return func() bool { return tr.granted[phase].Load() >= 50 && tr.puts[phase].Load() >= 50 }
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() { tr.write(t, w, stop) })
	}
	eventually(t, "traffic", enough(0))
	tr.phase.Store(1)
	next := h.shake(t, s)
	tr.store.Store(&next)
	tr.phase.Store(2)
	eventually(t, "traffic after the restart", enough(2))
	close(stop)
	all.Wait()
	tr.check(t, next, h.lossy)
}

// write counts and puts until stop is closed.
func (tr *traffic) write(t *testing.T, w int, stop <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		s, phase := *tr.store.Load(), tr.phase.Load()
		if u, err := s.Take(t.Context(), "c", 1, state.MaxCount, time.Hour); err != nil {
			tr.unknown.Add(1)
		} else if u.OK {
			tr.granted[max(phase, tr.phase.Load())].Add(1)
		} else {
			t.Errorf("Take() was refused: %+v", u)
		}
		key := fmt.Sprintf("%d/%d", w, i)
		e := state.Entry{Key: key, Value: []byte(key), Expires: later()}
		if err := s.Put(t.Context(), state.Delivery, e, true); err != nil {
			continue
		}
		if phase != tr.phase.Load() {
			phase = 1 // it may have been acknowledged by who is gone
		}
		tr.puts[phase].Add(1)
		tr.mu.Lock()
		tr.rows[key] = phase
		tr.mu.Unlock()
	}
}

// check holds the store against what writers were told.
func (tr *traffic) check(t *testing.T, s state.Store, lossy bool) {
	t.Helper()
	for key, phase := range tr.rows {
		if got := get(t, s, state.Delivery, key); got != key && (!lossy || phase != 1) {
			t.Errorf("row %s, acknowledged in phase %d, is %q", key, phase, got)
		}
	}
	sum := [3]int64{tr.granted[0].Load(), tr.granted[1].Load(), tr.granted[2].Load()}
	least, most := sum[0]+sum[1]+sum[2], sum[0]+sum[1]+sum[2]+tr.unknown.Load()
	if lossy {
		least -= sum[1]
	}
	if n := used(t, s, "c"); n < least || n > most {
		t.Errorf("counted %d, want %d to %d", n, least, most)
	}
	t.Logf("%d rows, %v counted, %d without an answer", len(tr.rows), sum, tr.unknown.Load())
}
