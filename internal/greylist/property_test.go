package greylist

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// TestNeverDeferredAfterThePass: whatever happens in between, a triplet that
// passed is never asked again within the time that it is kept, and one that
// waits never passes before its time.
func TestNeverDeferredAfterThePass(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		r := newRig(t, func(c *Config) {
			if seed%2 == 0 {
				c.Mode = Always
			}
		})
		passed, first := map[string]time.Time{}, map[string]time.Time{}
		for range 300 {
			r.after(time.Duration(rnd.Int64N(int64(20 * time.Minute))))
			if rnd.IntN(40) == 0 {
				r.after(time.Duration(rnd.Int64N(int64(40 * 24 * time.Hour))))
			}
			proved := rnd.IntN(2) == 0
			r.world.orgs = nil
			if proved {
				r.world.orgs = map[string]string{"shop.example": "shop.example"}
			}
			q := Query{
				Client:   netip.AddrFrom4([4]byte{192, 0, 2 + byte(rnd.IntN(2)), byte(rnd.IntN(256))}),
				MailFrom: fmt.Sprintf("%c@shop.example", 'a'+rnd.IntN(2)), RcptTo: fmt.Sprintf("%c@example.org", 'a'+rnd.IntN(2)),
			}
			o := r.ask(t, q)
			key := networkOf(q.Client) + q.MailFrom + q.RcptTo
			if last, ok := passed[key]; ok && o.Defer && r.now.Sub(last) < 35*24*time.Hour {
				t.Fatalf("seed %d: %+v passed at %v and was deferred at %v", seed, q, last, r.now)
			}
			any := q.MailFrom + q.RcptTo
			if at, ok := first[any]; !ok {
				first[any] = r.now
			} else if o.Why == WhyPassed && r.now.Sub(at) < 5*time.Minute {
				t.Fatalf("seed %d: %+v passed after %v", seed, q, r.now.Sub(at))
			}
			if o.Why == WhyPassed || o.Why == WhyKnown {
				passed[key] = r.now
			}
		}
	}
}

// TestRestart: a second after it was asked, a triplet is on the disk, and a kill
// loses nothing older.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	synctest.Test(t, func(t *testing.T) {
		open := func(path string) (*state.SQLite, *Greylist) {
			s, err := state.OpenSQLite(t.Context(), path, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			g, err := New(Default(), Deps{State: s}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			return s, g
		}
		q := Query{Client: netip.MustParseAddr(stranger), MailFrom: bob, RcptTo: alice}
		s, g := open(path)
		want(t, g.See(t.Context(), q, time.Now()), true, WhyFirst)
		time.Sleep(time.Second)
		synctest.Wait()
		// What is on the disk now is what a kill would leave.
		left := filepath.Join(dir, "killed.db")
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(left+suffix, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		again, g := open(left)
		time.Sleep(5 * time.Minute)
		want(t, g.See(t.Context(), q, time.Now()), false, WhyPassed)
		for _, s := range []*state.SQLite{again, s} {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		again, g = open(left)
		defer again.Close()
		want(t, g.See(t.Context(), q, time.Now()), false, WhyKnown)
	})
}
