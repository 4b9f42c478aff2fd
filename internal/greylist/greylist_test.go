package greylist

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/netaddr"
)

const (
	stranger = "192.0.2.7"
	bob      = "bob@shop.example"
	alice    = "alice@example.org"
)

func want(t *testing.T, o Outcome, defers bool, why Why) {
	t.Helper()
	if o.Defer != defers || o.Why != why || o.Err != nil {
		t.Errorf("See() = %+v, want defer %v, %q", o, defers, why)
	}
}

func TestRoundTrip(t *testing.T) {
	r := newRig(t, nil)
	first := r.from(t, stranger, bob, alice)
	want(t, first, true, WhyFirst)
	if first.Seconds() != 300 || first.Suspect != SuspectNameless || first.Client != "192.0.2.0/24" || !first.Back.Equal(begin.Add(5*time.Minute)) {
		t.Errorf("first try: %+v", first)
	}
	early := r.after(4*time.Minute+500*time.Millisecond).from(t, stranger, bob, alice)
	want(t, early, true, WhyEarly)
	if early.Seconds() != 60 {
		t.Errorf("Seconds() = %d, want 60", early.Seconds())
	}
	want(t, r.after(59500*time.Millisecond).from(t, "192.0.2.200", "Bob@SHOP.example", "Alice+tag@example.org"), false, WhyPassed)
	want(t, r.after(35*24*time.Hour).from(t, stranger, bob, alice), false, WhyKnown)
	want(t, r.after(35*24*time.Hour).from(t, stranger, bob, alice), false, WhyKnown)
	want(t, r.after(37*24*time.Hour).from(t, stranger, bob, alice), true, WhyFirst)
	if got := r.Stats(); got != (Stats{Deferred: 3, Passed: 1}) {
		t.Errorf("Stats() = %+v", got)
	}
}

func TestWindow(t *testing.T) {
	r := newRig(t, nil)
	want(t, r.from(t, stranger, bob, alice), true, WhyFirst)
	want(t, r.after(47*time.Hour).from(t, stranger, bob, alice), false, WhyPassed)
	want(t, r.from(t, stranger, bob, "carol@example.org"), true, WhyFirst)
	want(t, r.after(49*time.Hour).from(t, stranger, bob, "carol@example.org"), true, WhyFirst)
	want(t, r.after(-time.Hour).from(t, stranger, bob, "carol@example.org"), true, WhyFirst) // the clock was set back
	want(t, r.after(5*time.Minute).from(t, stranger, bob, "carol@example.org"), false, WhyPassed)
}

func TestWhoIsAsked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte("client friend.example\nclient 198.51.100.0/24\nrecipient abuse@\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, client, helo string
		from, rcpt         string
		mode               Mode
		want               Why
	}{
		{"mail.shop.example", stranger, "", bob, alice, Suspicious, WhyUnsuspect},
		{"dyn-192-0-2-7.isp.example", stranger, "", bob, alice, Suspicious, WhyFirst},
		{"static-192-0-2-7.isp.example", stranger, "", bob, alice, Suspicious, WhyUnsuspect},
		{"", stranger, "", bob, alice, Suspicious, WhyFirst},
		{"", "2001:db8::1", "", bob, alice, Suspicious, WhyFirst},
		{"mail.shop.example", "203.0.113.66", "", bob, alice, Suspicious, WhyFirst}, // listed
		{"mail.shop.example", stranger, "", bob, alice, Always, WhyFirst},
		{"", stranger, "", bob, alice, Off, WhyOff},
		{"", stranger, "", "", alice, Always, WhyNull},
		{"", "", "", bob, alice, Always, WhyNoClient},
		{"", "127.0.0.1", "", bob, alice, Always, WhyClient},
		{"", "::1", "", bob, alice, Always, WhyClient},
		{"", "::ffff:10.1.2.3", "", bob, alice, Always, WhyClient},
		{"", "203.0.113.7", "", bob, alice, Always, WhyClient}, // of the configuration
		{"", "198.51.100.9", "", bob, alice, Always, WhyListed},
		{"mx.friend.example", stranger, "", bob, alice, Always, WhyListed},
		{"mx.badfriend.example", stranger, "", bob, alice, Always, WhyFirst},
		{"", stranger, "", bob, "Abuse@example.org", Suspicious, WhyRecipient},
		{"", stranger, "", bob, "opt+x@EXAMPLE.org", Suspicious, WhyOptOut},
		{"", stranger, "", bob, "any@fast.example", Suspicious, WhyOptOut},
		{"", stranger, "", bob, "any@sub.fast.example", Suspicious, WhyFirst},
		{"", stranger, "", bob, "info@example.org", Suspicious, WhyOptOut}, // an alias of opt@
		{"", stranger, "", "friend@shop.example", alice, Suspicious, WhyWritten},
		{"", stranger, "", "friend@shop.example", "sales@example.org", Suspicious, WhyWritten}, // an alias of alice
	} {
		r := newRig(t, func(c *Config) {
			c.Mode = tc.mode
			c.Clients = append(c.Clients, netaddr.Prefix{Prefix: netip.MustParsePrefix("203.0.113.0/28")})
			c.OptOut = []string{"opt@example.org", "fast.example"}
			c.WhitelistFiles = []string{file}
		})
		r.world.listed = "203.0.113.66"
		r.world.written = alice + " friend@shop.example"
		r.world.mailboxes = map[string]string{"sales@example.org": alice, "info@example.org": "opt@example.org"}
		q := Query{Name: tc.name, Helo: tc.helo, MailFrom: tc.from, RcptTo: tc.rcpt}
		if tc.client != "" {
			q.Client = netip.MustParseAddr(tc.client)
		}
		if o := r.ask(t, q); o.Why != tc.want || o.Defer != (tc.want == WhyFirst) || o.Err != nil {
			t.Errorf("See(%+v) in mode %s = %+v, want %q", q, tc.mode, o, tc.want)
		}
	}
}

// TestPool: the second try comes from another network, and SPF knows both.
func TestPool(t *testing.T) {
	r := newRig(t, nil)
	r.world.orgs["mail.shop.example"] = "shop.example"
	o := r.from(t, stranger, "bob@mail.shop.example", alice)
	want(t, o, true, WhyFirst)
	if o.Client != "shop.example" {
		t.Errorf("the client is %q", o.Client)
	}
	want(t, r.after(6*time.Minute).from(t, "198.51.100.1", "bob@mail.shop.example", alice), false, WhyPassed)
	// DNS is away: the network is known all the same, another one is not.
	r.world.orgs = nil
	want(t, r.from(t, "198.51.100.1", "bob@mail.shop.example", alice), false, WhyKnown)
	want(t, r.from(t, "203.0.113.1", "bob@mail.shop.example", alice), true, WhyFirst)
	r.world.orgs = map[string]string{"mail.shop.example": "shop.example"}
	want(t, r.from(t, "203.0.113.1", "bob@mail.shop.example", alice), false, WhyKnown)

	// What waited under the network counts when SPF is known again.
	r = newRig(t, nil)
	want(t, r.from(t, stranger, bob, alice), true, WhyFirst)
	r.world.orgs["shop.example"] = "shop.example"
	want(t, r.after(6*time.Minute).from(t, stranger, bob, alice), false, WhyPassed)
	asked := r.world.asked
	want(t, r.from(t, stranger, bob, alice), false, WhyKnown)
	if r.world.asked != asked {
		t.Error("SPF was asked about who passed before")
	}
}

func TestAutoAllow(t *testing.T) {
	r := newRig(t, nil)
	for _, to := range []string{"a", "b", "c", "d", "e"} {
		want(t, r.from(t, stranger, bob, to+"@example.org"), true, WhyFirst)
	}
	r.after(6 * time.Minute)
	for _, to := range []string{"a", "b", "c", "d"} {
		want(t, r.from(t, stranger, bob, to+"@example.org"), false, WhyPassed)
		want(t, r.from(t, stranger, bob, to+"@example.org"), false, WhyKnown)
	}
	want(t, r.from(t, stranger, bob, "new@example.org"), true, WhyFirst)
	want(t, r.from(t, stranger, bob, "e@example.org"), false, WhyPassed)
	want(t, r.from(t, stranger, "other@else.example", "new@example.org"), false, WhyAutoAllow)
	// It lasts as long as mail comes, and goes with what looks like spam.
	for range 4 {
		want(t, r.after(30*24*time.Hour).from(t, stranger, "other@else.example", "new@example.org"), false, WhyAutoAllow)
	}
	if err := r.Wish(t.Context(), netip.MustParseAddr(stranger), "other@else.example"); err != nil {
		t.Fatal(err)
	}
	want(t, r.from(t, stranger, "other@else.example", "new2@example.org"), true, WhyFirst)

	r = newRig(t, func(c *Config) { c.AutoAllow = 0 })
	want(t, r.from(t, stranger, bob, alice), true, WhyFirst)
	want(t, r.after(6*time.Minute).from(t, stranger, bob, alice), false, WhyPassed)
	want(t, r.from(t, stranger, bob, "b@example.org"), true, WhyFirst)
}

func TestWish(t *testing.T) {
	r := newRig(t, nil)
	q := Query{Client: netip.MustParseAddr("192.0.2.9"), Name: "mail.shop.example", MailFrom: bob, RcptTo: alice}
	want(t, r.ask(t, q), false, WhyUnsuspect)
	r.store.now = time.Now() // a wish ends by the clock
	wish := func(f func() error) {
		t.Helper()
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	wish(func() error { return r.Wish(t.Context(), netip.MustParseAddr("192.0.2.7"), "BOB@shop.example") })
	o := r.See(t.Context(), q, time.Now())
	if o.Suspect != SuspectWish {
		t.Errorf("the suspicion is %q", o.Suspect)
	}
	want(t, o, true, WhyFirst)
	wish(func() error { return r.Unwish(t.Context(), netip.MustParseAddr("192.0.2.7"), bob) })
	want(t, r.See(t.Context(), q, time.Now()), false, WhyUnsuspect)
	wish(func() error { return r.Unwish(t.Context(), netip.MustParseAddr("192.0.2.7"), bob) })
	wish(func() error { return r.Wish(t.Context(), netip.Addr{}, bob) })
	wish(func() error { return r.Wish(t.Context(), netip.MustParseAddr("192.0.2.7"), "") })
}

// TestFaultsDeferNobody: neither a read nor a write that fails does.
func TestFaultsDeferNobody(t *testing.T) {
	for _, fail := range []func(s *fakeStore){
		func(s *fakeStore) { s.failGet = true },
		func(s *fakeStore) { s.failPut = true },
	} {
		for _, mode := range []Mode{Suspicious, Always} {
			r := newRig(t, func(c *Config) { c.Mode = mode })
			fail(r.store)
			if o := r.from(t, stranger, bob, alice); o.Defer || !errors.Is(o.Err, errDisk) || o.Why != WhyStateFault {
				t.Errorf("See() = %+v", o)
			}
			if r.Stats().Faults != 1 {
				t.Errorf("Stats() = %+v", r.Stats())
			}
		}
	}
	r := newRig(t, nil)
	q := Query{Client: netip.MustParseAddr(stranger), Name: "mail.shop.example", MailFrom: bob, RcptTo: alice}
	r.store.failGet = true
	if o := r.ask(t, q); o.Defer || o.Err == nil {
		t.Errorf("See() of a good client = %+v", o)
	}
}

// TestDamagedRows: a row of nobody's is as good as none.
func TestDamagedRows(t *testing.T) {
	r := newRig(t, nil)
	want(t, r.from(t, stranger, bob, alice), true, WhyFirst)
	for key, e := range r.store.rows {
		e.Value = []byte("?")
		r.store.rows[key] = e
	}
	want(t, r.after(6*time.Minute).from(t, stranger, bob, alice), true, WhyFirst)
	want(t, r.after(6*time.Minute).from(t, stranger, bob, alice), false, WhyPassed)
}

func TestObserve(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Observe = true })
	if o := r.from(t, stranger, bob, alice); !o.Defer || !o.Observe {
		t.Errorf("See() = %+v", o)
	}
}

func TestReconfigure(t *testing.T) {
	r := newRig(t, nil)
	want(t, r.from(t, stranger, bob, alice), true, WhyFirst)
	bad := Default()
	bad.Mode = "sometimes"
	if err := r.Reconfigure(bad); err == nil {
		t.Error("a bad mode was taken")
	}
	want(t, r.from(t, stranger, bob, alice), true, WhyEarly)
	off := Default()
	off.Mode = Off
	if err := r.Reconfigure(off); err != nil {
		t.Fatal(err)
	}
	want(t, r.from(t, stranger, bob, alice), false, WhyOff)
}
