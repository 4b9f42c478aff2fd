package limit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// still is a store at which time stands still, so that two answer alike. It
// keeps each claim it was given, and a copy.
type still struct {
	store
	used  map[string]int64
	given []state.Claim
	was   []string
}

func (s *still) List(context.Context, state.Table, string) ([]state.Entry, error) { return nil, nil }

func (s *still) TakeAll(_ context.Context, claims []state.Claim, ask bool) ([]state.Usage, error) {
	all, fits := make([]state.Usage, len(claims)), true
	for i, c := range claims {
		s.given, s.was = append(s.given, c), append(s.was, string([]byte(c.Key)))
		all[i] = state.Usage{OK: s.used[c.Key]+c.N <= c.Max, Used: s.used[c.Key], At: time.Unix(int64(len(s.was)), 0)}
		fits = fits && (all[i].OK || c.Soft)
	}
	for i, c := range claims {
		if !ask && fits && all[i].OK {
			s.used[c.Key] += c.N
			all[i].Used += c.N
		}
	}
	return all, nil
}

func (s *still) Give(_ context.Context, key string, n int64, _ time.Time) error {
	s.used[key] -= n
	return nil
}

// anyMail returns a mail of a few users, clients and domains.
func anyMail(rnd *rand.Rand) *Mail {
	m := &Mail{
		Now: time.Unix(1, 0), Outbound: rnd.IntN(3) > 0, Recipients: rnd.Int64N(3), Bytes: rnd.Int64N(50), Bounce: rnd.IntN(4) == 0,
		User: fmt.Sprintf("u%d@d%d.example", rnd.IntN(3), rnd.IntN(2)), Sender: fmt.Sprintf("s%d@example.net", rnd.IntN(2)),
	}
	if n := rnd.IntN(3); n > 0 {
		m.Client = netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
	}
	for range rnd.IntN(12) {
		m.Rcpts = append(m.Rcpts, Rcpt{ID: rnd.Uint64(), Domain: fmt.Sprintf("r%d.example", rnd.IntN(12))})
	}
	return m
}

// TestMemo asks the same with a Memo and without: the answers are the same, and
// nothing that was given away before changes.
func TestMemo(t *testing.T) {
	set := Compile([]Limit{
		{Name: "user", Rate: Rates{{Count: 40, Window: time.Hour}, {Count: 90, Window: 24 * time.Hour}}},
		{Name: "network", By: "client_network", Of: Messages, Rate: Per(60, time.Hour), Mode: "observe"},
		{Name: "domain", By: "user,recipient_domain", Rate: Per(20, time.Hour)},
		{Name: "sender", By: "sender_domain,client", Of: Bytes, Rate: Rates{{Count: 5000, Window: time.Hour, Bytes: true}}},
	})
	plain, kept := &still{used: map[string]int64{}}, &still{used: map[string]int64{}}
	a, b := New(plain), New(kept)
	memo := &Memo{}
	rnd := rand.New(rand.NewPCG(7, 7))
	var counted []Counted
	var want []string
	for i := range 3000 {
		m := anyMail(rnd)
		ask := a.Take
		with := b.Take
		if rnd.IntN(2) == 0 {
			ask, with = a.Ask, b.Ask
		}
		first, err := ask(t.Context(), set, m)
		if err != nil {
			t.Fatal(err)
		}
		m.Memo = memo
		second, err := with(t.Context(), set, m)
		if err != nil || !slices.EqualFunc(first, second, func(x, y Result) bool { return reflect.DeepEqual(x, y) }) {
			t.Fatalf("mail %d: with a Memo %+v, %v, without %+v", i, second, err, first)
		}
		counted = CountedBy(counted, second)
		for _, c := range counted[len(want):] {
			want = append(want, fmt.Sprint(c))
		}
	}
	for i, c := range counted {
		if fmt.Sprint(c) != want[i] {
			t.Fatalf("what result %d counted became %v, it was %s", i, c, want[i])
		}
	}
	for i, c := range kept.given {
		if c.Key != kept.was[i] {
			t.Fatalf("claim %d became one of %q, it was one of %q", i, c.Key, kept.was[i])
		}
	}
	if !slices.Equal(plain.was, kept.was) || !reflect.DeepEqual(plain.used, kept.used) {
		t.Error("with a Memo other counters were asked than without")
	}
}

// TestMemoAfterError: a store that gave up may look at its claims while the next
// mail is asked about.
func TestMemoAfterError(t *testing.T) {
	var late []state.Claim
	s := &still{used: map[string]int64{}}
	l := New(&lateStore{s, &late})
	set, memo := Compile([]Limit{{Name: "user", Rate: Per(9, time.Hour)}}), &Memo{}
	for i, user := range []string{"a@example.org", "b@example.org"} {
		_, err := l.Take(t.Context(), set, &Mail{Now: time.Unix(1, 0), Outbound: true, User: user, Recipients: 1, Memo: memo})
		if (err != nil) != (i == 0) {
			t.Fatalf("mail %d: %v", i, err)
		}
	}
	if want := "limit/user/1h/user/a@example.org"; len(late) != 1 || late[0].Key != want {
		t.Errorf("the first mail's claims became %+v, want %s", late, want)
	}
}

// lateStore gives up at its first question, and keeps the claims.
type lateStore struct {
	*still
	late *[]state.Claim
}

func (s *lateStore) TakeAll(ctx context.Context, claims []state.Claim, ask bool) ([]state.Usage, error) {
	if *s.late == nil {
		*s.late = claims
		return nil, errAway
	}
	return s.still.TakeAll(ctx, claims, ask)
}

// BenchmarkLimiter asks and takes for one mail, as a policy server does at RCPT
// and DATA.
func BenchmarkLimiter(b *testing.B) {
	set := Compile([]Limit{
		{Name: "user", Rate: Per(1<<40, time.Hour)}, {Name: "messages", Of: Messages, Rate: Per(1<<40, 24*time.Hour)},
		{Name: "network", By: ByClientNetwork, Rate: Per(1<<40, time.Hour)},
	})
	users := make([]string, 300)
	for i := range users {
		users[i] = fmt.Sprintf("u%d@example.org", i)
	}
	for _, memo := range []*Memo{nil, {}} {
		b.Run(fmt.Sprintf("Memo=%t", memo != nil), func(b *testing.B) {
			l := New(openStore(b, b.TempDir()))
			m := Mail{Outbound: true, Client: netip.MustParseAddr("192.0.2.7"), Recipients: 1, Memo: memo}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.Now, m.User = time.Now(), users[i%len(users)]
				if _, err := l.Ask(b.Context(), set, &m); err != nil {
					b.Fatal(err)
				}
				if _, err := l.Take(b.Context(), set, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
