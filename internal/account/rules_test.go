package account_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

func TestMaySend(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	accounttest.Fill(t, s,
		"example.org", "catch.example", "other.example",
		"alice@example.org", "bob@example.org", "carol@catch.example",
		"info@example.org=alice@example.org,x@far.example",
		"team@example.org=info@example.org,bob@example.org",
		"tagged@example.org=alice+work@example.org",
		"bob+shop@example.org=alice@example.org",
		"copy@example.org", "copy@example.org=copy@example.org,alice@example.org",
		"away@example.org=alice@far.example",
		"@catch.example=alice@example.org",
		"via@example.org=any@catch.example",
		"l1@example.org", "l1@example.org=l1@example.org,l2@example.org", "l2@example.org=l1@example.org",
	)
	l1 := accounttest.Addr(t, "l1@example.org") // makes a loop of it, which AddAlias refuses
	if err := s.RemoveAlias(t.Context(), l1, l1); err != nil {
		t.Fatal(err)
	}
	last := "alice@example.org"
	for i := range 15 { // d14 is 15 aliases away from alice, d5 is 6
		name := fmt.Sprintf("d%d@example.org", i)
		accounttest.Fill(t, s, name+"="+last)
		last = name
	}
	for _, tc := range []struct {
		name, user, as, delim string
		want                  bool
	}{
		{"own address", "alice@example.org", "alice@example.org", "+", true},
		{"own address in capitals", "alice@example.org", "ALICE@Example.ORG", "+", true},
		{"user in capitals", "Alice@EXAMPLE.org", "alice@example.org", "+", true},
		{"own detail", "alice@example.org", "alice+x@example.org", "+", true},
		{"own detail twice", "alice@example.org", "alice+x+y@example.org", "+", true},
		{"another delimiter", "alice@example.org", "alice-x@example.org", "+-", true},
		{"detail disabled", "alice@example.org", "alice+x@example.org", "", false},
		{"somebody else", "alice@example.org", "bob@example.org", "+", false},
		{"detail of somebody else", "alice@example.org", "bob+x@example.org", "+", false},
		{"alias spelled like a detail of somebody else", "alice@example.org", "bob+shop@example.org", "+", true},
		{"and its mailbox does not own it", "bob@example.org", "bob+shop@example.org", "+", false},
		{"alias", "alice@example.org", "info@example.org", "+", true},
		{"alias with detail", "alice@example.org", "info+x@example.org", "+", true},
		{"alias in capitals", "alice@example.org", "INFO@example.org", "+", true},
		{"alias of others", "bob@example.org", "info@example.org", "+", false},
		{"alias of an alias", "alice@example.org", "team@example.org", "+", true},
		{"alias to a detail", "alice@example.org", "tagged@example.org", "+", true},
		{"alias to a detail, details disabled", "alice@example.org", "tagged@example.org", "", false},
		{"alias to itself and a user", "alice@example.org", "copy@example.org", "+", true},
		{"alias to the same name elsewhere", "alice@example.org", "away@example.org", "+", false},
		{"catch-all", "alice@example.org", "anything@catch.example", "+", true},
		{"catch-all of others", "bob@example.org", "anything@catch.example", "+", false},
		{"catch-all does not cover a mailbox", "alice@example.org", "carol@catch.example", "+", false},
		{"nor its details", "alice@example.org", "carol+x@catch.example", "+", false},
		{"alias through a catch-all", "alice@example.org", "via@example.org", "+", true},
		{"no catch-all", "alice@example.org", "anything@example.org", "+", false},
		{"own local part in another domain of ours", "alice@example.org", "alice@other.example", "+", false},
		{"foreign domain", "alice@example.org", "alice@far.example", "+", false},
		{"subdomain", "alice@example.org", "alice@sub.example.org", "+", false},
		{"loop", "alice@example.org", "l1@example.org", "+", false},
		{"six aliases away", "alice@example.org", "d5@example.org", "+", true},
		{"fifteen aliases away", "alice@example.org", "d14@example.org", "+", false},
		{"null reverse-path", "alice@example.org", "", "+", false},
		{"bare local part", "alice@example.org", "alice", "+", false},
		{"bare user", "alice", "alice", "+", false},
		{"user unknown, alias of others", "nobody@example.org", "info@example.org", "+", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var as mailaddr.Address
			if tc.as != "" {
				as = accounttest.Addr(t, tc.as)
			}
			got, err := account.MaySend(t.Context(), s, accounttest.Addr(t, tc.user), as, tc.delim)
			if err != nil || got != tc.want {
				t.Errorf("MaySend(%s, %s) = %v, %v, want %v", tc.user, tc.as, got, err, tc.want)
			}
		})
	}
}

func TestMaySendNull(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	got, err := account.MaySend(t.Context(), s, mailaddr.Address{}, mailaddr.Address{}, "+")
	if got || err != nil {
		t.Errorf("MaySend(<>, <>) = %v, %v, want false", got, err)
	}
}

// away is a store whose server is away.
type away struct{ account.Reader }

var errAway = errors.New("connection refused")

func (away) Domain(context.Context, string) (account.Domain, error) {
	return account.Domain{}, errAway
}

func (away) User(context.Context, mailaddr.Address) (account.User, error) {
	return account.User{}, errAway
}

// A store that is away must not read as "no".
func TestRulesStoreAway(t *testing.T) {
	a := accounttest.Addr(t, "alice@example.org")
	if _, err := account.MaySend(t.Context(), away{}, a, accounttest.Addr(t, "info@example.org"), "+"); !errors.Is(err, errAway) {
		t.Errorf("MaySend() = %v, want %v", err, errAway)
	}
	if _, _, err := account.Resolve(t.Context(), away{}, a, "+"); !errors.Is(err, errAway) {
		t.Errorf("Resolve() = %v, want %v", err, errAway)
	}
}

func TestResolve(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	accounttest.Fill(t, s, "example.org", "alice@example.org", "a+b@example.org",
		"info@example.org=alice@example.org", "@example.org=alice@example.org")
	for _, tc := range []struct {
		name, rcpt, delim, user, detail string
	}{
		{"user", "alice@example.org", "+", "alice@example.org", ""},
		{"capitals", "ALICE@EXAMPLE.ORG", "+", "alice@example.org", ""},
		{"detail keeps its case", "Alice+Work@example.org", "+", "alice@example.org", "Work"},
		{"detail with delimiter", "alice+a+b@example.org", "+", "alice@example.org", "a+b"},
		{"empty detail", "alice+@example.org", "+", "alice@example.org", ""},
		{"detail disabled", "alice+x@example.org", "", "", ""},
		{"name with delimiter", "a+b@example.org", "+", "a+b@example.org", ""},
		{"alias is Postfix's", "info@example.org", "+", "", ""},
		{"catch-all is Postfix's", "nobody@example.org", "+", "", ""},
		{"foreign", "alice@far.example", "+", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u, detail, err := account.Resolve(t.Context(), s, accounttest.Addr(t, tc.rcpt), tc.delim)
			if tc.user == "" {
				if !errors.Is(err, account.ErrNotFound) {
					t.Errorf("Resolve(%s) = %v, %v, want ErrNotFound", tc.rcpt, u.Addr, err)
				}
				return
			}
			if err != nil || u.Addr.String() != tc.user || detail != tc.detail {
				t.Errorf("Resolve(%s) = %v, %q, %v, want %s, %q", tc.rcpt, u.Addr, detail, err, tc.user, tc.detail)
			}
		})
	}
}
