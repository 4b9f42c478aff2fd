package learn

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
)

// TestStreamKilled: Redis is killed and comes back in mid-traffic. Meanwhile
// learns are taken and told to wait; afterwards all hosts have all of them.
func TestStreamKilled(t *testing.T) {
	lab := redistest.Single(t, redistest.Persist())
	hosts := []*host{newHost(t, lab), newHost(t, lab)}
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() { traffic(t.Context(), t, h, uint64(i), 80) })
	}
	eventually(t, "traffic", func() bool { st, _ := hosts[0].StreamStatus(); return st.Applied > 20 })
	lab.Kill(lab.Nodes[0])
	wg.Wait()
	a := hosts[0]
	eventually(t, "the host to know", func() bool { st, _ := a.StreamStatus(); return st.Away })
	began := time.Now()
	r, err := a.Learn(t.Context(), Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(100, "")), item(t, letter(101, ""))}})
	if err != nil || r.Count(Queued) != 2 || r.Outcomes[0].Reason == "" || time.Since(began) > 3*time.Second {
		t.Errorf("with Redis away, Learn = %+v, %v after %v", r, err, time.Since(began))
	}
	if _, err := a.Drop(t.Context(), alice); !errors.Is(err, ErrLater) {
		t.Errorf("Drop = %v", err)
	}
	if err := a.Close(); err != nil { // what waits outlives the process
		t.Fatal(err)
	}
	a.start(t)
	if st, _ := a.StreamStatus(); st.Outbox < 2 {
		t.Errorf("StreamStatus = %+v", st)
	}
	lab.Restart(lab.Nodes[0])
	same(t, hosts...)
	if list, err := hosts[1].List(t.Context(), Choice{Message: "101@example.net"}); err != nil || len(list) != 1 || list[0].State != "learned" {
		t.Errorf("on the other host = %+v, %v", list, err)
	}
	eventually(t, "the host to know", func() bool { st, _ := a.StreamStatus(); return !st.Away })
	if st, _ := a.StreamStatus(); st.Gaps+st.Skipped > 0 {
		t.Errorf("StreamStatus = %+v", st)
	}
}

// flaky is a stream that loses things.
type flaky struct {
	Stream
	answers, values atomic.Int64 // how many it loses from now on
}

func (f *flaky) Append(ctx context.Context, stream string, value []byte) (string, error) {
	if f.values.Add(-1) >= 0 {
		return "lost", nil // and nobody will ever read it
	}
	id, err := f.Stream.Append(ctx, stream, value)
	if err == nil && f.answers.Add(-1) >= 0 {
		err = errors.New("the answer was lost")
	}
	return id, err
}

// TestLost: an event whose answer was lost is performed once; one that the
// stream has lost after all is sent again.
func TestLost(t *testing.T) {
	lab := redistest.Single(t)
	a, b := newHost(t, lab), newHost(t, lab)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	f := &flaky{Stream: a.stream}
	a.stream = f
	a.start(t)
	f.answers.Store(2)
	for n := range 4 {
		if _, err := a.Learn(t.Context(), Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(n, ""))}}); err != nil {
			t.Fatal(err)
		}
	}
	same(t, a, b)
	items, err := a.stream.Read(t.Context(), streamName, "", 100, 0)
	if err != nil || len(items) < 4 {
		t.Fatalf("%d events, %v", len(items), err)
	}
	for _, it := range items { // all of them, as if no answer had come
		if _, err := a.stream.Append(t.Context(), streamName, it.Value); err != nil {
			t.Fatal(err)
		}
	}
	same(t, a, b)
	if st, _ := b.StreamStatus(); st.Applied != 4 || st.Gaps != 0 {
		t.Errorf("StreamStatus = %+v", st)
	}
	f.values.Store(1)
	if o := a.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(9, ""))}}); o.What != New {
		t.Errorf("Learn = %+v", o) // it took until nothing was left to read
	}
	same(t, a, b)
}

// TestLostBeforeAnother: an event that the stream has acknowledged and lost, and
// of which nobody knows until a later one was performed, is learned all the same,
// and is not sent for ever.
func TestLostBeforeAnother(t *testing.T) {
	lab := redistest.Single(t)
	a, b := newHost(t, lab), newHost(t, lab)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	f := &flaky{Stream: a.stream}
	f.values.Store(1)
	a.stream = f
	a.start(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		if o := a.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(1, ""))}}); o.What != New {
			t.Errorf("Learn of what was lost = %+v", o)
		}
	})
	eventually(t, "the stream to lose one", func() bool { return f.values.Load() <= 0 })
	a.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(2, ""))}})
	wg.Wait()
	same(t, a, b)
	for _, h := range []*host{a, b} {
		if _, spam := h.model.Counts(); spam != 2 {
			t.Errorf("%d learned, want 2", spam)
		}
	}
}

// TestGap: a host that was away for longer than the stream keeps says so, once,
// and goes on. One that joins late does not.
func TestGap(t *testing.T) {
	lab := redistest.Single(t)
	a, b := newHost(t, lab), newHost(t, lab)
	learn := func(from, to int) {
		for n := from; n < to; n++ {
			a.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(n, ""))}})
		}
	}
	learn(0, 3)
	settled(t, a, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	learn(3, 10)
	lab.Nodes[0].Do("XTRIM", prefix(t)+"gp1:{}s:"+streamName, "MAXLEN", "2")
	b.start(t)
	late := newHost(t, lab)
	learn(10, 12)
	settled(t, a, b, late)
	st, _ := b.StreamStatus()
	if _, spam := b.model.Counts(); st.Gaps != 1 || spam != 7 {
		t.Errorf("StreamStatus = %+v, %d learned", st, spam)
	}
	if log := b.log.String(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "gatepost restore") {
		t.Errorf("log:\n%s", log)
	}
	if st, _ := late.StreamStatus(); st.Gaps != 0 || st.Applied != 4 {
		t.Errorf("one that joins late: %+v", st)
	}
	if err := b.Close(); err != nil { // it is known after a restart
		t.Fatal(err)
	}
	b.start(t)
	if st, _ := b.StreamStatus(); st.Gaps != 1 {
		t.Errorf("StreamStatus = %+v", st)
	}
}

// TestStreamBegunAnew: a stream that was lost and whose IDs begin below the
// mark is read from its begin; what was performed before is known.
func TestStreamBegunAnew(t *testing.T) {
	lab := redistest.Single(t)
	a, b := newHost(t, lab), newHost(t, lab)
	a.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(1, ""))}})
	settled(t, a, b)
	items, err := a.stream.Read(t.Context(), streamName, "", 1, 0)
	if err != nil || len(items) != 1 {
		t.Fatal(items, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	lab.Nodes[0].Do("DEL", prefix(t)+"gp1:{}s:"+streamName)
	lab.Nodes[0].Do("XADD", prefix(t)+"gp1:{}s:"+streamName, "5-1", "v", string(items[0].Value)) // a clock that went back
	b.start(t)
	eventually(t, "the host to read it", func() bool {
		var mark string
		err := b.db.Reader.QueryRow("SELECT mark FROM stream").Scan(&mark)
		return err == nil && mark < items[0].ID
	})
	if st, _ := b.StreamStatus(); st.Applied != 0 {
		t.Errorf("StreamStatus = %+v", st)
	}
}

// TestForeignEvents: what cannot be read is skipped, counted and told.
func TestForeignEvents(t *testing.T) {
	lab := redistest.Single(t)
	a := newHost(t, lab)
	old := largeFeatures(t, 1)
	old[0]--
	features := event{stamp{run: 1, seq: 1}, act{kind: kindLearn, source: CLI, items: []actItem{{Item: Item{Features: old}}}}}
	b, err := features.appendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range [][]byte{nil, []byte("garbage"), {'G', 'L', wireVersion - 1, 3}, b} {
		if _, err := a.stream.Append(t.Context(), streamName, v); err != nil {
			t.Fatal(err)
		}
	}
	if o := a.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(1, ""))}}); o.What != New {
		t.Errorf("Learn = %+v", o)
	}
	settled(t, a)
	if st, _ := a.StreamStatus(); st.Skipped != 4 || strings.Count(a.log.String(), "were skipped") != 1 {
		t.Errorf("StreamStatus = %+v, log:\n%s", st, a.log)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	l := open(t, a.dir, nil)
	if _, err := l.db.Writer.Exec("INSERT INTO outbox (run, seq, value) VALUES (1, 2, x'ff01')"); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	a.start(t) // what an older program has left would be sent for ever
	if st, _ := a.StreamStatus(); st.Skipped != 5 || st.Outbox != 0 {
		t.Errorf("StreamStatus = %+v", st)
	}
}

// TestNewerEvent: a host that is not upgraded yet waits, and loses nothing.
func TestNewerEvent(t *testing.T) {
	lab := redistest.Single(t)
	a := newHost(t, lab)
	if _, err := a.stream.Append(t.Context(), streamName, []byte{'G', 'L', wireVersion + 1, 3}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the host to stop", func() bool { st, _ := a.StreamStatus(); return st.Away })
	if o := a.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(1, ""))}}); o.What != Queued {
		t.Errorf("Learn = %+v", o)
	}
	if st, _ := a.StreamStatus(); st.Skipped != 0 || !strings.Contains(a.log.String(), "upgrade this host") {
		t.Errorf("StreamStatus = %+v, log:\n%s", st, a.log)
	}
}

// TestFailover: a replica takes over in mid-traffic. What it had not got yet is
// sent again, so that both hosts have performed the same events and learned the
// same. A host that saw a later event of another one first tells of a gap, which
// the event then fills under a new number.
func TestFailover(t *testing.T) {
	lab := redistest.Sentinel(t)
	hosts := []*host{newHost(t, lab), newHost(t, lab)}
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() { traffic(t.Context(), t, h, uint64(i), 60) })
	}
	eventually(t, "traffic", func() bool { st, _ := hosts[0].StreamStatus(); return st.Applied > 20 })
	lab.Failover()
	wg.Wait()
	for n, h := range hosts { // the next event of each names the one before
		if _, err := h.Learn(t.Context(), Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(200+n, ""))}}); err != nil {
			t.Fatal(err)
		}
	}
	settled(t, hosts...)
	var performed [2]string
	for i, h := range hosts {
		if st, _ := h.StreamStatus(); st.Skipped > 0 {
			t.Errorf("StreamStatus = %+v", st)
		}
		err := h.each(t.Context(), "SELECT run, seq FROM runs ORDER BY run", func(r *sql.Rows) error {
			var run, seq int64
			err := r.Scan(&run, &seq)
			performed[i] += fmt.Sprintln(run, seq)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if performed[0] != performed[1] {
		t.Errorf("one host has performed\n%sthe other\n%s", performed[0], performed[1])
	}
	for _, h := range hosts[1:] {
		ham, spam := hosts[0].model.Counts()
		if otherHam, otherSpam := h.model.Counts(); otherHam != ham || otherSpam != spam {
			t.Errorf("one host has learned %d ham and %d spam, another %d and %d", ham, spam, otherHam, otherSpam)
		}
	}
}

// TestVerify: what the stream has acknowledged and lost is sent again after a
// fault, before anything newer.
func TestVerify(t *testing.T) {
	lab := redistest.Single(t)
	a, b := newHost(t, lab), newHost(t, lab)
	learn := func(n int) {
		t.Helper()
		a.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(n, ""))}})
	}
	learn(1)
	settled(t, a, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	learn(2)
	learn(3)
	key := prefix(t) + "gp1:{}s:" + streamName
	items, err := a.stream.Read(t.Context(), streamName, "", 10, 0)
	if err != nil || len(items) != 3 {
		t.Fatal(len(items), err)
	}
	lab.Nodes[0].Do("XTRIM", key, "MAXLEN", 0) // of what A has read, nothing is left
	a.shared.report(t.Context(), sending, errors.New("a connection broke"))
	learn(4)
	b.start(t)
	settled(t, a, b)
	if st, _ := b.StreamStatus(); st.Gaps > 0 || st.Applied != 3 {
		t.Errorf("StreamStatus = %+v", st)
	}
	same(t, a, b)
}
