package account_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

func TestGrants(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	accounttest.Fill(t, s, "example.org", "alice@example.org", "bob@example.org", "sales@example.org=bob@example.org")
	alice := accounttest.Addr(t, "alice@example.org")
	for _, as := range []string{"sales@example.org", "@far.example", "Me@mine.example"} {
		if err := s.AddGrant(t.Context(), alice, accounttest.Addr(t, as)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		user, as, delim string
		want            bool
	}{
		{"alice@example.org", "sales@example.org", "+", true},
		{"alice@example.org", "SALES+x@example.org", "+", true},
		{"alice@example.org", "sales+x@example.org", "", false},
		{"alice@example.org", "anybody@far.example", "+", true},
		{"alice@example.org", "anybody@sub.far.example", "+", false},
		{"alice@example.org", "me@mine.example", "+", true},
		{"alice@example.org", "you@mine.example", "+", false},
		{"alice@example.org", "bob@example.org", "+", false},
		{"bob@example.org", "sales@example.org", "+", true},
		{"bob@example.org", "x@far.example", "+", false},
	} {
		got, err := account.MaySend(t.Context(), s, accounttest.Addr(t, tc.user), accounttest.Addr(t, tc.as), tc.delim)
		if err != nil || got != tc.want {
			t.Errorf("MaySend(%s, %s) = %v, %v, want %v", tc.user, tc.as, got, err, tc.want)
		}
		senders, err := account.Senders(t.Context(), s, accounttest.Addr(t, tc.as), tc.delim, 100)
		has := false
		for _, u := range senders {
			has = has || u.String() == tc.user
		}
		if err != nil || has != tc.want {
			t.Errorf("Senders(%s) = %v, %v, and MaySend(%s) = %v", tc.as, senders, err, tc.user, tc.want)
		}
	}
}

func TestIsMember(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	accounttest.Fill(t, s, "example.org", "alice@example.org", "bob@example.org", "carol@example.org",
		"team@example.org=alice@example.org,inner@example.org,Guest@far.example", "inner@example.org=bob@example.org")
	for addr, want := range map[string]bool{
		"alice@example.org": true, "Alice+x@example.org": true, "bob@example.org": true, "guest@far.example": true, "inner@example.org": true,
		"carol@example.org": false, "alice@far.example": false, "": false, "alice": false,
	} {
		var a mailaddr.Address
		if addr != "" {
			a = accounttest.Addr(t, addr)
		}
		for _, list := range []string{"team@example.org", "team+x@example.org"} {
			got, err := account.IsMember(t.Context(), s, a, accounttest.Addr(t, list), "+")
			if err != nil || got != want {
				t.Errorf("IsMember(%s, %s) = %v, %v, want %v", addr, list, got, err, want)
			}
		}
	}
}

func TestPostingFor(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	accounttest.Fill(t, s, "example.org")
	for _, row := range []string{"shop@example.org nobody", "shop+keep@example.org public", "shop+old@example.org nobody"} {
		name, rule, _ := strings.Cut(row, " ")
		p := account.Posting{Addr: accounttest.Addr(t, name), Rule: account.PostingRule(rule)}
		if err := s.SetPosting(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	for rcpt, want := range map[string]account.PostingRule{
		"shop@example.org": "nobody", "Shop+x@example.org": "nobody", "shop+keep@example.org": "public", "shop+old@example.org": "nobody",
		"other@example.org": "public", "other+old@example.org": "public",
	} {
		p, err := account.PostingFor(t.Context(), s, accounttest.Addr(t, rcpt), "+")
		if err != nil || p.Rule != want {
			t.Errorf("PostingFor(%s) = %+v, %v, want %s", rcpt, p, err, want)
		}
	}
}

// Senders and MaySend are of one opinion, whatever the aliases and grants are.
func TestSendersProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 15 {
		s := openStore(t, filepath.Join(t.TempDir(), "accounts.db"))
		accounttest.Fill(t, s, "a.example", "b.example")
		name := func() string {
			return fmt.Sprintf("n%d%s@%c.example", r.IntN(6), []string{"", "", "+x"}[r.IntN(3)], "ab"[r.IntN(2)])
		}
		add := func(err error) {
			if err != nil && !errors.Is(err, account.ErrExists) && !errors.Is(err, account.ErrLoop) {
				t.Fatal(err)
			}
		}
		var users []mailaddr.Address
		for range 5 {
			u := accounttest.Addr(t, name())
			users = append(users, u)
			add(s.AddUser(t.Context(), account.User{Addr: u}))
		}
		for range 8 {
			from := accounttest.Addr(t, name())
			if r.IntN(8) == 0 {
				from.LocalPart = ""
			}
			add(s.AddAlias(t.Context(), account.Alias{Addr: from, To: []mailaddr.Address{accounttest.Addr(t, name())}}))
		}
		for range 4 {
			as := accounttest.Addr(t, name())
			if r.IntN(4) == 0 {
				as.LocalPart = ""
			}
			add(s.AddGrant(t.Context(), users[r.IntN(len(users))], as))
		}
		for range 100 {
			as := accounttest.Addr(t, name())
			senders, err := account.Senders(t.Context(), s, as, "+", 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range users {
				may, err := account.MaySend(t.Context(), s, u, as, "+")
				if err != nil || may != slices.Contains(senders, u) && u != as {
					t.Fatalf("MaySend(%s, %s) = %v, %v, and Senders() = %v", u, as, may, err, senders)
				}
			}
		}
	}
}
