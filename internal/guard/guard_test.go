package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// fakeState is the table of bans, and can be away.
type fakeState struct {
	mu   sync.Mutex
	rows map[string]state.Entry
	// logins is the table of what proved itself.
	logins map[string]state.Entry
	sync   int
	away   error
}

func newFakeState() *fakeState {
	return &fakeState{rows: map[string]state.Entry{}, logins: map[string]state.Entry{}}
}

func (s *fakeState) table(t state.Table) map[string]state.Entry {
	if t == state.Login {
		return s.logins
	}
	return s.rows
}

func (s *fakeState) Put(_ context.Context, t state.Table, e state.Entry, sync bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return s.away
	}
	s.table(t)[e.Key] = e
	if sync {
		s.sync++
	}
	return nil
}

func (s *fakeState) Delete(_ context.Context, t state.Table, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.table(t), key)
	return s.away
}

func (s *fakeState) List(_ context.Context, t state.Table, _ string) ([]state.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []state.Entry
	for _, e := range s.table(t) {
		if time.Now().Before(e.Expires) {
			all = append(all, e)
		}
	}
	return all, s.away
}

type records struct {
	mu  sync.Mutex
	all []journal.Record
}

func (r *records) Record(rec journal.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, rec)
}

// world is a guard with its surroundings.
type world struct {
	*Guard
	t     *testing.T
	state *fakeState
	rec   *records
	log   *bytes.Buffer
}

func newWorld(t *testing.T, edit func(*Config)) *world {
	t.Helper()
	w := &world{t: t, state: newFakeState(), rec: &records{}, log: &bytes.Buffer{}}
	w.start(edit)
	return w
}

// start makes the guard, anew after a restart.
func (w *world) start(edit func(*Config)) {
	w.t.Helper()
	cfg := Default()
	if edit != nil {
		edit(&cfg)
	}
	g, err := New(w.t.Context(), cfg, Deps{State: w.state, Journal: w.rec}, slog.New(slog.NewTextHandler(w.log, nil)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.Guard = g
}

func (w *world) wrong(addr, user, password string) Decision {
	return w.Report(w.t.Context(), attempt(addr, user, password), Wrong)
}

func attempt(addr, user, password string) Attempt {
	return Attempt{Addr: netip.MustParseAddr(addr), User: user, Service: "imap", Mech: "PLAIN", Password: secret.String(password)}
}

// right logs in.
func (w *world) right(addr, user string) Decision {
	w.t.Helper()
	return w.Report(w.t.Context(), attempt(addr, user, "right"), Right)
}

// guess fails n times with different passwords and returns the last decision.
func (w *world) guess(addr string, n int) (d Decision) {
	for i := range n {
		d = w.wrong(addr, "alice@example.org", fmt.Sprintf("planted-%d", i))
	}
	return d
}

func (w *world) refused(addr string) bool {
	return w.Check(w.t.Context(), Attempt{Addr: netip.MustParseAddr(addr), User: "alice@example.org", Service: "imap"}).Refuse
}

func TestFiveDifferentPasswordsBan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		if w.guess("203.0.113.9", 4).Refuse || w.refused("203.0.113.9") {
			t.Fatal("four failures ban")
		}
		d := w.guess("203.0.113.9", 5)
		if !d.Refuse || !w.refused("203.0.113.9") {
			t.Fatal("five failures do not ban")
		}
		if got := w.state.rows["203.0.113.9/32"]; got.Expires != d.Ban.Until.Add(7*day) || w.state.sync != 1 {
			t.Errorf("the ban is not durable: %+v", got)
		}
		if w.refused("203.0.113.10") {
			t.Error("the neighbour is banned")
		}
		if !w.refused("::ffff:203.0.113.9") {
			t.Error("the same address in the form of IPv6 is not banned")
		}
		if len(w.rec.all) != 1 || w.rec.all[0].Rule != d.Ban.ID || w.rec.all[0].Daemon != "guard" || w.rec.all[0].Event != "ban" {
			t.Errorf("journal = %+v", w.rec.all)
		}
		time.Sleep(10*time.Minute - time.Nanosecond)
		if !w.refused("203.0.113.9") {
			t.Error("the ban ended early")
		}
		time.Sleep(time.Nanosecond)
		if w.refused("203.0.113.9") {
			t.Error("the ban did not end")
		}
		if w.guess("203.0.113.9", 4).Refuse {
			t.Error("the count did not start anew after the ban")
		}
	})
}

func TestCounting(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Config)
		run  func(w *world)
		addr string
		want bool
	}{
		{"the same wrong password a hundred times", nil, func(w *world) {
			for range 100 {
				w.wrong("203.0.113.9", "alice@example.org", "old")
			}
		}, "203.0.113.9", false},
		{"one password on seven accounts", nil, func(w *world) {
			for i := range 7 {
				w.wrong("203.0.113.9", fmt.Sprintf("u%d@example.org", i), "Summer2026!")
			}
		}, "203.0.113.9", false},
		{"one password on eight accounts", nil, func(w *world) {
			for i := range 8 {
				w.wrong("203.0.113.9", fmt.Sprintf("u%d@example.org", i), "Summer2026!")
			}
		}, "203.0.113.9", true},
		{"account and password are not run together", nil, func(w *world) {
			for i := range 8 {
				s := "abcdefgh"
				w.wrong("203.0.113.9", s[:i], s[i:])
			}
		}, "203.0.113.9", true},
		{"slower than the window", nil, func(w *world) {
			for i := range 20 {
				w.wrong("203.0.113.9", "a", fmt.Sprint(i))
				time.Sleep(181 * time.Second)
			}
		}, "203.0.113.9", false},
		{"just inside the window", nil, func(w *world) {
			for i := range 5 {
				w.wrong("203.0.113.9", "a", fmt.Sprint(i))
				time.Sleep(149 * time.Second)
			}
		}, "203.0.113.9", true},
		{"an IPv6 /64 is one network", nil, func(w *world) {
			for i := range 5 {
				w.wrong(fmt.Sprintf("2001:db8:1:2::%x", i), "a", fmt.Sprint(i))
			}
		}, "2001:db8:1:2:ffff::1", true},
		{"another /64 is not", nil, func(w *world) { w.guess("2001:db8:1:2::1", 5) }, "2001:db8:1:3::1", false},
		{"spread over addresses", nil, func(w *world) {
			for i := range 50 {
				w.wrong(fmt.Sprintf("203.0.113.%d", i), "a", fmt.Sprint(i))
			}
		}, "203.0.113.9", false},
		{"loopback is not blamed", nil, func(w *world) {
			for i := range 50 {
				w.wrong("127.0.0.1", fmt.Sprintf("u%d@example.org", i), fmt.Sprint(i))
			}
		}, "127.0.0.1", false},
		{"nor that of IPv6", nil, func(w *world) {
			for i := range 50 {
				w.wrong("::1", fmt.Sprintf("u%d@example.org", i), fmt.Sprint(i))
			}
		}, "::1", false},
		{"the account is closed there", nil, func(w *world) { w.guess("127.0.0.1", 5) }, "127.0.0.1", true},
		{"unspecified address", nil, func(w *world) { w.guess("0.0.0.0", 50) }, "0.0.0.0", false},
		{"a success takes back that account's failures", nil, func(w *world) {
			w.guess("203.0.113.9", 4)
			w.right("203.0.113.9", "alice@example.org")
			w.guess("203.0.113.9", 4)
		}, "203.0.113.9", false},
		{"a success of another account does not", nil, func(w *world) {
			w.guess("203.0.113.9", 4)
			w.right("203.0.113.9", "mallory@example.org")
			w.wrong("203.0.113.9", "alice@example.org", "fifth")
		}, "203.0.113.9", true},
		{"a success lifts no ban", nil, func(w *world) {
			w.guess("203.0.113.9", 5)
			w.right("203.0.113.9", "alice@example.org")
		}, "203.0.113.9", true},
		{"mode off", func(c *Config) { c.Mode = unit.Off }, func(w *world) { w.guess("203.0.113.9", 50) }, "203.0.113.9", false},
		{"mode observe", func(c *Config) { c.Mode = unit.Observe }, func(w *world) { w.guess("203.0.113.9", 50) }, "203.0.113.9", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tc.edit)
				tc.run(w)
				if got := w.refused(tc.addr); got != tc.want {
					t.Errorf("Check(%s).Refuse = %v, want %v", tc.addr, got, tc.want)
				}
			})
		})
	}
}

func TestAddressWithoutPeer(t *testing.T) {
	w := newWorld(t, nil)
	for range 50 {
		if w.Report(t.Context(), Attempt{User: "a", Password: secret.String("x")}, Wrong).Refuse {
			t.Fatal("the empty address is banned")
		}
	}
	if w.Check(t.Context(), Attempt{User: "a", Service: "smtp"}).Refuse || w.Stats().Networks != 0 {
		t.Error("the empty address is counted")
	}
}

func TestObserveRecords(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Mode = unit.Observe })
	d := w.guess("203.0.113.9", 5)
	if d.Refuse || !d.Observed || len(w.rec.all) != 1 {
		t.Errorf("Fail() = %+v with %d records, want an observed ban", d, len(w.rec.all))
	}
	if !w.Check(t.Context(), Attempt{Addr: netip.MustParseAddr("203.0.113.9"), User: "", Service: ""}).Observed {
		t.Error("Check does not tell what it would do")
	}
	if all, err := w.Bans(t.Context()); err != nil || len(all) != 1 || !all[0].Observe {
		t.Errorf("Bans() = %+v, %v, want one that is only observed", all, err)
	}
}

func TestBanSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.guess("203.0.113.9", 5)
		w.guess("2001:db8::1", 5)
		w.state.rows["rubbish"] = state.Entry{Key: "rubbish", Value: []byte("{}"), Expires: time.Now().Add(time.Hour)}
		before, err := w.Bans(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.start(nil)
		if !w.refused("203.0.113.9") || !w.refused("2001:db8::99") || w.refused("203.0.113.8") {
			t.Error("the bans did not survive the restart")
		}
		after, err := w.Bans(t.Context())
		if err != nil || len(after) != 2 || len(before) != 2 || after[0].ID != before[0].ID {
			t.Errorf("Bans() after the restart = %+v, %v, want %+v", after, err, before)
		}
		if !strings.Contains(w.log.String(), "ban ignored") {
			t.Error("a row that is no ban was taken in silence")
		}
		w.state.away = errors.New("disk on fire")
		if _, err := New(t.Context(), Default(), Deps{State: w.state, Journal: w.rec}, slog.New(slog.DiscardHandler)); err == nil {
			t.Error("New starts without the bans")
		}
	})
}

func TestStateAway(t *testing.T) {
	w := newWorld(t, nil)
	w.state.away = errors.New("disk on fire")
	if !w.guess("203.0.113.9", 5).Refuse || !w.refused("203.0.113.9") {
		t.Error("without state no ban holds")
	}
	if !strings.Contains(w.log.String(), "ban holds in memory only") {
		t.Error("nobody was told")
	}
}

func TestAddAndRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ctx := t.Context()
		wide, err := w.Add(ctx, netip.MustParsePrefix("203.0.113.0/24"), time.Hour, "too many guesses")
		if err != nil || !w.refused("203.0.113.77") || w.refused("203.0.114.1") {
			t.Fatalf("Add() = %+v, %v", wide, err)
		}
		if _, err := w.Add(ctx, netip.MustParsePrefix("203.0.113.9/32"), 2*time.Hour, ""); err != nil {
			t.Fatal(err)
		}
		if d := w.Check(ctx, Attempt{Addr: netip.MustParseAddr("203.0.113.9"), User: "", Service: ""}); d.Ban.Until != time.Now().Add(2*time.Hour) {
			t.Errorf("Check() names the ban that ends first: %+v", d.Ban)
		}
		if err := w.Remove(ctx, wide.Network); err != nil || w.refused("203.0.113.77") || !w.refused("203.0.113.9") {
			t.Errorf("Remove() = %v", err)
		}
		if err := w.Remove(ctx, wide.Network); !errors.Is(err, ErrNotFound) {
			t.Errorf("Remove() of what is not there = %v, want %v", err, ErrNotFound)
		}
		if len(w.state.rows) != 1 || len(w.rec.all) != 3 {
			t.Errorf("%d rows and %d records, want 1 and 3", len(w.state.rows), len(w.rec.all))
		}
		w.guess("198.51.100.1", 4)
		w.guess("198.51.100.2", 5)
		if err := w.Remove(ctx, netip.MustParsePrefix("198.51.100.2/32")); err != nil {
			t.Fatal(err)
		}
		if w.guess("198.51.100.2", 4).Refuse {
			t.Error("what was counted before the ban was lifted still counts")
		}
		for _, tc := range []struct {
			name    string
			network netip.Prefix
			d       time.Duration
			reason  string
		}{
			{"ignored network", netip.MustParsePrefix("127.0.0.1/32"), time.Hour, ""},
			{"no network", netip.Prefix{}, time.Hour, ""},
			{"bits behind the length", netip.MustParsePrefix("203.0.113.9/24"), time.Hour, ""},
			{"no time", netip.MustParsePrefix("203.0.113.9/32"), 0, ""},
			{"reason of two lines", netip.MustParsePrefix("203.0.113.9/32"), time.Hour, "a\nb"},
		} {
			if _, err := w.Add(ctx, tc.network, tc.d, tc.reason); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: Add() = %v, want %v", tc.name, err, ErrInvalid)
			}
		}
	})
}

// TestBounds: tables do not grow beyond max_networks, the oldest goes first,
// and that is said once.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.MaxNetworks = 10 })
		for i := range 100 {
			w.wrong(fmt.Sprintf("198.51.100.%d", i), "a", "x")
		}
		if s := w.Stats(); s.Networks != 10 || s.Dropped != 90 {
			t.Errorf("Stats() = %+v, want 10 networks and 90 dropped", s)
		}
		for i := range 30 {
			w.guess(fmt.Sprintf("203.0.113.%d", i), 5)
			time.Sleep(time.Second)
		}
		if s := w.Stats(); s.Bans != 10 || len(w.state.rows) != 10 {
			t.Errorf("Stats() = %+v with %d rows, want 10 bans", s, len(w.state.rows))
		}
		if w.refused("203.0.113.0") || !w.refused("203.0.113.29") {
			t.Error("not the oldest ban went first")
		}
		if n := strings.Count(w.log.String(), "guard is full"); n != 1 {
			t.Errorf("%d warnings, want 1", n)
		}
	})
}

// TestNoPasswordLeaves: neither the log, the journal nor the state holds one.
func TestNoPasswordLeaves(t *testing.T) {
	w := newWorld(t, nil)
	d := w.guess("203.0.113.9", 6)
	all := w.log.String() + fmt.Sprintf("%+v %+v %#v", w.rec.all, w.state.rows, d)
	for _, e := range w.state.rows {
		all += string(e.Value)
	}
	j, err := json.Marshal(w.rec.all)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(all+string(j), "planted") {
		t.Errorf("a password left the guard: %s", all)
	}
}

func TestParallel(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 50 { // else the guesses may ban the network before
		w.right(fmt.Sprintf("203.0.113.%d", i), "b")
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				addr := fmt.Sprintf("203.0.113.%d", j%50)
				w.wrong(addr, "a", fmt.Sprintf("%d-%d", i, j))
				w.refused(addr)
				w.right(addr, "b")
			}
		})
	}
	wg.Wait()
	for i := range 50 {
		addr := fmt.Sprintf("203.0.113.%d", i)
		if !w.Check(t.Context(), attempt(addr, "a", "x")).Refuse || w.Check(t.Context(), attempt(addr, "b", "x")).Refuse {
			t.Errorf("%s: want the guesses refused, and the account that proved itself let in", addr)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("Validate(Default()) = %v", err)
	}
	all := []netaddr.Prefix{{}, {Prefix: netip.MustParsePrefix("0.0.0.0/0")}, {Prefix: netip.MustParsePrefix("::/0")}}
	err := Config{Mode: "on", IgnoreNetworks: all, TrustedProxies: all}.Validate()
	for _, key := range []string{"mode", "max_failures", "find_time", "ban_time", "max_networks", "ignore_networks[0]",
		"ignore_networks[1]", "ignore_networks[2]", "trusted_proxies[1]", "trusted_proxies[2]"} {
		if err == nil || !strings.Contains(err.Error(), key+": ") {
			t.Errorf("Validate() does not name %s: %v", key, err)
		}
	}
}

func FuzzBanOf(f *testing.F) {
	f.Add("203.0.113.9/32", []byte(`{"id":"x","network":"203.0.113.9/32","since":"2026-01-01T00:00:00Z","until":"2027-01-01T00:00:00Z"}`))
	f.Add("203.0.113.9/32", []byte(`{"id":"x","network":"203.0.113.9/32","since":"2026-01-01T00:00:00Z","until":"2027-01-01T00:00:00Z","host":"mx1","lifted":"2026-02-01T00:00:00Z"}`))
	f.Add("::/0", []byte(`{"network":"::/0"}`))
	f.Add("", []byte(`{}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		b, lifted, err := banOf(state.Entry{Key: key, Value: value}, time.Now())
		if err != nil {
			return
		}
		set := newBans()
		set.put(b, time.Time{}, 10)
		e, err := b.entry(b.Until, lifted)
		if err != nil {
			return
		}
		if again, at, err := banOf(e, time.Now()); err != nil || again.Network != b.Network || !at.Equal(lifted) {
			t.Errorf("banOf(entry(%+v, %v)) = %+v, %v, %v", b, lifted, again, at, err)
		}
	})
}
