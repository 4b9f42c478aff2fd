package state

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func openAt(t *testing.T, path string, log *logBuffer) *SQLite {
	t.Helper()
	s, err := OpenSQLite(t.Context(), path, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t *testing.T, s *SQLite) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

func TestEveryTableSaysHowItIsKept(t *testing.T) {
	for _, table := range slices.Concat(Tables, []Table{counterTable, Outbox}) {
		if durable[table] == "" || boundOf(table).entries == 0 || boundOf(table).bytes == 0 {
			t.Errorf("table %s has %q and %+v", table, durable[table], boundOf(table))
		}
	}
	if len(durable) != len(Tables)+2 || len(bounds) != len(Tables)+1 {
		t.Errorf("%d tables are durable somehow, %d are bound, there are %d", len(durable), len(bounds), len(Tables)+2)
	}
}

func TestOverviewAndGC(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "state.db"), &logBuffer{})
	defer mustClose(t, s)
	for i := range 3000 {
		e := Entry{Key: fmt.Sprint(i), Value: make([]byte, 1000), Expires: time.Now().Add(20 * time.Millisecond)}
		if err := s.Put(t.Context(), Delivery, e, i == 2999); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Take(t.Context(), "k", 1, 10, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), Ban, Entry{Key: "b", Value: []byte("x"), Expires: time.Now().Add(time.Hour)}, true); err != nil {
		t.Fatal(err)
	}
	for s.Stats().Behind > 0 {
		time.Sleep(time.Millisecond)
	}
	o, err := s.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows := map[Table]int{}
	for _, r := range o.Tables {
		rows[r.Table] = r.Rows
	}
	if rows[Delivery] != 3000 || rows[Ban] != 1 || rows["counter"] != 1 || o.FileBytes+o.WALBytes < 3_000_000 || o.Checked.IsZero() {
		t.Errorf("Overview() = %+v", o)
	}
	time.Sleep(20 * time.Millisecond) // they end
	c, err := s.GC(t.Context())
	if err != nil || c.Removed < 1000 || c.Freed < 1_000_000 { // the sweep of each minute may have had some
		t.Errorf("GC() = %+v, %v, want 3000 rows of 1000 bytes", c, err)
	}
	if o, err = s.Overview(t.Context()); err != nil || o.Tables[0].Rows != 0 || o.FreeBytes != 0 || o.WALBytes != 0 || o.FileBytes > 200_000 {
		t.Errorf("Overview() after GC = %+v, %v", o, err)
	}
}

func TestVerify(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "state.db"), &logBuffer{})
	defer mustClose(t, s)
	if err := s.Put(t.Context(), Ban, Entry{Key: "b", Expires: time.Now().Add(time.Hour)}, true); err != nil {
		t.Fatal(err)
	}
	r, err := s.Verify(t.Context())
	if err != nil || r.Checked != 1 || len(r.Faults) != 0 {
		t.Errorf("Verify() = %+v, %v", r, err)
	}
	for _, q := range []string{
		"INSERT INTO entries (name, key, value, expires) VALUES ('nosuch', 'k', x'', 1)",
		"INSERT INTO entries (name, key, value, expires) VALUES ('ban', '', x'', 1)",
		"INSERT INTO counters (key, max, window, buckets, expires) VALUES ('c', 1, 1, x'ff', 1)",
	} {
		if _, err := s.db.Writer.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	if r, err = s.Verify(t.Context()); err != nil || r.Checked != 4 || len(r.Faults) != 3 {
		t.Errorf("Verify() of rows that are none = %+v, %v", r, err)
	}
}

// TestDamageFoundLater has a running store find what its start did not read.
func TestDamageFoundLater(t *testing.T) {
	path, log := filepath.Join(t.TempDir(), "state.db"), &logBuffer{}
	s := openAt(t, path, log)
	for i := range 2000 {
		e := Entry{Key: fmt.Sprint(i), Value: make([]byte, 1000), Expires: time.Now().Add(time.Hour)}
		if err := s.Put(t.Context(), Seen, e, i == 1999); err != nil {
			t.Fatal(err)
		}
	}
	for s.Stats().Behind > 0 {
		time.Sleep(time.Millisecond)
	}
	if err := s.shrink(t.Context()); err != nil { // all of the WAL is in the file
		t.Fatal(err)
	}
	s.check(t.Context())
	if o, err := s.Overview(t.Context()); err != nil || o.Damage != "" {
		t.Fatalf("Overview() of a good file = %+v, %v", o, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(strings.Repeat("damage", 20_000)), 200_000); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s.check(t.Context())
	if o, _ := s.Overview(t.Context()); s.damage == nil || o.Damage == "" && o.Path != "" {
		t.Errorf("damage %v is not in the overview %+v", s.damage, o)
	}
	if _, err := s.Get(t.Context(), Seen, "7"); err != nil {
		t.Errorf("Get() from memory = %v", err)
	}
	_ = s.Close() // it may not be able to write
	s = openAt(t, path, log)
	defer mustClose(t, s)
	if log.count("restart gatepost") != 1 || log.count("begins anew") != 1 {
		t.Errorf("the log has\n%s", log.buf.String())
	}
	if _, err := s.Get(t.Context(), Seen, "7"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get() from the new file = %v", err)
	}
	if _, err := os.Stat(path + damagedSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the mark is still there: %v", err)
	}
	aside, err := filepath.Glob(path + ".corrupt-*")
	if err != nil || len(aside) == 0 {
		t.Errorf("nothing is set aside: %v", err)
	}
}

// TestApplyIsOneCommit has readers of the file see all rows of an Apply or none.
func TestApplyIsOneCommit(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "state.db"), &logBuffer{})
	defer mustClose(t, s)
	later := time.Now().Add(time.Hour)
	for round := range 20 {
		if err := s.Put(t.Context(), Outbox, Entry{Key: "old", Expires: later}, round%2 == 0); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			done <- s.Apply(t.Context(), []Write{
				{Table: Outbox, Entry: Entry{Key: "new", Expires: later}},
				{Table: Outbox, Entry: Entry{Key: "old"}, Delete: true},
			}, true)
		}()
		for running := true; running; {
			select {
			case err := <-done:
				if running = false; err != nil {
					t.Fatal(err)
				}
			default:
			}
			var n int
			if err := s.db.Reader.QueryRow("SELECT count(*) FROM entries WHERE name = 'outbox'").Scan(&n); err != nil {
				t.Fatal(err)
			}
			if n > 1 || !running && n != 1 {
				t.Fatalf("round %d: the file has %d of the rows, want one or the other", round, n)
			}
		}
		if err := s.Delete(t.Context(), Outbox, "new"); err != nil {
			t.Fatal(err)
		}
		if err := s.Durable(t.Context(), []Write{{Table: Outbox, Entry: Entry{Key: "new"}}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range []Write{{Table: "nosuch", Entry: Entry{Key: "k", Expires: later}}, {Table: Ban, Entry: Entry{Key: "k"}}} {
		if err := s.Apply(t.Context(), []Write{w}, true); !errors.Is(err, ErrInvalid) {
			t.Errorf("Apply(%+v) = %v", w, err)
		}
	}
}
