package learn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/redistest"
)

// TestShared: what one host learns or takes back, all have.
func TestShared(t *testing.T) {
	lab := redistest.Single(t)
	a, b := newHost(t, lab), newHost(t, lab)
	one := item(t, letter(1, ""))
	start := logit(t, b.Learner, one)
	if o := a.must(t, Wish{Spam: true, Source: CLI, Items: []Item{one}}); o.What != New || o.ID != 1 {
		t.Errorf("Learn = %+v", o)
	}
	alike(t, a, b)
	if logit(t, b.Learner, one) <= start {
		t.Error("the other host does not know it")
	}
	if o := b.must(t, Wish{Spam: true, Source: CLI, Items: []Item{one}}); o.What != Already {
		t.Errorf("on the other host = %+v", o)
	}
	u, err := b.Undo(t.Context(), Choice{ID: 1})
	if err != nil || u.Undone != 1 {
		t.Errorf("Undo = %+v, %v", u, err)
	}
	alike(t, a, b)
	if got := logit(t, a.Learner, one); got != start {
		t.Errorf("score %g, was %g", got, start)
	}
	bulk := Wish{Spam: true, Source: Move, User: alice, Minute: 201}
	large := largeFeatures(t, 1)
	for n := range 100 { // more than fits into one event
		it := item(t, letter(n, ""))
		it.Features = large
		bulk.Items = append(bulk.Items, it)
	}
	if r, err := a.Learn(t.Context(), bulk); err != nil || r.Count(Waiting) != 100 {
		t.Errorf("bulk = %d waiting, %v", r.Count(Waiting), err)
	}
	settled(t, a, b)
	if r, err := b.Approve(t.Context(), alice); err != nil || r.Count(New) != 100 {
		t.Errorf("Approve = %d new, %v", r.Count(New), err)
	}
	bulk.User, bulk.Items = bob, bulk.Items[:3]
	if _, err := a.Learn(t.Context(), bulk); err != nil {
		t.Fatal(err)
	}
	settled(t, a, b)
	if n, err := b.Drop(t.Context(), bob); err != nil || n != 3 {
		t.Errorf("Drop = %d, %v", n, err)
	}
	if u, err := a.Undo(t.Context(), Choice{User: alice}); err != nil || u.Undone != 100 {
		t.Errorf("Undo of a mailbox = %+v, %v", u, err)
	}
	same(t, a, b)
	if st, ok := a.StreamStatus(); !ok || st.Away || st.Gaps+st.Skipped > 0 || st.Outbox != 0 || st.Applied < 8 {
		t.Errorf("StreamStatus = %+v", st)
	}
}

// largeFeatures are those of a long message.
func largeFeatures(t testing.TB, n int) []byte {
	t.Helper()
	text := letter(n, "")
	for i := range 3000 {
		text = fmt.Appendf(text, "word%d ", (n+i)*7919)
	}
	return item(t, text).Features
}

// traffic learns, corrects, undoes and approves at random, and goes on whatever
// comes.
func traffic(ctx context.Context, t *testing.T, h *host, seed uint64, steps int) {
	r := rand.New(rand.NewPCG(seed, 1))
	users := []string{alice, bob, carol}
	for range steps {
		n, user := r.IntN(25), users[r.IntN(len(users))]
		w := Wish{Spam: r.IntN(2) == 0, Source: Move, User: user, Items: []Item{item(t, letter(n, fmt.Sprint("Q", n)))}}
		var err error
		switch r.IntN(10) {
		case 0:
			_, err = h.Undo(ctx, Choice{Message: fmt.Sprintf("<%d@example.net>", n)})
		case 1:
			_, err = h.Undo(ctx, Choice{User: user})
		case 2:
			w.Minute = 201
			_, err = h.Learn(ctx, w)
		case 3:
			_, err = h.Approve(ctx, user)
		case 4:
			_, err = h.Drop(ctx, user)
		case 5:
			w.Source, w.User, w.Spam = Weak, user, false
			_, err = h.Learn(ctx, w)
		case 6:
			w.Source, w.User = CLI, ""
			_, err = h.Learn(ctx, w)
		default:
			_, err = h.Learn(ctx, w)
		}
		if err != nil && !errors.Is(err, ErrNone) && !errors.Is(err, ErrLater) && ctx.Err() == nil {
			t.Error(err)
		}
	}
}

// TestOrder: three hosts that learn at once come to the same end, to the last
// bit of the weights; one that was away catches up.
func TestOrder(t *testing.T) {
	lab := redistest.Single(t)
	hosts := []*host{newHost(t, lab), newHost(t, lab), newHost(t, lab)}
	for round := range 3 {
		var wg sync.WaitGroup
		for i, h := range hosts {
			if round == 1 && i == 2 {
				continue // it is away
			}
			wg.Go(func() { traffic(t.Context(), t, h, uint64(10*round+i), 60) })
		}
		if round == 1 {
			if err := hosts[2].Close(); err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
		if round == 1 {
			hosts[2].start(t)
		}
		alike(t, hosts...)
	}
	late := newHost(t, lab) // joins at the begin of what is kept
	same(t, append(hosts, late)...)
	for _, h := range append(hosts, late) {
		if st, _ := h.StreamStatus(); st.Gaps > 0 || st.Skipped > 0 {
			t.Errorf("StreamStatus = %+v", st)
		}
	}
}

// TestSharedKilled kills a host between each two steps. After a restart each
// event is in its model once, and it is what the other host is.
func TestSharedKilled(t *testing.T) {
	lab := redistest.Single(t)
	for _, tc := range []struct {
		point string
		after int
	}{
		{"queued", 0}, {"sending", 4}, {"sent", 0}, {"sent", 4}, {"inserted", 0}, {"inserted", 5},
		{"committed", 1}, {"applied", 3}, {"written", 1}, {"noted", 1}, {"renamed", 1},
	} {
		t.Run(fmt.Sprintf("%s %d", tc.point, tc.after), func(t *testing.T) {
			t.Parallel()
			a, b := newHost(t, lab), newHost(t, lab)
			ctx, kill := context.WithCancel(t.Context())
			defer kill()
			var left atomic.Int64
			left.Store(int64(tc.after))
			a.mu.Lock()
			a.fault = func(at string) error {
				if at == tc.point && left.Add(-1) < 0 {
					kill()
				}
				if ctx.Err() != nil { // the dead do nothing
					return errKilled
				}
				return nil
			}
			a.mu.Unlock()
			sharedScript(ctx, t, a, true)
			if ctx.Err() == nil {
				t.Fatal("it was not killed")
			}
			if err := a.die(); err != nil {
				t.Fatal(err)
			}
			sharedScript(t.Context(), t, b, false)
			a.start(t)
			sharedScript(t.Context(), t, a, false) // all of it is idempotent
			same(t, a, b)
			if ham, spam := a.model.Counts(); ham != 1 || spam != 3 {
				t.Errorf("learned %d ham, %d spam, want 1 and 3", ham, spam)
			}
			if st, _ := a.StreamStatus(); st.Gaps > 0 {
				t.Errorf("StreamStatus = %+v", st)
			}
		})
	}
}

// sharedScript is script on a stream, with its saves or without. It ends with
// ctx.
func sharedScript(ctx context.Context, t *testing.T, h *host, saves bool) {
	save := func() error {
		if !saves {
			return nil
		}
		return h.Save(ctx)
	}
	learn := func(n int, spam bool) error {
		_, err := h.Learn(ctx, Wish{Spam: spam, Source: CLI, Items: []Item{item(t, letter(n, ""))}})
		return err
	}
	for _, step := range []func() error{
		func() error { return learn(0, true) },
		func() error { return learn(1, true) },
		save,
		func() error { return learn(2, true) },
		func() error { return learn(3, true) },
		func() error { return learn(3, false) },
		save,
		func() error { return learn(4, true) },
		func() error {
			_, err := h.Undo(ctx, Choice{Message: "4@example.net"})
			return err
		},
		save,
	} {
		err := step()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestJoin: a host with a model of its own keeps it and learns what is kept; one
// whose journal was lost follows from the end on. Two hosts that begin with the
// same files stay equal.
func TestJoin(t *testing.T) {
	lab := redistest.Single(t)
	first := newHost(t, lab)
	first.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(1, ""))}})

	alone := &host{dir: t.TempDir(), stream: streamOf(t, lab), log: new(logText)}
	l := open(t, alone.dir, nil)
	l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(2, ""))}})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	clone := t.TempDir() // as backup and restore make one
	if err := os.CopyFS(clone, os.DirFS(alone.dir)); err != nil {
		t.Fatal(err)
	}
	alone.start(t)
	defer func() { _ = alone.Close() }()
	settled(t, alone)
	if _, spam := alone.model.Counts(); spam != 2 {
		t.Errorf("%d learned, want its own and that of the stream", spam)
	}
	twin := &host{dir: clone, stream: streamOf(t, lab), log: new(logText)}
	twin.start(t)
	defer func() { _ = twin.Close() }()
	settled(t, twin)
	if u, err := twin.Undo(t.Context(), Choice{ID: 1}); err != nil || u.Undone != 1 { // a learn from before the stream
		t.Errorf("Undo = %+v, %v", u, err)
	}
	same(t, alone, twin)

	lost := &host{dir: clone, stream: twin.stream, log: new(logText)}
	if err := twin.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{journalFile} {
		if err := os.Remove(filepath.Join(clone, f)); err != nil {
			t.Fatal(err)
		}
	}
	lost.start(t)
	defer func() { _ = lost.Close() }()
	settled(t, lost)
	if st, _ := lost.StreamStatus(); st.Applied != 0 || !strings.Contains(lost.log.String(), "from its end on") {
		t.Errorf("StreamStatus = %+v, log:\n%s", st, lost.log)
	}
	if o := lost.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(7, ""))}}); o.What != New {
		t.Errorf("Learn = %+v", o)
	}
}

// TestNoStreamAnyMore: what waits for a stream that the configuration has no
// more is learned by the host alone.
func TestNoStreamAnyMore(t *testing.T) {
	lab := redistest.Single(t)
	a := newHost(t, lab)
	lab.Kill(lab.Nodes[0])
	if o := a.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(1, ""))}}); o.What != Queued {
		t.Errorf("Learn = %+v", o)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a.stream = nil
	l := open(t, a.dir, nil)
	for want := range 2 {
		if _, spam := l.model.Counts(); spam != want {
			t.Errorf("%d learned, want %d", spam, want)
		}
		if err := l.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := l.StreamStatus(); ok {
		t.Error("it has a stream")
	}
}

// TestOneMove: two hosts that share a mail store see each move, and read the
// message differently. It is learned once.
func TestOneMove(t *testing.T) {
	lab := redistest.Single(t)
	a, b := newHost(t, lab), newHost(t, lab)
	file := letter(1, "4XyZ1b2c3dzABC")
	seenBy := func(hostname string) Item {
		it, err := Extract(file, TraceConfig{Hostname: hostname, AuthservID: hostname}, new(classify.Features))
		if err != nil {
			t.Fatal(err)
		}
		it.File = 4711
		return it
	}
	onA, onB := seenBy("mx.example.org"), seenBy("mx2.example.org")
	if bytes.Equal(onA.Features, onB.Features) || onB.Trace.QueueID != "" {
		t.Fatal("the hosts read the same of it")
	}
	for i, step := range []struct {
		h    *host
		it   Item
		spam bool
		want What
	}{{a, onA, true, New}, {b, onB, true, Already}, {b, onB, false, Corrected}, {a, onA, false, Already}, {a, onA, true, Corrected}} {
		if o := step.h.must(t, Wish{Spam: step.spam, Source: Move, User: alice, Items: []Item{step.it}}); o.What != step.want {
			t.Errorf("step %d = %+v, want %s", i, o, step.want)
		}
		settled(t, a, b)
	}
	// B saw the second of them, and was cut off until now.
	d, err := b.shared.publish(t.Context(), act{kind: kindLearn, source: Move, user: alice, minute: 1, daily: 100, keepDays: 30,
		time: time.UnixMilli(time.Now().Add(-time.Hour).UnixMilli()), items: []actItem{{Item: onB}}})
	if err != nil || len(d.Outcomes) != 1 || d.Outcomes[0].What != Already {
		t.Errorf("a late one = %+v, %v", d, err)
	}
	// Another mailbox has a file of that name too.
	if o := b.must(t, Wish{Spam: true, Source: Move, User: bob, Items: []Item{onB}}); o.What != New {
		t.Errorf("another mailbox = %+v", o)
	}
	same(t, a, b)
}

// TestOutboxFull: what waits is bounded, and an error says so.
func TestOutboxFull(t *testing.T) {
	lab := redistest.Single(t)
	a := newHost(t, lab)
	lab.Kill(lab.Nodes[0])
	if _, err := a.db.Writer.Exec("INSERT INTO outbox (run, seq, value) VALUES (1, 1, zeroblob(?))", outboxBytes+1); err != nil {
		t.Fatal(err)
	}
	w := Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(1, ""))}}
	if r, err := a.Learn(t.Context(), w); !errors.Is(err, ErrFull) {
		t.Errorf("Learn = %+v, %v", r, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := a.Learn(t.Context(), w); !errors.Is(err, ErrClosed) {
		t.Errorf("Learn when closed = %+v, %v", r, err)
	}
}
