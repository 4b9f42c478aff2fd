// Package accounttest has the tests that every account.Store must pass.
package accounttest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// Data is where stores keep the rows of one case.
type Data struct {
	// Open opens a store on the data: each as another process has it, where the
	// driver lets several have it open, and else the same one again.
	Open func(t *testing.T) account.Backend
	// Restart ends what keeps the data, without a warning where it can, and starts
	// it again. It returns what s is afterwards.
	Restart func(t *testing.T, s account.Backend) account.Backend
}

// RunOn runs the contract on data that is empty each time. No case may be left
// out.
func RunOn(t *testing.T, empty func(t *testing.T) Data) {
	Run(t, func(t *testing.T) account.Store { return empty(t).Open(t) })
	for _, tc := range []struct {
		name string
		test func(t *testing.T, s account.Backend)
	}{
		{"the fresh view", freshView},
		{"a password is hashed anew", rehash},
		{"keys of our own", ownKeys},
		{"uses of app passwords", uses},
		{"groups and rates", standings},
		{"groups and rates that can not be stored", badStandings},
		{"version moves with groups and rates", standingVersion},
		{"can be written", writable},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, empty(t).Open(t)) })
	}
	for _, tc := range []struct {
		name string
		test func(t *testing.T, d Data)
	}{
		{"two stores", twoStores},
		{"two stores that write", twoWriters},
		{"restart in the middle", restart},
		{"restart while others write", restartUnderWrites},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, empty(t)) })
	}
}

// Run runs the part of the contract that every account.Store has, on stores that
// open makes, each of them empty. A driver runs RunOn.
func Run(t *testing.T, open func(t *testing.T) account.Store) {
	for _, tc := range []struct {
		name string
		test func(t *testing.T, s account.Store)
	}{
		{"domains", domains},
		{"users", users},
		{"change of a user", changeUser},
		{"aliases", aliases},
		{"alias loops", loops},
		{"exact rows only", exactRows},
		{"not found", notFound},
		{"domain that is not empty", notEmpty},
		{"ids do not come back", ids},
		{"case", folding},
		{"masks", masks},
		{"what can not be stored", invalid},
		{"largest values", largest},
		{"cancelled context", cancelled},
		{"version moves with each change", version},
		{"an answer is never older than a change", fresh},
		{"two writers", writers},
		{"grants", grants},
		{"posting rules", postings},
		{"allow and deny entries", entries},
		{"version moves with rights", rightsVersion},
		{"what restricts logins", restrictions},
		{"what can not restrict logins", badRestrictions},
		{"app passwords", apps},
		{"app passwords that can not be stored", badApps},
		{"version moves with app passwords", appVersion},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, open(t)) })
	}
}

// Addr parses an address, "@domain" as a catch-all.
func Addr(t testing.TB, s string) mailaddr.Address {
	t.Helper()
	if domain, ok := strings.CutPrefix(s, "@"); ok {
		return mailaddr.Address{Domain: domain}
	}
	a, err := mailaddr.Parse(s)
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	return a
}

// Fill adds domains, users and aliases ("name=target,target") to a store.
func Fill(t testing.TB, s account.Writer, rows ...string) {
	t.Helper()
	ctx := context.Background()
	for _, row := range rows {
		name, to, alias := strings.Cut(row, "=")
		var err error
		switch {
		case alias:
			a := account.Alias{Addr: Addr(t, name)}
			for target := range strings.SplitSeq(to, ",") {
				a.To = append(a.To, Addr(t, target))
			}
			err = s.AddAlias(ctx, a)
		case strings.Contains(row, "@"):
			err = s.AddUser(ctx, account.User{Addr: Addr(t, row), Password: secret.String("{PLAIN}x")})
		default:
			err = s.AddDomain(ctx, row)
		}
		if err != nil {
			t.Fatalf("add %s: %v", row, err)
		}
	}
}

// want fails unless err is what was wanted; nil wants nil.
func want(t *testing.T, what string, err, wanted error) {
	t.Helper()
	if !errors.Is(err, wanted) || wanted == nil && err != nil {
		t.Errorf("%s = %v, want %v", what, err, wanted)
	}
}

func domains(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "b.example", "a.example")
	want(t, "AddDomain twice", s.AddDomain(ctx, "example.org"), account.ErrExists)
	all, err := s.Domains(ctx)
	if err != nil || !slices.Equal(all, []account.Domain{{Name: "a.example"}, {Name: "b.example"}, {Name: "example.org"}}) {
		t.Errorf("Domains() = %v, %v", all, err)
	}
	want(t, "RemoveDomain", s.RemoveDomain(ctx, "a.example", false), nil)
	_, err = s.Domain(ctx, "a.example")
	want(t, "Domain after RemoveDomain", err, account.ErrNotFound)
	want(t, "RemoveDomain twice", s.RemoveDomain(ctx, "a.example", true), account.ErrNotFound)
}

func users(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "other.example")
	alice := account.User{
		Addr: Addr(t, "alice@example.org"), Password: secret.String("{PLAIN}wonderland"),
		Held: true, Disabled: true, Quota: 1 << 40,
	}
	want(t, "AddUser", s.AddUser(ctx, alice), nil)
	want(t, "AddUser twice", s.AddUser(ctx, alice), account.ErrExists)
	want(t, "AddUser without a domain", s.AddUser(ctx, account.User{Addr: Addr(t, "x@far.example")}), account.ErrNoDomain)
	Fill(t, s, "alice@other.example", "bob@example.org")
	got, err := s.User(ctx, alice.Addr)
	if err != nil || got.ID == 0 || got.Changed.IsZero() {
		t.Fatalf("User() = %+v, %v", got, err)
	}
	if got.Addr != alice.Addr || !got.Password.Equal(alice.Password) || !got.Held || !got.Disabled || got.Quota != alice.Quota {
		t.Errorf("User() = %+v, want %+v", got, alice)
	}
	want(t, "RemoveUser", s.RemoveUser(ctx, alice.Addr), nil)
	_, err = s.User(ctx, alice.Addr)
	want(t, "User after RemoveUser", err, account.ErrNotFound)
	_, err = s.User(ctx, Addr(t, "alice@other.example"))
	want(t, "User of the same name elsewhere", err, nil)
}

func changeUser(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org", "bob@example.org")
	a := Addr(t, "alice@example.org")
	want(t, "SetPassword", s.SetPassword(ctx, a, secret.String("{PLAIN}new")), nil)
	want(t, "SetHeld", s.SetHeld(ctx, a, true), nil)
	want(t, "SetDisabled", s.SetDisabled(ctx, a, true), nil)
	want(t, "SetQuota", s.SetQuota(ctx, a, 7), nil)
	u, err := s.User(ctx, a)
	if err != nil || string(u.Password.Reveal()) != "{PLAIN}new" || !u.Held || !u.Disabled || u.Quota != 7 {
		t.Errorf("User() = %+v, %v", u, err)
	}
	want(t, "SetHeld back", s.SetHeld(ctx, a, false), nil)
	if u, err := s.User(ctx, a); err != nil || u.Held {
		t.Errorf("User() = %+v, %v, want not held", u, err)
	}
	if u, err := s.User(ctx, Addr(t, "bob@example.org")); err != nil || u.Held || u.Disabled || u.Quota != 0 ||
		string(u.Password.Reveal()) != "{PLAIN}x" {
		t.Errorf("User(bob) = %+v, %v, want unchanged", u, err)
	}
}

func aliases(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "info@example.org=alice@example.org,Bob@Far.example")
	check := func(name string, targets ...string) {
		t.Helper()
		a, err := s.Alias(ctx, Addr(t, name))
		var got []string
		for _, to := range a.To {
			got = append(got, to.String())
		}
		if err != nil || a.Addr != Addr(t, name) || !slices.Equal(got, targets) {
			t.Errorf("Alias(%s) = %v to %q, %v, want %q", name, a.Addr, got, err, targets)
		}
	}
	check("info@example.org", "alice@example.org", "Bob@far.example") // a foreign local part keeps its case
	Fill(t, s, "info@example.org=bob@far.example,carol@example.org")
	check("info@example.org", "alice@example.org", "Bob@far.example", "carol@example.org")
	again := account.Alias{Addr: Addr(t, "info@example.org"), To: []mailaddr.Address{Addr(t, "CAROL@example.org")}}
	want(t, "AddAlias of what is there", s.AddAlias(ctx, again), account.ErrExists)
	want(t, "RemoveAlias of one", s.RemoveAlias(ctx, again.Addr, Addr(t, "BOB@far.example")), nil)
	check("info@example.org", "alice@example.org", "carol@example.org")
	err := s.RemoveAlias(ctx, again.Addr, Addr(t, "alice@example.org"), Addr(t, "nobody@example.org"))
	want(t, "RemoveAlias of an unknown target", err, account.ErrNotFound)
	check("info@example.org", "alice@example.org", "carol@example.org")
	want(t, "RemoveAlias of the rest", s.RemoveAlias(ctx, again.Addr, Addr(t, "alice@example.org"), Addr(t, "carol@example.org")), nil)
	_, err = s.Alias(ctx, again.Addr)
	want(t, "Alias without a target", err, account.ErrNotFound)

	Fill(t, s, "alice@example.org", "bob@example.org", "@example.org=alice@example.org,bob@example.org")
	check("@example.org", "alice@example.org", "bob@example.org")
	want(t, "RemoveAlias of all", s.RemoveAlias(ctx, Addr(t, "@example.org")), nil)
	want(t, "RemoveAlias of nothing", s.RemoveAlias(ctx, Addr(t, "@example.org")), account.ErrNotFound)
	far := account.Alias{Addr: Addr(t, "l@far.example"), To: []mailaddr.Address{Addr(t, "l@example.org")}}
	want(t, "AddAlias without a domain", s.AddAlias(ctx, far), account.ErrNoDomain)
}

// loops adds one alias to rows in which its mail comes back to it, or does not.
func loops(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "catch.example", "alice@example.org", "bob@example.org", "carol@catch.example",
		"l1@example.org=l2@example.org", "l2@example.org=x@far.example,l3@example.org",
		"alice@example.org=alice@example.org,bob@example.org", "via@example.org=nobody@catch.example")
	for _, tc := range []struct {
		name, to string
		wanted   error
	}{
		{"x@example.org", "x@example.org", account.ErrLoop},
		{"x@example.org", "alice@example.org,X@example.org", account.ErrLoop},
		{"l2@example.org", "l1@example.org", account.ErrLoop},
		{"l3@example.org", "bob@example.org,l1@example.org", account.ErrLoop},
		{"bob@example.org", "bob@example.org,alice@example.org", nil}, // two that keep copies of each other's
		{"carol@catch.example", "alice@example.org", nil},
		{"@example.org", "alice@example.org", nil},
		{"@example.org", "l1@example.org", account.ErrLoop}, // which leads to l3, which has no row
		{"@example.org", "alice+rest@example.org", nil},     // a detail, not a name that the catch-all takes
		{"@catch.example", "nobody@catch.example", account.ErrLoop},
		{"@catch.example", "via@example.org", account.ErrLoop},
		{"@catch.example", "carol@catch.example", nil},
		{"alice+box@example.org", "alice+box@example.org", nil}, // the mailbox takes it
		{"@example.org", "@example.org", account.ErrLoop},
		{"@example.org", "@catch.example", nil},
		{"@catch.example", "@example.org", account.ErrLoop},
		{"dave@catch.example", "dave@example.org", account.ErrLoop}, // by the name that its domain is
	} {
		a := account.Alias{Addr: Addr(t, tc.name)}
		for to := range strings.SplitSeq(tc.to, ",") {
			a.To = append(a.To, Addr(t, to))
		}
		want(t, "AddAlias of "+tc.name+" to "+tc.to, s.AddAlias(ctx, a), tc.wanted)
	}
	a, err := s.Alias(ctx, Addr(t, "l2@example.org"))
	if err != nil || len(a.To) != 2 {
		t.Errorf("after a refusal l2 leads to %v, %v", a.To, err)
	}
	err = s.AddAlias(ctx, account.Alias{Addr: Addr(t, "l2@example.org"), To: []mailaddr.Address{Addr(t, "l1@example.org")}})
	if err == nil || !strings.HasSuffix(err.Error(), ": l2@example.org > l1@example.org > l2@example.org") {
		t.Errorf("the error does not tell the loop: %v", err)
	}
}

func exactRows(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org", "info@example.org=alice@example.org", "@example.org=alice@example.org")
	for _, name := range []string{
		"info@example.org", "nobody@example.org", "alice+x@example.org", "@example.org", "alice@sub.example.org",
		"%@example.org", "_lice@example.org", "alice",
	} {
		_, err := s.User(ctx, Addr(t, name))
		want(t, "User("+name+")", err, account.ErrNotFound)
	}
	for _, name := range []string{"alice@example.org", "nobody@example.org", "info+x@example.org", "@sub.example.org", "%@example.org"} {
		_, err := s.Alias(ctx, Addr(t, name))
		want(t, "Alias("+name+")", err, account.ErrNotFound)
	}
	for _, name := range []string{"", "org", "sub.example.org", "*", "%", "example", ".example.org"} {
		_, err := s.Domain(ctx, name)
		want(t, "Domain("+name+")", err, account.ErrNotFound)
	}
}

func notFound(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org")
	for _, name := range []string{"nobody@example.org", "nobody@far.example"} {
		a := Addr(t, name)
		want(t, "RemoveUser", s.RemoveUser(ctx, a), account.ErrNotFound)
		want(t, "SetPassword", s.SetPassword(ctx, a, secret.String("x")), account.ErrNotFound)
		want(t, "SetHeld", s.SetHeld(ctx, a, true), account.ErrNotFound)
		want(t, "SetDisabled", s.SetDisabled(ctx, a, true), account.ErrNotFound)
		want(t, "SetQuota", s.SetQuota(ctx, a, 1), account.ErrNotFound)
		want(t, "RemoveAlias", s.RemoveAlias(ctx, a), account.ErrNotFound)
		want(t, "RemoveAlias", s.RemoveAlias(ctx, a, a), account.ErrNotFound)
	}
	if all, err := s.Users(ctx, ""); err != nil || len(all) != 0 {
		t.Errorf("Users() = %v, %v, want none", all, err)
	}
	if all, err := s.Aliases(ctx, ""); err != nil || len(all) != 0 {
		t.Errorf("Aliases() = %v, %v, want none", all, err)
	}
}

func notEmpty(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "a.example", "u@a.example", "b.example", "@b.example=u@a.example", "c.example", "u@c.example", "x@c.example=u@c.example")
	want(t, "RemoveDomain with a user", s.RemoveDomain(ctx, "a.example", false), account.ErrNotEmpty)
	want(t, "RemoveDomain with an alias", s.RemoveDomain(ctx, "b.example", false), account.ErrNotEmpty)
	_, err := s.User(ctx, Addr(t, "u@a.example"))
	want(t, "User after a refusal", err, nil)
	want(t, "RemoveDomain by force", s.RemoveDomain(ctx, "c.example", true), nil)
	_, err = s.User(ctx, Addr(t, "u@c.example"))
	want(t, "User after force", err, account.ErrNotFound)
	Fill(t, s, "c.example")
	_, err = s.Alias(ctx, Addr(t, "x@c.example"))
	want(t, "Alias of the domain's second life", err, account.ErrNotFound)
	want(t, "RemoveUser", s.RemoveUser(ctx, Addr(t, "u@a.example")), nil)
	want(t, "RemoveDomain when empty", s.RemoveDomain(ctx, "a.example", false), nil)
}

func ids(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org")
	first, err := s.User(ctx, Addr(t, "alice@example.org"))
	want(t, "User", err, nil)
	want(t, "RemoveUser", s.RemoveUser(ctx, first.Addr), nil)
	Fill(t, s, "alice@example.org")
	second, err := s.User(ctx, first.Addr)
	if err != nil || second.ID <= first.ID {
		t.Errorf("the second alice has id %d, %v, the first had %d", second.ID, err, first.ID)
	}
}
