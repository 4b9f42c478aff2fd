package greylist

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// real is a greylist over a real store, whose time is that of the bubble.
func real(t *testing.T, path string) (*Greylist, func(mailFrom, rcpt string) Outcome) {
	s, err := state.OpenSQLite(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	g, err := New(Default(), Deps{State: s}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return g, func(mailFrom, rcpt string) Outcome {
		return g.See(t.Context(), Query{Client: netip.MustParseAddr(stranger), MailFrom: mailFrom, RcptTo: rcpt}, time.Now())
	}
}

func short(all []Item) string {
	var out []string
	for _, it := range all {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", it.State, it.Client, it.MailFrom, it.RcptTo)))
	}
	return strings.Join(out, "\n")
}

func TestListReleaseForget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) {
		g, see := real(t, path)
		list := func(f Filter, want ...string) []Item {
			t.Helper()
			all, err := g.List(t.Context(), f)
			if err != nil || short(all) != strings.Join(want, "\n") {
				t.Errorf("List(%+v) = %v\n%s\nwant\n%s", f, err, short(all), strings.Join(want, "\n"))
			}
			return all
		}
		list(Filter{})
		want(t, see(bob, alice), true, WhyFirst)
		want(t, see("carol7@shop.example", alice), true, WhyFirst)
		want(t, see(bob, "dan@example.org"), true, WhyFirst)
		list(Filter{},
			"waiting 192.0.2.0/24 #@shop.example alice@example.org",
			"waiting 192.0.2.0/24 bob@shop.example alice@example.org",
			"waiting 192.0.2.0/24 bob@shop.example dan@example.org")
		list(Filter{MailFrom: "Carol7@shop.example"}, "waiting 192.0.2.0/24 #@shop.example alice@example.org")
		list(Filter{RcptTo: "dan+x@example.org", Client: "192.0.2.99"}, "waiting 192.0.2.0/24 bob@shop.example dan@example.org")
		list(Filter{Client: "198.51.100.1"})
		list(Filter{State: Passed})
		if all := list(Filter{Limit: 1}, "waiting 192.0.2.0/24 #@shop.example alice@example.org"); !all[0].Back.Equal(all[0].First.Add(5*time.Minute)) || all[0].Tries != 1 {
			t.Errorf("item %+v", all[0])
		}
		// Released, it passes at once, and nobody's pass is counted.
		all, err := g.Release(t.Context(), Filter{RcptTo: "dan"})
		if err != nil || short(all) != "passed 192.0.2.0/24 bob@shop.example dan@example.org" {
			t.Errorf("Release = %v\n%s", err, short(all))
		}
		want(t, see(bob, "dan@example.org"), false, WhyKnown)
		list(Filter{State: Counted})
		// What is forgotten begins anew.
		for _, dry := range []bool{true, false} {
			want(t, see(bob, "dan@example.org"), false, WhyKnown)
			if all, err := g.Forget(t.Context(), Filter{State: Passed}, dry); err != nil || len(all) != 1 {
				t.Errorf("Forget = %v\n%s", err, short(all))
			}
		}
		want(t, see(bob, "dan@example.org"), true, WhyFirst)
		// After its time nothing is listed, and all goes by itself.
		time.Sleep(5 * time.Minute)
		want(t, see(bob, alice), false, WhyPassed)
		list(Filter{State: Counted}, "counted 192.0.2.0/24")
		time.Sleep(49 * time.Hour)
		list(Filter{State: Waiting})
	})
}

func TestAllow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) {
		g, see := real(t, path)
		for _, tc := range []struct {
			a    Allowance
			want string // "" for an error
		}{
			{Allowance{RcptTo: "Alice+x@Example.org", For: time.Hour}, "opted-out   alice@example.org"},
			{Allowance{RcptTo: "fast.example"}, "opted-out   @fast.example"},
			{Allowance{Client: "198.51.100.7"}, "allowed 198.51.100.0/24"},
			{Allowance{Client: "2001:db8::/64"}, "allowed 2001:db8::/64"},
			{Allowance{Client: "mail.Shop.example"}, "allowed shop.example"},
			{Allowance{Client: "198.51.0.0/16"}, ""},
			{Allowance{Client: "com"}, ""},
			{Allowance{Client: "a b"}, ""},
			{Allowance{RcptTo: "a b@@"}, ""},
			{Allowance{}, ""},
			{Allowance{Client: "192.0.2.7", RcptTo: alice}, ""},
			{Allowance{Client: "192.0.2.7", For: -1}, ""},
		} {
			it, err := g.Allow(t.Context(), tc.a)
			if (err != nil) != (tc.want == "") || err != nil && !errors.Is(err, ErrInvalid) || err == nil && short([]Item{it}) != tc.want {
				t.Errorf("Allow(%+v) = %q, %v, want %q", tc.a, short([]Item{it}), err, tc.want)
			}
			if err == nil && it.Expires.IsZero() != (tc.a.For == 0) {
				t.Errorf("Allow(%+v) ends %v", tc.a, it.Expires)
			}
		}
		want(t, see(bob, alice), false, WhyOptOut)
		want(t, see(bob, "x@fast.example"), false, WhyOptOut)
		want(t, see(bob, "x@example.org"), true, WhyFirst)
		if _, err := g.Allow(t.Context(), Allowance{Client: stranger}); err != nil {
			t.Fatal(err)
		}
		want(t, see(bob, "x@example.org"), false, WhyAllowed)
		if err := g.Wish(t.Context(), netip.MustParseAddr(stranger), bob); err != nil {
			t.Fatal(err)
		}
		want(t, see(bob, "y@example.org"), false, WhyAllowed) // a wish takes nothing from an administrator
		if _, err := g.Forget(t.Context(), Filter{Client: stranger, State: Allowed}, false); err != nil {
			t.Fatal(err)
		}
		want(t, see(bob, "y@example.org"), true, WhyFirst)
		time.Sleep(2 * time.Hour)
		want(t, see("new@shop.example", alice), true, WhyFirst) // an hour was allowed
	})
}
