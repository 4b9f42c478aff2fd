package accounttest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// freshView changes what logins look at, and looks at once.
func freshView(t *testing.T, s account.Backend) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org", "info@example.org=alice@example.org")
	alice, view := Addr(t, "Alice@example.org"), s.Fresh()
	for i := range 5 {
		password := secret.String(fmt.Sprint("{PLAIN}", i))
		want(t, "SetPassword", s.SetPassword(ctx, alice, password), nil)
		if u, err := view.User(ctx, alice); err != nil || !u.Password.Equal(password) {
			t.Errorf("after SetPassword %d, Fresh().User() = %+v, %v", i, u, err)
		}
	}
	want(t, "AddAppPassword", s.AddAppPassword(ctx, account.AppPassword{User: alice, Name: "phone", Hash: secret.String("x")}), nil)
	if all, err := view.AppPasswords(ctx, alice); err != nil || appNames(all) != "phone" {
		t.Errorf("Fresh().AppPasswords() = %q, %v", appNames(all), err)
	}
	want(t, "RemoveAppPassword", s.RemoveAppPassword(ctx, alice, "phone"), nil)
	if all, err := view.AppPasswords(ctx, alice); err != nil || len(all) != 0 {
		t.Errorf("Fresh().AppPasswords() = %q, %v, want none", appNames(all), err)
	}
	if yes, err := account.MaySend(ctx, view, alice, Addr(t, "info@example.org"), "+"); err != nil || !yes {
		t.Errorf("MaySend() by the fresh view = %v, %v", yes, err)
	}
	want(t, "RemoveUser", s.RemoveUser(ctx, alice), nil)
	_, err := view.User(ctx, alice)
	want(t, "Fresh().User() after RemoveUser", err, account.ErrNotFound)
	if _, ok := view.(account.AppUses); !ok {
		t.Error("Fresh() takes no notes of uses")
	}
	if _, ok := view.(account.Rehasher); !ok {
		t.Error("Fresh() does not let passwords be hashed anew")
	}
}

func rehash(t *testing.T, s account.Backend) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org")
	alice, old, hash := Addr(t, "alice@example.org"), secret.String("{PLAIN}x"), secret.String("{ARGON2ID}new")
	refused := errors.New("refused")
	ok := func(secret.Value) error { return nil }
	check := func(what string, err, wanted error, stored secret.Value) {
		t.Helper()
		want(t, what, err, wanted)
		if u, err := s.User(ctx, alice); err != nil || !u.Password.Equal(stored) {
			t.Errorf("%s: %v, and the user has the right hash: %v", what, err, u.Password.Equal(stored))
		}
	}
	check("another old one", s.Rehash(ctx, alice, secret.String("{PLAIN}y"), hash, ok), account.ErrChanged, old)
	check("refused by verify", s.Rehash(ctx, alice, old, hash, func(secret.Value) error { return refused }), refused, old)
	check("can not be stored", s.Rehash(ctx, alice, old, secret.String("a\tb"), ok), account.ErrInvalid, old)
	check("nobody", s.Rehash(ctx, Addr(t, "x@example.org"), old, hash, ok), account.ErrNotFound, old)
	var seen secret.Value
	version := s.Version()
	check("right", s.Rehash(ctx, alice, old, hash, func(v secret.Value) error { seen = v; return nil }), nil, hash)
	if !seen.Equal(hash) || s.Version() <= version {
		t.Errorf("verify had the new hash: %v; version %d, was %d", seen.Equal(hash), s.Version(), version)
	}
	check("twice", s.Rehash(ctx, alice, old, hash, ok), account.ErrChanged, hash)
}

func ownKeys(t *testing.T, s account.Backend) {
	ctx := t.Context()
	first, err := s.OwnKey(ctx, "scram")
	if err != nil || len(first.Reveal()) != 32 {
		t.Fatalf("OwnKey() has %d bytes, %v", len(first.Reveal()), err)
	}
	again, err1 := s.OwnKey(ctx, "scram")
	other, err2 := s.OwnKey(ctx, "other")
	if err := errors.Join(err1, err2); err != nil || !again.Equal(first) || other.Equal(first) {
		t.Errorf("a key changes, or two names have one: %v", err)
	}
}

func uses(t *testing.T, s account.Backend) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org")
	alice := Addr(t, "alice@example.org")
	want(t, "AddAppPassword", s.AddAppPassword(ctx, account.AppPassword{User: alice, Name: "phone", Hash: secret.String("x")}), nil)
	only := func() account.AppPassword {
		t.Helper()
		all, err := s.AppPasswords(ctx, alice)
		if err != nil || len(all) != 1 {
			t.Fatalf("AppPasswords() = %v, %v, want one", all, err)
		}
		return all[0]
	}
	p, now, home := only(), time.Now(), netip.MustParseAddr("192.0.2.7")
	version := s.Version()
	s.UsedAppPassword(p, now, netip.AddrFrom16(home.As16()))
	s.UsedAppPassword(p, now.Add(-time.Hour), home) // it came late
	if got := only(); !got.LastUsed.Equal(now) || got.LastAddr != home || s.Version() != version {
		t.Errorf("the last use is %v from %v, version %d, was %d", got.LastUsed, got.LastAddr, s.Version(), version)
	}
}

// ratesText writes rates in their order.
func ratesText(all []account.LimitRate) string {
	var out []string
	for _, r := range all {
		out = append(out, r.Subject.String()+" "+r.Limit+" "+r.Rate)
	}
	return strings.Join(out, "; ")
}

// all parses addresses.
func all(t *testing.T, names ...string) (out []mailaddr.Address) {
	t.Helper()
	for _, n := range names {
		out = append(out, Addr(t, n))
	}
	return out
}

func standings(t *testing.T, s account.Backend) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org", "bob@example.org", "carol@example.org")
	alice, bob := Addr(t, "alice@example.org"), Addr(t, "bob@example.org")
	rate := func(of account.Subject, limit, rate string) {
		t.Helper()
		want(t, "SetRate", s.SetRate(ctx, account.LimitRate{Subject: of, Limit: limit, Rate: rate}), nil)
	}
	want(t, "AddToGroup", s.AddToGroup(ctx, account.Group{Name: "Staff", Users: all(t, "alice@example.org", "BOB@example.org")}), nil)
	want(t, "AddToGroup", s.AddToGroup(ctx, account.Group{Name: "news", Users: all(t, "alice@example.org")}), nil)
	rate(account.Subject{Domain: "Example.org"}, "outgoing", "100/1h")
	rate(account.Subject{Group: "staff"}, "outgoing", "300/1h")
	rate(account.Subject{Group: "NEWS"}, "outgoing", "900/1h")
	rate(account.Subject{User: Addr(t, "Alice@example.org")}, "outgoing", "500/1h")
	rate(account.Subject{User: alice}, "outgoing", "501/1h") // replaces
	rate(account.Subject{User: alice}, "daily", "7/1d")
	const domain = "@example.org outgoing 100/1h"
	check := func(user, groups, rates string) {
		t.Helper()
		got, err := s.Standing(ctx, Addr(t, user))
		if g := strings.Join(got.Groups, " "); err != nil || g != groups || ratesText(got.Rates) != rates {
			t.Errorf("Standing(%s) = %q, %q, %v, want %q, %q", user, g, ratesText(got.Rates), err, groups, rates)
		}
	}
	for range 2 { // the second time from a cache, if there is one
		check("alice@example.org", "news staff", "alice@example.org daily 7/1d; alice@example.org outgoing 501/1h; group:news outgoing 900/1h; group:staff outgoing 300/1h; "+domain)
		check("bob@example.org", "staff", "group:staff outgoing 300/1h; "+domain)
		check("carol@example.org", "", domain)
		check("nobody@example.org", "", domain)
		check("nobody@far.example", "", "")
	}
	want(t, "RemoveRate", s.RemoveRate(ctx, account.Subject{User: alice}, "daily"), nil)
	want(t, "RemoveFromGroup", s.RemoveFromGroup(ctx, account.Group{Name: "staff", Users: []mailaddr.Address{bob}}), nil)
	want(t, "RemoveUser", s.RemoveUser(ctx, alice), nil)
	check("bob@example.org", "", domain)
	rates, err := s.Rates(ctx)
	if wanted := "group:news outgoing 900/1h; group:staff outgoing 300/1h; " + domain; err != nil || ratesText(rates) != wanted {
		t.Errorf("Rates() = %q, %v, want %q: those of a user go with the user", ratesText(rates), err, wanted)
	}
	if groups, err := s.Groups(ctx); err != nil || len(groups) != 0 {
		t.Errorf("Groups() = %+v, %v, want none", groups, err)
	}
	Fill(t, s, "alice@example.org")
	check("alice@example.org", "", domain) // another alice
	want(t, "RemoveDomain", s.RemoveDomain(ctx, "example.org", true), nil)
	check("bob@example.org", "", "")
}

func badStandings(t *testing.T, s account.Backend) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org", "bob@example.org", "carol@example.org")
	alice := account.Subject{User: Addr(t, "alice@example.org")}
	want(t, "AddToGroup", s.AddToGroup(ctx, account.Group{Name: "staff", Users: all(t, "alice@example.org", "bob@example.org")}), nil)
	rate := func(of account.Subject, limit, rate string) error {
		return s.SetRate(ctx, account.LimitRate{Subject: of, Limit: limit, Rate: rate})
	}
	group := func(name string, users ...string) account.Group {
		return account.Group{Name: name, Users: all(t, users...)}
	}
	for _, tc := range []struct {
		name        string
		err, wanted error
	}{
		{"rate of nobody", rate(account.Subject{User: Addr(t, "nobody@example.org")}, "outgoing", "1/1h"), account.ErrNotFound},
		{"rate of a domain of others", rate(account.Subject{Domain: "example.com"}, "outgoing", "1/1h"), account.ErrNotFound},
		{"rate of a group without members", rate(account.Subject{Group: "none"}, "outgoing", "1/1h"), account.ErrNotFound},
		{"no limit", rate(alice, "", "1/1h"), account.ErrInvalid},
		{"long rate", rate(alice, "outgoing", strings.Repeat("1", account.MaxRateBytes+1)), account.ErrInvalid},
		{"longest rate", rate(alice, strings.Repeat("l", account.MaxRateBytes), strings.Repeat("1", account.MaxRateBytes)), nil},
		{"forget the longest", s.RemoveRate(ctx, alice, strings.Repeat("l", account.MaxRateBytes)), nil},
		{"forget what is not there", s.RemoveRate(ctx, alice, "outgoing"), account.ErrNotFound},
		{"forget a rate of nobody", s.RemoveRate(ctx, account.Subject{User: Addr(t, "nobody@example.org")}, "x"), account.ErrNotFound},
		{"a blank in a group", s.AddToGroup(ctx, group("the staff", "alice@example.org")), account.ErrInvalid},
		{"a group of nobody", s.AddToGroup(ctx, group("staff")), account.ErrInvalid},
		{"in it already", s.AddToGroup(ctx, group("STAFF", "alice@example.org", "bob@example.org")), account.ErrExists},
		{"one is not there", s.AddToGroup(ctx, group("staff", "carol@example.org", "nobody@example.org")), account.ErrNotFound},
		{"one is not in it", s.RemoveFromGroup(ctx, group("staff", "alice@example.org", "carol@example.org")), account.ErrNotFound},
		{"no such group", s.RemoveFromGroup(ctx, group("none")), account.ErrNotFound},
	} {
		want(t, tc.name, tc.err, tc.wanted)
	}
	// What was refused has changed nothing.
	if groups, err := s.Groups(ctx); err != nil || len(groups) != 1 || len(groups[0].Users) != 2 {
		t.Errorf("Groups() = %+v, %v, want staff with two", groups, err)
	}
	want(t, "SetRate", rate(account.Subject{Group: "staff"}, "outgoing", "1/1h"), nil)
	want(t, "RemoveFromGroup", s.RemoveFromGroup(ctx, account.Group{Name: "staff"}), nil)
	if all, err := s.Rates(ctx); err != nil || len(all) != 0 {
		t.Errorf("Rates() = %+v, %v, want none: a group takes its rates with it", all, err)
	}
}

func standingVersion(t *testing.T, s account.Backend) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org")
	g := account.Group{Name: "staff", Users: all(t, "alice@example.org")}
	of := account.Subject{Group: "staff"}
	last := s.Version()
	for _, step := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"AddToGroup", func(ctx context.Context) error { return s.AddToGroup(ctx, g) }},
		{"SetRate", func(ctx context.Context) error {
			return s.SetRate(ctx, account.LimitRate{Subject: of, Limit: "outgoing", Rate: "1/1h"})
		}},
		{"RemoveRate", func(ctx context.Context) error { return s.RemoveRate(ctx, of, "outgoing") }},
		{"RemoveFromGroup", func(ctx context.Context) error { return s.RemoveFromGroup(ctx, g) }},
	} {
		want(t, step.name, step.do(ctx), nil)
		if v := s.Version(); v <= last {
			t.Errorf("after %s the version is %d, was %d", step.name, v, last)
		} else {
			last = v
		}
	}
}

func writable(t *testing.T, s account.Backend) {
	version := s.Version()
	want(t, "Writable", s.Writable(t.Context()), nil)
	if s.Version() != version {
		t.Error("Writable moved the version")
	}
}
