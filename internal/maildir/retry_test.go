package maildir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestNewKey(t *testing.T) {
	seen := map[Key]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"ab", "c"}, {"a", "bc"}, {"abc"}, {"1:a"}, {"a", "1:"}} {
		k := NewKey(parts...)
		if other, ok := seen[k]; ok || k == (Key{}) {
			t.Errorf("NewKey(%q) = that of %s", parts, other)
		}
		seen[k] = fmt.Sprintf("%q", parts)
		if NewKey(parts...) != k {
			t.Errorf("NewKey(%q) differs", parts)
		}
	}
}

// inNewAndCur returns the messages that a reader of the folder sees.
func inNewAndCur(t *testing.T, box string) []string {
	t.Helper()
	var out []string
	for _, sub := range []string{"new", "cur"} {
		names, err := filepath.Glob(filepath.Join(box, sub, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			b, err := os.ReadFile(n)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(b))
		}
	}
	return out
}

// dead is a system whose process was killed before the n-th call: nothing that
// it would do happens any more.
func dead(n int) (sys system, calls *int) {
	count := 0
	return killed{faulty{before: func(string) error {
		if count++; count >= n {
			return unix.EIO
		}
		return nil
	}}}, &count
}

// killed closes without an error, so that descriptors do not pile up.
type killed struct{ faulty }

func (k killed) close(fd int) error { return k.kernel.close(fd) }

// TestRetryAfterKill: killed before each step, and the message comes again 301
// seconds later to another process: there is one copy, whoever has read it by
// then. Two equal messages with two queue ids are two.
func TestRetryAfterKill(t *testing.T) {
	for n := 1; ; n++ {
		root := memoryDir(t)
		box := filepath.Join(root, "example.org/alice/Maildir")
		done := false
		synctest.Test(t, func(t *testing.T) {
			m := Message{To: alice, Body: text("x\r\n"), Source: Source{Key: NewKey("4F1"), Arrived: time.Now()}}
			first := newStore(t, root)
			time.Sleep(time.Minute)
			var calls *int
			first.sys, calls = dead(n)
			_, err := first.Deliver(t.Context(), m)
			done = *calls < n
			if done != (err == nil) {
				t.Errorf("call %d: %v", n, err)
			}
			if n%2 == 0 { // a mail program has seen it
				for _, name := range namesIn(t, filepath.Join(box, "new")) {
					if err := os.Rename(filepath.Join(box, "new", name), filepath.Join(box, "cur", name+":2,S")); err != nil {
						t.Fatal(err)
					}
				}
			}
			time.Sleep(301 * time.Second)
			second := newStore(t, root)
			st, err := second.Deliver(t.Context(), m)
			if err != nil || st.IsZero() || done && !st.Again() {
				t.Errorf("call %d: the retry = %+v, %v", n, st, err)
			}
			if got := inNewAndCur(t, box); len(got) != 1 || got[0] != "x\n" {
				t.Errorf("call %d: the mailbox has %q", n, got)
			}
			m.Source.Key = NewKey("4F2")
			if st, err := second.Deliver(t.Context(), m); err != nil || st.Again() || len(inNewAndCur(t, box)) != 2 {
				t.Errorf("an equal message with another queue id = %+v, %v", st, err)
			}
		})
		if done {
			if n < 15 {
				t.Errorf("only %d calls", n)
			}
			return
		}
	}
}

func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	d, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range d {
		names = append(names, e.Name())
	}
	return names
}

// A mailbox is looked through only where the message may have come before.
func TestWhoLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetries(time.Now())
		time.Sleep(time.Hour)
		now := time.Now()
		for i, tc := range []struct {
			name    string
			key     byte
			arrived time.Time
			want    bool
		}{
			{"no key", 0, now, false},
			{"new", 1, now, false},
			{"again", 1, now, true},
			{"of an earlier process", 2, now.Add(-61 * time.Minute), true},
			{"of the second of the start", 3, now.Add(-time.Hour), true},
			{"the clock was set back", 4, now.Add(time.Minute), true},
			{"no time", 5, time.Time{}, true},
			{"new and delayed", 6, now.Add(-30 * time.Minute), false},
		} {
			maybe, release, err := r.hold(t.Context(), Source{Key: Key{tc.key}, Arrived: tc.arrived}, now)
			if err != nil || maybe != tc.want {
				t.Errorf("%d %s: hold = %t, %v, want %t", i, tc.name, maybe, err, tc.want)
			}
			release()
		}
		for i := range maxTried {
			_, release, _ := r.hold(t.Context(), Source{Key: Key{9, byte(i), byte(i >> 8)}, Arrived: now}, now)
			release()
		}
		if len(r.tried) > maxTried {
			t.Errorf("%d keys are remembered", len(r.tried))
		}
		if maybe, _, _ := r.hold(t.Context(), Source{Key: Key{1}, Arrived: now}, now); !maybe {
			t.Error("what was forgotten is taken for new")
		}
	})
}

// The same message on two connections at once is stored once; who waits for the
// other ends with its context.
func TestTwoAtOnce(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, root)
		src := Source{Key: Key{1}, Arrived: time.Now().Add(time.Hour)}
		_, release, err := s.retries.hold(t.Context(), src, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Deliver(ctx, Message{To: alice, Body: text("x"), Source: src}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Deliver = %v", err)
		}
		results := make(chan Stored, 2)
		for range 2 {
			go func() {
				st, err := s.Deliver(context.Background(), Message{To: alice, Body: text("x"), Source: src})
				if err != nil {
					t.Error(err)
				}
				results <- st
			}()
		}
		synctest.Wait()
		release()
		if a, b := <-results, <-results; a.Name() != b.Name() || a.Again() == b.Again() {
			t.Errorf("stored %+v and %+v", a, b)
		}
	})
}

// TestCommits: who comes while a sync runs shares the next one, also its error.
func TestCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c commits
		id := identity{1, 2}
		calls := 0
		release := make(chan error)
		fsync := func() error {
			calls++
			return <-release
		}
		first, rest := make(chan error, 1), make(chan error, 5)
		go func() { first <- c.sync(id, fsync) }()
		synctest.Wait()
		for range cap(rest) {
			go func() { rest <- c.sync(id, fsync) }()
		}
		synctest.Wait()
		release <- nil
		if err := <-first; err != nil {
			t.Error(err)
		}
		release <- unix.EIO
		for range cap(rest) {
			if err := <-rest; err != unix.EIO {
				t.Errorf("sync = %v", err)
			}
		}
		if calls != 2 || len(c.dirs) != 0 {
			t.Errorf("%d syncs, %d directories are left", calls, len(c.dirs))
		}
	})
}

// A sync that panics does not hold up those that wait for it.
func TestCommitsPanic(t *testing.T) {
	var c commits
	func() {
		defer func() { recover() }()
		_ = c.sync(identity{}, func() error { panic("x") })
	}()
	if err := c.sync(identity{}, func() error { return nil }); err != nil || len(c.dirs) != 0 {
		t.Errorf("sync = %v, %d directories", err, len(c.dirs))
	}
}
