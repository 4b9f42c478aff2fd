package stated

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/state"
)

// watched notes what a Watch calls.
type watched struct {
	mu     sync.Mutex // guards all
	rows   map[string]string
	missed int
}

func watch(t *testing.T, w state.Watcher) *watched {
	t.Helper()
	got := &watched{rows: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.Watch(ctx, state.Watched, got.changed, got.miss); !errors.Is(err, context.Canceled) {
			t.Errorf("Watch() = %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	eventually(t, "the watch has begun", func() bool { return got.misses() == 1 })
	return got
}

func (w *watched) changed(c state.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	value := string(c.Entry.Value)
	if c.Deleted {
		value = "deleted"
	}
	w.rows[string(c.Table)+" "+c.Entry.Key] = value
}

func (w *watched) miss() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.missed++
}

func (w *watched) misses() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.missed
}

func (w *watched) row(key string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rows[key]
}

func ban(key, value string) state.Entry {
	return state.Entry{Key: key, Value: []byte(value), Expires: time.Now().Add(time.Hour)}
}

// TestWatch: a change is heard by all but its writer, and after a restart of the
// server everybody is told that something may have been missed.
func TestWatch(t *testing.T) {
	p := newParts(t)
	path := filepath.Join(p.dir, "s")
	srv := serve(t, path, p.Parts, All())
	a, b, own := dial(t, path).State(), dial(t, path).State(), p.hub.View("own")
	inA, inB, inOwn := watch(t, a), watch(t, b), watch(t, own)
	put := func(s state.Store, e state.Entry) {
		t.Helper()
		if err := s.Put(t.Context(), state.Ban, e, true); err != nil {
			t.Fatal(err)
		}
	}
	put(a, ban("k\xfe", "of a"))
	eventually(t, "b and we hear of a", func() bool { return inB.row("ban k\xfe") == "of a" && inOwn.row("ban k\xfe") == "of a" })
	put(own, ban("own", "ours"))
	eventually(t, "a and b hear of us", func() bool { return inA.row("ban own") == "ours" && inB.row("ban own") == "ours" })
	if err := b.Delete(t.Context(), state.Ban, "own"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a hears that it went", func() bool { return inA.row("ban own") == "deleted" })
	if got := inA.row("ban k\xfe"); got != "" {
		t.Errorf("a hears of its own change: %q", got)
	}
	srv.stop()
	serve(t, path, p.Parts, All())
	eventually(t, "both begin anew", func() bool { return inA.misses() == 2 && inB.misses() == 2 })
	put(a, ban("later", "x"))
	eventually(t, "b hears again", func() bool { return inB.row("ban later") == "x" })
	if err := a.Watch(t.Context(), []state.Table{state.Seen}, nil, nil); !errors.Is(err, state.ErrInvalid) {
		t.Errorf("Watch of another table = %v", err)
	}
}

// TestSlowWatcher: who does not listen misses some, and is told.
func TestSlowWatcher(t *testing.T) {
	p := newParts(t)
	v := p.hub.View("slow")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	missed, goOn := make(chan struct{}, 10), make(chan struct{})
	go func() {
		_ = v.Watch(ctx, state.Watched, func(state.Change) { <-goOn }, func() { missed <- struct{}{} })
	}()
	<-missed
	for range waiting + 10 {
		p.hub.tell("other", state.Change{Table: state.Ban, Entry: state.Entry{Key: "k"}})
	}
	close(goOn)
	<-missed
}

// TestAway: names that were asked for are answered, others and passwords are not,
// and what was told meanwhile arrives.
func TestAway(t *testing.T) {
	p := newParts(t)
	path := filepath.Join(p.dir, "s")
	srv := serve(t, path, p.Parts, All())
	c := dial(t, path)
	a := c.Accounts()
	follow(t, a)
	bob := mailaddr.Address{LocalPart: "bob", Domain: "example.org"}
	if _, err := a.User(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	if _, err := a.User(t.Context(), bob); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("User(bob) = %v", err)
	}
	if _, err := a.Domain(t.Context(), "example.org"); err != nil {
		t.Error(err)
	}
	none(t, a)
	_, _ = a.Alias(t.Context(), bob)
	srv.stop()
	eventually(t, "it is away", func() bool { return !a.live.Load() })
	if u, err := a.User(t.Context(), alice); err != nil || u.Addr != alice {
		t.Errorf("away: User(alice) = %+v, %v", u, err)
	}
	for name, err := range map[string]error{
		"one that was not there": second(a.User(t.Context(), bob)),
		"and its alias":          second(a.Alias(t.Context(), bob)),
		"one nobody asked for":   second(a.Domain(t.Context(), "example.net")),
		"a password":             second(a.Fresh().User(t.Context(), alice)),
		"app passwords":          second(a.AppPasswords(t.Context(), alice)),
		"a row":                  second(c.State().Get(t.Context(), state.Ban, "k")),
	} {
		if !errors.Is(err, ErrAway) || errors.Is(err, account.ErrNotFound) {
			t.Errorf("away: %s: %v", name, err)
		}
	}
	for name, err := range none(t, a) {
		if !errors.Is(err, account.ErrNotFound) {
			t.Errorf("away: %s: %v", name, err)
		}
	}
	c.Journal().Record(journal.Record{Daemon: "milter", Event: "meanwhile"})
	if err := p.sql.SetHeld(t.Context(), alice, true); err != nil {
		t.Fatal(err)
	}
	serve(t, path, p.Parts, All())
	eventually(t, "the record arrives", func() bool { return p.heard.has("meanwhile") })
	eventually(t, "the hold is seen", func() bool { u, err := a.User(t.Context(), alice); return err == nil && u.Held })
	if err := p.sql.SetHeld(t.Context(), alice, false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the release is seen", func() bool { u, err := a.User(t.Context(), alice); return err == nil && !u.Held })
}

// none are questions that Postfix asks of each recipient, here with no answer.
func none(t *testing.T, a *Accounts) map[string]error {
	return map[string]error{
		"alias of a user":   second(a.Alias(t.Context(), alice)),
		"posting of a user": second(a.Posting(t.Context(), alice)),
		"catch-all":         second(a.Alias(t.Context(), mailaddr.Address{Domain: "example.org"})),
	}
}

func second[T any](_ T, err error) error { return err }

// TestQuarantine: a message is streamed, and half of one is none.
func TestQuarantine(t *testing.T) {
	p := newParts(t)
	q := p.as(t, Milter).Quarantine()
	const size = 40 << 20
	id, err := q.Put(t.Context(), quarantine.Entry{QueueID: "4XyZ"}, io.LimitReader(zeros{}, size))
	if err != nil || id != "id-4XyZ" || p.kept.size != size {
		t.Errorf("Put() = %q, %v, and %d bytes", id, err, p.kept.size)
	}
	_, err = q.Put(t.Context(), quarantine.Entry{}, io.MultiReader(strings.NewReader("half"), broken{}))
	if err == nil || reply.FromError(err) != reply.Broken {
		t.Errorf("Put() of half a message = %v", err)
	}
	eventually(t, "the other side sees it", func() bool { return p.heard.has("broken") })
	p.kept.err = quarantine.ErrFull
	if _, err = q.Put(t.Context(), quarantine.Entry{}, strings.NewReader("x")); !errors.Is(err, quarantine.ErrFull) || reply.FromError(err) != replyFull {
		t.Errorf("Put() without room = %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

// TestRehash: what verify refuses is not written.
func TestRehash(t *testing.T) {
	p := newParts(t)
	store, ok := p.as(t, Authd).Accounts().Fresh().(account.Rehasher)
	if !ok {
		t.Fatal("Fresh() is no Rehasher")
	}
	old, next, no := secret.String("{PLAIN}planted"), secret.String("{PLAIN}next"), errors.New("no")
	if err := store.Rehash(t.Context(), alice, old, next, func(secret.Value) error { return no }); !errors.Is(err, no) {
		t.Errorf("Rehash() = %v", err)
	}
	if err := store.Rehash(t.Context(), alice, next, next, func(secret.Value) error { return nil }); !errors.Is(err, account.ErrChanged) {
		t.Errorf("Rehash() of another = %v", err)
	}
	if err := store.Rehash(t.Context(), alice, old, next, func(secret.Value) error { return nil }); err != nil {
		t.Errorf("Rehash() = %v", err)
	}
	if u, err := p.sql.User(t.Context(), alice); err != nil || !u.Password.Equal(next) {
		t.Errorf("the hash is %s, %v", u.Password.Reveal(), err)
	}
}

// TestTellerIsBounded: when nobody listens the oldest goes, and who tells is not
// kept waiting.
func TestTellerIsBounded(t *testing.T) {
	c := dial(t, filepath.Join(shortDir(t), "nobody"))
	for range maxTold + 10 {
		c.Journal().Record(journal.Record{Daemon: "milter"})
	}
	if n, lost := c.journal.t.queued(); n != maxTold || lost != 10 || c.Journal().Dropped() != 10 {
		t.Errorf("%d wait, %d are lost", n, lost)
	}
	c.journal.t.kill() // Close would wait for somebody
}

// TestVersions: a daemon that runs beside a state process of another version goes
// on, and says so once.
func TestVersions(t *testing.T) {
	p := newParts(t)
	p.Build = "2"
	path := filepath.Join(p.dir, "s")
	serve(t, path, p.Parts, All())
	var log bytes.Buffer
	c := Dial(path, "1", slog.New(slog.NewTextHandler(&log, nil)))
	follow(t, c.Accounts())
	watch(t, c.State())
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if got := log.String(); strings.Count(got, "another version") != 1 || !strings.Contains(got, "version=1 other=2") {
		t.Errorf("the log has %q", got)
	}
}
