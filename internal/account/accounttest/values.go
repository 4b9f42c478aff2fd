package accounttest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

func folding(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "Example.ORG.", "ALICE@example.org", "Дима@example.org", "Info@example.org=Alice@Example.Org")
	want(t, "AddDomain in capitals", s.AddDomain(ctx, "EXAMPLE.org"), account.ErrExists)
	for _, name := range []string{"alice@example.org", "aLiCe@EXAMPLE.org", "ДИМА@example.org"} {
		u, err := s.User(ctx, Addr(t, name))
		if err != nil || u.Addr != Addr(t, name).Folded() {
			t.Errorf("User(%s) = %v, %v", name, u.Addr, err)
		}
	}
	_, err := s.Alias(ctx, mailaddr.Address{LocalPart: "INFO", Domain: "EXAMPLE.ORG"})
	want(t, "Alias in capitals", err, nil)
	_, err = s.Domain(ctx, "EXAMPLE.org.")
	want(t, "Domain in capitals", err, nil)
	want(t, "SetHeld in capitals", s.SetHeld(ctx, Addr(t, "ALICE@example.org"), true), nil)
}

func masks(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "b.example", "a.example", "x@b.example", "anna@a.example", "bob@a.example", "a_b@a.example",
		"@a.example=bob@a.example", "all@b.example=bob@a.example")
	for mask, wanted := range map[string][]string{
		"":                {"a_b@a.example", "anna@a.example", "bob@a.example", "x@b.example"},
		"*":               {"a_b@a.example", "anna@a.example", "bob@a.example", "x@b.example"},
		"a.example":       {"a_b@a.example", "anna@a.example", "bob@a.example"},
		"A*@A.example":    {"a_b@a.example", "anna@a.example"},
		"a?b@a.example":   {"a_b@a.example"},
		"a_b@a.example":   {"a_b@a.example"},
		"*@*":             {"a_b@a.example", "anna@a.example", "bob@a.example", "x@b.example"},
		"*b*":             {"a_b@a.example", "bob@a.example", "x@b.example"},
		"%":               nil,
		"c.example":       nil,
		"bob@a.example.x": nil,
	} {
		all, err := s.Users(ctx, mask)
		var got []string
		for _, u := range all {
			got = append(got, u.Addr.String())
		}
		if err != nil || !slices.Equal(got, wanted) {
			t.Errorf("Users(%q) = %q, %v, want %q", mask, got, err, wanted)
		}
	}
	for mask, wanted := range map[string]int{"": 2, "a.example": 1, "@a.example": 1, "all@*": 1, "z*": 0} {
		if all, err := s.Aliases(ctx, mask); err != nil || len(all) != wanted {
			t.Errorf("Aliases(%q) = %v, %v, want %d", mask, all, err, wanted)
		}
	}
}

func invalid(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org")
	for _, name := range []string{
		"", ".", "a b", "a@b.example", "a..b", "[192.0.2.1]", "a\nb.example", "a/b.example", strings.Repeat("a", 256),
		"1.2.3.4", "example.123", "localhost", "a_b.example", "-a.example", "a-.example", "bücher.example",
		strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "ab", ".example.org", "example.org..",
	} {
		want(t, fmt.Sprintf("AddDomain(%q)", name), s.AddDomain(ctx, name), account.ErrInvalid)
	}
	for _, a := range []mailaddr.Address{
		{}, {LocalPart: "a"}, {Domain: "example.org"}, {LocalPart: "a\nb", Domain: "example.org"},
		{LocalPart: "\xff", Domain: "example.org"}, {LocalPart: strings.Repeat("a", 65), Domain: "example.org"},
	} {
		want(t, fmt.Sprintf("AddUser(%q)", a), s.AddUser(ctx, account.User{Addr: a}), account.ErrInvalid)
		to := account.Alias{Addr: Addr(t, "x@example.org"), To: []mailaddr.Address{a}}
		want(t, fmt.Sprintf("AddAlias to %q", a), s.AddAlias(ctx, to), account.ErrInvalid)
	}
	alice := Addr(t, "alice@example.org")
	want(t, "AddAlias to nobody", s.AddAlias(ctx, account.Alias{Addr: alice}), account.ErrInvalid)
	many := make([]mailaddr.Address, account.MaxTargets+1)
	for i := range many {
		many[i] = mailaddr.Address{LocalPart: fmt.Sprint("t", i), Domain: "example.org"}
	}
	want(t, "AddAlias to too many", s.AddAlias(ctx, account.Alias{Addr: alice, To: many}), account.ErrInvalid)
	want(t, "AddAlias", s.AddAlias(ctx, account.Alias{Addr: alice, To: many[:account.MaxTargets]}), nil)
	want(t, "AddAlias of one too many", s.AddAlias(ctx, account.Alias{Addr: alice, To: many[account.MaxTargets:]}), account.ErrInvalid)
	long := secret.New(bytes.Repeat([]byte("x"), account.MaxPasswordBytes+1))
	want(t, "SetPassword too long", s.SetPassword(ctx, alice, long), account.ErrInvalid)
	want(t, "SetPassword with TAB", s.SetPassword(ctx, alice, secret.String("a\tb")), account.ErrInvalid)
	want(t, "SetQuota below 0", s.SetQuota(ctx, alice, -1), account.ErrInvalid)
}

func largest(t *testing.T, s account.Store) {
	ctx := t.Context()
	label := strings.Repeat("d", 63)
	domain := strings.Join([]string{label, label, label, label}, ".") // 255
	a := mailaddr.Address{LocalPart: strings.Repeat("l", mailaddr.MaxLocalPart), Domain: domain}
	u := account.User{Addr: a, Password: secret.New(bytes.Repeat([]byte("p"), account.MaxPasswordBytes)), Quota: account.MaxQuota}
	want(t, "AddDomain", s.AddDomain(ctx, domain), nil)
	want(t, "AddUser", s.AddUser(ctx, u), nil)
	got, err := s.User(ctx, a)
	if err != nil || got.Addr != a || !got.Password.Equal(u.Password) || got.Quota != u.Quota {
		t.Errorf("User() = %v, %v", got.Addr, err)
	}
	to := make([]mailaddr.Address, account.MaxTargets)
	for i := range to {
		to[i] = mailaddr.Address{LocalPart: fmt.Sprintf("%s%04d", a.LocalPart[:60], i), Domain: domain}
	}
	want(t, "AddAlias", s.AddAlias(ctx, account.Alias{Addr: a, To: to}), nil)
	alias, err := s.Alias(ctx, a)
	if err != nil || !slices.Equal(alias.To, to) {
		t.Errorf("Alias() has %d targets, %v, want %d in order", len(alias.To), err, len(to))
	}
	odd := mailaddr.Address{LocalPart: `a b"\@%_'`, Domain: domain}
	want(t, "AddUser of odd name", s.AddUser(ctx, account.User{Addr: odd}), nil)
	if got, err := s.User(ctx, odd); err != nil || got.Addr != odd {
		t.Errorf("User(%q) = %q, %v", odd, got.Addr, err)
	}
}
