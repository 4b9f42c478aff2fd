package learn

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// Stream keeps values in the order in which all hosts added them, as
// state.Streams tells. Of two IDs the later one is the greater string.
type Stream interface {
	// Append adds value at the end. An error may come although it was added.
	Append(ctx context.Context, stream string, value []byte) (id string, err error)
	// Read returns up to most items behind after, and waits for one if there is
	// none.
	Read(ctx context.Context, stream, after string, most int, wait time.Duration) ([]state.Item, error)
	// Ends returns the IDs of the first and the last item kept.
	Ends(ctx context.Context, stream string) (first, last string, err error)
}

// streamName is the stream's.
const streamName = "learn"

const (
	// eventBytes is how large an event becomes if its messages allow.
	eventBytes = state.MaxValueBytes / 2
	// outboxBytes bounds what waits for the stream.
	outboxBytes = 256 << 20
	// waitMost is how long Learn waits for what it sent to come back.
	waitMost = 10 * time.Second
	// readMost items of readWait or less are read at a time.
	readMost = 16
	readWait = 2 * time.Second
	// retryEvery is how often a stream that is away is tried.
	retryEvery = time.Second
	// tellEvery is how often the log has the same trouble.
	tellEvery = time.Hour
)

// ErrFull means that so much waits for the stream that no more is taken.
var ErrFull = errors.New("too much waits for the learn stream: mend the connection to it")

// shared is a Learner's part in a stream. Two goroutines work for it: one sends
// what the outbox has, the other performs what comes back.
type shared struct {
	l      *Learner
	stream Stream
	run    int64
	joined time.Time
	wake   chan struct{}
	in     inbound
	out    outbound

	unsure        atomic.Bool // since a fault nobody has looked for out.acked
	applied       atomic.Uint64
	gaps, skipped atomic.Int64

	order sync.Mutex // guards last, and keeps the outbox in the order of it
	last  stamp      // prev of the next event

	mu       sync.Mutex // guards the fields below
	waiters  map[uint64]chan done
	progress progress
	faults   [2]error // of reading and of sending
	away     chan struct{}
}

// inbound is of listen alone.
type inbound struct {
	mark  string // the last event performed here
	doubt bool   // the stream may have changed its past
	atEnd bool   // to join at the end, not at the begin
	told  map[string]time.Time
}

// outbound is of send alone.
type outbound struct {
	acked []ack
	floor string // all of acked is behind it
}

// progress is how far the outbox was sent.
type progress struct {
	sent   int64     // the last row
	sentAt time.Time // when that was answered
	round  int       // how often sending began anew
}

// The places in faults.
const (
	reading = iota
	sending
)

// StreamStatus is where a host stands among those that it learns with.
type StreamStatus struct {
	// Away says that the stream does not answer, or that an event of it can not
	// be performed here yet.
	Away bool `json:"away"`
	// Outbox is how many events wait to be sent, or to come back.
	Outbox int `json:"outbox"`
	// Applied counts events since the start, of all hosts.
	Applied uint64 `json:"applied"`
	// Gaps counts how often events of others were missed, because this host was
	// away for longer than the stream keeps them. Skipped counts events that
	// could not be read. With either the model is not that of the other hosts.
	Gaps    int64 `json:"gaps"`
	Skipped int64 `json:"skipped"`
}

// StreamStatus returns where this host stands in the stream; ok is false for a
// host that learns alone.
func (l *Learner) StreamStatus() (st StreamStatus, ok bool) {
	s := l.shared
	if s == nil {
		return st, false
	}
	st = StreamStatus{Away: s.isAway(), Applied: s.applied.Load(), Gaps: s.gaps.Load(), Skipped: s.skipped.Load()}
	if err := l.db.Reader.QueryRow("SELECT count(*) FROM outbox").Scan(&st.Outbox); err != nil {
		st.Outbox = -1 // it is not known
	}
	return st, true
}

// join begins to work with a stream, if there is one.
func (l *Learner) join(ctx context.Context, stream Stream) error {
	if stream == nil {
		return nil
	}
	s := &shared{l: l, stream: stream, in: inbound{doubt: true, told: map[string]time.Time{}}, wake: make(chan struct{}, 1), waiters: map[uint64]chan done{}, away: make(chan struct{})}
	for s.run == 0 {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return err
		}
		s.run = int64(binary.BigEndian.Uint64(b[:]))
	}
	if err := s.load(ctx); err != nil {
		return fmt.Errorf("place in the learn stream: %w", err)
	}
	l.shared = s
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.done.Go(func() { <-l.stop; cancel() })
	l.done.Go(func() { s.send(work) })
	l.done.Go(func() { s.listen(work) })
	return nil
}

// load reads the place in the stream, or makes one. A host joins at the begin
// of what is kept. Only one whose journal is new and whose model is not does so
// at the end: its model may have that in it, and nobody knows.
func (s *shared) load(ctx context.Context) error {
	const make = "INSERT OR IGNORE INTO stream (one, mark, joined, gaps, skipped) VALUES (1, '', ?, 0, 0)"
	if _, err := s.l.db.Writer.ExecContext(ctx, make, time.Now().UnixMilli()); err != nil {
		return err
	}
	var joined, gaps, skipped int64
	if err := s.l.db.Writer.QueryRowContext(ctx, "SELECT mark, joined, gaps, skipped FROM stream").Scan(&s.in.mark, &joined, &gaps, &skipped); err != nil {
		return err
	}
	s.joined = time.UnixMilli(joined)
	s.gaps.Store(gaps)
	s.skipped.Store(skipped)
	if ham, spam := s.l.model.Counts(); s.in.mark == "" && s.l.seq == 0 && ham+spam > 0 {
		s.in.atEnd = true
		s.l.log.LogAttrs(ctx, slog.LevelWarn, "the learn journal is new and the model is not: the learn stream is followed from its end on",
			slog.String("remedy", copyModel))
	}
	s.out.floor = s.in.mark
	return errors.Join(s.clean(ctx), s.loadLast(ctx))
}

// clean takes from the outbox what an older version has left and nobody would
// read.
func (s *shared) clean(ctx context.Context) error {
	res, err := s.l.db.Writer.ExecContext(ctx, "DELETE FROM outbox WHERE substr(value, 1, ?) <> ?", len(wireMagic)+1, append([]byte(wireMagic), wireVersion))
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil || n == 0 {
		return err
	}
	s.skipped.Add(n)
	s.l.log.LogAttrs(ctx, slog.LevelError, "what waited for the learn stream was of an older version and is not learned", slog.Int64("events", n))
	_, err = s.l.db.Writer.ExecContext(ctx, "UPDATE stream SET skipped = skipped + ?", n)
	return err
}

// copyModel is what makes a host equal to the others.
const copyModel = "to have the model of the other hosts, copy it: gatepost backup on one of them, gatepost restore here"

// loadLast finds what this host sent last.
func (s *shared) loadLast(ctx context.Context) error {
	var value []byte
	err := s.l.db.Reader.QueryRowContext(ctx, "SELECT value FROM outbox ORDER BY id DESC LIMIT 1").Scan(&value)
	if err == nil {
		if e, err := parseEvent(value); err == nil {
			s.last = stamp{prevRun: e.run, prevSeq: e.seq, prevTime: e.time}
		}
		return nil
	}
	var seq, at int64
	if errors.Is(err, sql.ErrNoRows) {
		err = s.l.db.Reader.QueryRowContext(ctx, "SELECT run, seq, time FROM runs WHERE own = 1 ORDER BY time DESC LIMIT 1").Scan(&s.last.prevRun, &seq, &at)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	s.last.prevSeq, s.last.prevTime = uint64(seq), time.UnixMilli(at)
	return err
}

// publish sends a to all hosts, this one among them, and waits until it was
// performed here; when that takes too long, or the stream is away, it is Queued.
func (s *shared) publish(ctx context.Context, a act) (done, error) {
	acts := split(a)
	w, err := s.enqueue(ctx, acts)
	if err != nil {
		return done{}, err
	}
	limit := time.NewTimer(waitMost)
	defer limit.Stop()
	late := false
	var all done
	for i, seq := range w.seqs {
		d, ok := done{}, false
		if !late {
			d, ok = s.wait(ctx, w.done[i], limit.C)
		}
		if !ok {
			late = true
			d, ok = s.leave(seq, w.done[i])
		}
		if !ok {
			d = queued(acts[i])
		}
		all.Outcomes = append(all.Outcomes, d.Outcomes...)
		all.Undone.add(d.Undone)
	}
	return all, nil
}

// queued is what became of an act that waits.
func queued(a act) (d done) {
	if a.kind != kindLearn {
		d.Queued = max(len(a.items), 1)
		return d
	}
	for range a.items {
		d.Outcomes = append(d.Outcomes, Outcome{What: Queued, Reason: "it waits for the learn stream"})
	}
	return d
}

// split makes acts of a that are no larger than an event should be.
func split(a act) (acts []act) {
	size, from := 0, 0
	cut := func(to int) {
		part := a
		part.items = a.items[from:to:to]
		acts, from, size = append(acts, part), to, 0
	}
	for i := range a.items {
		it := &a.items[i]
		n := len(it.Features) + len(it.Trace.MessageID) + len(it.of.user) + 200
		if i > from && size+n > eventBytes {
			cut(i)
		}
		size += n
	}
	cut(len(a.items))
	return acts
}

// waits are the events that a publish waits for.
type waits struct {
	seqs []uint64
	done []chan done
}

// wait waits for one, and reports whether it came.
func (s *shared) wait(ctx context.Context, c chan done, limit <-chan time.Time) (done, bool) {
	s.mu.Lock()
	away := s.away
	s.mu.Unlock()
	select {
	case d := <-c:
		return d, true
	case <-away:
	case <-ctx.Done():
	case <-limit:
	case <-s.l.stop:
	}
	return done{}, false
}

// leave stops waiting for an event, unless it has come.
func (s *shared) leave(seq uint64, c chan done) (done, bool) {
	s.mu.Lock()
	delete(s.waiters, seq)
	s.mu.Unlock()
	select {
	case d := <-c:
		return d, true
	default:
		return done{}, false
	}
}

// deliver tells who waits for an event what it did.
func (s *shared) deliver(at stamp, d done) {
	if at.run != s.run {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.waiters[at.seq]; ok {
		c <- d // it has room for one
		delete(s.waiters, at.seq)
	}
}

func (s *shared) isAway() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults[reading] != nil || s.faults[sending] != nil
}

// report takes what reading or sending came to, and says when the stream goes
// away and when it is back.
func (s *shared) report(ctx context.Context, side int, err error) {
	if err != nil {
		s.unsure.Store(true)
		s.hurry()
	}
	s.mu.Lock()
	before := errors.Join(s.faults[:]...)
	s.faults[side] = err
	after := errors.Join(s.faults[:]...)
	switch {
	case before == nil && after != nil:
		close(s.away)
	case before != nil && after == nil:
		s.away = make(chan struct{})
	}
	s.mu.Unlock()
	switch {
	case before == nil && after != nil:
		s.l.log.LogAttrs(ctx, slog.LevelWarn, "the learn stream stands still, what is learned waits", slog.Any("err", err))
	case before != nil && after == nil:
		s.l.log.LogAttrs(ctx, slog.LevelInfo, "the learn stream goes on")
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
