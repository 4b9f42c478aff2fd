package guard

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// login is one attempt as a daemon makes it: the password is looked at for a
// while. It reports whether it was, and what came out.
func (w *world) login(addr, user, password string, o Outcome) (looked bool, d Decision) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 8*time.Second)
	defer cancel()
	a := attempt(addr, user, password)
	d = w.Admit(ctx, a)
	if a.Admitted = true; d.Refuse {
		return false, d
	}
	if ctx.Err() != nil {
		w.Report(ctx, a, Abandoned)
		return false, d
	}
	time.Sleep(80 * time.Millisecond)
	return true, w.Report(ctx, a, o)
}

// TestParallelGuesses: of 50 guesses at once no more are looked at than the line
// says, and the last of those is refused.
func TestParallelGuesses(t *testing.T) {
	for _, tc := range []struct {
		name string
		addr func(i int) string
		user func(i int) string
		line int32
	}{
		{"at one account", func(int) string { return "203.0.113.9" }, func(int) string { return "a" }, 5},
		{"at many accounts", func(int) string { return "203.0.113.9" }, func(i int) string { return fmt.Sprint(i) }, 8},
		{"from one /64", func(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) }, func(int) string { return "a" }, 5},
		{"through a webmail", func(int) string { return "127.0.0.1" }, func(int) string { return "a" }, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				var looked, told atomic.Int32
				var wg sync.WaitGroup
				for i := range 50 {
					wg.Go(func() {
						ok, d := w.login(tc.addr(i), tc.user(i), fmt.Sprint(i), Wrong)
						if ok {
							looked.Add(1)
						}
						if ok && d.Refuse {
							told.Add(1)
						}
					})
				}
				wg.Wait()
				if looked.Load() != tc.line || told.Load() != 1 {
					t.Errorf("%d guesses were looked at and %d of them refused, want %d and 1", looked.Load(), told.Load(), tc.line)
				}
				if s := w.Stats(); s.Flying != 0 || s.Waiting != 0 || len(w.lanes.hosts) != 0 {
					t.Errorf("Stats() = %+v with %d lanes, want none left", s, len(w.lanes.hosts))
				}
			})
		})
	}
}

// TestOfficeAtOnce: 50 right passwords at once from one address all get in, in
// less than a second.
func TestOfficeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if ok, d := w.login("203.0.113.9", fmt.Sprint(i), "right", Right); !ok || d.Refuse {
					t.Errorf("user %d is refused: %+v", i, d)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took > time.Second {
			t.Errorf("the last got in after %v", took)
		}
	})
}

// TestManyWait: thousands who wait cost each report little, and none is
// forgotten.
func TestManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var looked atomic.Int32
		var wg sync.WaitGroup
		for i := range 3000 {
			wg.Go(func() {
				if ok, d := w.login("203.0.113.9", fmt.Sprint(i%500), "right", Right); !ok || d.Refuse {
					t.Errorf("user %d is refused: %+v", i, d)
				}
				looked.Add(1)
			})
		}
		wg.Wait()
		if s := w.Stats(); looked.Load() != 3000 || s.Flying != 0 || s.Waiting != 0 {
			t.Errorf("%d logins ended, Stats() = %+v", looked.Load(), s)
		}
	})
}

// TestWaitEnds: who waits hears when its own time is over, and leaves no place
// taken; a report that never comes does not close a network for good.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for i := range 5 {
			if w.Admit(t.Context(), attempt("203.0.113.9", fmt.Sprint(i), "x")).Refuse {
				t.Fatal("the first five are refused")
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a := attempt("203.0.113.9", "late", "x")
		if d := w.Admit(ctx, a); d.Refuse || ctx.Err() == nil {
			t.Errorf("Admit() = %+v, %v, want the end of ctx", d, ctx.Err())
		}
		a.Admitted = true
		w.Report(ctx, a, Abandoned)
		if s := w.Stats(); s.Flying != 5 || s.Waiting != 0 {
			t.Errorf("Stats() = %+v, want five under way", s)
		}
		for i := range 5 {
			a := attempt("203.0.113.9", fmt.Sprint(i), "x")
			a.Admitted = true
			w.Report(t.Context(), a, Abandoned)
		}
		if s := w.Stats(); s.Flying != 0 || len(w.lanes.hosts) != 0 {
			t.Errorf("Stats() = %+v, want none under way", s)
		}
	})
}

// TestReportNeverComes: logins that nobody reports hold nobody up for ever.
func TestReportNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for i := range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			w.Admit(ctx, attempt("203.0.113.9", fmt.Sprint(i%7), "x"))
			cancel()
		}
		time.Sleep(reportTime + time.Second)
		if ok, d := w.login("203.0.113.9", "1", "right", Right); !ok || d.Refuse {
			t.Errorf("a login is refused: %+v", d)
		}
	})
}

// TestReconfigureWakes: who waits is let go when the guard is switched off.
func TestReconfigureWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for i := range 5 {
			w.Admit(t.Context(), attempt("203.0.113.9", fmt.Sprint(i), "x"))
		}
		done := make(chan Decision)
		go func() { done <- w.Admit(t.Context(), attempt("203.0.113.9", "late", "x")) }()
		synctest.Wait()
		cfg := Default()
		cfg.Mode = "observe"
		w.Reconfigure(cfg)
		if d := <-done; d.Refuse {
			t.Errorf("Admit() = %+v in mode observe", d)
		}
	})
}

// TestProvenWaits: an account that proved itself is never refused for guesses
// at it on its own network, but they come slowly.
func TestProvenWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.right("127.0.0.1", "alice")
		start := time.Now()
		for i := range 20 {
			if ok, d := w.login("127.0.0.1", "alice", fmt.Sprint(i), Wrong); !ok || d.Refuse {
				t.Fatalf("guess %d is refused: %+v", i, d)
			}
		}
		if took := time.Since(start); took < 15*time.Second {
			t.Errorf("20 guesses took %v", took)
		}
		if ok, d := w.login("127.0.0.1", "alice", "right", Right); !ok || d.Refuse {
			t.Errorf("the owner is refused: %+v", d)
		}
	})
}

// TestWakeIn: a ban wakes who waits in its network, and nobody else.
func TestWakeIn(t *testing.T) {
	addrs := []string{"203.0.113.9", "203.0.113.10", "198.51.100.1", "2001:db8::1", "2001:db8:0:1::1"}
	for network, want := range map[string]string{
		"203.0.113.9/32": "203.0.113.9", "203.0.113.0/24": "203.0.113.9 203.0.113.10", "2001:db8::7/128": "2001:db8::1",
		"2001:db8::/64": "2001:db8::1", "2001:db8::/48": "2001:db8::1 2001:db8:0:1::1", "192.0.2.0/24": "",
	} {
		l, all := newLanes(), map[string]*waiter{}
		for _, a := range addrs {
			w := &waiter{ready: make(chan struct{})}
			all[a] = w
			h := l.lane(hostKey(netip.MustParseAddr(a)))
			h.waiting = append(h.waiting, w)
		}
		l.wakeIn(netip.MustParsePrefix(network))
		var woken []string
		for _, a := range addrs {
			if all[a].woken {
				<-all[a].ready
				woken = append(woken, a)
			}
		}
		if got := strings.Join(woken, " "); got != want {
			t.Errorf("a ban of %s wakes %q, want %q", network, got, want)
		}
		if len(l.hosts) != len(addrs)-len(woken) {
			t.Errorf("a ban of %s leaves %d lanes", network, len(l.hosts))
		}
	}
}

// TestTrapIsNotLookedAt: an attempt at a trap account closes its network before a
// password is looked at, so that none behind it is.
func TestTrapIsNotLookedAt(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.TrapAccounts = []string{"trap@example.org"} })
	if d := w.Check(t.Context(), attempt("203.0.113.9", "trap@example.org", "")); d.Refuse {
		t.Fatal("asking alone closes the network")
	}
	d := w.Admit(t.Context(), attempt("203.0.113.9", "trap@example.org", "x"))
	if !d.Refuse || d.Ban.Rule != string(ruleTrap) {
		t.Errorf("Admit(trap) = %+v", d)
	}
	if !w.Admit(t.Context(), attempt("203.0.113.9", "alice@example.org", "x")).Refuse {
		t.Error("a guess after the trap is looked at")
	}
	if s := w.Stats(); s.Flying != 0 {
		t.Errorf("%d attempts are under way", s.Flying)
	}
}
