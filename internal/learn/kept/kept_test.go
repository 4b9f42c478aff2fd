package kept

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/learn/trace"
)

func open(t *testing.T, path string, b Bounds) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, b, slog.New(slog.DiscardHandler))
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

var plenty = Bounds{Days: 30, Bytes: 1 << 30}

func TestFind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "features.db")
	s := open(t, path, plenty)
	at := time.Now().Truncate(time.Second)
	s.Keep(trace.Trace{QueueID: "A1", Arrived: at, MessageID: "<a@b>"}, []byte("first"))
	s.Keep(trace.Trace{QueueID: "A1", Arrived: at.Add(40 * time.Minute), MessageID: "<a@b>"}, []byte("queue id that came back"))
	s.Keep(trace.Trace{QueueID: "B2", Arrived: at}, []byte("without Message-ID"))
	s.Keep(trace.Trace{Arrived: at}, []byte("without queue id"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, plenty)
	for _, tc := range []struct {
		name  string
		trace trace.Trace
		want  string
	}{
		{"nearest", trace.Trace{QueueID: "A1", Arrived: at.Add(time.Second), MessageID: "a@b"}, "first"},
		{"the later one", trace.Trace{QueueID: "A1", Arrived: at.Add(39 * time.Minute), MessageID: "a@b"}, "queue id that came back"},
		{"a file without the Message-ID that the milter saw", trace.Trace{QueueID: "A1", Arrived: at}, ""},
		{"neither has one", trace.Trace{QueueID: "B2", Arrived: at}, "without Message-ID"},
		{"too far", trace.Trace{QueueID: "A1", Arrived: at.Add(2 * time.Hour)}, ""},
		{"another Message-ID", trace.Trace{QueueID: "A1", Arrived: at, MessageID: "x@b"}, ""},
		{"a Message-ID that the milter did not see", trace.Trace{QueueID: "B2", Arrived: at, MessageID: "x@b"}, "without Message-ID"},
		{"unknown", trace.Trace{QueueID: "C3", Arrived: at}, ""},
		{"none", trace.Trace{Arrived: at}, ""},
	} {
		got, ok, err := s.Find(t.Context(), tc.trace)
		if err != nil || string(got) != tc.want || ok != (tc.want != "") {
			t.Errorf("%s: Find(%+v) = %q, %v, %v", tc.name, tc.trace, got, ok, err)
		}
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Rows != 3 || st.Dropped != 0 {
		t.Errorf("Stats() = %+v, %v", st, err)
	}
}

func TestTrim(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "features.db"), Bounds{Days: 30, Bytes: 1 << 20})
	now := time.Now()
	keep := func(n int, at time.Time) {
		s.Keep(trace.Trace{QueueID: fmt.Sprint("A", n), Arrived: at}, bytes.Repeat([]byte{byte(n)}, 10_000))
	}
	for n := range 100 {
		keep(n, now.AddDate(0, 0, -31))
	}
	for n := 100; n < 400; n++ {
		keep(n, now)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.trim(now); err != nil {
		t.Fatal(err)
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Bytes > 1<<20 {
		t.Errorf("Stats() = %+v, %v", st, err)
	}
	s.Reconfigure(plenty)
	for n := range 20 {
		keep(1000+n, now)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.trim(now); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Stats(t.Context()); err != nil || again.Rows != st.Rows+20 {
		t.Errorf("within the bounds %d rows of %d are left, %v", again.Rows, st.Rows+20, err)
	}
}

// TestFull: Keep never waits, and what it drops is counted.
func TestFull(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "features.db"), plenty)
	for range 10 {
		s.Keep(trace.Trace{QueueID: "A"}, make([]byte, queueBytes))
	}
	if got := s.dropped.Load(); got != 10 {
		t.Errorf("%d dropped", got)
	}
	s.Keep(trace.Trace{QueueID: "A"}, []byte("fits"))
	if err := s.Flush(t.Context()); err != nil || s.waiting.Load() != 0 {
		t.Errorf("%d bytes wait, %v", s.waiting.Load(), err)
	}
}

func TestSeen(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "features.db"), plenty)
	if b, err := s.Seen(t.Context(), "a@b"); err != nil || b != nil {
		t.Errorf("Seen() of nothing = %q, %v", b, err)
	}
	for _, want := range []string{"one", "two"} {
		if err := s.SetSeen(t.Context(), "a@b", []byte(want)); err != nil {
			t.Fatal(err)
		}
		if b, err := s.Seen(t.Context(), "a@b"); err != nil || string(b) != want {
			t.Errorf("Seen() = %q, %v, want %q", b, err, want)
		}
	}
}

func TestFiled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "features.db")
	s := open(t, path, plenty)
	s.NoteFiled("1.a", false)
	s.NoteFiled("2.a", true)
	want := func(base string, junk, ok bool) {
		t.Helper()
		if j, k := s.Filed(t.Context(), base); j != junk || k != ok {
			t.Errorf("Filed(%q) = %v, %v", base, j, k)
		}
	}
	for range 2 { // before and after it is written
		want("1.a", false, true)
		want("2.a", true, true)
		want("3.a", false, false)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, path, plenty)
	}
	if err := s.trim(time.Now().AddDate(0, 0, filedDays+1)); err != nil {
		t.Fatal(err)
	}
	want("1.a", false, false)
}

func TestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "features.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, plenty)
	s.Keep(trace.Trace{QueueID: "A"}, []byte("kept"))
	if err := s.Flush(t.Context()); err != nil {
		t.Error(err)
	}
}
