package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// logBuffer is a log that a test can read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

// inBubble runs test on a new store in a synctest bubble.
func inBubble(t *testing.T, test func(t *testing.T, s *SQLite, log *logBuffer)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		s, err := OpenSQLite(t.Context(), path, slog.New(slog.NewTextHandler(log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		test(t, s, log)
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
}

// onDisk counts the rows of a table of the file.
func onDisk(t *testing.T, s *SQLite, table string) (n int) {
	t.Helper()
	if err := s.db.Reader.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func mustPut(t *testing.T, s *SQLite, table Table, key string, life time.Duration) {
	t.Helper()
	e := Entry{Key: key, Value: []byte(key), Expires: time.Now().Add(life)}
	if err := s.Put(t.Context(), table, e, false); err != nil {
		t.Fatal(err)
	}
}

func TestBehindAtMostASecond(t *testing.T) {
	inBubble(t, func(t *testing.T, s *SQLite, _ *logBuffer) {
		for range 3 {
			mustPut(t, s, Seen, "k", time.Hour)
			if _, err := s.Take(t.Context(), "k", 1, 10, time.Hour); err != nil {
				t.Fatal(err)
			}
			if n := s.Stats().Behind; n != 2 {
				t.Errorf("%d rows are behind, want 2", n)
			}
			time.Sleep(flushEvery)
			synctest.Wait()
			if n := s.Stats().Behind; n != 0 || onDisk(t, s, "entries") != 1 || onDisk(t, s, "counters") != 1 {
				t.Errorf("after a second %d rows are behind", n)
			}
		}
	})
}

func TestExpiredRowsAreSwept(t *testing.T) {
	inBubble(t, func(t *testing.T, s *SQLite, _ *logBuffer) {
		for i := range 2500 {
			mustPut(t, s, Seen, fmt.Sprint(i), 10*time.Second)
		}
		mustPut(t, s, Delivery, "d", 10*time.Second)
		mustPut(t, s, Seen, "stays", time.Hour)
		if _, err := s.Take(t.Context(), "k", 1, 10, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Second - 1)
		if _, err := s.Get(t.Context(), Seen, "7"); err != nil {
			t.Errorf("Get() before the end = %v", err)
		}
		time.Sleep(time.Nanosecond)
		for _, table := range []Table{Seen, Delivery} {
			if _, err := s.Get(t.Context(), table, map[Table]string{Seen: "7", Delivery: "d"}[table]); !errors.Is(err, ErrNotFound) {
				t.Errorf("Get(%s) at the end = %v, want ErrNotFound", table, err)
			}
		}
		time.Sleep(sweepEvery + 5*time.Second)
		synctest.Wait()
		if n, c := onDisk(t, s, "entries"), onDisk(t, s, "counters"); n != 1 || c != 0 {
			t.Errorf("%d entries and %d counters are in the file, want 1 and 0", n, c)
		}
		if st := s.Stats(); st.Tables[Seen].Entries != 1 || st.Tables[Delivery].Entries != 0 || st.Tables[counterTable].Entries != 0 {
			t.Errorf("memory holds %+v", st.Tables)
		}
	})
}

func TestTakeSlides(t *testing.T) {
	inBubble(t, func(t *testing.T, s *SQLite, _ *logBuffer) {
		for i := range 10 {
			if u, err := s.Take(t.Context(), "k", 1, 10, time.Hour); err != nil || !u.OK {
				t.Fatalf("Take() %d = %+v, %v", i, u, err)
			}
			time.Sleep(time.Minute)
		}
		u, err := s.Take(t.Context(), "k", 2, 10, time.Hour)
		if err != nil || u.OK {
			t.Fatalf("Take() = %+v, %v, want refused", u, err)
		}
		if in := time.Until(u.Ends); in != 51*time.Minute {
			t.Errorf("Take() says to come in %v, want 51m", in)
		}
		time.Sleep(time.Until(u.Ends) - 1)
		if u, err := s.Take(t.Context(), "k", 2, 10, time.Hour); err != nil || u.OK {
			t.Errorf("Take() just before = %+v, %v", u, err)
		}
		time.Sleep(time.Nanosecond)
		if u, err := s.Take(t.Context(), "k", 2, 10, time.Hour); err != nil || !u.OK || u.Used != 10 {
			t.Errorf("Take() at its time = %+v, %v", u, err)
		}
	})
}

// fill makes the disk full; mend undoes it.
func fill(t *testing.T, s *SQLite) {
	t.Helper()
	var pages int
	if err := s.db.Writer.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Writer.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
		t.Fatal(err)
	}
}

func mend(t *testing.T, s *SQLite) {
	t.Helper()
	if _, err := s.db.Writer.Exec("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
}

func TestDiskFull(t *testing.T) {
	inBubble(t, func(t *testing.T, s *SQLite, log *logBuffer) {
		fill(t, s)
		e := Entry{Key: "ban", Value: make([]byte, 100_000), Expires: time.Now().Add(time.Hour)}
		if err := s.Put(t.Context(), Ban, e, true); err == nil {
			t.Error("Put() with sync on a full disk = nil")
		}
		if _, err := s.Get(t.Context(), Ban, "ban"); err != nil {
			t.Errorf("Get() on a full disk = %v, want the entry from memory", err)
		}
		for i := range int64(3) {
			if u, err := s.Take(t.Context(), "k", 1, 2, time.Hour); err != nil || u.OK != (i < 2) {
				t.Errorf("Take() on a full disk = %+v, %v", u, err)
			}
		}
		time.Sleep(150 * time.Second)
		synctest.Wait()
		if n := log.count("level=ERROR"); n != 3 {
			t.Errorf("%d errors in 150 s, want one a minute: 3", n)
		}
		if !s.Stats().Failing {
			t.Error("Stats() does not say that it fails")
		}
		mend(t, s)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if st := s.Stats(); st.Failing || st.Behind != 0 || onDisk(t, s, "entries") != 1 || onDisk(t, s, "counters") != 1 {
			t.Errorf("after mending, Stats() = %+v", st)
		}
	})
}

// With the disk full, memory for verdicts is bounded, too.
func TestDiskFullDeliveryBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, s *SQLite, _ *logBuffer) {
		fill(t, s)
		refused := 0
		s.tables[Delivery].bound.bytes = 1 << 20
		for i := range 100 {
			e := Entry{Key: fmt.Sprint(i), Value: make([]byte, MaxValueBytes/10), Expires: time.Now().Add(time.Hour)}
			if err := s.Put(t.Context(), Delivery, e, false); err != nil {
				refused++
			}
		}
		if st := s.Stats().Tables[Delivery]; refused == 0 || st.Bytes > (overflow+1)<<20 || st.Evicted != 0 {
			t.Errorf("refused %d, %+v", refused, st)
		}
		mend(t, s)
	})
}

func TestFullTableDropsWhatEndsFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, s *SQLite, log *logBuffer) {
		const most = 500
		s.tables[Ban].entries = most
		for i := range most + 1000 {
			mustPut(t, s, Ban, fmt.Sprintf("%06d", i), time.Hour+time.Duration(i)*time.Second)
		}
		if st := s.Stats().Tables[Ban]; st.Entries != most || st.Evicted != 1000 {
			t.Errorf("Stats() = %+v, want %d entries, 1000 evicted", st, most)
		}
		if _, err := s.Get(t.Context(), Ban, "000999"); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get() of what ends first = %v", err)
		}
		if _, err := s.Get(t.Context(), Ban, "001000"); err != nil {
			t.Errorf("Get() of what ends next = %v", err)
		}
		if n := log.count("state table is full"); n != 1 {
			t.Errorf("warned %d times, want once", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// The table of verdicts drops nothing: what leaves memory is in the file.
func TestDeliveryDropsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, s *SQLite, _ *logBuffer) {
		const inMemory = 400
		s.tables[Delivery].entries = inMemory
		const most = 3 * inMemory // below overflow
		for i := range most {
			mustPut(t, s, Delivery, fmt.Sprintf("%06d", i), time.Hour+time.Duration(i)*time.Second)
		}
		for round := range 2 {
			for _, i := range []int{0, 1, most / 2, most - 1} {
				key := fmt.Sprintf("%06d", i)
				if e, err := s.Get(t.Context(), Delivery, key); err != nil || string(e.Value) != key {
					t.Errorf("round %d: Get(%s) = %+v, %v", round, key, e, err)
				}
			}
			if all, err := s.List(t.Context(), Delivery, ""); err != nil || len(all) != most {
				t.Errorf("round %d: List() has %d rows, %v, want %d", round, len(all), err, most)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		if n := s.Stats().Tables[Delivery].Entries; n > inMemory {
			t.Errorf("memory holds %d", n)
		}
		// Deleted in memory, but not yet in the file.
		if err := s.Delete(t.Context(), Delivery, "000000"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), Delivery, "000000"); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get() after Delete = %v", err)
		}
	})
}

func TestDamagedFileIsSetAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("garbage\n"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	s, err := OpenSQLite(t.Context(), path, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Put(t.Context(), Ban, Entry{Key: "k", Expires: time.Now().Add(time.Hour)}, true); err != nil {
		t.Errorf("Put() = %v", err)
	}
	aside, err := filepath.Glob(path + ".corrupt-*")
	if err != nil || len(aside) != 1 || log.count("level=ERROR") != 1 {
		t.Errorf("set aside %v, %v, log %q", aside, err, log.buf.String())
	}
}

// crashPath is the file of the process that TestCrash kills.
const crashPath = "STATE_TEST_CRASH_PATH"

// TestCrash kills a process while it puts, and wants every row that was
// acknowledged. The rows of other puts may be there or not.
func TestCrash(t *testing.T) {
	if path := os.Getenv(crashPath); path != "" {
		crashing(path)
		return
	}
	path := filepath.Join(t.TempDir(), "state.db")
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrash$")
	cmd.Env = append(os.Environ(), crashPath+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acknowledged []string
	for len(acknowledged) < 100 {
		var key string
		if _, err := fmt.Fscanln(out, &key); err != nil {
			t.Fatalf("after %d rows: %v", len(acknowledged), err)
		}
		acknowledged = append(acknowledged, key)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	s, err := OpenSQLite(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, key := range acknowledged {
		if _, err := s.Get(t.Context(), Delivery, key); err != nil {
			t.Errorf("Get(%s) after the crash = %v", key, err)
		}
	}
}

// crashing puts, and prints each key when its Put has returned, until it is killed.
func crashing(path string) {
	s, err := OpenSQLite(context.Background(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	var print sync.Mutex
	for w := range 8 {
		go func() {
			for i := range 1_000_000 {
				key := fmt.Sprintf("%d-%d", w, i)
				e := Entry{Key: key, Value: []byte("x"), Expires: time.Now().Add(time.Hour)}
				if err := s.Put(context.Background(), Delivery, e, true); err != nil {
					return
				}
				print.Lock()
				fmt.Println(key)
				print.Unlock()
			}
		}()
	}
	select {}
}

// A counter that was filled while the clock was a year ahead is full for one
// window more, not for a year.
func TestFullCounterAfterTheClockWentBack(t *testing.T) {
	inBubble(t, func(t *testing.T, s *SQLite, _ *logBuffer) {
		ask := func(n int64) Usage {
			t.Helper()
			u, err := s.Take(t.Context(), "k", n, 3, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			return u
		}
		ask(3)
		s.mu.Lock()
		c := s.counters.rows["k"].item.(*counter)
		for i := range c.buckets {
			c.buckets[i].at += int64(365 * 24 * time.Hour)
		}
		s.mu.Unlock()
		if u := ask(1); u.OK || !u.Ends.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("Take() of a full one = %+v", u)
		}
		time.Sleep(time.Minute)
		if u := ask(1); !u.OK || u.Used != 1 {
			t.Errorf("Take() a window later = %+v", u)
		}
	})
}

// A Give that comes after the window must not take back what others count now.
func TestGiveAfterTheWindow(t *testing.T) {
	inBubble(t, func(t *testing.T, s *SQLite, _ *logBuffer) {
		old, err := s.Take(t.Context(), "k", 1, 1, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if u, err := s.Take(t.Context(), "k", 1, 1, time.Minute); err != nil || !u.OK {
			t.Fatal(u, err)
		}
		if err := s.Give(t.Context(), "k", 1, old.At); err != nil {
			t.Fatal(err)
		}
		if u, err := s.Take(t.Context(), "k", 1, 1, time.Minute); err != nil || u.OK {
			t.Errorf("two were granted within the window: %+v, %v", u, err)
		}
	})
}
