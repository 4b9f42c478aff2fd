package statetest

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// Used returns what a counter of an hour has.
func Used(t *testing.T, s state.Store, key string) int64 {
	t.Helper()
	u, err := s.Take(t.Context(), key, 0, state.MaxCount, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return u.Used
}

func take(t *testing.T, s state.Store, _ func() state.Store) {
	begin := time.Now()
	for i := range int64(5) {
		u, err := s.Take(t.Context(), "k", 2, 10, time.Hour)
		if err != nil || !u.OK || u.Used != 2*(i+1) {
			t.Errorf("Take() %d = %+v, %v, want OK", i, u, err)
		}
		if ends := u.Ends.Sub(begin); ends < time.Hour || ends > time.Hour+time.Minute {
			t.Errorf("Take() %d ends in %v, want an hour", i, ends)
		}
	}
	u, err := s.Take(t.Context(), "k", 1, 10, time.Hour)
	if err != nil || u.OK || u.Used != 10 {
		t.Errorf("Take() past max = %+v, %v, want not OK, 10 used", u, err)
	}
	if ends := u.Ends.Sub(begin); ends < time.Hour || ends > time.Hour+2*time.Minute {
		t.Errorf("Take() past max ends in %v, want an hour", ends)
	}
	if u, err := s.Take(t.Context(), "other", 1, 10, time.Hour); err != nil || !u.OK {
		t.Errorf("Take() of another key = %+v, %v", u, err)
	}
}

func takeTooMuch(t *testing.T, s state.Store, _ func() state.Store) {
	u, err := s.Take(t.Context(), "k", 11, 10, time.Hour)
	if err != nil || u.OK || u.Used != 0 {
		t.Errorf("Take(11 of 10) = %+v, %v", u, err)
	}
	u, err = s.Take(t.Context(), "zero", 1, 0, time.Hour)
	if err != nil || u.OK {
		t.Errorf("Take(1 of 0) = %+v, %v", u, err)
	}
	// A refusal counts nothing: what fits afterwards fits.
	u, err = s.Take(t.Context(), "k", 10, 10, time.Hour)
	if err != nil || !u.OK || u.Used != 10 {
		t.Errorf("Take(10 of 10) = %+v, %v", u, err)
	}
}

func takeNothing(t *testing.T, s state.Store, _ func() state.Store) {
	for range 3 {
		u, err := s.Take(t.Context(), "k", 0, 10, time.Hour)
		if err != nil || !u.OK || u.Used != 0 {
			t.Errorf("Take(0) = %+v, %v", u, err)
		}
	}
	if all, err := s.Counters(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("Counters() after asking = %v, %v", all, err)
	}
}

func takeOtherMax(t *testing.T, s state.Store, _ func() state.Store) {
	if _, err := s.Take(t.Context(), "k", 8, 10, time.Hour); err != nil {
		t.Fatal(err)
	}
	u, err := s.Take(t.Context(), "k", 0, 5, time.Hour)
	if err != nil || u.OK || u.Used != 8 {
		t.Errorf("Take(0 of 5) = %+v, %v, want not OK", u, err)
	}
	u, err = s.Take(t.Context(), "k", 4, 12, time.Hour)
	if err != nil || !u.OK || u.Used != 12 {
		t.Errorf("Take(4 of 12) = %+v, %v", u, err)
	}
}

func counters(t *testing.T, s state.Store, _ func() state.Store) {
	for i, key := range []string{"user/b", "user/a", "addr/x"} {
		if _, err := s.Take(t.Context(), key, int64(i+1), 10, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Counters(t.Context(), "user/")
	if err != nil || len(all) != 2 || all[0].Key != "user/a" || all[1].Key != "user/b" {
		t.Fatalf("Counters() = %+v, %v", all, err)
	}
	c := all[0]
	if c.Used != 2 || c.Max != 10 || c.Window != time.Hour || c.Ends.Before(time.Now().Add(59*time.Minute)) {
		t.Errorf("Counters() has %+v", c)
	}
}

func reset(t *testing.T, s state.Store, again func() state.Store) {
	if _, err := s.Take(t.Context(), "k", 10, 10, time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"k", "never"} {
		if err := s.Reset(t.Context(), key); err != nil {
			t.Errorf("Reset(%s) = %v", key, err)
		}
	}
	s = again()
	if u, err := s.Take(t.Context(), "k", 10, 10, time.Hour); err != nil || !u.OK {
		t.Errorf("Take() after Reset = %+v, %v", u, err)
	}
}

// takeConcurrently grants exactly max, whoever asks.
func takeConcurrently(t *testing.T, s state.Store, _ func() state.Store) {
	const max = 100
	var granted atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				u, err := s.Take(t.Context(), "k", 1, max, time.Hour)
				if err != nil {
					t.Errorf("Take() = %v", err)
				}
				if u.OK {
					granted.Add(1)
				}
			}
		})
	}
	all.Wait()
	if granted.Load() != max {
		t.Errorf("granted %d, want %d", granted.Load(), max)
	}
}

// used returns what Counters says of key, and 0 for a counter that is not there.
func used(t *testing.T, s state.Store, key string) int64 {
	t.Helper()
	all, err := s.Counters(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Key == key {
			return c.Used
		}
	}
	return 0
}

func takeAll(t *testing.T, s state.Store, again func() state.Store) {
	claim := func(key string, n, max int64, soft bool) state.Claim {
		return state.Claim{Key: key, N: n, Max: max, Window: time.Hour, Soft: soft}
	}
	for _, tc := range []struct {
		name   string
		claims []state.Claim
		ask    bool
		ok     []bool
		used   []int64 // as answered, and as counted afterwards
	}{
		{"none", nil, false, nil, nil},
		{"asked", []state.Claim{claim("a", 2, 3, false), claim("b", 9, 3, false)}, true, []bool{true, false}, []int64{0, 0}},
		{"all fit", []state.Claim{claim("a", 2, 3, false), claim("b", 1, 9, false)}, false, []bool{true, true}, []int64{2, 1}},
		{"the second refuses", []state.Claim{claim("b", 1, 9, false), claim("a", 2, 3, false), claim("c", 1, 9, true)}, false, []bool{true, false, true}, []int64{1, 2, 0}},
		{"a soft one refuses", []state.Claim{claim("b", 1, 9, false), claim("a", 2, 3, true)}, false, []bool{true, false}, []int64{2, 2}},
		{"of none", []state.Claim{claim("b", 0, 9, false), claim("a", 1, 3, false)}, false, []bool{true, true}, []int64{2, 3}},
		{"never fits", []state.Claim{claim("new", 9, 3, false)}, false, []bool{false}, []int64{0}},
	} {
		got, err := s.TakeAll(t.Context(), tc.claims, tc.ask)
		if err != nil || len(got) != len(tc.claims) {
			t.Fatalf("TakeAll %s = %+v, %v, want %d answers", tc.name, got, err, len(tc.claims))
		}
		for i, u := range got {
			if u.OK != tc.ok[i] || u.Used != tc.used[i] || u.At.IsZero() || u.Ends.IsZero() {
				t.Errorf("TakeAll %s: claim %d = %+v, want OK %v, used %d", tc.name, i, u, tc.ok[i], tc.used[i])
			}
			if n := used(t, s, tc.claims[i].Key); n != tc.used[i] {
				t.Errorf("TakeAll %s: counter %s has %d, want %d", tc.name, tc.claims[i].Key, n, tc.used[i])
			}
		}
	}
	_, err := s.TakeAll(t.Context(), []state.Claim{claim("b", 1, 9, false), claim("", 1, 9, false)}, false)
	wantErr(t, "TakeAll with a claim without a key", err, state.ErrInvalid)
	_, err = s.TakeAll(t.Context(), []state.Claim{claim(strings.Repeat("k", state.MaxKeyBytes+1), 1, 9, false)}, true)
	wantErr(t, "TakeAll with a long key", err, state.ErrInvalid)
	s = again()
	if b := used(t, s, "b"); b != 2 {
		t.Errorf("counter b has %d after a restart, want 2", b)
	}
}

// takeAllConcurrently takes two counters in both orders: what one grants the
// other has granted, too.
func takeAllConcurrently(t *testing.T, s state.Store, _ func() state.Store) {
	const max = 100
	var granted atomic.Int64
	var all sync.WaitGroup
	for w := range 8 {
		claims := []state.Claim{{Key: "k", N: 1, Max: max, Window: time.Hour}, {Key: "l", N: 1, Max: 2 * max, Window: time.Hour}}
		if w%2 == 1 {
			slices.Reverse(claims)
		}
		all.Go(func() {
			for range 50 {
				u, err := s.TakeAll(t.Context(), claims, false)
				if err != nil {
					t.Errorf("TakeAll() = %v", err)
					return
				}
				if u[0].OK && u[1].OK {
					granted.Add(1)
				}
			}
		})
	}
	all.Wait()
	if k, l := used(t, s, "k"), used(t, s, "l"); granted.Load() != max || k != max || l != max {
		t.Errorf("granted %d, counted %d and %d, want %d each", granted.Load(), k, l, max)
	}
}

func give(t *testing.T, s state.Store, again func() state.Store) {
	var at time.Time
	for i := range 100 { // so many that neighbours are merged
		u, err := s.Take(t.Context(), "k", 2, 1000, time.Hour)
		if err != nil || !u.OK {
			t.Fatalf("Take() = %+v, %v", u, err)
		}
		if i == 50 {
			at = u.At
		}
	}
	if err := s.Give(t.Context(), "k", 2, at); err != nil || used(t, s, "k") != 198 {
		t.Errorf("Give() = %v, %d left, want 198", err, used(t, s, "k"))
	}
	if err := s.Give(t.Context(), "never", 1, at); err != nil {
		t.Errorf("Give() to nobody = %v", err)
	}
	u, err := s.Take(t.Context(), "one", 3, 3, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Give(t.Context(), "one", 9, u.At); err != nil || used(t, s, "one") != 0 {
		t.Errorf("Give() of more = %v, %d left, want 0", err, used(t, s, "one"))
	}
	wantErr(t, "Give of less than none", s.Give(t.Context(), "k", -1, at), state.ErrInvalid)
	s = again()
	if k, one := used(t, s, "k"), used(t, s, "one"); k != 198 || one != 0 {
		t.Errorf("counters have %d and %d after a restart, want 198 and 0", k, one)
	}
}

func restartCounter(t *testing.T, s state.Store, again func() state.Store) {
	for range 100 {
		if _, err := s.Take(t.Context(), "k", 1, 1000, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	before, err := s.Counters(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	s = again()
	after, err := s.Counters(t.Context(), "")
	if err != nil || len(after) != 1 || after[0].Used != 100 || after[0].Max != 1000 ||
		after[0].Window != time.Hour || !after[0].Ends.Equal(before[0].Ends) {
		t.Errorf("Counters() after a restart = %+v, %v, want %+v", after, err, before)
	}
}

// largestCounts fills a counter with as many and as large grants as may be.
func largestCounts(t *testing.T, s state.Store, _ func() state.Store) {
	const each = state.MaxCount / 200
	for i := range int64(200) {
		u, err := s.Take(t.Context(), "k", each, state.MaxCount, state.MaxWindow)
		if err != nil || !u.OK || u.Used != each*(i+1) {
			t.Fatalf("Take() %d = %+v, %v, want %d used", i, u, err, each*(i+1))
		}
	}
	rest := state.MaxCount - 200*int64(each)
	if u, err := s.Take(t.Context(), "k", rest+1, state.MaxCount, state.MaxWindow); err != nil || u.OK {
		t.Errorf("Take(%d) with room for %d = %+v, %v", rest+1, rest, u, err)
	}
	if u, err := s.Take(t.Context(), "k", rest, state.MaxCount, state.MaxWindow); err != nil || !u.OK || u.Used != state.MaxCount {
		t.Errorf("Take(%d) with just that room = %+v, %v", rest, u, err)
	}
	claims := make([]state.Claim, 20)
	for i := range claims {
		claims[i] = state.Claim{Key: strings.Repeat(string(rune('a'+i)), state.MaxKeyBytes), N: state.MaxCount, Max: state.MaxCount, Window: state.MaxWindow}
	}
	all, err := s.TakeAll(t.Context(), claims, false)
	if err != nil || len(all) != len(claims) || !all[19].OK {
		t.Errorf("TakeAll() = %+v, %v", all, err)
	}
}
