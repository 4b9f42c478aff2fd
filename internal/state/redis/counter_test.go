package redis

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
)

// step is something asked of counters at a time, and what was answered.
type step struct {
	at     time.Time
	claims []state.Claim
	ask    bool
	give   string // else take
	n      int64
	when   time.Time

	usages   []state.Usage
	counters []state.Counter
}

func (st *step) do(ctx context.Context, s state.Store) (err error) {
	if st.give != "" {
		err = s.Give(ctx, st.give, st.n, st.when)
	} else {
		st.usages, err = s.TakeAll(ctx, st.claims, st.ask)
	}
	if err == nil {
		st.counters, err = s.Counters(ctx, "")
	}
	return err
}

// plan makes the steps of a seed; their times are from a begin that is not known yet.
type plan struct {
	rnd     *rand.Rand
	windows [4]time.Duration
	means   [4]time.Duration
}

func newPlan(seed uint64) *plan {
	p := &plan{rnd: rand.New(rand.NewPCG(seed, 9))}
	for i := range p.windows {
		// Sixtieths of whole microseconds, so that both merge at the same places.
		p.windows[i] = time.Duration(p.rnd.Int64N(int64(3*time.Hour/(60*time.Microsecond)))+333_333) * 60 * time.Microsecond
		p.means[i] = p.windows[i] / time.Duration(p.rnd.Int64N(300)+1)
	}
	return p
}

// next returns a step and how much time passes before it.
func (p *plan) next(past []*step) (*step, time.Duration) {
	wait := time.Duration(p.rnd.Int64N(int64(2*p.means[p.rnd.IntN(4)]+1))) / time.Microsecond * time.Microsecond
	if p.rnd.IntN(30) == 0 {
		wait = p.windows[p.rnd.IntN(4)] // just to its end
	}
	if p.rnd.IntN(8) == 0 {
		wait = 0
	}
	st := &step{ask: p.rnd.IntN(10) == 0}
	if p.rnd.IntN(8) == 0 && len(past) > 0 {
		old := past[p.rnd.IntN(len(past))]
		if len(old.usages) > 0 {
			st.give, st.n, st.when = old.claims[0].Key, p.rnd.Int64N(3)+1, old.usages[0].At
			return st, wait
		}
	}
	for _, i := range p.rnd.Perm(4)[:p.rnd.IntN(4)+1] {
		c := state.Claim{
			Key: fmt.Sprint("key/", i), N: p.rnd.Int64N(4), Max: p.rnd.Int64N(200), Window: p.windows[i], Soft: p.rnd.IntN(3) == 0,
		}
		if p.rnd.IntN(20) == 0 {
			c.N, c.Max = state.MaxCount/64, state.MaxCount
		}
		st.claims = append(st.claims, c)
	}
	return st, wait
}

// embedded runs the plan on the embedded store, by a clock of its own.
func embedded(t *testing.T, seed uint64, steps int) (all []*step) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := state.OpenSQLite(t.Context(), path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		p := newPlan(seed)
		for range steps {
			st, wait := p.next(all)
			time.Sleep(wait)
			st.at = time.Now()
			if err := st.do(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			all = append(all, st)
		}
	})
	return all
}

// same brings times to one form.
func same(u []state.Usage) []state.Usage {
	for i := range u {
		u[i].At, u[i].Ends = u[i].At.UTC(), u[i].Ends.UTC()
	}
	return u
}

func sameCounters(c []state.Counter) []state.Counter {
	for i := range c {
		c[i].Ends = c[i].Ends.UTC()
	}
	return c
}

// The script gives the answers of the embedded store, step by step.
func TestCounterIsThatOfTheEmbeddedStore(t *testing.T) {
	lab := redistest.Single(t)
	for seed := range uint64(12) {
		s := openLab(t, lab, fmt.Sprint("seed", seed))
		for i, want := range embedded(t, seed, 400) {
			got := *want
			s.at = func() string { return strconv.FormatInt(want.at.UnixMicro(), 10) }
			if err := got.do(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(same(got.usages), same(want.usages)) {
				t.Fatalf("seed %d step %d: %+v\n = %+v\nwant %+v", seed, i, want.claims, got.usages, want.usages)
			}
			if !reflect.DeepEqual(sameCounters(got.counters), sameCounters(want.counters)) {
				t.Fatalf("seed %d step %d: counters %+v\nwant %+v", seed, i, got.counters, want.counters)
			}
		}
	}
}

// A server whose clock was a day ahead when it counted, as after a failover to
// one with a right clock, must not refuse for a day.
func TestCounterClockGoesBack(t *testing.T) {
	s := openLab(t, redistest.Single(t), "back")
	now := time.Now().UnixMicro()
	take := func(at int64, n int64) state.Usage {
		t.Helper()
		s.at = func() string { return strconv.FormatInt(at, 10) }
		u, err := s.Take(t.Context(), "k", n, 3, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	take(now+24*time.Hour.Microseconds(), 2)
	if u := take(now, 1); !u.OK || u.Used != 3 || !u.Ends.Equal(time.UnixMicro(now).Add(time.Hour)) {
		t.Errorf("Take() after the clock went back = %+v", u)
	}
	if u := take(now+time.Minute.Microseconds(), 1); u.OK || !u.Ends.Equal(time.UnixMicro(now).Add(time.Hour)) {
		t.Errorf("Take() of a full counter = %+v, want to fit an hour after the clock went back", u)
	}
	if u := take(now+time.Hour.Microseconds(), 3); !u.OK {
		t.Errorf("Take() an hour later = %+v", u)
	}
}

// What was counted at the other side of an outage counts once, and ends when it
// would have ended there.
func TestMerge(t *testing.T) {
	s := openLab(t, redistest.Single(t), "merge")
	now := time.Now().UnixMicro()
	s.at = func() string { return strconv.FormatInt(now, 10) }
	if _, err := s.Take(t.Context(), "k", 5, 100, time.Hour); err != nil {
		t.Fatal(err)
	}
	var many []state.Grant
	for i := range maxBuckets {
		many = append(many, state.Grant{Ago: time.Duration(i) * 50 * time.Second, N: 1})
	}
	merged := []state.Merged{
		{Key: "k", Max: 100, Window: time.Hour, Grants: append(many[:60:60], state.Grant{Ago: 2 * time.Hour, N: 9})},
		{Key: "new", Max: 7, Window: time.Minute, Grants: []state.Grant{{Ago: 10 * time.Second, N: 3}}},
		{Key: "over", Max: 7, Window: time.Minute, Grants: []state.Grant{{Ago: time.Minute, N: 3}}},
	}
	for range 2 {
		if err := s.Merge(t.Context(), "outage 1", merged); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Counters(t.Context(), "")
	if err != nil || len(all) != 2 || all[0].Used != 65 || all[1].Used != 3 || all[1].Max != 7 || all[1].Window != time.Minute ||
		!all[1].Ends.Equal(time.UnixMicro(now).Add(50*time.Second)) {
		t.Fatalf("Counters() = %+v, %v", all, err)
	}
	if err := s.Merge(t.Context(), "outage 2", []state.Merged{{Key: "k", Max: 100, Window: time.Hour, Grants: many}}); err != nil {
		t.Fatal(err)
	}
	u, err := s.Take(t.Context(), "k", 1, 100, time.Hour)
	if err != nil || u.OK || u.Used != 129 {
		t.Errorf("Take() above max by a merge = %+v, %v, want 129 used", u, err)
	}
	for name, bad := range map[string][]state.Merged{
		"too many counters": make([]state.Merged, MaxMerged+1),
		"too many grants":   {{Key: "k", Window: time.Hour, Grants: make([]state.Grant, maxBuckets+1)}},
		"a grant of none":   {{Key: "k", Window: time.Hour, Grants: []state.Grant{{}}}},
		"no window":         {{Key: "k", Grants: many}},
	} {
		if err := s.Merge(t.Context(), "bad", bad); err == nil {
			t.Errorf("Merge with %s is no error", name)
		}
	}
	if r, err := s.Verify(t.Context()); err != nil || r.Faulty != 0 || r.Keys != 4 {
		t.Errorf("Verify() = %+v, %v, want 4 keys, none faulty", r, err)
	}
}
