package accounttest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// texts are addresses as a person writes them.
func texts(all []mailaddr.Address) string {
	var out []string
	for _, a := range all {
		out = append(out, a.String())
	}
	return strings.Join(out, " ")
}

func grants(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org", "bob@example.org")
	alice, bob := Addr(t, "Alice@example.org"), Addr(t, "bob@example.org")
	check := func(user mailaddr.Address, wanted string) {
		t.Helper()
		if got, err := s.Grants(ctx, user); err != nil || texts(got) != wanted {
			t.Errorf("Grants(%s) = %q, %v, want %q", user, texts(got), err, wanted)
		}
	}
	check(alice, "")
	for _, as := range []string{"Sales@Example.org", "@far.example", "x@far.example"} {
		want(t, "AddGrant "+as, s.AddGrant(ctx, alice, Addr(t, as)), nil)
		want(t, "AddGrant twice", s.AddGrant(ctx, alice, Addr(t, as)), account.ErrExists)
	}
	want(t, "AddGrant to another", s.AddGrant(ctx, bob, Addr(t, "sales@example.org")), nil)
	check(alice, "sales@example.org @far.example x@far.example")
	check(bob, "sales@example.org")
	check(Addr(t, "nobody@example.org"), "")
	for as, wanted := range map[string]string{
		"SALES@example.org": "alice@example.org bob@example.org", "@far.example": "alice@example.org", "y@far.example": "", "@example.org": "",
	} {
		if got, err := s.Grantees(ctx, Addr(t, as)); err != nil || texts(got) != wanted {
			t.Errorf("Grantees(%s) = %q, %v, want %q", as, texts(got), err, wanted)
		}
	}
	want(t, "RemoveGrant", s.RemoveGrant(ctx, alice, Addr(t, "@far.example")), nil)
	want(t, "RemoveGrant twice", s.RemoveGrant(ctx, alice, Addr(t, "@far.example")), account.ErrNotFound)
	check(alice, "sales@example.org x@far.example")
	nobody := Addr(t, "nobody@example.org")
	want(t, "AddGrant to nobody", s.AddGrant(ctx, nobody, bob), account.ErrNotFound)
	want(t, "RemoveGrant of nobody", s.RemoveGrant(ctx, nobody, bob), account.ErrNotFound)
	for _, as := range []mailaddr.Address{{}, {LocalPart: "x"}, {LocalPart: "a\nb", Domain: "example.org"}, {LocalPart: "\xff", Domain: "example.org"}, {Domain: "a b"}} {
		want(t, fmt.Sprintf("AddGrant of %q", as), s.AddGrant(ctx, alice, as), account.ErrInvalid)
	}
	want(t, "RemoveUser", s.RemoveUser(ctx, alice), nil)
	Fill(t, s, "alice@example.org")
	check(alice, "") // the second alice is another person
	if got, err := s.Grantees(ctx, Addr(t, "sales@example.org")); err != nil || texts(got) != "bob@example.org" {
		t.Errorf("Grantees() after RemoveUser = %q, %v", texts(got), err)
	}
	want(t, "RemoveDomain by force", s.RemoveDomain(ctx, "example.org", true), nil)
	check(bob, "")
}

func postings(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "other.example")
	p := account.Posting{Addr: Addr(t, "Team@example.org"), Rule: account.PostModerators, Reason: "board only",
		Moderators: []mailaddr.Address{Addr(t, "Boss@example.org"), Addr(t, `"a b"@far.example`)}}
	want(t, "SetPosting", s.SetPosting(ctx, p), nil)
	got, err := s.Posting(ctx, Addr(t, "TEAM@example.org"))
	if err != nil || got.Addr != p.Addr.Folded() || got.Rule != p.Rule || got.Reason != p.Reason || texts(got.Moderators) != `boss@example.org "a b"@far.example` {
		t.Errorf("Posting() = %+v, %v", got, err)
	}
	for _, name := range []string{"team+x@example.org", "team@other.example", "nobody@example.org"} {
		_, err := s.Posting(ctx, Addr(t, name))
		want(t, "Posting("+name+")", err, account.ErrNotFound)
	}
	want(t, "SetPosting again", s.SetPosting(ctx, account.Posting{Addr: p.Addr, Rule: account.PostNobody}), nil)
	if got, err := s.Posting(ctx, p.Addr); err != nil || got.Rule != account.PostNobody || got.Moderators != nil || got.Reason != "" {
		t.Errorf("Posting() after a change = %+v, %v", got, err)
	}
	want(t, "SetPosting of a detail", s.SetPosting(ctx, account.Posting{Addr: Addr(t, "a+x@other.example"), Rule: account.PostNobody}), nil)
	for mask, wanted := range map[string]int{"": 2, "other.example": 1, "team@*": 1, "z*": 0} {
		if all, err := s.Postings(ctx, mask); err != nil || len(all) != wanted {
			t.Errorf("Postings(%q) = %v, %v, want %d", mask, all, err, wanted)
		}
	}
	many := make([]mailaddr.Address, 1000)
	for i := range many {
		many[i] = Addr(t, "m@example.org")
	}
	for _, bad := range []account.Posting{
		{Addr: p.Addr}, {Addr: p.Addr, Rule: "friends"}, {Rule: account.PostNobody}, {Addr: mailaddr.Address{Domain: "example.org"}, Rule: account.PostNobody},
		{Addr: p.Addr, Rule: account.PostModerators, Moderators: []mailaddr.Address{{}}}, {Addr: p.Addr, Rule: account.PostModerators, Moderators: many},
		{Addr: p.Addr, Rule: account.PostNobody, Reason: "a\nb"},
	} {
		want(t, fmt.Sprintf("SetPosting(%.80v)", bad), s.SetPosting(ctx, bad), account.ErrInvalid)
	}
	far := account.Posting{Addr: Addr(t, "x@far.example"), Rule: account.PostNobody}
	want(t, "SetPosting elsewhere", s.SetPosting(ctx, far), account.ErrNoDomain)
	want(t, "RemovePosting", s.RemovePosting(ctx, p.Addr), nil)
	want(t, "RemovePosting twice", s.RemovePosting(ctx, p.Addr), account.ErrNotFound)
	want(t, "RemoveDomain, which has no user or alias", s.RemoveDomain(ctx, "other.example", false), nil)
	if all, err := s.Postings(ctx, ""); err != nil || len(all) != 0 {
		t.Errorf("Postings() = %v, %v, want none", all, err)
	}
}

func entries(t *testing.T, s account.Store) {
	ctx := t.Context()
	until := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	added, err := s.AddAccess(ctx, access.Entry{Deny: true, Name: "Shop.example", For: "Alice@example.org", Reason: "asked twice", Until: until})
	if err != nil || added.Name != "shop.example" || added.For != "alice@example.org" || added.Added.IsZero() || !added.Until.Equal(until) {
		t.Errorf("AddAccess() = %+v, %v", added, err)
	}
	_, err = s.AddAccess(ctx, added)
	want(t, "AddAccess twice", err, account.ErrExists)
	for _, e := range []access.Entry{{Name: "shop.example", For: "alice@example.org"}, {Deny: true, Name: "shop.example"}, {Deny: true, Name: "192.0.2.0/24", For: "example.org"}} {
		_, err := s.AddAccess(ctx, e)
		want(t, fmt.Sprintf("AddAccess(%+v)", e), err, nil)
	}
	for _, e := range []access.Entry{{}, {Name: "a b"}, {Name: "a.example", For: "a b"}, {Name: "a.example", Until: time.Unix(1, 0)}, {Name: "a.example", Reason: "\x00"}} {
		_, err := s.AddAccess(ctx, e)
		want(t, fmt.Sprintf("AddAccess(%+v)", e), err, account.ErrInvalid)
	}
	all, err := s.Access(ctx)
	if err != nil || len(all) != 4 || !all[0].Until.Equal(until) || all[0].Reason != "asked twice" || !all[3].Until.IsZero() || all[3].For != "@example.org" {
		t.Fatalf("Access() = %+v, %v", all, err)
	}
	want(t, "RemoveAccess", s.RemoveAccess(ctx, true, "SHOP.example", ""), nil)
	want(t, "RemoveAccess twice", s.RemoveAccess(ctx, true, "shop.example", ""), account.ErrNotFound)
	want(t, "RemoveAccess of nonsense", s.RemoveAccess(ctx, true, "a b", ""), account.ErrInvalid)
	left, err := s.Access(ctx)
	if err != nil || len(left) != 3 || slices.ContainsFunc(left, func(e access.Entry) bool { return e.Deny && e.For == "" }) {
		t.Errorf("Access() = %+v, %v", left, err)
	}
	soon, err := s.AddAccess(ctx, access.Entry{Name: "soon.example", Until: time.Now().Add(time.Millisecond)})
	want(t, "AddAccess for a millisecond", err, nil)
	for !soon.Ended(time.Now()) { // it ends within a millisecond
	}
	_, err = s.AddAccess(ctx, access.Entry{Name: "soon.example"})
	want(t, "AddAccess of one that has ended", err, nil)
}

// rightsVersion is version for what rights change.
func rightsVersion(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org")
	alice := Addr(t, "alice@example.org")
	sales := Addr(t, "sales@example.org")
	last := s.Version()
	for _, step := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"AddGrant", func(ctx context.Context) error { return s.AddGrant(ctx, alice, sales) }},
		{"RemoveGrant", func(ctx context.Context) error { return s.RemoveGrant(ctx, alice, sales) }},
		{"SetPosting", func(ctx context.Context) error {
			return s.SetPosting(ctx, account.Posting{Addr: sales, Rule: account.PostNobody})
		}},
		{"RemovePosting", func(ctx context.Context) error { return s.RemovePosting(ctx, sales) }},
		{"AddAccess", func(ctx context.Context) error {
			_, err := s.AddAccess(ctx, access.Entry{Name: "a.example"})
			return err
		}},
		{"RemoveAccess", func(ctx context.Context) error { return s.RemoveAccess(ctx, false, "a.example", "") }},
	} {
		want(t, step.name, step.do(ctx), nil)
		if v := s.Version(); v <= last {
			t.Errorf("after %s the version is %d, was %d", step.name, v, last)
		} else {
			last = v
		}
	}
	if _, err := s.Posting(ctx, sales); err == nil {
		t.Error("Posting() shows what was removed")
	}
}
