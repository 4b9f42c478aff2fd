package accounttest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, s := range texts {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// restricted fails unless the user's restrictions are those of wanted.
func restricted(t *testing.T, s account.Store, wanted account.User) {
	t.Helper()
	u, err := s.User(t.Context(), wanted.Addr)
	if err != nil || !slices.Equal(u.AllowNets, wanted.AllowNets) || u.NoLogin != wanted.NoLogin ||
		!slices.Equal(u.Services, wanted.Services) || !u.Expires.Equal(wanted.Expires) {
		t.Errorf("User() = %+v, %v, want %+v", u, err, wanted)
	}
	all, err := s.Users(t.Context(), wanted.Addr.String())
	if err != nil || len(all) != 1 || !slices.Equal(all[0].AllowNets, wanted.AllowNets) || !all[0].Expires.Equal(wanted.Expires) {
		t.Errorf("Users() = %+v, %v, want %+v", all, err, wanted)
	}
}

func restrictions(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org")
	alice := account.User{Addr: Addr(t, "alice@example.org")}
	restricted(t, s, alice)
	end := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	nets := prefixes("::ffff:192.0.2.77/120", "2001:db8::1/32", "192.0.2.0/24")
	want(t, "SetAllowNets", s.SetAllowNets(ctx, alice.Addr, nets), nil)
	want(t, "SetNoLogin", s.SetNoLogin(ctx, alice.Addr, "moved to example.net: ask ü"), nil)
	want(t, "SetServices", s.SetServices(ctx, alice.Addr, []string{"SMTP", "imap", "submission"}), nil)
	want(t, "SetExpires", s.SetExpires(ctx, alice.Addr, end), nil)
	alice.AllowNets, alice.NoLogin = prefixes("192.0.2.0/24", "2001:db8::/32"), "moved to example.net: ask ü"
	alice.Services, alice.Expires = []string{account.IMAP, account.Submission}, end
	restricted(t, s, alice)

	bob := alice
	bob.Addr, bob.AllowNets, bob.Services = Addr(t, "bob@example.org"), nets, []string{"smtp", "imap"}
	want(t, "AddUser", s.AddUser(ctx, bob), nil)
	bob.AllowNets, bob.Services = alice.AllowNets, alice.Services
	restricted(t, s, bob)

	want(t, "SetAllowNets back", s.SetAllowNets(ctx, alice.Addr, nil), nil)
	want(t, "SetNoLogin back", s.SetNoLogin(ctx, alice.Addr, ""), nil)
	want(t, "SetServices back", s.SetServices(ctx, alice.Addr, nil), nil)
	want(t, "SetExpires back", s.SetExpires(ctx, alice.Addr, time.Time{}), nil)
	restricted(t, s, account.User{Addr: alice.Addr})
	restricted(t, s, bob)
}

func badRestrictions(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org")
	alice, nobody := Addr(t, "alice@example.org"), Addr(t, "nobody@example.org")
	many := slices.Repeat(prefixes("192.0.2.0/24"), account.MaxNets+1)
	for _, nets := range [][]netip.Prefix{{{}}, many, prefixes("::ffff:0:0/90")} {
		want(t, fmt.Sprintf("SetAllowNets(%.60v)", nets), s.SetAllowNets(ctx, alice, nets), account.ErrInvalid)
		want(t, "AddUser", s.AddUser(ctx, account.User{Addr: nobody, AllowNets: nets}), account.ErrInvalid)
	}
	for _, reason := range []string{"a\nb", "\xff", strings.Repeat("x", account.MaxReason+1)} {
		want(t, fmt.Sprintf("SetNoLogin(%.20q)", reason), s.SetNoLogin(ctx, alice, reason), account.ErrInvalid)
	}
	want(t, "SetServices", s.SetServices(ctx, alice, []string{"imap", "ftp"}), account.ErrInvalid)
	want(t, "SetAllowNets of nobody", s.SetAllowNets(ctx, nobody, nil), account.ErrNotFound)
	want(t, "SetNoLogin of nobody", s.SetNoLogin(ctx, nobody, "x"), account.ErrNotFound)
	want(t, "SetServices of nobody", s.SetServices(ctx, nobody, nil), account.ErrNotFound)
	want(t, "SetExpires of nobody", s.SetExpires(ctx, nobody, time.Time{}), account.ErrNotFound)
	restricted(t, s, account.User{Addr: alice})
}

func appNames(all []account.AppPassword) string {
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	return strings.Join(names, " ")
}

func apps(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org", "bob@example.org")
	alice, bob := Addr(t, "Alice@example.org"), Addr(t, "bob@example.org")
	check := func(user mailaddr.Address, wanted string) []account.AppPassword {
		t.Helper()
		all, err := s.AppPasswords(ctx, user)
		if got := appNames(all); err != nil || got != wanted {
			t.Errorf("AppPasswords(%s) = %q, %v, want %q", user, got, err, wanted)
		}
		return all
	}
	check(alice, "")
	end := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	phone := account.AppPassword{User: alice, Name: "phone", Hash: secret.String("{SSHA256}x"), Services: []string{"smtp", "imap"}, Expires: end}
	want(t, "AddAppPassword", s.AddAppPassword(ctx, phone), nil)
	want(t, "AddAppPassword twice", s.AddAppPassword(ctx, phone), account.ErrExists)
	want(t, "AddAppPassword to bob", s.AddAppPassword(ctx, account.AppPassword{User: bob, Name: "phone", Hash: secret.String("y")}), nil)
	want(t, "AddAppPassword b", s.AddAppPassword(ctx, account.AppPassword{User: alice, Name: "Old phone", Hash: secret.String("z")}), nil)
	all := check(alice, "Old phone phone")
	if len(all) == 2 {
		p := all[1]
		if p.ID == 0 || p.User != alice.Folded() || string(p.Hash.Reveal()) != "{SSHA256}x" || !slices.Equal(p.Services, []string{"imap", "submission"}) ||
			p.Created.IsZero() || !p.Expires.Equal(end) || !p.LastUsed.IsZero() || p.LastAddr.IsValid() || p.Expired(time.Now()) || !p.Expired(end) {
			t.Errorf("AppPasswords() = %+v", p)
		}
		if !all[0].Expires.IsZero() || all[0].Services != nil || all[0].Expired(end) {
			t.Errorf("AppPasswords() = %+v", all[0])
		}
	}
	want(t, "RemoveAppPassword", s.RemoveAppPassword(ctx, alice, "phone"), nil)
	want(t, "RemoveAppPassword twice", s.RemoveAppPassword(ctx, alice, "phone"), account.ErrNotFound)
	want(t, "RemoveAppPassword of nobody", s.RemoveAppPassword(ctx, Addr(t, "nobody@example.org"), "phone"), account.ErrNotFound)
	check(alice, "Old phone")
	check(bob, "phone")
	want(t, "RemoveUser", s.RemoveUser(ctx, alice), nil)
	Fill(t, s, "alice@example.org")
	check(alice, "") // the second alice is another person
	want(t, "RemoveDomain by force", s.RemoveDomain(ctx, "example.org", true), nil)
	check(bob, "")
}

func badApps(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org")
	alice := Addr(t, "alice@example.org")
	good := account.AppPassword{User: alice, Name: "phone", Hash: secret.String("x")}
	for _, edit := range []func(p *account.AppPassword){
		func(p *account.AppPassword) { p.Name = "" },
		func(p *account.AppPassword) { p.Name = " phone" },
		func(p *account.AppPassword) { p.Name = "a\nb" },
		func(p *account.AppPassword) { p.Name = "\xff" },
		func(p *account.AppPassword) { p.Name = strings.Repeat("n", account.MaxAppName+1) },
		func(p *account.AppPassword) { p.Hash = secret.Value{} },
		func(p *account.AppPassword) { p.Hash = secret.String("a\tb") },
		func(p *account.AppPassword) { p.Services = []string{"ftp"} },
	} {
		p := good
		edit(&p)
		want(t, fmt.Sprintf("AddAppPassword(%.80v)", p), s.AddAppPassword(ctx, p), account.ErrInvalid)
	}
	nobody := good
	nobody.User = Addr(t, "nobody@example.org")
	want(t, "AddAppPassword to nobody", s.AddAppPassword(ctx, nobody), account.ErrNotFound)
	for i := range account.MaxAppPasswords {
		p := good
		p.Name = fmt.Sprint("p", i)
		want(t, "AddAppPassword", s.AddAppPassword(ctx, p), nil)
	}
	want(t, "AddAppPassword of one too many", s.AddAppPassword(ctx, good), account.ErrInvalid)
}

// appVersion is version for what restricts logins, and for app passwords.
func appVersion(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org", "alice@example.org")
	alice := Addr(t, "alice@example.org")
	last := s.Version()
	for _, step := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"SetAllowNets", func(ctx context.Context) error { return s.SetAllowNets(ctx, alice, prefixes("192.0.2.0/24")) }},
		{"SetNoLogin", func(ctx context.Context) error { return s.SetNoLogin(ctx, alice, "x") }},
		{"SetServices", func(ctx context.Context) error { return s.SetServices(ctx, alice, []string{"imap"}) }},
		{"SetExpires", func(ctx context.Context) error { return s.SetExpires(ctx, alice, time.Now()) }},
		{"AddAppPassword", func(ctx context.Context) error {
			return s.AddAppPassword(ctx, account.AppPassword{User: alice, Name: "phone", Hash: secret.String("x")})
		}},
		{"RemoveAppPassword", func(ctx context.Context) error { return s.RemoveAppPassword(ctx, alice, "phone") }},
	} {
		want(t, step.name, step.do(ctx), nil)
		if v := s.Version(); v <= last {
			t.Errorf("after %s the version is %d, was %d", step.name, v, last)
		} else {
			last = v
		}
	}
}
