package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
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

// inBubble runs test on a new journal in a synctest bubble.
func inBubble(t *testing.T, cfg Config, test func(t *testing.T, j *Journal, log *logBuffer)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.db")
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		j, err := Open(t.Context(), path, cfg, slog.New(slog.NewTextHandler(log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		test(t, j, log)
		if err := j.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
}

// stored counts the records in the file.
func stored(t *testing.T, j *Journal) (n int) {
	t.Helper()
	if err := j.db.Load().Reader.QueryRow("SELECT count(*) FROM records").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRecordComesBackWhole(t *testing.T) {
	j := openJournal(t, filepath.Join(t.TempDir(), "journal.db"))
	want := inbound().Steps[5].Record // the message
	j.Record(want)
	s, err := j.Story(t.Context(), want.QueueID)
	if err != nil || len(s.Steps) != 1 {
		t.Fatalf("Story() = %+v, %v", s, err)
	}
	got := s.Steps[0].Record
	want.MessageID = "4cBq0Z1jX9z@example.net" // without brackets
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("Story() has\n%+v\nwant\n%+v", got, want)
	}
	if verdict.Sum(got.Lines) != got.Score {
		t.Errorf("the lines add up to %v, the score is %v", verdict.Sum(got.Lines), got.Score)
	}
}

func TestWrittenWithinBatchTime(t *testing.T) {
	inBubble(t, Default(), func(t *testing.T, j *Journal, _ *logBuffer) {
		for i := range 1200 {
			j.Record(deliver(fmt.Sprint("Q", i), "a@example.org"))
		}
		time.Sleep(batchEvery)
		synctest.Wait()
		if n := stored(t, j); n != 1200 || j.Queued() != 0 || j.waiting.Load() != 0 {
			t.Errorf("%d records are in the file, %d bytes wait", n, j.waiting.Load())
		}
	})
}

// A queue that fills up is written before its time.
func TestWrittenInAHurry(t *testing.T) {
	inBubble(t, Default(), func(t *testing.T, j *Journal, _ *logBuffer) {
		for range 5 {
			for i := range queueRecords / 2 {
				j.Record(deliver(fmt.Sprint("Q", i), "a@example.org"))
			}
			synctest.Wait()
		}
		if n := stored(t, j); n+j.Queued() != 5*queueRecords/2 || j.Queued() >= hurryAt {
			t.Errorf("%d records are in the file, %d wait, %d dropped", n, j.Queued(), j.Dropped())
		}
	})
}

// The index of clients is in pieces, each of which a query has to name.
func TestClientUsesItsIndex(t *testing.T) {
	j := openJournal(t, filepath.Join(t.TempDir(), "journal.db"))
	const records = 10_000 // two pieces
	for i := range records {
		r := deliver(fmt.Sprint("Q", i), "a@example.org")
		r.Time, r.ClientAddr = noon.Add(time.Duration(i)*time.Second), laptop
		if i%1000 == 0 {
			r.ClientAddr = stranger
			if err := j.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		j.Record(r)
	}
	all, err := j.Client(t.Context(), netip.PrefixFrom(stranger, 32), noon)
	if err != nil || len(all) != records/1000 || all[0].QueueID != "Q0" || all[9].QueueID != "Q9000" {
		t.Errorf("Client() = %d records, %v", len(all), err)
	}
	late, err := j.Client(t.Context(), netip.PrefixFrom(laptop, 24), noon)
	if err != nil || len(late) != maxRead || late[maxRead-1].QueueID != fmt.Sprint("Q", records-1) {
		t.Errorf("Client() of many = %d records, %v", len(late), err)
	}
	var plan string
	err = j.db.Load().Reader.QueryRow("EXPLAIN QUERY PLAN SELECT record FROM records WHERE "+inPieces+
		" AND client BETWEEN x'00' AND x'01' AND time BETWEEN 1 AND 2").Scan(new(int), new(int), new(int), &plan)
	if err != nil || !strings.Contains(plan, "USING INDEX records_client (<expr>=? AND client>? AND client<?)") {
		t.Errorf("the plan is %q, %v", plan, err)
	}
}

// noWriter returns a journal that nobody empties.
func noWriter() *Journal {
	cfg := Default()
	j := &Journal{queue: make(chan queued, queueRecords), log: slog.New(slog.DiscardHandler)}
	j.cfg.Store(&cfg)
	return j
}

func TestFullQueueDropsRefusalsLast(t *testing.T) {
	j := noWriter()
	const most = queueRecords - queueRecords/reserve
	for range most + 10 {
		j.Record(deliver("Q1", "a@example.org"))
	}
	if j.Queued() != most || j.Dropped() != 10 {
		t.Errorf("%d wait, %d dropped, want %d and 10", j.Queued(), j.Dropped(), most)
	}
	for i := range queueRecords/reserve + 5 {
		r := Record{Daemon: "guard", Event: "ban"}
		if i%2 == 1 {
			r = Record{Daemon: "policyd", Event: "rcpt", Reply: "450 4.7.1 come later"}
		}
		j.Record(r)
	}
	if j.Queued() != queueRecords || j.Dropped() != 15 {
		t.Errorf("%d wait, %d dropped, want %d and 15", j.Queued(), j.Dropped(), queueRecords)
	}
}

// Large records are bounded in bytes, and the caller's lists stay as they were.
func TestQueueIsBoundedInBytes(t *testing.T) {
	j := noWriter()
	r := deliver("Q1", "")
	r.Rule = strings.Repeat("x", 100_000)
	r.RcptTo = make([]string, 1000)
	for i := range r.RcptTo {
		r.RcptTo[i] = strings.Repeat("a", 250)
	}
	r.Facts = append(make([]Fact, 0, 10), Fact{"folder", "Junk"})
	for range 10_000 {
		j.Record(r)
	}
	if n := j.waiting.Load(); n > queueBytes || j.Dropped() == 0 {
		t.Errorf("%d bytes wait, %d records dropped", n, j.Dropped())
	}
	if len(r.RcptTo) != 1000 || len(r.Facts) != 1 || r.Facts[:2][1].Key != "" {
		t.Errorf("Record() changed the caller's lists")
	}
	got := (<-j.queue).clean()
	if len(got.RcptTo) != MaxItems || len(got.Rule) > MaxTextBytes+3 || got.Facts[1].Value != "and 900 more" {
		t.Errorf("recorded %d recipients, a rule of %d bytes, facts %v", len(got.RcptTo), len(got.Rule), got.Facts)
	}
}

func TestOddValuesAreStored(t *testing.T) {
	j := openJournal(t, filepath.Join(t.TempDir(), "journal.db"))
	r := message(stranger, 1, "Q1", "a@example.org")
	r.Score = math.NaN()
	r.Lines = []verdict.Line{{Name: "X", Score: math.Inf(1)}}
	r.ClientAddr = netip.MustParseAddr("fe80::1%eth0")
	r.Time = time.Date(99999, 1, 1, 0, 0, 0, 0, time.UTC)
	j.Record(r)
	if s, err := j.Story(t.Context(), "Q1"); err != nil || len(s.Steps) != 1 {
		t.Errorf("Story() = %+v, %v", s, err)
	}
}

func TestKeptByDays(t *testing.T) {
	inBubble(t, Config{Days: 3, Bytes: 1 << 30}, func(t *testing.T, j *Journal, _ *logBuffer) {
		for day := 5; day > 0; day-- { // the oldest first, as they come in
			for i := range 600 {
				r := deliver(fmt.Sprint("Q", i), "a@example.org")
				r.Time = time.Now().AddDate(0, 0, -day).Add(time.Hour)
				j.Record(r)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(2 * trimEvery)
		synctest.Wait()
		if n := stored(t, j); n != 1800 {
			t.Errorf("%d records are left, want 1800", n)
		}
		j.Reconfigure(Config{Days: 1, Bytes: 1 << 30})
		time.Sleep(2 * trimEvery)
		synctest.Wait()
		if n := stored(t, j); n != 600 {
			t.Errorf("%d records are left after Reconfigure, want 600", n)
		}
	})
}

func TestKeptByBytes(t *testing.T) {
	inBubble(t, Config{Days: 30, Bytes: minBytes}, func(t *testing.T, j *Journal, _ *logBuffer) {
		for i := range 8000 {
			r := message(stranger, 1, fmt.Sprint("Q", i), "a@example.org", "b@example.org")
			r.Rule = strings.Repeat("x", 900)
			j.Record(r)
			if i%1000 == 999 {
				time.Sleep(time.Second)
			}
		}
		time.Sleep(2 * trimEvery)
		synctest.Wait()
		used, _, err := fileBytes(t.Context(), j.db.Load().Writer)
		if err != nil || used > minBytes || used < minBytes*6/10 {
			t.Errorf("%d bytes are used, %v, want at most %d", used, err, minBytes)
		}
		if _, err := j.Story(t.Context(), "Q7999"); err != nil {
			t.Errorf("Story() of the newest = %v", err)
		}
		if _, err := j.Story(t.Context(), "Q0"); !errors.Is(err, ErrNotFound) {
			t.Errorf("Story() of the oldest = %v", err)
		}
		info, err := os.Stat(j.path)
		if err != nil || info.Size() > 2*minBytes {
			t.Errorf("the file has %d bytes, %v", info.Size(), err)
		}
	})
}

func TestDiskFull(t *testing.T) {
	inBubble(t, Default(), func(t *testing.T, j *Journal, log *logBuffer) {
		w := j.db.Load().Writer
		j.Record(message(stranger, 1, "Q0", "a@example.org"))
		time.Sleep(time.Second)
		if err := j.Failing(); err != nil {
			t.Errorf("Failing() = %v before", err)
		}
		if _, err := w.Exec("PRAGMA max_page_count = 1"); err != nil { // becomes what there is
			t.Fatal(err)
		}
		big := message(stranger, 1, "Q1", "a@example.org")
		big.Facts = make([]Fact, MaxItems)
		for i := range big.Facts {
			big.Facts[i] = Fact{"x", strings.Repeat("y", MaxTextBytes)}
		}
		j.Record(big)
		time.Sleep(150 * time.Second)
		synctest.Wait()
		if n := log.count("level=ERROR"); n != 3 {
			t.Errorf("%d errors in 150 s, want one a minute: 3", n)
		}
		if j.Failing() == nil {
			t.Error("Failing() = nil")
		}
		if s, err := j.Story(t.Context(), "Q0"); err != nil || len(s.Steps) != 1 {
			t.Errorf("Story() of what was written before = %v, %v", s, err)
		}
		if all, err := j.Client(t.Context(), netip.PrefixFrom(stranger, 32), time.Time{}); err != nil || len(all) != 1 {
			t.Errorf("Client() = %v, %v, want what was written before", all, err)
		}
		for range 2 * queueRecords {
			j.Record(deliver("Q2", "a@example.org"))
		}
		if j.Dropped() == 0 {
			t.Error("nothing was dropped")
		}
		time.Sleep(time.Minute)
		if log.count("journal dropped records") != 1 {
			t.Error("the log does not tell of the drops")
		}
		if _, err := w.Exec("PRAGMA max_page_count = 1000000"); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Story(t.Context(), "Q1"); err != nil {
			t.Errorf("Story() after mending = %v", err)
		}
		if err := j.Failing(); err != nil {
			t.Errorf("Failing() = %v after mending", err)
		}
	})
}

func TestDamagedFileIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("garbage\n"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	j := openJournal(t, path)
	j.Record(deliver("Q1", "a@example.org"))
	if _, err := j.Story(t.Context(), "Q1"); err != nil {
		t.Errorf("Story() = %v", err)
	}
	if aside, err := filepath.Glob(path + ".corrupt-*"); err != nil || len(aside) == 0 {
		t.Errorf("set aside %v, %v", aside, err)
	}
}

// Damage that shows while the server runs.
func TestFileDamagedWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	log := &logBuffer{}
	j, err := Open(t.Context(), path, Default(), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for i := range 2000 {
		j.Record(deliver(fmt.Sprint("Q", i), "a@example.org"))
	}
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := j.db.Load().Writer.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("garbage\n"), 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := j.db.Load().Writer.Exec("PRAGMA shrink_memory"); err != nil {
		t.Fatal(err)
	}
	var last string
	for i := range 2000 {
		last = fmt.Sprint("R", i)
		j.Record(deliver(last, "a@example.org"))
	}
	if _, err := j.Story(t.Context(), last); err != nil {
		t.Errorf("Story() = %v", err)
	}
	if aside, err := filepath.Glob(path + ".corrupt-*"); err != nil || len(aside) == 0 || log.count("level=ERROR") != 1 {
		t.Errorf("set aside %v, %v, log %s", aside, err, log.buf.String())
	}
}

func TestClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := openJournal(t, path)
	j.Record(deliver("Q1", "a@example.org"))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j.Record(deliver("Q2", "a@example.org"))
	if j.Dropped() != 1 {
		t.Errorf("dropped %d after Close, want 1", j.Dropped())
	}
	if err := j.Flush(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Flush() after Close = %v", err)
	}
	again := openJournal(t, path)
	if _, err := again.Story(t.Context(), "Q1"); err != nil {
		t.Errorf("Story() after a restart = %v", err)
	}
}

func TestFlushCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	j := noWriter()
	j.flush, j.done = make(chan chan error), make(chan struct{})
	if err := j.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Flush() = %v", err)
	}
}

func TestManyRecorders(t *testing.T) {
	j := openJournal(t, filepath.Join(t.TempDir(), "journal.db"))
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 500 {
				j.Record(deliver(fmt.Sprintf("Q%d.%d", g, i), "a@example.org"))
			}
		})
	}
	all.Wait()
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := stored(t, j); n+int(j.Dropped()) != 4000 || j.Dropped() != 0 {
		t.Errorf("%d records are in the file, %d dropped", n, j.Dropped())
	}
}

func TestConfigValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("Default().Validate() = %v", err)
	}
	err := Config{Days: 0, Bytes: unit.Size(1)}.Validate()
	if err == nil || !strings.Contains(err.Error(), "days") || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("Validate() = %v, want both faults", err)
	}
}
