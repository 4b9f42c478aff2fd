package limit

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// memory is a store that remembers every grant by itself.
type memory struct {
	mu     sync.Mutex // guards grants
	grants map[string][]grant
	window map[string]time.Duration
	fail   string // keys that hold this text fail
}

type grant struct {
	at time.Time
	n  int64
}

func newMemory() *memory {
	return &memory{grants: map[string][]grant{}, window: map[string]time.Duration{}}
}

var errAway = errors.New("state is away")

func (m *memory) Take(_ context.Context, key string, n, max int64, window time.Duration) (state.Usage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != "" && strings.Contains(key, m.fail) {
		return state.Usage{}, errAway
	}
	now := time.Now()
	m.window[key] = window
	live := slices.DeleteFunc(m.grants[key], func(g grant) bool { return now.Sub(g.at) >= window })
	u := state.Usage{Ends: now}
	for _, g := range live {
		u.Used += g.n
		u.Ends = g.at.Add(window)
	}
	u.OK = u.Used+n <= max
	if u.OK && n > 0 {
		live = append(live, grant{now, n})
		u.Used += n
		u.Ends = now.Add(window)
	}
	if !u.OK {
		left := u.Used
		for _, g := range live {
			if left -= g.n; left+n <= max {
				u.Ends = g.at.Add(window)
				break
			}
		}
	}
	m.grants[key] = live
	return u, nil
}

func (m *memory) Counters(_ context.Context, prefix string) ([]state.Counter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != "" {
		return nil, errAway
	}
	var out []state.Counter
	for key, grants := range m.grants {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		c := state.Counter{Key: key, Window: m.window[key]}
		for _, g := range grants {
			c.Used += g.n
			c.Ends = g.at.Add(c.Window)
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b state.Counter) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

func (m *memory) Reset(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.grants, key)
	return nil
}

var alice = Keys{User: "alice@example.org"}

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

func TestTake(t *testing.T) {
	const long = 24 * time.Hour
	daily := Limit{Name: "daily", Rate: unit.Rate{Count: 5, Window: long}}
	for _, tc := range []struct {
		name   string
		limits []Limit
		before int64 // taken first
		n      int64
		want   string
		used   int64 // of the first limit, after it
	}{
		{"fits", []Limit{hourly("a", 3, "")}, 2, 1, "+", 3},
		{"one too many", []Limit{hourly("a", 3, "")}, 2, 2, "-", 2},
		{"never fits", []Limit{hourly("a", 3, "")}, 0, 4, "-", 0},
		{"rate of none", []Limit{hourly("a", 0, "")}, 0, 1, "-", 0},
		{"off", []Limit{hourly("a", 3, unit.Off)}, 0, 4, "", 0},
		{"observed does not count beyond", []Limit{hourly("a", 3, unit.Observe)}, 3, 1, "-", 3},
		{"the second refuses, the first counts nothing", []Limit{hourly("a", 9, ""), daily}, 5, 1, "+-", 5},
		{"the observed refuses, the enforced counts", []Limit{hourly("a", 9, ""), hourly("b", 1, unit.Observe)}, 0, 2, "+-", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := New(newMemory())
			if tc.before > 0 {
				if _, err := l.Take(t.Context(), tc.limits, alice, tc.before); err != nil {
					t.Fatal(err)
				}
			}
			got, err := l.Take(t.Context(), tc.limits, alice, tc.n)
			if err != nil || allowed(got) != tc.want {
				t.Fatalf("Take(%d) = %+v, %v, want %q", tc.n, got, err, tc.want)
			}
			_, refused := Refused(got)
			enforced := slices.ContainsFunc(got, func(r Result) bool { return !r.Allowed && r.Limit.Enforced() })
			if refused != enforced {
				t.Errorf("Refused(%+v) = %v, want %v", got, refused, enforced)
			}
			after, err := l.Ask(t.Context(), tc.limits, alice, 0)
			if err != nil {
				t.Fatal(err)
			}
			if len(after) > 0 && after[0].Used != tc.used {
				t.Errorf("used afterwards = %d, want %d", after[0].Used, tc.used)
			}
		})
	}
}

func TestAskSaysWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(newMemory())
		limits := []Limit{hourly("a", 10, "")}
		first := time.Now()
		for range 5 { // two each ten minutes
			if _, err := l.Take(t.Context(), limits, alice, 2); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
		}
		for _, tc := range []struct {
			n    int64
			ends time.Duration // after first, 0 for never
		}{{1, 60 * time.Minute}, {2, 60 * time.Minute}, {3, 70 * time.Minute}, {10, 100 * time.Minute}, {11, 0}} {
			got, err := l.Ask(t.Context(), limits, alice, tc.n)
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
	})
}

func TestOthersAreNotCounted(t *testing.T) {
	l := New(newMemory())
	limits := []Limit{hourly("a", 1, "")}
	for _, user := range []string{"alice@example.org", "bob@example.org", "a/b@example.org"} {
		if got, err := l.Take(t.Context(), limits, Keys{User: user}, 1); err != nil || allowed(got) != "+" {
			t.Errorf("Take for %s = %+v, %v, want allowed", user, got, err)
		}
	}
	if got, err := l.Take(t.Context(), limits, Keys{}, 1); err != nil || len(got) != 0 {
		t.Errorf("Take for nobody = %+v, %v, want no result", got, err)
	}
}

func TestStoreAway(t *testing.T) {
	m := newMemory()
	l := New(m)
	m.fail = "limit/b/"
	got, err := l.Take(t.Context(), []Limit{hourly("a", 9, ""), hourly("b", 9, "")}, alice, 1)
	if !errors.Is(err, errAway) || allowed(got) != "+" {
		t.Errorf("Take with one counter away = %+v, %v, want the other and the error", got, err)
	}
	if _, err := l.Usage(t.Context(), nil); !errors.Is(err, errAway) {
		t.Errorf("Usage = %v, want %v", err, errAway)
	}
}

func TestUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(newMemory())
		limits := []Limit{hourly("a", 10, unit.Observe), {Name: "gone", Rate: unit.Rate{Count: 3, Window: 24 * time.Hour}}}
		if _, err := l.Take(t.Context(), limits, Keys{User: "a/b@example.org"}, 2); err != nil {
			t.Fatal(err)
		}
		got, err := l.Usage(t.Context(), limits[:1])
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		want := []Usage{
			{Limit: "a", By: ByUser, Key: "a/b@example.org", Used: 2, Of: 10, Window: unit.Duration(time.Hour), Mode: unit.Observe, Ends: now.Add(time.Hour)},
			{Limit: "gone", By: ByUser, Key: "a/b@example.org", Used: 2, Window: unit.Duration(24 * time.Hour), Ends: now.Add(24 * time.Hour)},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Usage() = %+v, want %+v", got, want)
		}
		if err := l.Reset(t.Context(), limits[0], "a/b@example.org"); err != nil {
			t.Fatal(err)
		}
		if got, err = l.Usage(t.Context(), limits[:1]); err != nil || len(got) != 1 || got[0].Limit != "gone" {
			t.Errorf("Usage() after Reset = %+v, %v, want the other only", got, err)
		}
	})
}
