package guard

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func hashed(addr, user, hash string) Attempt {
	return Attempt{Addr: netip.MustParseAddr(addr), User: user, Service: "imap", PasswordHash: hash}
}

// TestAllowAtOnce: of 50 guesses at once with different passwords, which nobody
// can be made to wait with, no more are allowed than the line says.
func TestAllowAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ask := func(user string, n int) (allowed int) {
			for i := range n {
				if !w.Allow(t.Context(), hashed("203.0.113.9", user, fmt.Sprint(i))).Refuse {
					allowed++
				}
			}
			return allowed
		}
		if n := ask("alice@example.org", 50); n != 5 {
			t.Errorf("%d of 50 guesses at once are allowed, want 5", n)
		}
		// Asked again after the password was right, one of them is allowed still.
		if w.Allow(t.Context(), hashed("203.0.113.9", "alice@example.org", "3")).Refuse {
			t.Error("a password that was allowed is refused the second time")
		}
		for i := range 2 {
			w.Report(t.Context(), hashed("203.0.113.9", "alice@example.org", fmt.Sprint(i)), Wrong)
		}
		if w.Allow(t.Context(), hashed("203.0.113.9", "alice@example.org", "99")).Refuse == false {
			t.Error("two that failed and three under way leave room for another")
		}
		time.Sleep(time.Minute)
		if n := ask("alice@example.org", 50); n != 5 { // two known to be wrong, and three
			t.Errorf("%d of 50 guesses are allowed after two failed, want 5", n)
		}
		if n := ask("bob@example.org", 5); n != 5 {
			t.Errorf("%d of 5 passwords of another account are allowed", n)
		}
	})
}

// TestAllowOneDevice: who uses one password is allowed as often as he likes, and
// who proved himself whatever others try.
func TestAllowOneDevice(t *testing.T) {
	w := newWorld(t, nil)
	for range 50 {
		if w.Allow(t.Context(), hashed("203.0.113.9", "alice@example.org", "abc")).Refuse {
			t.Fatal("one password many times is refused")
		}
	}
	w.Report(t.Context(), hashed("203.0.113.9", "alice@example.org", "abc"), Right)
	for i := range 50 {
		if w.Allow(t.Context(), hashed("203.0.113.9", "alice@example.org", fmt.Sprint(i))).Refuse {
			t.Fatal("an account that is proven here is refused")
		}
	}
}
