package accounttest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// Soon is how long a change of one store may take to be seen in another: it says
// "within a second", and the machine of a test is busy.
const Soon = 10 * time.Second

// Eventually asks until ok, for Soon at most: other processes are involved.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(Soon); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", Soon, what)
		}
		<-tick.C
	}
}

// twoStores changes by one store, and looks by the other.
func twoStores(t *testing.T, d Data) {
	ctx := t.Context()
	a, b := d.Open(t), d.Open(t)
	alice := Addr(t, "alice@example.org")
	_, err := b.User(ctx, alice)
	want(t, "User before", err, account.ErrNotFound)
	Fill(t, a, "example.org", "alice@example.org", "info@example.org=alice@example.org")
	Eventually(t, "the other store does not see the user", func() bool { _, err := b.User(ctx, alice); return err == nil })
	_, err = b.Alias(ctx, Addr(t, "info@example.org"))
	want(t, "Alias", err, nil) // it has all of that version
	version := b.Version()
	want(t, "SetHeld", a.SetHeld(ctx, alice, true), nil)
	Eventually(t, "the other store does not see that the user is held", func() bool { u, err := b.User(ctx, alice); return err == nil && u.Held })
	Eventually(t, "the version of the other store does not move", func() bool { return b.Version() > version })
	want(t, "SetPassword by the other", b.SetPassword(ctx, alice, secret.String("{PLAIN}new")), nil)
	Eventually(t, "the old password is good", func() bool {
		u, err := a.Fresh().User(ctx, alice)
		return err == nil && string(u.Password.Reveal()) == "{PLAIN}new"
	})
	want(t, "AddAppPassword", a.AddAppPassword(ctx, account.AppPassword{User: alice, Name: "phone", Hash: secret.String("x")}), nil)
	Eventually(t, "the other store does not see the app password", func() bool {
		all, err := b.Fresh().AppPasswords(ctx, alice)
		return err == nil && len(all) == 1
	})
	want(t, "RemoveUser", b.RemoveUser(ctx, alice), nil)
	Eventually(t, "the user is still there", func() bool { _, err := a.User(ctx, alice); return errors.Is(err, account.ErrNotFound) })
	first, err1 := a.OwnKey(ctx, "scram")
	second, err2 := b.OwnKey(ctx, "scram")
	if err := errors.Join(err1, err2); err != nil || !first.Equal(second) {
		t.Errorf("two stores have the same key of our own: %v, %v", first.Equal(second), err)
	}
}

// twoWriters adds by two stores at once what each of them may add, and what only
// one of them may.
func twoWriters(t *testing.T, d Data) {
	ctx := t.Context()
	stores := []account.Backend{d.Open(t), d.Open(t)}
	Fill(t, stores[0], "example.org")
	const each = 20
	var both sync.WaitGroup
	won := make([]int, len(stores))
	for w, s := range stores {
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
	for _, s := range stores {
		Eventually(t, "a store does not see all that both have added", func() bool {
			all, err := s.Users(ctx, "")
			if err != nil || len(all) != each || won[0]+won[1] != each {
				return false
			}
			a, err := s.Alias(ctx, Addr(t, "all@example.org"))
			return err == nil && len(a.To) == len(stores)*each
		})
	}
	// Two aliases that lead to each other are a loop, whoever adds them.
	errs := make([]error, len(stores))
	for w, s := range stores {
		both.Go(func() {
			names := []string{"l1@example.org", "l2@example.org"}
			errs[w] = s.AddAlias(ctx, account.Alias{Addr: Addr(t, names[w]), To: all(t, names[1-w])})
		})
	}
	both.Wait()
	if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), account.ErrLoop) {
		t.Errorf("two that make a loop: %v, want one ErrLoop", errs)
	}
}

// restart ends what keeps the data between a change and a look.
func restart(t *testing.T, d Data) {
	ctx := t.Context()
	s := d.Open(t)
	Fill(t, s, "example.org", "alice@example.org", "info@example.org=alice@example.org", "@example.org=alice@example.org")
	alice := Addr(t, "alice@example.org")
	want(t, "SetPassword", s.SetPassword(ctx, alice, secret.String("{PLAIN}new")), nil)
	key, err := s.OwnKey(ctx, "scram")
	want(t, "OwnKey", err, nil)
	before, err := s.User(ctx, alice)
	want(t, "User", err, nil)
	s = d.Restart(t, s)
	Eventually(t, "the store does not answer after a restart", func() bool { _, err := s.Fresh().User(ctx, alice); return err == nil })
	u, err := s.Fresh().User(ctx, alice)
	if err != nil || u.ID != before.ID || string(u.Password.Reveal()) != "{PLAIN}new" {
		t.Errorf("after a restart User() = %+v, %v, want %+v", u, err, before)
	}
	for _, name := range []string{"info@example.org", "@example.org"} {
		_, err = s.Alias(ctx, Addr(t, name))
		want(t, "Alias("+name+")", err, nil)
	}
	Eventually(t, "nothing can be changed after a restart", func() bool { return s.RemoveUser(ctx, alice) == nil })
	Fill(t, s, "alice@example.org")
	if again, err := s.User(ctx, alice); err != nil || again.ID <= u.ID {
		t.Errorf("the next alice has id %d, %v, the one before the restart had %d", again.ID, err, u.ID)
	}
	if again, err := s.OwnKey(ctx, "scram"); err != nil || !again.Equal(key) {
		t.Errorf("the key changed with a restart: %v", err)
	}
}

// restartUnderWrites ends what keeps the data while a store writes. What it said
// was written is there, and what it said was not may be.
func restartUnderWrites(t *testing.T, d Data) {
	ctx := t.Context()
	s := d.Open(t)
	Fill(t, s, "example.org")
	const each = 30
	written := map[string]bool{}
	for i := range each {
		if i == each/2 {
			s = d.Restart(t, s)
		}
		name := fmt.Sprint("u", i)
		written[name] = s.AddUser(ctx, account.User{Addr: mailaddr.Address{LocalPart: name, Domain: "example.org"}}) == nil
	}
	Eventually(t, "nothing can be changed after a restart", func() bool { return s.AddDomain(ctx, "later.example") == nil })
	there := map[string]bool{}
	found, err := s.Users(ctx, "")
	want(t, "Users", err, nil)
	for _, u := range found {
		there[u.Addr.LocalPart] = true
	}
	for name, ok := range written {
		if ok && !there[name] {
			t.Errorf("%s was written, and is not there", name)
		}
	}
}
