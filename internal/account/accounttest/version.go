package accounttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

func cancelled(t *testing.T, s account.Store) {
	Fill(t, s, "example.org", "alice@example.org")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	alice := Addr(t, "alice@example.org")
	_, err := s.User(ctx, alice)
	want(t, "User", err, context.Canceled)
	_, err = s.Users(ctx, "")
	want(t, "Users", err, context.Canceled)
	want(t, "RemoveUser", s.RemoveUser(ctx, alice), context.Canceled)
	_, err = s.User(t.Context(), alice)
	want(t, "User after a cancelled RemoveUser", err, nil)
}

func version(t *testing.T, s account.Store) {
	ctx := t.Context()
	alice := Addr(t, "alice@example.org")
	to := account.Alias{Addr: alice, To: []mailaddr.Address{alice}}
	last := s.Version()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"AddDomain", func() error { return s.AddDomain(ctx, "example.org") }},
		{"AddUser", func() error { return s.AddUser(ctx, account.User{Addr: alice}) }},
		{"SetPassword", func() error { return s.SetPassword(ctx, alice, secret.String("x")) }},
		{"SetHeld", func() error { return s.SetHeld(ctx, alice, true) }},
		{"SetDisabled", func() error { return s.SetDisabled(ctx, alice, true) }},
		{"SetQuota", func() error { return s.SetQuota(ctx, alice, 1) }},
		{"AddAlias", func() error { return s.AddAlias(ctx, to) }},
		{"RemoveAlias", func() error { return s.RemoveAlias(ctx, alice) }},
		{"RemoveUser", func() error { return s.RemoveUser(ctx, alice) }},
		{"RemoveDomain", func() error { return s.RemoveDomain(ctx, "example.org", false) }},
	} {
		want(t, step.name, step.do(), nil)
		if v := s.Version(); v <= last {
			t.Errorf("after %s the version is %d, was %d", step.name, v, last)
		} else {
			last = v
		}
	}
}

// fresh looks up, changes and looks up again: what was cached must not show.
func fresh(t *testing.T, s account.Store) {
	ctx := t.Context()
	alice := Addr(t, "alice@example.org")
	_, err := s.Domain(ctx, "example.org")
	want(t, "Domain before", err, account.ErrNotFound)
	_, err = s.User(ctx, alice)
	want(t, "User before", err, account.ErrNotFound)
	Fill(t, s, "example.org", "alice@example.org")
	_, err = s.Domain(ctx, "example.org")
	want(t, "Domain after", err, nil)
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.User(ctx, alice); err != nil {
					t.Errorf("User() = %v", err)
					return
				}
			}
		})
	}
	for i := range 20 {
		password := secret.String(fmt.Sprint("{PLAIN}", i))
		want(t, "SetPassword", s.SetPassword(ctx, alice, password), nil)
		if u, err := s.User(ctx, alice); err != nil || !u.Password.Equal(password) {
			t.Errorf("after SetPassword %d, User() has %q, %v", i, u.Password.Reveal(), err)
		}
	}
	close(stop)
	readers.Wait()
}

func writers(t *testing.T, s account.Store) {
	ctx := t.Context()
	Fill(t, s, "example.org")
	const each = 20
	var both sync.WaitGroup
	won := make([]int, 2)
	for w := range won {
		both.Go(func() {
			for i := range each {
				err := s.AddUser(ctx, account.User{Addr: mailaddr.Address{LocalPart: fmt.Sprint("u", i), Domain: "example.org"}})
				if err == nil {
					won[w]++
				} else if !errors.Is(err, account.ErrExists) {
					t.Errorf("AddUser() = %v", err)
				}
				to := []mailaddr.Address{{LocalPart: fmt.Sprintf("t%d.%d", w, i), Domain: "example.org"}}
				if err := s.AddAlias(ctx, account.Alias{Addr: Addr(t, "all@example.org"), To: to}); err != nil {
					t.Errorf("AddAlias() = %v", err)
				}
			}
		})
	}
	both.Wait()
	all, err := s.Users(ctx, "")
	if err != nil || len(all) != each || won[0]+won[1] != each {
		t.Errorf("%d users, %v, added %v, want %d", len(all), err, won, each)
	}
	if a, err := s.Alias(ctx, Addr(t, "all@example.org")); err != nil || len(a.To) != 2*each {
		t.Errorf("the alias has %d targets, %v, want %d", len(a.To), err, 2*each)
	}
}
