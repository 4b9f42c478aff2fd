package limit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// openStore opens the embedded store in a directory of the test.
func openStore(t testing.TB, dir string) *state.SQLite {
	t.Helper()
	s, err := state.OpenSQLite(t.Context(), filepath.Join(dir, "state.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return s
}

// away is a store that can fail.
type away struct {
	*state.SQLite
	fails bool
}

var errAway = errors.New("state is away")

func (a *away) TakeAll(ctx context.Context, claims []state.Claim, ask bool) ([]state.Usage, error) {
	if a.fails {
		return nil, errAway
	}
	return a.SQLite.TakeAll(ctx, claims, ask)
}

// of is a mail of alice with n recipients.
func of(n int64) *Mail {
	return &Mail{Outbound: true, User: "alice@example.org", Recipients: n}
}

// with returns m after change.
func with(m *Mail, change func(*Mail)) *Mail { change(m); return m }

// to returns recipients in domains; the same text is the same recipient.
func to(texts ...string) []Rcpt {
	var out []Rcpt
	for _, s := range texts {
		var id uint64
		for _, c := range s {
			id = id*131 + uint64(c)
		}
		out = append(out, Rcpt{ID: id, Domain: domainOf(s)})
	}
	return out
}

// allowed returns the results in short: one sign for each.
func allowed(results []Result) string {
	out := ""
	for _, r := range results {
		if r.Allowed {
			out += "+"
		} else {
			out += "-"
		}
	}
	return out
}

func take(t *testing.T, l *Limiter, limits []Limit, m *Mail) []Result {
	t.Helper()
	got, err := l.Take(t.Context(), Compile(limits), m)
	if err != nil {
		t.Fatalf("Take(%+v) = %v", m, err)
	}
	return got
}

// used returns the counters as "limit key used".
func used(t *testing.T, l *Limiter, limits []Limit) []string {
	t.Helper()
	all, err := l.Usage(t.Context(), limits, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, u := range all {
		out = append(out, fmt.Sprintf("%s %s %d", u.Limit, u.Key, u.Used))
	}
	return out
}

func TestTake(t *testing.T) {
	daily := Limit{Name: "daily", Rate: Per(5, 24*time.Hour)}
	for _, tc := range []struct {
		name   string
		limits []Limit
		before int64 // taken first
		n      int64
		want   string
		used   string // of the first limit, after it
	}{
		{"fits", []Limit{hourly("a", 3, "")}, 2, 1, "+", "a alice@example.org 3"},
		{"one too many", []Limit{hourly("a", 3, "")}, 2, 2, "-", "a alice@example.org 2"},
		{"never fits", []Limit{hourly("a", 3, "")}, 0, 4, "-", ""},
		{"rate of none", []Limit{hourly("a", 0, "")}, 0, 1, "-", ""},
		{"off", []Limit{hourly("a", 3, unit.Off)}, 0, 4, "", ""},
		{"observed does not count beyond", []Limit{hourly("a", 3, unit.Observe)}, 3, 1, "-", "a alice@example.org 3"},
		{"the second refuses, the first counts nothing", []Limit{hourly("a", 9, ""), daily}, 5, 1, "+-", "a alice@example.org 5"},
		{"the first refuses, the second counts nothing", []Limit{daily, hourly("z", 9, "")}, 5, 1, "-+", "daily alice@example.org 5"},
		{"the observed refuses, the enforced counts", []Limit{hourly("a", 9, ""), hourly("b", 1, unit.Observe)}, 0, 2, "+-", "a alice@example.org 2"},
		{"two windows", []Limit{{Name: "a", Rate: Rates{{Count: 9, Window: time.Hour}, {Count: 5, Window: 24 * time.Hour}}}}, 5, 1, "+-", "a alice@example.org 5"},
		{"burst", []Limit{{Name: "a", Rate: Per(9, time.Hour), Burst: 2}}, 2, 1, "+-", "a alice@example.org 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := New(openStore(t, t.TempDir()))
			if tc.before > 0 {
				take(t, l, tc.limits, of(tc.before))
			}
			got := take(t, l, tc.limits, of(tc.n))
			if allowed(got) != tc.want {
				t.Fatalf("Take(%d) = %+v, want %q", tc.n, got, tc.want)
			}
			enforced := slices.ContainsFunc(got, func(r Result) bool { return !r.Allowed && r.Limit.Enforced() })
			if refused := Refused(got) != nil; refused != enforced {
				t.Errorf("Refused(%+v) = %v, want %v", got, refused, enforced)
			}
			after := append(used(t, l, tc.limits), "")
			if after[0] != tc.used {
				t.Errorf("used afterwards %q, want %q", after[0], tc.used)
			}
		})
	}
}

// TestKeys looks at which counter each kind of limit counts, and how much.
func TestKeys(t *testing.T) {
	client := netip.MustParseAddr("192.0.2.77")
	mail := Mail{
		Outbound: true, User: "alice@example.org", Sender: "sales@example.net", Client: client, Bytes: 1000,
		Recipients: 3, Rcpts: to("a@x.example", "b@x.example", "c@y.example"),
	}
	mail.Rcpts[2].New = true
	inbound := mail
	inbound.Outbound, inbound.User = false, ""
	bounce := inbound
	bounce.Sender, bounce.Bounce = "", true
	v6 := mail
	v6.Client = netip.MustParseAddr("2001:db8:1:2:3::4")
	for _, tc := range []struct {
		name string
		by   By
		of   Of
		mail Mail
		want []string
	}{
		{"user", ByUser, "", mail, []string{"x alice@example.org 3"}},
		{"user of inbound mail", ByUser, "", inbound, nil},
		{"domain of user", ByUserDomain, Messages, mail, []string{"x example.org 1"}},
		{"client", ByClient, Messages, inbound, []string{"x 192.0.2.77 1"}},
		{"network", ByClientNetwork, "", inbound, []string{"x 192.0.2.0/24 3"}},
		{"IPv6 network", ByClientNetwork, "", v6, []string{"x 2001:db8:1:2::/64 3"}},
		{"no client", ByClient, "", *of(1), nil},
		{"sender", BySender, Bytes, inbound, []string{"x sales@example.net 1000"}},
		{"null sender", BySender, "", bounce, nil},
		{"domain of sender", BySenderDomain, "", inbound, []string{"x example.net 3"}},
		{"recipients' domains", ByRecipientDomain, "", mail, []string{"x x.example 2", "x y.example 1"}},
		{"user and recipients' domains", "user, recipient_domain", Messages, mail, []string{"x alice@example.org,x.example 1", "x alice@example.org,y.example 1"}},
		{"bytes", ByUser, Bytes, mail, []string{"x alice@example.org 1000"}},
		{"distinct", ByUser, DistinctRecipients, mail, []string{"x alice@example.org 3"}},
		{"new", ByUser, NewRecipients, mail, []string{"x alice@example.org 1"}},
		{"bounces", ByClient, Bounces, bounce, []string{"x 192.0.2.77 1"}},
		{"no bounce", ByClient, Bounces, inbound, nil},
		{"login without a domain", ByUserDomain, "", Mail{Outbound: true, User: "alice", Recipients: 1}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := New(openStore(t, t.TempDir()))
			limits := []Limit{{Name: "x", By: tc.by, Of: tc.of, Rate: Rates{{Count: 5000, Window: time.Hour, Bytes: tc.of == Bytes}}}}
			if err := ValidateAll(limits); err != nil {
				t.Fatal(err)
			}
			take(t, l, limits, &tc.mail)
			if got := used(t, l, limits); !slices.Equal(got, tc.want) {
				t.Errorf("used %q, want %q", got, tc.want)
			}
		})
	}
}

func TestDirection(t *testing.T) {
	limits := []Limit{
		{Name: "in", By: ByClient, Rate: Per(1, time.Hour), Direction: Inbound},
		{Name: "out", By: ByClient, Rate: Per(1, time.Hour), Direction: Outbound},
	}
	l := New(openStore(t, t.TempDir()))
	m := &Mail{Client: netip.MustParseAddr("192.0.2.1"), Recipients: 1}
	if got := take(t, l, limits, m); len(got) != 1 || got[0].Limit.Name != "in" {
		t.Errorf("Take of inbound mail = %+v", got)
	}
	m.Outbound = true
	if got := take(t, l, limits, m); len(got) != 1 || got[0].Limit.Name != "out" {
		t.Errorf("Take of outbound mail = %+v", got)
	}
	if s := Compile(limits[:1]); s.Concerns(true) || !s.Concerns(false) || Compile([]Limit{hourly("a", 1, "")}).Concerns(false) {
		t.Error("Concerns is wrong")
	}
}

// A recipient counts once a window, however often it is written to.
// TestJoin: each of two hosts counted for itself; together they have each
// recipient once, with the later time.
func TestJoin(t *testing.T) {
	set := func(list ...member) []byte { return appendMembers(nil, list) }
	mine, theirs := set(member{id: 1, at: 10e9}, member{id: 2, at: 30e9}), set(member{id: 2, at: 20e9}, member{id: 3, at: 5e9})
	got := map[uint64]int64{}
	for _, m := range liveMembers(Join(state.Limit, membersPrefix+"x", mine, theirs), time.Unix(0, 0)) {
		got[m.id] = m.at
	}
	if want := (map[uint64]int64{1: 10e9, 2: 30e9, 3: 5e9}); !reflect.DeepEqual(got, want) {
		t.Errorf("Join() has %v, want %v", got, want)
	}
	for table, key := range map[state.Table]string{state.Limit: toldPrefix + "x", state.Sent: membersPrefix + "x"} {
		if got := Join(table, key, mine, theirs); !reflect.DeepEqual(got, mine) {
			t.Errorf("Join(%s, %q) = %q, want what this host has", table, key, got)
		}
	}
	if got := Join(state.Limit, membersPrefix+"x", []byte("\xff"), theirs); len(liveMembers(got, time.Unix(0, 0))) != 2 {
		t.Errorf("Join() of a damaged set has %v", liveMembers(got, time.Unix(0, 0)))
	}
	full := make([]member, maxDistinct)
	for i := range full {
		full[i] = member{id: uint64(i + 10), at: 1e9}
	}
	joined := members{list: liveMembers(Join(state.Limit, membersPrefix+"x", mine, set(full...)), time.Unix(0, 0))}
	if len(joined.list) != maxDistinct || !joined.has(1) || !joined.has(2) {
		t.Errorf("Join() with a full set has %d, and not those who were written to last", len(joined.list))
	}
}

func TestDistinct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(openStore(t, t.TempDir()))
		limits := []Limit{{Name: "d", Of: DistinctRecipients, Rate: Per(3, time.Hour)}}
		begin := time.Now()
		send := func(want string, rcpts ...string) {
			t.Helper()
			got := take(t, l, limits, with(of(int64(len(rcpts))), func(m *Mail) { m.Rcpts = to(rcpts...) }))
			if allowed(got) != want {
				t.Errorf("%v after %v: %+v, want %q", rcpts, time.Since(begin), got, want)
			}
		}
		send("+", "a@x", "b@x", "a@x")
		time.Sleep(30 * time.Minute)
		send("+", "a@x", "b@x")
		send("+", "c@x")
		send("-", "d@x")
		send("+", "a@x", "c@x")
		time.Sleep(31 * time.Minute) // a, b were written to again, so all three are still there
		send("-", "d@x")
		time.Sleep(30 * time.Minute)
		send("+", "d@x", "e@x", "f@x")
		send("-", "1@x", "2@x", "3@x", "4@x")
		got, err := l.Ask(t.Context(), Compile(limits), with(of(1), func(m *Mail) { m.Rcpts = to("z@x") }))
		if err != nil || len(got) != 1 || !got[0].Ends.Equal(time.Now().Add(time.Hour)) || got[0].Used != 3 {
			t.Errorf("Ask() = %+v, %v, want it to end in an hour", got, err)
		}
		if got := used(t, l, limits); !slices.Equal(got, []string{"d alice@example.org 3"}) {
			t.Errorf("used %q", got)
		}
	})
}

func TestAskSaysWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(openStore(t, t.TempDir()))
		limits := []Limit{hourly("a", 10, "")}
		first := time.Now()
		for range 5 { // two each ten minutes
			take(t, l, limits, of(2))
			time.Sleep(10 * time.Minute)
		}
		for _, tc := range []struct {
			n    int64
			ends time.Duration // after first, 0 for never
		}{{1, 60 * time.Minute}, {2, 60 * time.Minute}, {3, 70 * time.Minute}, {10, 100 * time.Minute}, {11, 0}} {
			got, err := l.Ask(t.Context(), Compile(limits), of(tc.n))
			if err != nil || len(got) != 1 || got[0].Allowed || got[0].Used != 10 {
				t.Fatalf("Ask(%d) = %+v, %v, want one refusal", tc.n, got, err)
			}
			want := first.Add(tc.ends)
			if tc.ends == 0 {
				want = time.Time{}
			}
			if !got[0].Ends.Equal(want) {
				t.Errorf("Ask(%d) ends %v, want %v", tc.n, got[0].Ends, want)
			}
		}
		if got, err := l.Ask(t.Context(), Compile([]Limit{hourly("a", 11, "")}), of(1)); err != nil || len(got) != 0 {
			t.Errorf("Ask() of what fits = %+v, %v, want nothing", got, err)
		}
	})
}

func TestOverrides(t *testing.T) {
	limits, err := Expand([]Limit{{Name: "a", Rate: Per(1, time.Hour), Overrides: []Override{
		{For: []string{"news@example.org"}, Rate: Per(9, time.Hour)},
		{For: []string{"staff"}, Rate: Per(5, time.Hour)},
		{For: []string{"@example.org"}, Rate: Per(3, time.Hour)},
		{For: []string{"192.0.2.0/24"}, Rate: Per(2, time.Hour)},
	}}}, map[string][]string{"staff": {"Bob@example.org", "@staff.example"}})
	if err != nil {
		t.Fatal(err)
	}
	l := New(openStore(t, t.TempDir()))
	for _, tc := range []struct {
		user string
		want int64
	}{
		{"news@example.org", 9}, {"bob@example.org", 5}, {"x@staff.example", 5}, {"alice@example.org", 3},
		{"y@example.net", 2}, {"z@example.net", 1},
	} {
		m := &Mail{Outbound: true, User: tc.user, Recipients: 100}
		if tc.user == "y@example.net" {
			m.Client = netip.MustParseAddr("192.0.2.9")
		}
		if got := take(t, l, limits, m); len(got) != 1 || got[0].Rate.Count != tc.want {
			t.Errorf("rate of %s = %+v, want %d", tc.user, got, tc.want)
		}
	}
	if _, err := Expand([]Limit{{Overrides: []Override{{For: []string{"nobody"}}}}}, nil); err == nil {
		t.Error("Expand took a group that is not there")
	}
}

func TestByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, t.TempDir())
		l, other := New(s), New(s) // another host with the same store
		limits := []Limit{hourly("a", 2, ""), {Name: "b", Of: Bytes, Rate: Rates{{Count: 1 << 20, Window: time.Hour, Bytes: true}}}}
		rate := func(l *Limiter) int64 {
			t.Helper()
			return take(t, l, limits, of(100))[0].Rate.Count
		}
		rate(other)
		h := ByHand{Limit: "a", Key: "Alice@example.org", Rate: Per(7, time.Hour), Ends: time.Now().Add(48 * time.Hour)}
		if err := l.Set(t.Context(), limits, h); err != nil {
			t.Fatal(err)
		}
		if got := rate(l); got != 7 {
			t.Errorf("rate after Set = %d, want 7", got)
		}
		time.Sleep(handEvery)
		if got := rate(other); got != 7 {
			t.Errorf("rate of the other host = %d, want 7", got)
		}
		all, err := l.ByHand(t.Context())
		if err != nil || len(all) != 1 || all[0].Key != "alice@example.org" || all[0].Ends.IsZero() || all[0].Rate.String() != "7/1h" {
			t.Errorf("ByHand() = %+v, %v", all, err)
		}
		time.Sleep(48 * time.Hour)
		if got := rate(l); got != 2 {
			t.Errorf("rate after its end = %d, want 2", got)
		}
		h.Ends = time.Time{}
		if err := l.Set(t.Context(), limits, h); err != nil {
			t.Fatal(err)
		}
		if all, err = l.ByHand(t.Context()); err != nil || len(all) != 1 || !all[0].Ends.IsZero() {
			t.Errorf("ByHand() without an end = %+v, %v", all, err)
		}
		if err := l.Unset(t.Context(), "a", "alice@EXAMPLE.org"); err != nil || rate(l) != 2 {
			t.Errorf("Unset() = %v, rate %d, want 2", err, rate(l))
		}
		for name, err := range map[string]error{
			"no limit":    l.Set(t.Context(), limits, ByHand{Limit: "x", Key: "k", Rate: Per(1, time.Hour)}),
			"not set":     l.Unset(t.Context(), "a", "alice@example.org"),
			"no counter":  func() error { _, err := l.Reset(t.Context(), "a", "nobody"); return err }(),
			"other limit": func() error { _, err := l.Reset(t.Context(), "b", "alice@example.org"); return err }(),
		} {
			if !errors.Is(err, ErrUnknown) {
				t.Errorf("%s: %v, want %v", name, err, ErrUnknown)
			}
		}
		if err := l.Set(t.Context(), limits, ByHand{Limit: "b", Key: "k", Rate: Per(1, time.Hour)}); err == nil {
			t.Error("Set took a number for a limit of bytes")
		}
	})
}

func TestUsageAndReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(openStore(t, t.TempDir()))
		limits := []Limit{hourly("a", 10, unit.Observe), {Name: "gone", Of: DistinctRecipients, Rate: Per(3, 24*time.Hour)}}
		take(t, l, limits, with(of(2), func(m *Mail) { m.User, m.Rcpts = "a/b@example.org", to("x@y", "z@y") }))
		got, err := l.Usage(t.Context(), limits[:1], nil)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		want := []Usage{
			{Limit: "a", By: ByUser, Counts: Recipients, Key: "a/b@example.org", Used: 2, Of: 10, Window: unit.Duration(time.Hour), Mode: unit.Observe, Ends: now.Add(time.Hour)},
			{Limit: "gone", By: ByUser, Counts: DistinctRecipients, Key: "a/b@example.org", Used: 2, Window: unit.Duration(24 * time.Hour), Ends: now.Add(24 * time.Hour)},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Usage() = %+v, want %+v", got, want)
		}
		if n, err := l.Reset(t.Context(), "a", "a/b@EXAMPLE.org"); err != nil || n != 1 {
			t.Errorf("Reset() = %d, %v, want 1", n, err)
		}
		if got := used(t, l, limits); !slices.Equal(got, []string{"gone a/b@example.org 2"}) {
			t.Errorf("used after Reset %q", got)
		}
		if n, err := l.Reset(t.Context(), "", "a/b@example.org"); err != nil || n != 1 || used(t, l, limits) != nil {
			t.Errorf("Reset() of all = %d, %v, left %q", n, err, used(t, l, limits))
		}
	})
}

// Whoever is refused is told once a window.
func TestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(openStore(t, t.TempDir()))
		limits := []Limit{hourly("a", 1, "")}
		first := func() bool {
			r := Refused(take(t, l, limits, of(2)))
			e, first := l.First(t.Context(), r, "alice@example.org")
			if want := (Event{Limit: "a", By: ByUser, Counts: Recipients, Key: "alice@example.org", User: "alice@example.org", Of: 1, Window: unit.Duration(time.Hour)}); first && e != want {
				t.Errorf("First() = %+v, want %+v", e, want)
			}
			return first
		}
		if !first() || first() {
			t.Error("First() is not true once")
		}
		time.Sleep(time.Hour)
		if !first() {
			t.Error("First() is not true in the next window")
		}
		take(t, l, limits, of(1))
		if _, err := l.Reset(t.Context(), "a", "alice@example.org"); err != nil || !first() {
			t.Errorf("First() is not true after Reset, %v", err)
		}
	})
}

func TestGive(t *testing.T) {
	l := New(openStore(t, t.TempDir()))
	limits := []Limit{hourly("a", 9, ""), {Name: "b", Of: Bytes, Rate: Rates{{Count: 1 << 20, Window: time.Hour, Bytes: true}}}}
	got := take(t, l, limits, with(of(2), func(m *Mail) { m.Bytes = 1000 }))
	if err := l.Give(t.Context(), got, Bytes, 400); err != nil {
		t.Fatal(err)
	}
	if got := used(t, l, limits); !slices.Equal(got, []string{"a alice@example.org 2", "b alice@example.org 600"}) {
		t.Errorf("used %q", got)
	}
	if err := l.Give(t.Context(), got, "", -1); err != nil || used(t, l, limits) != nil {
		t.Errorf("Give() = %v, left %q", err, used(t, l, limits))
	}
}

func TestStoreAway(t *testing.T) {
	s := &away{SQLite: openStore(t, t.TempDir())}
	l := New(s)
	s.fails = true
	if got, err := l.Take(t.Context(), Compile([]Limit{hourly("a", 9, "")}), of(1)); !errors.Is(err, errAway) || got != nil {
		t.Errorf("Take() = %+v, %v, want no result and %v", got, err, errAway)
	}
}

func TestHostileKeys(t *testing.T) {
	l := New(openStore(t, t.TempDir()))
	long := make([]byte, 8000)
	for i := range long {
		long[i] = 'x'
	}
	limits := []Limit{{Name: "s", By: "sender,recipient_domain", Rate: Per(1, time.Hour)}}
	for i, sender := range []string{string(long) + "1", string(long) + "2", "a,b", "a/b", "\xff"} {
		m := &Mail{Sender: sender, Recipients: 1, Rcpts: []Rcpt{{ID: 1, Domain: "x,y/z"}}}
		if got := allowed(take(t, l, limits, m)); got != "+" {
			t.Errorf("sender %d got %q, want its own counter", i, got)
		}
		if got := allowed(take(t, l, limits, m)); got != "-" {
			t.Errorf("sender %d got %q again, want the limit", i, got)
		}
	}
}

func FuzzMembers(f *testing.F) {
	f.Add(appendMembers(nil, []member{{1, 2}, {3, 4}}))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list := liveMembers(b, time.Unix(0, -1<<62))
		if again := liveMembers(appendMembers(nil, list), time.Unix(0, -1<<62)); !reflect.DeepEqual(again, list) {
			t.Errorf("liveMembers(appendMembers(%+v)) = %+v", list, again)
		}
	})
}
