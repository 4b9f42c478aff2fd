// Package statetest has the tests that every state.Store must pass.
package statetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// Run runs the contract on stores that open makes. open with the same name
// gives another store on the same data, after what was there has been written:
// a restart, or for a shared store a second host. Each case uses its own name.
// The tests run on the real clock, for a store may have its own; they wait for
// nothing longer than tens of milliseconds. No case may be left out.
func Run(t *testing.T, open func(t *testing.T, name string) state.Store) {
	for _, tc := range []struct {
		name string
		test func(t *testing.T, s state.Store, again func() state.Store)
	}{
		{"put and get", putGet},
		{"tables are apart", tables},
		{"caller owns its bytes", ownBytes},
		{"expiry", expiry},
		{"delete", remove},
		{"list", list},
		{"what can not be kept", invalid},
		{"largest values", largest},
		{"cancelled context", cancelled},
		{"sync row is there after a restart", restart},
		{"many sync writers", syncWriters},
		{"take", take},
		{"take more than max", takeTooMuch},
		{"take nothing", takeNothing},
		{"take with another max", takeOtherMax},
		{"counters", counters},
		{"reset", reset},
		{"take concurrently", takeConcurrently},
		{"take all", takeAll},
		{"take all concurrently", takeAllConcurrently},
		{"give back", give},
		{"counter is there after a restart", restartCounter},
		{"closed", closed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			name := strings.ReplaceAll(tc.name, " ", "-")
			var s state.Store
			again := func() state.Store {
				if err := s.Close(); err != nil {
					t.Fatalf("Close() = %v", err)
				}
				s = open(t, name)
				return s
			}
			s = open(t, name)
			tc.test(t, s, again)
			if err := s.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
		})
	}
}

// later is an expiry that no test reaches, as a store may round it.
func later() time.Time { return time.UnixMilli(time.Now().Add(time.Hour).UnixMilli()) }

func put(t *testing.T, s state.Store, table state.Table, key, value string) {
	t.Helper()
	err := s.Put(t.Context(), table, state.Entry{Key: key, Value: []byte(value), Expires: later()}, false)
	if err != nil {
		t.Fatalf("Put(%s, %q) = %v", table, key, err)
	}
}

// get returns the value, or "-" for none.
func get(t *testing.T, s state.Store, table state.Table, key string) string {
	t.Helper()
	e, err := s.Get(t.Context(), table, key)
	if errors.Is(err, state.ErrNotFound) {
		return "-"
	}
	if err != nil || e.Key != key {
		t.Fatalf("Get(%s, %q) = %+v, %v", table, key, e, err)
	}
	return string(e.Value)
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

func putGet(t *testing.T, s state.Store, _ func() state.Store) {
	if got := get(t, s, state.Ban, "a"); got != "-" {
		t.Errorf("Get() of nothing = %q", got)
	}
	e := state.Entry{Key: "a", Value: []byte("1"), Expires: later()}
	if err := s.Put(t.Context(), state.Ban, e, true); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(t.Context(), state.Ban, "a")
	if err != nil || string(got.Value) != "1" || !got.Expires.Equal(e.Expires) {
		t.Errorf("Get() = %+v, %v, want %+v", got, err, e)
	}
	put(t, s, state.Ban, "a", "2")
	put(t, s, state.Ban, "b", "")
	if a, b := get(t, s, state.Ban, "a"), get(t, s, state.Ban, "b"); a != "2" || b != "" {
		t.Errorf("Get() = %q, %q, want 2 and nothing", a, b)
	}
}

func tables(t *testing.T, s state.Store, _ func() state.Store) {
	for _, table := range state.Tables {
		put(t, s, table, "key", string(table))
	}
	for _, table := range state.Tables {
		if got := get(t, s, table, "key"); got != string(table) {
			t.Errorf("Get(%s) = %q", table, got)
		}
	}
}

func ownBytes(t *testing.T, s state.Store, _ func() state.Store) {
	value := []byte("one")
	if err := s.Put(t.Context(), state.Seen, state.Entry{Key: "k", Value: value, Expires: later()}, false); err != nil {
		t.Fatal(err)
	}
	value[0] = 'X'
	e, err := s.Get(t.Context(), state.Seen, "k")
	if err != nil {
		t.Fatal(err)
	}
	e.Value[1] = 'X'
	if got := get(t, s, state.Seen, "k"); got != "one" {
		t.Errorf("Get() = %q, want one", got)
	}
}

func expiry(t *testing.T, s state.Store, _ func() state.Store) {
	for _, table := range state.Tables {
		over := state.Entry{Key: "over", Value: []byte("x"), Expires: time.Now().Add(-time.Millisecond)}
		if err := s.Put(t.Context(), table, over, false); err != nil {
			t.Fatal(err)
		}
		if got := get(t, s, table, "over"); got != "-" {
			t.Errorf("Get(%s) of what is over = %q", table, got)
		}
		all, err := s.List(t.Context(), table, "")
		if err != nil || len(all) != 0 {
			t.Errorf("List(%s) = %v, %v, want nothing", table, all, err)
		}
	}
	put(t, s, state.Ban, "k", "x")
	again := state.Entry{Key: "k", Expires: time.Now().Add(-time.Second)}
	if err := s.Put(t.Context(), state.Ban, again, true); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, state.Ban, "k"); got != "-" {
		t.Errorf("Get() of what was made to end = %q", got)
	}
}

func remove(t *testing.T, s state.Store, again func() state.Store) {
	for _, table := range state.Tables {
		put(t, s, table, "k", "x")
		if err := s.Delete(t.Context(), table, "k"); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), table, "never"); err != nil {
			t.Errorf("Delete(%s) of nothing = %v", table, err)
		}
		if got := get(t, s, table, "k"); got != "-" {
			t.Errorf("Get(%s) after Delete = %q", table, got)
		}
		e := state.Entry{Key: "k2", Value: []byte("x"), Expires: later()}
		if err := s.Put(t.Context(), table, e, true); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(t.Context(), table, "k2"); err != nil {
			t.Fatal(err)
		}
		if all, err := s.List(t.Context(), table, ""); err != nil || len(all) != 0 {
			t.Errorf("List(%s) after Delete = %v, %v", table, all, err)
		}
	}
	s = again()
	for _, table := range state.Tables {
		if got := get(t, s, table, "k2"); got != "-" {
			t.Errorf("Get(%s) after Delete and restart = %q", table, got)
		}
	}
}

func list(t *testing.T, s state.Store, again func() state.Store) {
	keys := []string{"a", "a/1", "a/2", "a0", "A/3", "b/%", "b/_", "b", "a/\xff", "ü/1"}
	for _, table := range state.Tables {
		for _, k := range keys {
			put(t, s, table, k, k)
		}
	}
	check := func() {
		t.Helper()
		for _, table := range state.Tables {
			for prefix, want := range map[string][]string{
				"a/": {"a/1", "a/2", "a/\xff"}, "b/_": {"b/_"}, "b/%": {"b/%"}, "c": nil, "A": {"A/3"}, "ü": {"ü/1"},
				"a": {"a", "a/1", "a/2", "a/\xff", "a0"},
				"":  {"A/3", "a", "a/1", "a/2", "a/\xff", "a0", "b", "b/%", "b/_", "ü/1"},
			} {
				all, err := s.List(t.Context(), table, prefix)
				var got []string
				for _, e := range all {
					got = append(got, string(e.Value))
					if string(e.Value) != e.Key || e.Expires.Before(time.Now()) {
						t.Errorf("List(%s) holds %+v", table, e)
					}
				}
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("List(%s, %q) = %q, %v, want %q", table, prefix, got, err, want)
				}
			}
		}
	}
	check()
	s = again()
	check()
}

func invalid(t *testing.T, s state.Store, _ func() state.Store) {
	ctx := t.Context()
	long := strings.Repeat("k", state.MaxKeyBytes+1)
	for name, e := range map[string]state.Entry{
		"no key":     {Expires: later()},
		"no expiry":  {Key: "k"},
		"long key":   {Key: long, Expires: later()},
		"long value": {Key: "k", Value: make([]byte, state.MaxValueBytes+1), Expires: later()},
	} {
		wantErr(t, "Put with "+name, s.Put(ctx, state.Ban, e, false), state.ErrInvalid)
	}
	wantErr(t, "Put into no table", s.Put(ctx, "nosuch", state.Entry{Key: "k", Expires: later()}, true), state.ErrInvalid)
	_, err := s.Get(ctx, "nosuch", "k")
	wantErr(t, "Get from no table", err, state.ErrInvalid)
	for name, tc := range map[string]struct {
		key    string
		n, max int64
		window time.Duration
	}{
		"no key":      {"", 1, 1, time.Hour},
		"long key":    {long, 1, 1, time.Hour},
		"negative n":  {"k", -1, 1, time.Hour},
		"large n":     {"k", state.MaxCount + 1, 1, time.Hour},
		"negative":    {"k", 1, -1, time.Hour},
		"large max":   {"k", 1, state.MaxCount + 1, time.Hour},
		"no window":   {"k", 1, 1, 0},
		"long window": {"k", 1, 1, state.MaxWindow + 1},
	} {
		_, err := s.Take(ctx, tc.key, tc.n, tc.max, tc.window)
		wantErr(t, "Take with "+name, err, state.ErrInvalid)
	}
}

func largest(t *testing.T, s state.Store, again func() state.Store) {
	key := strings.Repeat("\xfe", state.MaxKeyBytes)
	value := bytes.Repeat([]byte{0, 0xff, 'x', '\n'}, state.MaxValueBytes/4)
	for _, table := range state.Tables {
		e := state.Entry{Key: key, Value: value, Expires: later()}
		if err := s.Put(t.Context(), table, e, true); err != nil {
			t.Fatal(err)
		}
	}
	u, err := s.Take(t.Context(), key, state.MaxCount, state.MaxCount, state.MaxWindow)
	if err != nil || !u.OK || u.Used != state.MaxCount {
		t.Errorf("Take() = %+v, %v", u, err)
	}
	s = again()
	for _, table := range state.Tables {
		if got := get(t, s, table, key); got != string(value) {
			t.Errorf("Get(%s) = %d bytes, want %d", table, len(got), len(value))
		}
	}
	u, err = s.Take(t.Context(), key, 1, state.MaxCount, state.MaxWindow)
	if err != nil || u.OK || u.Used != state.MaxCount {
		t.Errorf("Take() after a restart = %+v, %v", u, err)
	}
}

func cancelled(t *testing.T, s state.Store, _ func() state.Store) {
	put(t, s, state.Ban, "k", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Get(ctx, state.Ban, "k")
	wantErr(t, "Get", err, context.Canceled)
	wantErr(t, "Put", s.Put(ctx, state.Ban, state.Entry{Key: "k", Expires: later()}, true), context.Canceled)
	wantErr(t, "Delete", s.Delete(ctx, state.Ban, "k"), context.Canceled)
	_, err = s.Take(ctx, "k", 1, 1, time.Hour)
	wantErr(t, "Take", err, context.Canceled)
	if got := get(t, s, state.Ban, "k"); got != "x" {
		t.Errorf("Get() after cancelled calls = %q", got)
	}
}

func restart(t *testing.T, s state.Store, again func() state.Store) {
	want := later()
	for _, table := range state.Tables {
		if err := s.Put(t.Context(), table, state.Entry{Key: "k", Value: []byte("v"), Expires: want}, true); err != nil {
			t.Fatal(err)
		}
		put(t, s, table, "lazy", "w")
	}
	s = again()
	for _, table := range state.Tables {
		e, err := s.Get(t.Context(), table, "k")
		if err != nil || string(e.Value) != "v" || !e.Expires.Equal(want) {
			t.Errorf("Get(%s) after a restart = %+v, %v", table, e, err)
		}
		if got := get(t, s, table, "lazy"); got != "w" { // Close has written it
			t.Errorf("Get(%s) of a row without sync after a restart = %q", table, got)
		}
	}
}

func syncWriters(t *testing.T, s state.Store, again func() state.Store) {
	const writers, each = 16, 20
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				key := fmt.Sprintf("%d/%d", w, i)
				e := state.Entry{Key: key, Value: []byte(key), Expires: later()}
				if err := s.Put(t.Context(), state.Delivery, e, true); err != nil {
					t.Errorf("Put() = %v", err)
				}
				if got, err := s.Get(t.Context(), state.Delivery, key); err != nil || string(got.Value) != key {
					t.Errorf("Get() = %+v, %v", got, err)
				}
			}
		})
	}
	all.Wait()
	s = again()
	if rows, err := s.List(t.Context(), state.Delivery, ""); err != nil || len(rows) != writers*each {
		t.Errorf("List() after a restart has %d rows, %v, want %d", len(rows), err, writers*each)
	}
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

func closed(t *testing.T, s state.Store, _ func() state.Store) {
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close() twice = %v", err)
	}
	if _, err := s.Get(t.Context(), state.Ban, "k"); !errors.Is(err, state.ErrClosed) {
		t.Errorf("Get() after Close = %v", err)
	}
	if err := s.Put(t.Context(), state.Ban, state.Entry{Key: "k", Expires: later()}, true); !errors.Is(err, state.ErrClosed) {
		t.Errorf("Put() after Close = %v", err)
	}
}
