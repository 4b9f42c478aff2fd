package shared

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/statetest"
)

// inBubble runs test on a new lab with a clock of its own.
func inBubble(t *testing.T, test func(t *testing.T, l *lab)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, dir)
		synctest.Wait()
		test(t, l)
		if err := l.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
}

func TestContract(t *testing.T) {
	dir := t.TempDir()
	statetest.Run(t, func(t *testing.T, name string) state.Store {
		return newLabWith(t, mkdir(t, dir, name), patient()).Store
	})
}

func one(key string, max int64) []state.Claim {
	return []state.Claim{{Key: key, N: 1, Max: max, Window: time.Hour}}
}

// took is how long a Take of one lasts, which must be granted.
func (l *lab) took(t *testing.T, key string) time.Duration {
	t.Helper()
	begin := time.Now()
	u, err := l.TakeAll(t.Context(), one(key, 1_000_000), false)
	if err != nil || !u[0].OK {
		t.Errorf("TakeAll() = %+v, %v", u, err)
	}
	return time.Since(begin)
}

// fault is what may be wrong with the common store. It is known after a while;
// unsure means that its answers are lost, late that those who have asked by then
// get theirs.
type fault struct {
	name         string
	begin        func(*fake)
	known        time.Duration
	unsure, late bool
}

var faults = []fault{
	{"down", func(f *fake) { f.down = true }, 0, false, false},
	{"slow", func(f *fake) { f.delay = 200 * time.Millisecond }, 200 * time.Millisecond, false, true},
	{"very slow", func(f *fake) { f.delay = 20 * time.Second }, 250 * time.Millisecond, true, false},
	{"half open", func(f *fake) { f.hole = true }, 250 * time.Millisecond, false, false},
	{"deaf", func(f *fake) { f.deaf = true }, 250 * time.Millisecond, true, false},
}

func TestNobodyWaitsTwice(t *testing.T) {
	for _, tc := range faults {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *lab) {
				if d := l.took(t, "k"); d != 0 {
					t.Errorf("a request to a store that is well took %v", d)
				}
				l.far.set(tc.begin)
				l.askEachMillisecond(t, 400, tc)
				if d := l.took(t, "k"); d != 0 {
					t.Errorf("a request while it is away took %v", d)
				}
				l.far.set(func(f *fake) { f.down, f.hole, f.deaf, f.delay = false, false, false, 0 })
				time.Sleep(5 * time.Second)
				synctest.Wait()
				s := l.Stats()
				if s.Away || s.Trips != 1 || s.Pending != 0 || s.Lost != 0 {
					t.Errorf("five seconds later: %+v", s)
				}
				if warns, infos := l.log.count("level=WARN"), l.log.count("level=INFO"); warns != 1 || infos != 1 {
					t.Errorf("%d warnings and %d infos, want one each", warns, infos)
				}
				got, want := l.far.used(t, "k"), int64(402)
				if got < want || got > want+int64(s.Doubtful) || !tc.unsure && got != want {
					t.Errorf("%d counted, want %d, and at most %d more", got, want, s.Doubtful)
				}
			})
		})
	}
}

// askEachMillisecond asks n times. When the fault is known nobody asks any more,
// and nobody waits any more unless his answer comes.
func (l *lab) askEachMillisecond(t *testing.T, n int, f fault) {
	t.Helper()
	begin := time.Now()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			time.Sleep(time.Duration(i) * time.Millisecond)
			at := time.Since(begin)
			took := l.took(t, "k")
			if took > 250*time.Millisecond || took > 0 && at > f.known || !f.late && at < f.known && at+took > f.known {
				t.Errorf("the request at %v waited until %v; the fault was known at %v", at, at+took, f.known)
			}
		})
	}
	all.Wait()
}

func TestIdleStoreIsTried(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.took(t, "k")
		l.far.set(func(f *fake) { f.hole = true })
		time.Sleep(3 * time.Second)
		if d := l.took(t, "k"); d != 0 {
			t.Errorf("the first request after a quiet time waited %v", d)
		}
	})
}

func TestListDoesNotWait(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.took(t, "k")
		l.far.set(func(f *fake) { f.hole = true })
		begin := time.Now()
		if _, err := l.List(t.Context(), state.Delivery, "q/"); err != nil {
			t.Errorf("List() = %v", err)
		}
		if d := time.Since(begin); d > 300*time.Millisecond {
			t.Errorf("List() took %v", d)
		}
	})
	inBubble(t, func(t *testing.T, l *lab) { // a long list of a store that is well
		e := state.Entry{Key: "b", Value: []byte("v"), Expires: time.Now().Add(time.Hour)}
		if err := l.Put(t.Context(), state.Ban, e, true); err != nil {
			t.Fatal(err)
		}
		l.far.set(func(f *fake) { f.delay = 40 * time.Millisecond })
		if rows, err := l.List(t.Context(), state.Ban, ""); err != nil || len(rows) != 1 || l.Stats().Trips != 0 {
			t.Errorf("List() = %v, %v, %+v", rows, err, l.Stats())
		}
	})
}

func TestLimitGoesOnWhereItWas(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		for range 8 {
			l.took(t, "k")
		}
		l.far.set(func(f *fake) { f.down = true })
		for i := range 5 {
			u, err := l.Take(t.Context(), "k", 1, 10, time.Hour)
			if err != nil || u.OK != (i < 2) {
				t.Errorf("Take() %d = %+v, %v", i, u, err)
			}
		}
		l.far.set(func(f *fake) { f.down = false })
		time.Sleep(5 * time.Second)
		if got := l.far.used(t, "k"); got != 10 {
			t.Errorf("%d counted, want 10", got)
		}
	})
}

func TestGiveBack(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		before, err := l.Take(t.Context(), "k", 4, 100, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		l.far.set(func(f *fake) { f.down = true })
		for range 3 {
			l.took(t, "other") // opens
		}
		time.Sleep(time.Second)
		during, err := l.Take(t.Context(), "k", 3, 100, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		kept, err := l.Take(t.Context(), "k", 5, 100, time.Hour)
		if err != nil || kept.Used != 12 {
			t.Fatalf("Take() = %+v, %v", kept, err)
		}
		for _, u := range []state.Usage{before, during} {
			n := map[time.Time]int64{before.At: 4, during.At: 3}[u.At]
			if err := l.Give(t.Context(), "k", n, u.At); err != nil {
				t.Errorf("Give() = %v", err)
			}
		}
		if c, err := l.Counters(t.Context(), "k"); err != nil || len(c) != 1 || c[0].Used != 5 {
			t.Errorf("Counters() while away = %+v, %v, want 5", c, err)
		}
		l.far.set(func(f *fake) { f.down = false })
		time.Sleep(5 * time.Second)
		if got := l.far.used(t, "k"); got != 5 || l.pending() != 0 {
			t.Errorf("%d counted, %d pending, want 5, 0", got, l.pending())
		}
		if err := l.Give(t.Context(), "k", 5, kept.At); err != nil || l.far.used(t, "k") != 0 {
			t.Errorf("Give() of what was merged = %v, %d left", err, l.far.used(t, "k"))
		}
	})
}

func TestReset(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.took(t, "k")
		l.far.set(func(f *fake) { f.down = true })
		for range 5 {
			l.took(t, "k")
		}
		if err := l.Reset(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		l.took(t, "k")
		l.far.set(func(f *fake) { f.down = false })
		time.Sleep(5 * time.Second)
		if got := l.far.used(t, "k"); got != 1 {
			t.Errorf("%d counted, want 1", got)
		}
	})
}

// TestMergedOnce kills the host at each moment of a merge.
func TestMergedOnce(t *testing.T) {
	for _, moment := range []string{"before", "answer lost", "acknowledged"} {
		t.Run(moment, func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *lab) {
				l.far.set(func(f *fake) { f.down = true })
				for i := range 500 {
					l.took(t, fmt.Sprint("k", i%250))
				}
				time.Sleep(2 * time.Second) // the file is a second behind
				switch moment {
				case "answer lost":
					l.far.set(func(f *fake) { f.down, f.deaf = false, true })
					time.Sleep(1200 * time.Millisecond)
				case "acknowledged":
					l.far.set(func(f *fake) { f.down = false })
					time.Sleep(5 * time.Second)
				}
				l.crash(t)
				l.far.set(func(f *fake) { f.down, f.deaf = false, false })
				l.open(t)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				for i := range 250 {
					if got := l.far.used(t, fmt.Sprint("k", i)); got != 2 {
						t.Fatalf("%d counted on k%d, want 2", got, i)
					}
				}
				if rows, err := l.local.List(t.Context(), state.Outbox, ""); err != nil || len(rows) != 1 || rows[0].Key != joined || l.pending() != 0 {
					t.Errorf("%d rows are left, %v, %d pending", len(rows), err, l.pending())
				}
			})
		})
	}
}

// Who has asked a slow store gets its answer, and is counted there alone.
func TestLateAnswerIsNotCountedTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.far.set(func(f *fake) { f.delay = 200 * time.Millisecond })
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				time.Sleep(time.Duration(i*10) * time.Millisecond)
				l.took(t, "k")
			})
		}
		all.Wait()
		time.Sleep(time.Second)
		l.far.set(func(f *fake) { f.delay = 0 })
		time.Sleep(5 * time.Second)
		if got := l.far.used(t, "k"); got != 20 || l.Stats().Doubtful != 0 {
			t.Errorf("%d counted, want 20; %+v", got, l.Stats())
		}
	})
}

func TestCallerOfAwayStore(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.far.set(func(f *fake) { f.down = true })
		for range 3 {
			l.took(t, "k")
		}
		if _, err := l.Get(t.Context(), "nosuch", "k"); !errors.Is(err, state.ErrInvalid) {
			t.Errorf("Get from no table = %v", err)
		}
		if _, err := l.Take(t.Context(), "", 1, 1, time.Hour); !errors.Is(err, state.ErrInvalid) {
			t.Errorf("Take without a key = %v", err)
		}
		begin := time.Now()
		if _, err := l.Read(t.Context(), "learn", "", 1, 10*time.Second); !errors.Is(err, state.ErrAway) || time.Since(begin) != 0 {
			t.Errorf("Read() = %v after %v", err, time.Since(begin))
		}
		if _, err := l.Append(t.Context(), "learn", nil); !errors.Is(err, state.ErrAway) {
			t.Errorf("Append() = %v", err)
		}
		if _, _, err := l.Ends(t.Context(), "learn"); !errors.Is(err, state.ErrAway) {
			t.Errorf("Ends() = %v", err)
		}
	})
}
