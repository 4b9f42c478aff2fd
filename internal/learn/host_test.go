package learn

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state/redis"
)

// prefix is that of the keys of one test.
func prefix(t testing.TB) string {
	return strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()) + ":"
}

// streamOf returns a connection of a host of its own.
func streamOf(t testing.TB, lab *redistest.Lab) Stream {
	t.Helper()
	cfg := redis.Default()
	cfg.Addresses, cfg.MasterName, cfg.KeyPrefix = lab.Addresses, lab.MasterName, prefix(t)
	s, err := redis.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// host is one of those that learn together.
type host struct {
	*Learner
	dir    string
	stream Stream
	log    *logText
}

// logText is a log that can be read while it is written.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newHost opens a learner on lab.
func newHost(t testing.TB, lab *redistest.Lab) *host {
	h := &host{dir: t.TempDir(), stream: streamOf(t, lab), log: new(logText)}
	h.start(t)
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return h
}

// start opens it, anew after Close or die.
func (h *host) start(t testing.TB) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(h.log, nil))
	l, err := OpenWith(context.WithoutCancel(t.Context()), h.dir, Default(), Deps{Accounts: &fakeAccounts{n: 50}, Stream: h.stream}, log)
	if err != nil {
		t.Fatal(err)
	}
	h.Learner = l
}

// eventually waits until done.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// settled waits until all hosts have performed all that the stream has and
// their outboxes are empty.
func settled(t testing.TB, hosts ...*host) {
	t.Helper()
	eventually(t, "the hosts to be at the end of the stream", func() bool {
		for _, h := range hosts {
			_, last, err := h.stream.Ends(t.Context(), streamName)
			if err != nil {
				return false
			}
			var mark string
			var waits int
			if err := h.db.Reader.QueryRow("SELECT mark, (SELECT count(*) FROM outbox) FROM stream").Scan(&mark, &waits); err != nil {
				t.Fatal(err)
			}
			if mark < last || waits > 0 {
				return false
			}
			h.mu.Lock() // the model follows the journal under it
			behind := h.dead != nil
			h.mu.Unlock()
			if behind {
				t.Fatal("the learner has ended")
			}
		}
		return true
	})
}

// image is what has to be the same on all hosts.
type image struct {
	weights [32]byte
	rows    string
	tally   string
}

// image returns it; the weights cost a file of 24 MB.
func (h *host) image(t testing.TB, weights bool) (m image) {
	t.Helper()
	if weights {
		if err := h.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(h.dir, weightsFile))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		m.weights = sha256.Sum256(b)
	}
	var rows strings.Builder
	err := h.each(t.Context(), `SELECT hex(message), run, seq, item, time, spam, source, user, share, state, reason, applied, undone
		FROM learns WHERE run IS NOT NULL ORDER BY id`, func(r *sql.Rows) error {
		var list [13]any
		var to [13]any
		for i := range list {
			to[i] = &list[i]
		}
		err := r.Scan(to[:]...)
		fmt.Fprintln(&rows, list[:]...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	m.rows = rows.String()
	h.mu.Lock()
	defer h.mu.Unlock()
	ham, spam := h.model.Counts()
	m.tally = fmt.Sprint(h.Learner.tally, ham, spam)
	return m
}

// alike wants all hosts to have the same journal and the same counts.
func alike(t testing.TB, hosts ...*host) {
	t.Helper()
	compare(t, false, hosts)
}

// same wants all hosts to be equal, to the last bit of the weights.
func same(t testing.TB, hosts ...*host) {
	t.Helper()
	compare(t, true, hosts)
}

func compare(t testing.TB, weights bool, hosts []*host) {
	t.Helper()
	settled(t, hosts...)
	want := hosts[0].image(t, weights)
	for i, h := range hosts[1:] {
		got := h.image(t, weights)
		if got.rows != want.rows {
			t.Errorf("host %d has the journal\n%swant\n%s", i+1, got.rows, want.rows)
		}
		if got.weights != want.weights || got.tally != want.tally {
			t.Errorf("host %d has weights %x and tally %s, want %x and %s", i+1, got.weights[:4], got.tally, want.weights[:4], want.tally)
		}
	}
}
