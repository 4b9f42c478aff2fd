package hold

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/abuse"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/notice"
	"github.com/gatepost/gatepost/internal/queue"
)

func addr(s string) mailaddr.Address {
	a, err := mailaddr.Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

// world is all that a Keeper needs.
type world struct {
	held     map[mailaddr.Address]bool
	storeErr error
	stories  map[string]journal.Story
	records  []journal.Record
	items    []queue.Item
	queueErr error
	did      []string
	told     []notice.Event
	forgiven []bool
}

func (w *world) SetHeld(_ context.Context, a mailaddr.Address, held bool) error {
	if w.storeErr == nil {
		w.held[a] = held
	}
	return w.storeErr
}
func (w *world) Record(r journal.Record)     { w.records = append(w.records, r) }
func (w *world) Flush(context.Context) error { return nil }
func (w *world) Story(_ context.Context, id string) (journal.Story, error) {
	s, ok := w.stories[id]
	if !ok {
		return s, journal.ErrNotFound
	}
	return s, nil
}
func (w *world) List(context.Context) (queue.Listing, error) {
	return queue.Listing{Items: slices.Clone(w.items)}, w.queueErr
}
func (w *world) Do(_ context.Context, verb queue.Verb, ids []string) ([]string, error) {
	for _, id := range ids {
		w.did = append(w.did, string(verb)+" "+id)
		i := slices.IndexFunc(w.items, func(i queue.Item) bool { return i.ID == id })
		switch verb {
		case queue.Hold:
			w.items[i].Queue = "hold"
		case queue.Release:
			w.items[i].Queue = "deferred"
		case queue.Delete:
			w.items = slices.Delete(w.items, i, i+1)
		}
	}
	return ids, w.queueErr
}
func (w *world) Tell(e notice.Event) { w.told = append(w.told, e) }

var alice = addr("alice@example.org")

// newWorld has five messages in the queue, of which AAAAAA1 and AAAAAA2 are
// alice's.
func newWorld() (*world, *Keeper) {
	now := time.Now()
	w := &world{held: map[mailaddr.Address]bool{}, stories: map[string]journal.Story{}}
	add := func(id, q, from, login string, apart time.Duration) {
		w.items = append(w.items, queue.Item{ID: id, Queue: q, Arrived: now, MailFrom: "Alice@example.org"})
		w.stories[id] = journal.Story{QueueID: id, Steps: []journal.Step{{Record: journal.Record{
			Daemon: "milter", QueueID: id, User: login, MailFrom: from, Time: now.Add(apart)}}}}
	}
	add("AAAAAA1", "deferred", "alice@example.org", "alice@example.org", time.Minute)
	add("AAAAAA2", "active", "<alice@example.org>", "Alice+phone@example.org", time.Second)
	add("BBBBBB1", "deferred", "alice@example.org", "bob@example.org", 0)              // another login
	add("BBBBBB2", "deferred", "alice@example.org", "alice@example.org", -3*time.Hour) // the id came back
	add("BBBBBB3", "deferred", "x@example.org", "alice@example.org", 0)                // another sender
	w.items = append(w.items, queue.Item{ID: "BBBBBB4", Queue: "deferred", Arrived: now, MailFrom: "alice@example.org"})
	k := New(Deps{Accounts: w, Journal: w, Queue: w, Notice: w,
		Forgive: func(_ context.Context, _ mailaddr.Address, ok bool) error {
			w.forgiven = append(w.forgiven, ok)
			return nil
		},
		Resolve: func(_ context.Context, a mailaddr.Address) (mailaddr.Address, error) {
			if b, _, ok := a.CutDetail("+"); ok {
				a = b
			}
			return a, nil
		},
	}, slog.New(slog.DiscardHandler))
	return w, k
}

func theft(action abuse.Action) abuse.Case {
	return abuse.Case{Account: alice, At: time.Now(), Verdict: abuse.Verdict{Action: action, Points: 12,
		Signals: []abuse.Signal{{Points: 6, Text: "400 recipients"}, {Text: "quiet"}}}}
}

func TestAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, k := newWorld()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		if err := k.Act(ctx, theft(abuse.Hold)); err != nil || !w.held[alice] {
			t.Fatalf("held %v, %v", w.held, err)
		}
		time.Sleep(time.Second / 2)
		synctest.Wait()
		k.working.Lock() // Run looks at w under it
		if want := []string{"hold AAAAAA1", "hold AAAAAA2"}; !slices.Equal(w.did, want) {
			t.Errorf("did %q, want %q", w.did, want)
		}
		w.items[0].Queue = "incoming" // as if it had been on its way
		k.working.Unlock()
		time.Sleep(12 * time.Second)
		synctest.Wait()
		k.working.Lock()
		defer k.working.Unlock()
		if n := len(w.did); n != 3 || w.did[2] != "hold AAAAAA1" {
			t.Errorf("did %q", w.did)
		}
		if e := w.told[0]; len(w.told) != 1 || e.Kind != notice.Hold || e.User != "alice@example.org" || !slices.Equal(e.Lines, []string{"400 recipients"}) {
			t.Errorf("told %+v", w.told)
		}
		if r := w.records[0]; r.Daemon != "guard" || r.Verdict != "hold" || len(r.Facts) != 2 {
			t.Errorf("journal %+v", w.records)
		}
	})
}

// TestMilder: a warning and a mode that observes hold nothing.
func TestMilder(t *testing.T) {
	for name, c := range map[string]struct {
		c       abuse.Case
		told    int
		verdict string
	}{
		"warn":          {theft(abuse.Warn), 1, "warn"},
		"observed hold": {func() abuse.Case { c := theft(abuse.Hold); c.Observed = true; return c }(), 0, "would hold"},
	} {
		w, k := newWorld()
		if err := k.Act(t.Context(), c.c); err != nil || len(w.held) > 0 || len(w.told) != c.told || w.records[0].Verdict != c.verdict {
			t.Errorf("%s: held %v, told %d, %+v, %v", name, w.held, len(w.told), w.records, err)
		}
	}
	w, k := newWorld()
	w.storeErr = errors.New("away")
	if err := k.Act(t.Context(), theft(abuse.Hold)); err == nil || len(w.told) > 0 {
		t.Errorf("a store that is away: %v, told %d", err, len(w.told))
	}
}

func TestRelease(t *testing.T) {
	for q, want := range map[Queued][]string{
		Send: {"release AAAAAA1", "release AAAAAA2"}, Drop: {"delete AAAAAA1", "delete AAAAAA2"}, Keep: nil,
	} {
		w, k := newWorld()
		if out, err := k.Hold(t.Context(), addr("Alice@example.org")); err != nil || len(out.IDs) != 2 || out.Queue != "" {
			t.Fatalf("%+v, %v", out, err)
		}
		w.did = nil
		out, err := k.Release(t.Context(), alice, q)
		if err != nil || w.held[alice] || !slices.Equal(w.did, want) || len(out.IDs) != len(want) || !slices.Equal(w.forgiven, []bool{q == Send}) {
			t.Errorf("%s: %+v, %v, did %q, held %v, forgiven %v", q, out, err, w.did, w.held, w.forgiven)
		}
		if len(k.sweeps) > 0 {
			t.Errorf("%s: the queue would be held again", q)
		}
	}
	_, k := newWorld()
	if _, err := k.Release(t.Context(), alice, "burn"); err == nil {
		t.Error("burn: no error")
	}
}

// TestNoHelper: the account is held without it, and released only when it is
// said that the queue does not matter.
func TestNoHelper(t *testing.T) {
	w, k := newWorld()
	w.queueErr = queue.ErrAway
	out, err := k.Hold(t.Context(), alice)
	if err != nil || !w.held[alice] || !strings.Contains(out.Queue, "does not answer") {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := k.Release(t.Context(), alice, Drop); !errors.Is(err, ErrQueue) || !w.held[alice] {
		t.Errorf("released with mail in the queue: %v", err)
	}
	if _, err := k.Release(t.Context(), alice, Keep); err != nil || w.held[alice] {
		t.Errorf("%v", err)
	}
	k.deps.Queue = nil
	if out, err := k.Hold(t.Context(), alice); err != nil || !strings.Contains(out.Queue, "queue_helper") {
		t.Errorf("%+v, %v", out, err)
	}
}
