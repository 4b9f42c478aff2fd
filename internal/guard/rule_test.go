package guard

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

func TestJudge(t *testing.T) {
	cfg := Default()
	watch := Default()
	watch.Rules.Accounts.Mode = unit.Observe
	off := Default()
	off.Mode = unit.Observe
	for _, tc := range []struct {
		name string
		cfg  Config
		f    figures
		want action
		rule ruleName
		mode unit.Mode
	}{
		{"four", cfg, figures{pair: 4, host: hostFigures{failures: 4}}, nothing, "", ""},
		{"five", cfg, figures{pair: 5, host: hostFigures{failures: 5}}, banHost, ruleFailures, unit.Enforce},
		{"five in an office", cfg, figures{pair: 1, host: hostFigures{failures: 5, proven: 1}}, nothing, "", ""},
		{"old phones and one who mistypes", cfg, figures{pair: 3, host: hostFigures{failures: 7}}, nothing, "", ""},
		{"eight of several accounts", cfg, figures{pair: 3, host: hostFigures{failures: 8}}, banHost, ruleFailures, unit.Enforce},
		{"ten in an office of one", cfg, figures{pair: 1, host: hostFigures{failures: 10, proven: 1}}, banHost, ruleFailures, unit.Enforce},
		{"five at one account in an office", cfg, figures{pair: 5, host: hostFigures{failures: 5, proven: 1}}, closePair, ruleFailures, unit.Enforce},
		{"the account is proven", cfg, figures{proven: true, pair: 50, host: hostFigures{failures: 50, proven: 40}}, nothing, "", ""},
		{"webmail", cfg, figures{blameless: true, pair: 4, host: hostFigures{failures: 999}}, nothing, "", ""},
		{"webmail, one account", cfg, figures{blameless: true, pair: 5}, closePair, ruleFailures, unit.Enforce},
		{"trap", cfg, figures{trap: true, pair: 1}, banHost, ruleTrap, unit.Enforce},
		{"trap in an office", cfg, figures{trap: true, pair: 1, host: hostFigures{proven: 9}}, closePair, ruleTrap, unit.Enforce},
		{"slow", cfg, figures{pair: 1, host: hostFigures{failures: 1, slow: 15}}, banHost, ruleSlow, unit.Enforce},
		{"spraying", cfg, figures{pair: 1, host: hostFigures{failures: 1, accounts: 10}}, banHost, ruleAccounts, unit.Enforce},
		{"spraying, watched", watch, figures{pair: 1, host: hostFigures{failures: 1, accounts: 10}}, banHost, ruleAccounts, unit.Observe},
		{"watched and enforced", watch, figures{pair: 1, host: hostFigures{failures: 1, accounts: 10, slow: 15}}, banHost, ruleSlow, unit.Enforce},
		{"unknown accounts", cfg, figures{pair: 1, host: hostFigures{failures: 1, unknown: 5}}, banHost, ruleUnknown, unit.Enforce},
		{"an account many guess at", cfg, figures{account: 20, pair: 3, host: hostFigures{failures: 3}}, banHost, ruleAccount, unit.Enforce},
		{"one of a /64 that others share", cfg, figures{pair: 1, single: 5, host: hostFigures{failures: 5, proven: 3}}, banSingle, ruleFailures, unit.Enforce},
		{"many accounts of a /24", cfg, figures{pair: 1, wide: wideFigures{accounts: 99}, host: hostFigures{failures: 1}}, nothing, "", ""},
		{"too many accounts of a /24", cfg, figures{pair: 1, wide: wideFigures{accounts: 100}, host: hostFigures{failures: 1}}, banWide, ruleNetworkBan, unit.Enforce},
		{"observed as a whole", off, figures{pair: 5, host: hostFigures{failures: 5}}, banHost, ruleFailures, unit.Observe},
	} {
		if got := judge(&tc.cfg, tc.f); got.do != tc.want || got.rule != tc.rule || got.mode != tc.mode {
			t.Errorf("%s: judge(%+v) = %+v, want %v by %q in %q", tc.name, tc.f, got, tc.want, tc.rule, tc.mode)
		}
	}
}

func TestGrowth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		n := 0
		again := func() Ban {
			var d Decision
			for range 5 {
				n++
				d = w.wrong("203.0.113.9", "a", fmt.Sprint(n))
			}
			if !d.Refuse {
				t.Fatalf("%d guesses do not ban", n)
			}
			return d.Ban
		}
		for i, want := range []time.Duration{10 * time.Minute, time.Hour, day, 7 * day, 7 * day} {
			b := again()
			if got := b.Until.Sub(b.Since); got != want || b.Times != i+1 {
				t.Errorf("ban %d is number %d and takes %v, want %v", i+1, b.Times, got, want)
			}
			if i == 2 {
				w.start(nil) // it is remembered
			}
			time.Sleep(want + time.Minute)
		}
		time.Sleep(14 * day)
		if b := again(); b.Times != 4 {
			t.Errorf("after two weeks it is ban number %d, want 4", b.Times)
		}
		if err := w.Remove(t.Context(), netip.MustParsePrefix("203.0.113.9/32")); err != nil {
			t.Fatal(err)
		}
		if b := again(); b.Times != 1 {
			t.Errorf("after it was lifted it is ban number %d, want 1", b.Times)
		}
	})
}

// TestProvenPair: who logged in from there gets in whatever others do there,
// also after a restart, but not past a person, and not for ever.
func TestProvenPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []Change
		w := newWorld(t, nil)
		w.deps.Changed = func(c Change) { told = append(told, c) }
		w.right("203.0.113.9", "alice")
		var d Decision
		for i := range 20 {
			d = w.wrong("203.0.113.9", fmt.Sprintf("victim%d", i%3), fmt.Sprint(i))
		}
		if !d.Refuse || !d.Ban.Shared || len(told) != 0 {
			t.Fatalf("20 guesses: %+v, told %+v, want a ban for the guard alone", d, told)
		}
		allowed := func() bool { return !w.Check(t.Context(), attempt("203.0.113.9", "alice", "x")).Refuse }
		if !allowed() || !w.refused("203.0.113.9") {
			t.Error("want alice let in and others not")
		}
		if w.CheckClient(t.Context(), netip.MustParseAddr("203.0.113.9"), "imap").Refuse {
			t.Error("the address is refused as a whole")
		}
		w.start(nil)
		if !allowed() || !w.refused("203.0.113.9") {
			t.Error("after a restart, want alice let in and others not")
		}
		if _, err := w.Add(t.Context(), netip.MustParsePrefix("203.0.113.0/24"), 30*day, ""); err != nil || allowed() {
			t.Errorf("an administrator's ban does not hold: %v", err)
		}
		if err := w.Remove(t.Context(), netip.MustParsePrefix("203.0.113.0/24")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(14*day + time.Second)
		for i := range 5 {
			w.wrong("203.0.113.9", "bob", fmt.Sprint(i))
		}
		if allowed() {
			t.Error("what was proven a fortnight ago still counts")
		}
	})
}

func TestChangedAndServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []Change
		w := newWorld(t, func(c *Config) { c.Rules.MX.Mode = unit.Enforce })
		w.deps.Changed = func(c Change) { told = append(told, c) }
		b := w.guess("203.0.113.9", 5).Ban
		if len(told) != 1 || told[0].Ban.ID != b.ID || told[0].Lifted || told[0].Mode != unit.Enforce || strings.Join(b.Services, " ") != "imap pop3 sieve submission web" {
			t.Fatalf("told %+v", told)
		}
		addr := netip.MustParseAddr("203.0.113.9")
		if w.CheckClient(t.Context(), addr, MX).Refuse || !w.CheckClient(t.Context(), addr, "imap").Refuse {
			t.Error("want logins closed and port 25 open")
		}
		var d Decision
		for i := range 20 {
			d = w.Note(t.Context(), Event{Kind: UnknownRecipient, Addr: addr, User: fmt.Sprintf("n%d@example.org", i)})
		}
		if !d.Refuse || strings.Join(d.Ban.Services, " ") != MX || !w.CheckClient(t.Context(), addr, MX).Refuse {
			t.Fatalf("20 unknown recipients: %+v", d)
		}
		if bans, _ := w.Bans(t.Context()); len(bans) != 2 || len(w.state.rows) != 2 {
			t.Errorf("%d bans and %d rows, want one for logins and one for port 25", len(bans), len(w.state.rows))
		}
		cfg := Default()
		cfg.Mode = unit.Observe
		w.Reconfigure(cfg)
		if len(told) != 4 || told[3].Mode != unit.Observe {
			t.Errorf("told %+v, want both bans anew in mode observe", told)
		}
		if err := w.Remove(t.Context(), b.Network); err != nil || len(w.state.rows) != 0 {
			t.Errorf("Remove() = %v with %d rows left", err, len(w.state.rows))
		}
		if len(told) != 6 || !told[5].Lifted {
			t.Errorf("told %+v, want both lifted", told)
		}
	})
}

func TestPort25(t *testing.T) {
	for _, tc := range []struct {
		name   string
		events func(w *world, note func(Kind, string))
		want   bool
	}{
		{"five relay attempts", func(_ *world, note func(Kind, string)) {
			for range 5 {
				note(RelayAttempt, "")
			}
		}, true},
		{"ten spams", func(_ *world, note func(Kind, string)) {
			for range 10 {
				note(SpamRefused, "")
			}
		}, true},
		{"one unknown recipient for ever", func(_ *world, note func(Kind, string)) {
			for range 100 {
				note(UnknownRecipient, "gone@example.org")
			}
		}, false},
		{"after accepted mail", func(w *world, note func(Kind, string)) {
			note(Accepted, "")
			w.start(func(c *Config) { c.Rules.MX.Mode = unit.Enforce })
			time.Sleep(29 * day)
			for range 50 {
				note(RelayAttempt, "")
			}
		}, false},
		{"long after accepted mail", func(_ *world, note func(Kind, string)) {
			note(Accepted, "")
			time.Sleep(30 * day)
			for range 50 {
				note(RelayAttempt, "")
			}
		}, true},
		{"failed logins", func(w *world, _ func(Kind, string)) { w.guess("203.0.113.9", 50) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.Rules.MX.Mode = unit.Enforce })
				addr := netip.MustParseAddr("203.0.113.9")
				tc.events(w, func(k Kind, user string) { w.Note(t.Context(), Event{Kind: k, Addr: addr, User: user}) })
				if got := w.CheckClient(t.Context(), addr, MX).Refuse; got != tc.want {
					t.Errorf("CheckClient(mx).Refuse = %v, want %v", got, tc.want)
				}
			})
		})
	}
}

// TestNeverBanned: addresses that are no attacker's are not blamed, whatever
// comes from them.
func TestNeverBanned(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "::1", "192.0.2.1", "198.51.100.1", "2001:db8:5::1"} {
		w := newWorld(t, func(c *Config) {
			c.TrustedProxies = append(c.TrustedProxies, netaddr.Prefix{Prefix: netip.MustParsePrefix("198.51.100.0/24")})
		})
		w.deps.Own = func() []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:5::9")}
		}
		for i := range 200 {
			w.wrong(addr, fmt.Sprintf("u%d", i), fmt.Sprint(i))
			w.Note(t.Context(), Event{Kind: RelayAttempt, Addr: netip.MustParseAddr(addr)})
		}
		if bans, _ := w.Bans(t.Context()); len(bans) != 0 || w.refused(addr) {
			t.Errorf("%s: %+v", addr, bans)
		}
	}
}

// TestSprayedPassword: a password that was wrong at ten accounts is looked at
// from proven places only, as long as it is tried.
func TestSprayedPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.right("192.0.2.9", "owner")
		for i := range 10 {
			w.wrong(fmt.Sprintf("203.0.%d.9", i), fmt.Sprintf("u%d", i), "Summer2026!")
		}
		refused := func(addr, user, pw string) bool {
			return w.Check(t.Context(), attempt(addr, user, pw)).Refuse
		}
		if !refused("198.51.100.1", "other", "Summer2026!") {
			t.Error("it is looked at once more")
		}
		if refused("192.0.2.9", "owner", "Summer2026!") || refused("198.51.100.1", "other", "another") {
			t.Error("a proven place, or another password, is refused")
		}
		time.Sleep(50 * time.Minute)
		refused("198.51.100.1", "other", "Summer2026!")
		time.Sleep(50 * time.Minute)
		if !refused("198.51.100.1", "other", "Summer2026!") {
			t.Error("it is forgotten while it is tried")
		}
		time.Sleep(2 * time.Hour)
		if refused("198.51.100.1", "other", "Summer2026!") {
			t.Error("it is refused for ever")
		}
	})
}

func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		w := newWorld(t, nil)
		w.deps.Told = func(n Notice) { told = append(told, n.User+": "+n.Text()) }
		w.deps.Country = func(a netip.Addr) string {
			if a.As4()[0] == 192 {
				return "DE"
			}
			return "BR"
		}
		w.right("192.0.2.9", "alice")
		guess := func(from, n int) {
			for i := range n {
				w.wrong(fmt.Sprintf("203.0.%d.9", from+i%12), "alice", fmt.Sprint(from, i))
			}
		}
		guess(0, 20)
		guess(20, 17)
		time.Sleep(day)
		guess(100, 24)
		w.right("203.0.113.77", "alice")
		w.right("203.0.113.77", "alice")
		want := []string{
			"alice: 20 wrong passwords from 12 networks; nobody got in",
			"alice: 20 wrong passwords from 15 networks; nobody got in",
			"alice: a login from a new country: BR (203.0.113.77)",
		}
		if got := strings.Join(told, "\n"); got != strings.Join(want, "\n") {
			t.Errorf("told\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
		w.start(nil)
		w.deps.Told = func(n Notice) { t.Errorf("told again after a restart: %s", n.Text()) }
		w.deps.Country = func(netip.Addr) string { return "BR" }
		w.right("203.0.113.78", "alice")
	})
}

func TestObservedRuleBansNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Rules.Accounts.Mode, c.MaxFailures = unit.Observe, 100 })
		var d Decision
		for i := range 12 {
			d = w.wrong("203.0.113.9", fmt.Sprintf("u%d", i), fmt.Sprint(i))
		}
		if d.Refuse || !d.Observed || w.refused("203.0.113.9") || len(w.rec.all) != 1 {
			t.Errorf("Report() = %+v with %d records, want one observed ban", d, len(w.rec.all))
		}
		e, err := w.Explain(context.Background(), netip.MustParseAddr("203.0.113.9"))
		if err != nil || len(e.Bans) != 1 || !e.Bans[0].Observe {
			t.Errorf("Explain() = %+v, %v", e, err)
		}
	})
}

func TestDelays(t *testing.T) {
	w := newWorld(t, nil)
	for i, want := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second} {
		if got := w.wrong("203.0.113.9", "a", fmt.Sprint(i)).Delay; got != want {
			t.Errorf("failure %d is delayed by %v, want %v", i+1, got, want)
		}
	}
	for i := range 30 { // a sketch is right within a tenth
		w.wrong(fmt.Sprintf("198.51.100.%d", i), fmt.Sprintf("u%d", i), fmt.Sprint(i))
	}
	if d := w.Check(t.Context(), attempt("198.51.100.200", "b", "x")); d.Delay != lateDelay || d.Refuse {
		t.Errorf("Check() in a network that attacks = %+v, want a delay", d)
	}
	w.right("198.51.100.200", "b")
	if d := w.Check(t.Context(), attempt("198.51.100.200", "b", "x")); d.Delay != 0 {
		t.Errorf("Check() of a proven account = %+v, want no delay", d)
	}
}
