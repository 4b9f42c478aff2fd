package greylist

import (
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// BenchmarkSee answers from memory, with 50,000 triplets in a real store.
func BenchmarkSee(b *testing.B) {
	s, err := state.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "state.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	g, err := New(Default(), Deps{State: s}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	q := Query{Client: netip.MustParseAddr(stranger), MailFrom: bob, RcptTo: alice}
	for i := range 50_000 {
		q := q
		q.MailFrom = fmt.Sprintf("%x@%c.example", i, 'a'+i%26)
		q.RcptTo = fmt.Sprintf("user%d@example.org", i)
		g.See(b.Context(), q, now)
	}
	good := q
	good.Name = "mail.shop.example"
	dynamic := q
	dynamic.Name = "dyn-192-0-2-7.isp.example"
	for _, bc := range []struct {
		name string
		q    Query
		why  Why
		pass bool
	}{
		{"not suspicious", good, WhyUnsuspect, false},
		{"waiting", q, WhyEarly, false},
		{"known", q, WhyKnown, true},
		{"known, by name", dynamic, WhyKnown, true},
	} {
		b.Run(bc.name, func(b *testing.B) {
			at := now
			g.See(b.Context(), bc.q, at)
			if bc.pass {
				at = now.Add(6 * time.Minute)
				g.See(b.Context(), bc.q, at)
			}
			b.ReportAllocs()
			for b.Loop() {
				if o := g.See(b.Context(), bc.q, at); o.Why != bc.why {
					b.Fatalf("See() = %+v", o)
				}
			}
		})
	}
}
