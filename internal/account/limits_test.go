package account

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// limitsStore has example.org with alice, bob and carol, and example.net.
func limitsStore(t *testing.T) (*SQLite, *Limits) {
	t.Helper()
	ctx := t.Context()
	s, err := OpenSQLite(ctx, filepath.Join(t.TempDir(), "accounts.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, err := range []error{
		s.AddDomain(ctx, "example.org"), s.AddDomain(ctx, "example.net"),
		s.AddUser(ctx, User{Addr: at("alice")}), s.AddUser(ctx, User{Addr: at("bob")}), s.AddUser(ctx, User{Addr: at("carol")}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return s, NewLimits(s)
}

func at(local string) mailaddr.Address {
	return mailaddr.Address{LocalPart: local, Domain: "example.org"}
}

// ratesText writes rates in their order.
func ratesText(all []LimitRate) string {
	var out []string
	for _, r := range all {
		out = append(out, r.Subject.String()+" "+r.Limit+" "+r.Rate)
	}
	return strings.Join(out, "; ")
}

func TestLimitsStandingIsNearestFirst(t *testing.T) {
	s, l := limitsStore(t)
	ctx := t.Context()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(l.AddToGroup(ctx, Group{Name: "Staff", Users: []mailaddr.Address{at("alice"), at("BOB")}}))
	do(l.AddToGroup(ctx, Group{Name: "news", Users: []mailaddr.Address{at("alice")}}))
	do(l.SetRate(ctx, LimitRate{Subject{Domain: "Example.org"}, "outgoing", "100/1h"}))
	do(l.SetRate(ctx, LimitRate{Subject{Group: "staff"}, "outgoing", "300/1h"}))
	do(l.SetRate(ctx, LimitRate{Subject{Group: "NEWS"}, "outgoing", "900/1h"}))
	do(l.SetRate(ctx, LimitRate{Subject{User: at("Alice")}, "outgoing", "500/1h"}))
	do(l.SetRate(ctx, LimitRate{Subject{User: at("alice")}, "outgoing", "501/1h"})) // replaces
	do(l.SetRate(ctx, LimitRate{Subject{User: at("alice")}, "daily", "7/1d"}))

	const domain = "@example.org outgoing 100/1h"
	for _, tc := range []struct{ user, groups, rates string }{
		{"alice", "news staff", "alice@example.org daily 7/1d; alice@example.org outgoing 501/1h; group:news outgoing 900/1h; group:staff outgoing 300/1h; " + domain},
		{"bob", "staff", "group:staff outgoing 300/1h; " + domain},
		{"carol", "", domain},
		{"nobody", "", domain},
	} {
		for range 2 { // the second time from the cache
			got, err := l.Standing(ctx, at(tc.user))
			if groups := strings.Join(got.Groups, " "); err != nil || groups != tc.groups || ratesText(got.Rates) != tc.rates {
				t.Errorf("Standing(%s) = %q, %q, %v, want %q, %q", tc.user, groups, ratesText(got.Rates), err, tc.groups, tc.rates)
			}
		}
	}

	// A change is seen at once, also one of the store itself.
	do(l.RemoveRate(ctx, Subject{User: at("alice")}, "daily"))
	do(l.RemoveFromGroup(ctx, Group{Name: "staff", Users: []mailaddr.Address{at("bob")}}))
	do(s.RemoveUser(ctx, at("alice")))
	if got, err := l.Standing(ctx, at("bob")); err != nil || len(got.Groups) != 0 || ratesText(got.Rates) != domain {
		t.Errorf("Standing(bob) = %+v, %v after he left the group", got, err)
	}
	all, err := l.Rates(ctx)
	if want := "group:news outgoing 900/1h; group:staff outgoing 300/1h; " + domain; err != nil || ratesText(all) != want {
		t.Errorf("Rates() = %q, %v, want %q: those of a user go with the user", ratesText(all), err, want)
	}
	if groups, err := l.Groups(ctx); err != nil || len(groups) != 0 {
		t.Errorf("Groups() = %+v, %v, want none", groups, err)
	}
}

func TestLimitsRefuse(t *testing.T) {
	_, l := limitsStore(t)
	ctx := t.Context()
	if err := l.AddToGroup(ctx, Group{"staff", []mailaddr.Address{at("alice"), at("bob")}}); err != nil {
		t.Fatal(err)
	}
	rate := func(s Subject, limit, rate string) error { return l.SetRate(ctx, LimitRate{s, limit, rate}) }
	users := func(local ...string) (out []mailaddr.Address) {
		for _, u := range local {
			out = append(out, at(u))
		}
		return out
	}
	for _, tc := range []struct {
		name string
		err  error
		want error
	}{
		{"rate of nobody", rate(Subject{User: at("nobody")}, "outgoing", "1/1h"), ErrNotFound},
		{"rate of a domain of others", rate(Subject{Domain: "example.com"}, "outgoing", "1/1h"), ErrNotFound},
		{"rate of a group without members", rate(Subject{Group: "none"}, "outgoing", "1/1h"), ErrNotFound},
		{"no limit", rate(Subject{User: at("alice")}, "", "1/1h"), ErrInvalid},
		{"long rate", rate(Subject{User: at("alice")}, "outgoing", strings.Repeat("1", MaxRateBytes+1)), ErrInvalid},
		{"forget what is not there", l.RemoveRate(ctx, Subject{User: at("alice")}, "outgoing"), ErrNotFound},
		{"a blank in a group", l.AddToGroup(ctx, Group{"the staff", users("alice")}), ErrInvalid},
		{"a group of nobody", l.AddToGroup(ctx, Group{"staff", nil}), ErrInvalid},
		{"in it already", l.AddToGroup(ctx, Group{"STAFF", users("alice", "bob")}), ErrExists},
		{"one is not there", l.AddToGroup(ctx, Group{"staff", users("carol", "nobody")}), ErrNotFound},
		{"one is not in it", l.RemoveFromGroup(ctx, Group{"staff", users("alice", "carol")}), ErrNotFound},
		{"no such group", l.RemoveFromGroup(ctx, Group{"none", nil}), ErrNotFound},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, tc.err, tc.want)
		}
	}
	// What was refused has changed nothing.
	if groups, err := l.Groups(ctx); err != nil || len(groups) != 1 || len(groups[0].Users) != 2 {
		t.Errorf("Groups() = %+v, %v, want staff with two", groups, err)
	}
	if err := errors.Join(rate(Subject{Group: "staff"}, "outgoing", "1/1h"), l.RemoveFromGroup(ctx, Group{Name: "staff"})); err != nil {
		t.Fatal(err)
	}
	if all, err := l.Rates(ctx); err != nil || len(all) != 0 {
		t.Errorf("Rates() = %+v, %v, want none: a group takes its rates with it", all, err)
	}
}
