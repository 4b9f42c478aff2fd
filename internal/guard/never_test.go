package guard

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/state"
)

func ignoring(networks ...string) func(*Config) {
	return func(c *Config) {
		for _, n := range networks {
			c.IgnoreNetworks = append(c.IgnoreNetworks, netaddr.Prefix{Prefix: netip.MustParsePrefix(n)})
		}
	}
}

// TestNeverInFirewall: a ban around an address that is never banned is obeyed by
// the guard alone, and not for that address.
func TestNeverInFirewall(t *testing.T) {
	w := newWorld(t, ignoring("203.0.113.80/32", "2001:db8::80/128"))
	told := 0
	w.deps.Changed = func(Change) { told++ }
	w.deps.Own = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("10.1.1.1")} }
	ctx := t.Context()
	for _, network := range []string{"203.0.113.0/24", "10.0.0.0/8", "0.0.0.0/0"} {
		b, err := w.Add(ctx, netip.MustParsePrefix(network), time.Hour, "")
		if err != nil || !b.Shared {
			t.Fatalf("Add(%s) = %+v, %v", network, b, err)
		}
	}
	if d := w.guess("2001:db8::1", 5); !d.Refuse || !d.Ban.Shared {
		t.Errorf("five guesses beside an ignored address = %+v", d)
	}
	if told != 0 {
		t.Errorf("%d bans were told to others", told)
	}
	for addr, want := range map[string]bool{
		"203.0.113.80": false, "10.1.1.1": false, "2001:db8::80": false, "127.0.0.1": false, "::ffff:203.0.113.80": false,
		"203.0.113.81": true, "10.1.1.2": true, "2001:db8::81": true,
	} {
		if w.refused(addr) != want {
			t.Errorf("refused(%s) = %v", addr, !want)
		}
		d := w.CheckClient(ctx, netip.MustParseAddr(addr), "imap")
		if d.Refuse && !want || !d.Refuse && want && addr != "2001:db8::81" {
			t.Errorf("CheckClient(%s) = %+v", addr, d)
		}
	}
	for _, network := range []string{"127.0.0.0/24", "127.0.0.0/8", "::1/128", "203.0.113.80/32", "10.1.1.0/24", "224.0.0.0/8"} {
		if b, err := w.Add(ctx, netip.MustParsePrefix(network), time.Hour, ""); err == nil {
			t.Errorf("Add(%s) = %+v", network, b)
		}
	}
}

// TestSharedHidesNoOther: a ban of a person holds for all, also where a longer one
// lets proven accounts in.
func TestSharedHidesNoOther(t *testing.T) {
	w := newWorld(t, nil)
	w.right("203.0.113.9", "bob@example.org")
	var d Decision
	for i := range 20 {
		d = w.wrong("203.0.113.9", fmt.Sprintf("n%d@example.org", i), fmt.Sprint(i))
	}
	if !d.Ban.Shared {
		t.Fatalf("guesses at 20 accounts where another is proven = %+v", d)
	}
	addr := netip.MustParseAddr("203.0.113.9")
	if w.CheckClient(t.Context(), addr, "submission").Refuse {
		t.Error("the whole network is refused")
	}
	if _, err := w.Add(t.Context(), netip.MustParsePrefix("203.0.113.0/24"), time.Minute, ""); err != nil {
		t.Fatal(err)
	}
	if !w.CheckClient(t.Context(), addr, "submission").Refuse {
		t.Error("the ban of a person is not obeyed")
	}
}

// TestClockGoesBack: who is proven does not wait for the time that comes again.
func TestClockGoesBack(t *testing.T) {
	w, now := newWorld(t, nil), time.Now()
	w.now = func() time.Time { return now }
	w.right("203.0.113.9", "alice@example.org")
	w.guess("203.0.113.9", 6)
	now = now.Add(-time.Second * 100)
	v := w.keys.view(&w.cfg.Load().Config, &Attempt{Addr: netip.MustParseAddr("203.0.113.9"), User: "alice@example.org"})
	w.mu.Lock()
	wait, ok := w.room(w.cfg.Load(), &v, now)
	w.mu.Unlock()
	if ok || wait > pairPause {
		t.Errorf("room() = %v, %v, want at most %v", wait, ok, pairPause)
	}
}

// TestIgnoredLater: a network that the settings spare from now on is open at
// once, everywhere.
func TestIgnoredLater(t *testing.T) {
	w := newWorld(t, nil)
	var told []Change
	w.deps.Changed = func(c Change) { told = append(told, c) }
	one := w.guess("203.0.113.9", 5).Ban
	wide, err := w.Add(t.Context(), netip.MustParsePrefix("198.51.100.0/24"), time.Hour, "")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	ignoring("203.0.113.0/28", "198.51.100.7/32")(&cfg)
	told = nil
	w.Reconfigure(cfg)
	if len(told) != 2 || !told[0].Lifted || told[0].Ban.ID != one.ID || !told[1].Lifted || told[1].Ban.ID != wide.ID {
		t.Errorf("told %+v, want both lifted", told)
	}
	all, err := w.Bans(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != wide.ID || !all[0].Shared || len(w.state.rows) != 1 {
		t.Errorf("Bans() = %+v, %v with %d rows, want the wide one, for the guard alone", all, err, len(w.state.rows))
	}
	if w.refused("203.0.113.9") || w.refused("198.51.100.7") || !w.refused("198.51.100.8") {
		t.Error("want the ignored ones open and the others refused")
	}
}

// TestEditedRow: what the state says is not believed against the settings.
func TestEditedRow(t *testing.T) {
	w := newWorld(t, nil)
	now := time.Now()
	for i, network := range []string{"127.0.0.0/8", "::1/128", "192.0.2.80/32", "::ffff:203.0.113.0/120", "203.0.113.0/24"} {
		b := Ban{ID: fmt.Sprintf("row%d", i), Network: netip.MustParsePrefix(network), Since: now, Until: now.Add(time.Hour)}
		if network == "203.0.113.0/24" {
			b.Until = now.AddDate(100, 0, 0)
		}
		e, err := b.entry(now.AddDate(200, 0, 0), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		w.state.rows[e.Key] = e
	}
	w.start(ignoring("192.0.2.80/32"))
	if all, err := w.Bans(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("Bans() = %+v, %v", all, err)
	}
}

// lifting is a state that does something in the middle of a Put.
type lifting struct {
	*fakeState
	meanwhile func()
}

func (s *lifting) Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error {
	if f := s.meanwhile; f != nil {
		s.meanwhile = nil
		f()
	}
	return s.fakeState.Put(ctx, t, e, sync)
}

// TestLiftedWhileWritten: a ban that is lifted, or replaced, while its row is
// written does not come back after a restart, nor in a firewall.
func TestLiftedWhileWritten(t *testing.T) {
	w := newWorld(t, nil)
	var told []Change
	w.deps.Changed = func(c Change) { told = append(told, c) }
	slow := &lifting{fakeState: w.state}
	w.deps.State = slow
	p := netip.MustParsePrefix("203.0.113.9/32")
	slow.meanwhile = func() {
		if err := w.Remove(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
	w.guess("203.0.113.9", 5)
	if len(w.state.rows) != 0 || len(told) != 2 || !told[1].Lifted {
		t.Errorf("%d rows, told %+v, want the lifted ban gone", len(w.state.rows), told)
	}
	var second Ban
	slow.meanwhile = func() {
		var err error
		if second, err = w.Add(t.Context(), p, 2*time.Hour, ""); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.Add(t.Context(), p, time.Hour, ""); err != nil {
		t.Fatal(err)
	}
	w.start(nil)
	if all, _ := w.Bans(t.Context()); len(all) != 1 || all[0].ID != second.ID {
		t.Errorf("after the restart %+v, want %+v", all, second)
	}
}

// TestManualGoesLast: nobody pushes out what a person added by being banned from
// many addresses.
func TestManualGoesLast(t *testing.T) {
	s, now := newBans(), time.Now()
	add := func(n byte, manual bool) (dropped []Ban) {
		b := Ban{ID: fmt.Sprint(n), Network: netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, n}), 32), Until: now.Add(time.Hour), Manual: manual}
		gone := b.Until
		if !manual {
			gone = gone.Add(time.Duration(n) * day)
		}
		return s.put(b, gone, 10)
	}
	add(200, true)
	for n := range byte(100) {
		for _, b := range add(n, false) {
			if b.Manual {
				t.Fatalf("ban %d pushes out the one of a person", n)
			}
		}
	}
}

// TestEachLineBoundsFlight: four unknown accounts an hour, then several guesses at
// once: only as many are looked at as stay below the line, not max_failures.
func TestEachLineBoundsFlight(t *testing.T) {
	now := time.Now()
	w := newWorld(t, nil)
	w.now = func() time.Time { return now }
	for i := range 3 {
		w.Report(t.Context(), attempt("203.0.113.9", fmt.Sprintf("n%d@example.org", i), fmt.Sprint(i)), NoAccount)
	}
	now = now.Add(30 * time.Minute) // find_time is over, the hour of rules.unknown is not
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	flying := 0
	for i := range 4 {
		if w.Admit(ctx, attempt("203.0.113.9", fmt.Sprintf("m%d@example.org", i), fmt.Sprint(i))); ctx.Err() == nil {
			flying++
		}
	}
	if flying != 2 {
		t.Errorf("%d guesses are under way, want the two that are left", flying)
	}
}
