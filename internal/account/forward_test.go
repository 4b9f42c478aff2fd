package account_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

func TestForwards(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	accounttest.Fill(t, s,
		"example.org", "catch.example", "away.example",
		"alice@example.org", "bob@example.org", "carol@away.example",
		"info@example.org=alice@example.org,bob@example.org",
		"out@example.org=alice@far.example",
		"mixed@example.org=alice@example.org,out@example.org",
		"bob+out@example.org=bob@far.example",
		"copy@example.org", "copy@example.org=copy@example.org,alice@far.example",
		"@catch.example=alice@example.org",
		"@away.example=all@far.example",
		"via@example.org=any@away.example",
		"l1@example.org", "l1@example.org=l1@example.org,l2@example.org", "l2@example.org=l1@example.org",
	)
	accounttest.Fill(t, s, "name.example", "name2.example", "@name.example=@example.org", "@name2.example=@far.example")
	l1 := accounttest.Addr(t, "l1@example.org") // makes a loop of it, which AddAlias refuses
	if err := s.RemoveAlias(t.Context(), l1, l1); err != nil {
		t.Fatal(err)
	}
	last := "x@far.example"
	for i := range 15 {
		name := fmt.Sprintf("d%d@example.org", i)
		accounttest.Fill(t, s, name+"="+last)
		last = name
	}
	for _, tc := range []struct {
		name  string
		rcpts []string
		want  bool
	}{
		{"nobody", nil, false},
		{"mailbox", []string{"alice@example.org"}, false},
		{"detail of a mailbox", []string{"bob+x@example.org"}, false},
		{"aliases within", []string{"info@example.org"}, false},
		{"alias to the outside", []string{"out@example.org"}, true},
		{"in capitals", []string{"OUT@Example.ORG"}, true},
		{"with a detail", []string{"out+x@example.org"}, true},
		{"one target of two", []string{"mixed@example.org"}, true},
		{"one recipient of two", []string{"alice@example.org", "out@example.org"}, true},
		{"alias spelled like a detail", []string{"bob+out@example.org"}, true},
		{"mailbox with a copy outside", []string{"copy@example.org"}, true},
		{"catch-all within", []string{"any@catch.example"}, false},
		{"catch-all to the outside", []string{"any@away.example"}, true},
		{"a mailbox does not fall to the catch-all", []string{"carol@away.example"}, false},
		{"through a catch-all", []string{"via@example.org"}, true},
		{"unknown", []string{"nobody@example.org"}, false},
		{"addressed to the outside", []string{"alice@far.example"}, false},
		{"loop", []string{"l1@example.org"}, false},
		{"six aliases away", []string{"d5@example.org"}, true},
		{"fifteen aliases away", []string{"d14@example.org"}, false},
		{"bare local part", []string{"out"}, false},
		{"another name of the domain", []string{"out@name.example"}, true},
		{"another name, to a mailbox", []string{"alice+x@name.example"}, false},
		{"another name of a domain elsewhere", []string{"alice@name2.example"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var rcpts []mailaddr.Address
			for _, r := range tc.rcpts {
				rcpts = append(rcpts, accounttest.Addr(t, r))
			}
			got, err := account.Forwards(t.Context(), s, rcpts, "+")
			if err != nil || got != tc.want {
				t.Errorf("Forwards(%v) = %v, %v, want %v", tc.rcpts, got, err, tc.want)
			}
		})
	}
	if got, err := account.Forwards(t.Context(), s, []mailaddr.Address{accounttest.Addr(t, "out+x@example.org")}, ""); got || err != nil {
		t.Errorf("Forwards(out+x) without delimiter = %v, %v, want false", got, err)
	}
	if _, err := account.Forwards(t.Context(), away{}, []mailaddr.Address{accounttest.Addr(t, "out@example.org")}, "+"); !errors.Is(err, errAway) {
		t.Errorf("Forwards() with the store away = %v, want %v", err, errAway)
	}
}

// TestDomainAlias: a domain that is another name has the owners of the other.
func TestDomainAlias(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	accounttest.Fill(t, s, "example.org", "name.example", "alice@example.org", "bob@example.org",
		"info@example.org=alice@example.org", "bob@name.example", "@name.example=@example.org")
	a, err := s.Alias(t.Context(), accounttest.Addr(t, "@name.example"))
	if err != nil || len(a.To) != 1 || a.To[0].String() != "@example.org" {
		t.Fatalf("Alias() = %+v, %v", a, err)
	}
	if to := a.For(accounttest.Addr(t, "x+y@name.example")); to[0].String() != "x+y@example.org" || a.To[0].LocalPart != "" {
		t.Errorf("For() = %v, and the alias is %v", to, a.To)
	}
	for _, tc := range []struct {
		user, as string
		want     bool
	}{
		{"alice@example.org", "alice@name.example", true},
		{"alice@example.org", "Alice+x@name.example", true},
		{"alice@example.org", "info@name.example", true},
		{"alice@example.org", "bob@name.example", false},
		{"bob@example.org", "bob@name.example", false}, // a mailbox of its own
		{"alice@example.org", "nobody@name.example", false},
	} {
		got, err := account.MaySend(t.Context(), s, accounttest.Addr(t, tc.user), accounttest.Addr(t, tc.as), "+")
		if err != nil || got != tc.want {
			t.Errorf("MaySend(%s, %s) = %v, %v, want %v", tc.user, tc.as, got, err, tc.want)
		}
	}
	for _, bad := range []account.Alias{
		{Addr: accounttest.Addr(t, "x@example.org"), To: []mailaddr.Address{{Domain: "name.example"}}},
		{Addr: mailaddr.Address{Domain: "example.org"}, To: []mailaddr.Address{{}}},
		{Addr: mailaddr.Address{Domain: "example.org"}, To: []mailaddr.Address{{Domain: "a b"}}},
	} {
		if err := s.AddAlias(t.Context(), bad); !errors.Is(err, account.ErrInvalid) {
			t.Errorf("AddAlias(%+v) = %v, want ErrInvalid", bad, err)
		}
	}
	want := mailaddr.Address{Domain: "example.org"}
	if err := s.RemoveAlias(t.Context(), mailaddr.Address{Domain: "name.example"}, want); err != nil {
		t.Errorf("RemoveAlias() = %v", err)
	}
}

func TestExternal(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	accounttest.Fill(t, s, "example.org", "name.example", "alice@example.org", "info@example.org=alice@example.org",
		"out@example.org=alice@example.org,alice@far.example", "@name.example=@example.org")
	all, err := account.External(t.Context(), s)
	if err != nil || len(all) != 1 || all[0].Addr.String() != "out@example.org" {
		t.Errorf("External() = %v, %v, want out@example.org", all, err)
	}
}
