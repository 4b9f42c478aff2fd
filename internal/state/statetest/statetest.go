package statetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

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

// anyBytes has keys of bytes that mean something to a store.
func anyBytes(t *testing.T, s state.Store, _ func() state.Store) {
	var every []byte
	for b := range 256 {
		every = append(every, byte(b))
	}
	keys := []string{string(every), "{", "}", "{}", "{a}", "{l}c:", "a{b}c", "*", "a*", "[a]", "a?", "\\", "\x00", "a\x00b", ":", "rate/", "/", "//", "\r\n"}
	for _, table := range state.Tables {
		for _, k := range keys {
			put(t, s, table, k, k)
		}
		for _, k := range keys {
			if got := get(t, s, table, k); got != k {
				t.Errorf("Get(%s, %q) = %q", table, k, got)
			}
			all, err := s.List(t.Context(), table, k)
			want := 0
			for _, other := range keys {
				if strings.HasPrefix(other, k) {
					want++
				}
			}
			if err != nil || len(all) != want || all[0].Key != k {
				t.Errorf("List(%s, %q) has %d entries, %v, want %d", table, k, len(all), err, want)
			}
		}
	}
	for _, k := range keys {
		if u, err := s.Take(t.Context(), k, 1, 1, time.Hour); err != nil || !u.OK || used(t, s, k) != 1 {
			t.Errorf("Take(%q) = %+v, %v", k, u, err)
		}
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
