package shared

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

func mkdir(t *testing.T, dir, name string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(p, 0o700); err != nil {
		t.Fatal(err)
	}
	return p
}

func (l *lab) put(t *testing.T, table state.Table, key, value string) error {
	t.Helper()
	return l.Put(t.Context(), table, state.Entry{Key: key, Value: []byte(value), Expires: time.Now().Add(time.Hour)}, true)
}

// value returns what a store has: "-" for nothing, "away" for ErrAway.
func value(t *testing.T, s interface {
	Get(ctx context.Context, t state.Table, key string) (state.Entry, error)
}, table state.Table, key string) string {
	t.Helper()
	e, err := s.Get(t.Context(), table, key)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return "-"
	case errors.Is(err, state.ErrAway):
		return "away"
	case err != nil:
		t.Fatalf("Get(%s, %s) = %v", table, key, err)
	}
	return string(e.Value)
}

// goAway has the common store go away.
func (l *lab) goAway(t *testing.T) {
	t.Helper()
	l.far.set(func(f *fake) { f.down = true })
	for range 3 {
		l.took(t, "k")
	}
	if !l.Stats().Away {
		t.Fatal("the store is not away")
	}
}

func (l *lab) comeBack(t *testing.T) {
	t.Helper()
	l.far.set(func(f *fake) { f.down = false })
	time.Sleep(5 * time.Second)
	synctest.Wait()
	if s := l.Stats(); s.Away || s.Pending != 0 {
		t.Fatalf("five seconds later: %+v", s)
	}
}

// TestTables goes through the table of the package's doc: a row that was written
// before, one that another host wrote, and one that is written while away.
func TestTables(t *testing.T) {
	for _, tc := range []struct {
		t                    state.Table
		key                  string
		before, theirs, mine string // as they are read while away
		afterwards           string // what the common store has of mine
	}{
		{state.Delivery, "q/", "1", "-", "3", "3"},
		{state.Ban, "b/", "1", "-", "3", "3"},
		{state.Login, "l/", "1", "-", "3", "3"},
		{state.Limit, "rate/", "1", "-", "3", "3"},
		{state.Seen, "s/", "away", "away", "away", "-"},
		{state.Sent, "habit/", "1", "-", "3", "3"},
		{state.Sent, "pair", "away", "away", "away", "3"},
		{state.Author, "a", "away", "away", "away", "3"},
		{state.Reputation, "r", "away", "away", "away", "3"},
		{state.TLSPolicy, "t", "1", "-", "3", "3"},
		{state.Sieve, "mark/", "1", "-", "3", "3"},
	} {
		t.Run(string(tc.t)+" "+tc.key, func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *lab) {
				if err := l.put(t, tc.t, tc.key+"1", "1"); err != nil || value(t, l, tc.t, tc.key+"1") != "1" {
					t.Fatalf("Put() = %v", err)
				}
				e := state.Entry{Key: tc.key + "2", Value: []byte("2"), Expires: time.Now().Add(time.Hour)}
				if err := l.far.Put(t.Context(), tc.t, e, true); err != nil || value(t, l, tc.t, tc.key+"2") != "2" {
					t.Fatalf("Put() of another host = %v", err)
				}
				l.goAway(t)
				if err := l.put(t, tc.t, tc.key+"3", "3"); (err != nil) != (tc.t == state.Seen) {
					t.Errorf("Put() while away = %v", err)
				}
				for i, want := range []string{tc.before, tc.theirs, tc.mine} {
					if got := value(t, l, tc.t, tc.key+string(rune('1'+i))); got != want {
						t.Errorf("row %d while away is %q, want %q", i+1, got, want)
					}
				}
				if err := l.Delete(t.Context(), tc.t, tc.key+"1"); (err != nil) != (tc.t == state.Seen) {
					t.Errorf("Delete() while away = %v", err)
				}
				l.comeBack(t)
				gone := map[bool]string{true: "1", false: "-"}[tc.t == state.Seen]
				for key, want := range map[string]string{tc.key + "1": gone, tc.key + "2": "2", tc.key + "3": tc.afterwards} {
					if got := value(t, l.far, tc.t, key); got != want {
						t.Errorf("row %s of the common store is %q, want %q", key, got, want)
					}
				}
			})
		})
	}
}

func TestRowsAreMergedAfterAKill(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		if err := l.put(t, state.Ban, "lifted", "x"); err != nil {
			t.Fatal(err)
		}
		l.goAway(t)
		for _, key := range []string{"new", "newer"} {
			if err := l.put(t, state.Ban, key, key); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Delete(t.Context(), state.Ban, "lifted"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		l.crash(t)
		l.open(t) // still away
		if rows, err := l.List(t.Context(), state.Ban, ""); err != nil || len(rows) != 2 {
			t.Errorf("List() after a restart without the common store = %v, %v", rows, err)
		}
		l.comeBack(t)
		for key, want := range map[string]string{"new": "new", "newer": "newer", "lifted": "-"} {
			if got := value(t, l.far, state.Ban, key); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
	})
}

func TestCopyFollowsOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		later := time.Now().Add(time.Hour)
		put := func(key string) {
			t.Helper()
			if err := l.far.Put(t.Context(), state.Ban, state.Entry{Key: key, Value: []byte("x"), Expires: later}, true); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.put(t, state.Ban, "lifted elsewhere", "x"); err != nil {
			t.Fatal(err)
		}
		put("listed")
		if err := l.far.Delete(t.Context(), state.Ban, "lifted elsewhere"); err != nil {
			t.Fatal(err)
		}
		if rows, err := l.List(t.Context(), state.Ban, ""); err != nil || len(rows) != 1 {
			t.Fatalf("List() = %v, %v", rows, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		missed, heard := 0, 0
		go func() {
			done <- l.Watch(ctx, []state.Table{state.Ban}, func(state.Change) { heard++ }, func() { missed++ })
		}()
		synctest.Wait()
		put("watched")
		l.far.watch(state.Change{Table: state.Ban, Entry: state.Entry{Key: "watched", Value: []byte("x"), Expires: later}})
		l.goAway(t)
		rows, err := l.List(t.Context(), state.Ban, "")
		if err != nil || len(rows) != 2 || rows[0].Key != "listed" || rows[1].Key != "watched" || heard != 1 || missed != 1 {
			t.Errorf("List() while away = %v, %v; heard %d, missed %d", rows, err, heard, missed)
		}
		l.comeBack(t)
		if missed != 2 {
			t.Errorf("missed was called %d times, want again after healing", missed)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch() = %v", err)
		}
	})
}

// TestJoin has both hosts write the same row while the store was away.
func TestJoin(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.join = func(table state.Table, key string, mine, theirs []byte) []byte {
			if table != state.Limit || key != "distinct/x" {
				return mine
			}
			return append(theirs, mine...)
		}
		l.goAway(t)
		for _, key := range []string{"distinct/x", "told/x"} {
			if err := l.put(t, state.Limit, key, "b"); err != nil {
				t.Fatal(err)
			}
			e := state.Entry{Key: key, Value: []byte("a"), Expires: time.Now().Add(2 * time.Hour)}
			if err := l.far.SQLite.Put(t.Context(), state.Limit, e, true); err != nil {
				t.Fatal(err)
			}
		}
		l.comeBack(t)
		if d, told := value(t, l, state.Limit, "distinct/x"), value(t, l, state.Limit, "told/x"); d != "ab" || told != "b" {
			t.Errorf("joined are %q and %q", d, told)
		}
	})
}

// TestRowWrittenWhileItIsMerged has the later one stay.
func TestRowWrittenWhileItIsMerged(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.goAway(t)
		if err := l.put(t, state.Login, "k", "old"); err != nil {
			t.Fatal(err)
		}
		l.far.set(func(f *fake) { f.down, f.delay = false, 45*time.Millisecond })
		for range 40 { // through the merge, which takes so long
			time.Sleep(50 * time.Millisecond)
			if err := l.put(t, state.Login, "k", time.Now().String()); err != nil {
				t.Fatal(err)
			}
		}
		want := value(t, l, state.Login, "k")
		l.far.set(func(f *fake) { f.delay = 0 })
		time.Sleep(5 * time.Second)
		if got := value(t, l.far, state.Login, "k"); got != want || l.pending() != 0 {
			t.Errorf("the common store has %q, want %q; %d pending", got, want, l.pending())
		}
	})
}

func TestHostBringsItsBans(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		alone := openSQLite(t, filepath.Join(dir, "near.db"))
		for _, table := range []state.Table{state.Ban, state.Limit, state.Sieve, state.Author} {
			e := state.Entry{Key: "rate/x", Value: []byte("x"), Expires: time.Now().Add(time.Hour)}
			if err := alone.Put(t.Context(), table, e, true); err != nil {
				t.Fatal(err)
			}
		}
		if err := alone.Close(); err != nil {
			t.Fatal(err)
		}
		l := newLab(t, dir)
		if rows, err := l.List(t.Context(), state.Ban, ""); err != nil || len(rows) != 1 {
			t.Errorf("List() at once = %v, %v", rows, err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for table, want := range map[state.Table]string{state.Ban: "x", state.Limit: "x", state.Sieve: "x", state.Author: "-"} {
			if got := value(t, l.far, table, "rate/x"); got != want {
				t.Errorf("%s has %q, want %q", table, got, want)
			}
		}
		if err := l.Delete(t.Context(), state.Ban, "rate/x"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		l.crash(t)
		l.open(t) // and does not bring it again
		time.Sleep(5 * time.Second)
		if got := value(t, l.far, state.Ban, "rate/x"); got != "-" {
			t.Errorf("the lifted ban is back: %q", got)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}
