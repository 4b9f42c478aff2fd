package stated

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Bounds of what waits to be told.
const (
	maxTold      = 10_000
	maxToldBytes = 16 << 20
	batchBytes   = 1 << 20
	lostEvery    = time.Hour
)

// told is one line of a batch: something that is not answered.
type told struct {
	Kind string          `json:"kind"`
	What json.RawMessage `json:"what"`
}

// refusedLines is the answer to a batch.
type refusedLines struct {
	Refused int    `json:"refused,omitempty"`
	Why     string `json:"why,omitempty"`
}

// item waits in a teller: a line, or a channel that is closed when all before it
// was sent.
type item struct {
	seq  uint64
	line []byte
	done chan struct{}
}

// teller sends what need not be answered, and never blocks who tells. What could
// not be sent is tried again until it is; when an answer gets lost, a batch may
// be told twice.
type teller struct {
	c     *Client
	what  string
	wake  chan struct{} // has room for one
	kill  context.CancelFunc
	ended chan struct{}

	mu     sync.Mutex // guards the fields below
	items  []item
	seq    uint64 // of the last one
	bytes  int
	lost   uint64
	warned time.Time
	closed bool
}

// newTeller returns one that sends until it is closed.
func newTeller(c *Client, what string) *teller {
	ctx, cancel := context.WithCancel(context.Background())
	t := &teller{c: c, what: what, wake: make(chan struct{}, 1), kill: cancel, ended: make(chan struct{})}
	go t.loop(ctx)
	return t
}

// tell takes a line. When too much waits, the oldest goes.
func (t *teller) tell(kind string, what any) {
	b, err := json.Marshal(what)
	if err == nil {
		b, err = json.Marshal(told{kind, b})
	}
	t.mu.Lock()
	if err != nil || t.closed || len(b) > maxLine {
		t.lost++
		t.mu.Unlock()
		return
	}
	t.seq++
	t.items = append(t.items, item{seq: t.seq, line: append(b, '\n')})
	t.bytes += len(b) + 1
	full := false
	for len(t.items) > maxTold || t.bytes > maxToldBytes {
		full = true
		t.lost++
		t.drop(1)
	}
	warn := full && time.Since(t.warned) >= lostEvery
	if warn {
		t.warned = time.Now()
	}
	t.mu.Unlock()
	if warn {
		t.c.log.LogAttrs(context.Background(), slog.LevelWarn, "the state process does not follow, the oldest of what it is told goes",
			slog.String("what", t.what))
	}
	t.nudge()
}

// drop forgets the first n items. It needs t.mu.
func (t *teller) drop(n int) {
	for _, it := range t.items[:n] {
		t.bytes -= len(it.line)
		if it.done != nil {
			close(it.done)
		}
	}
	t.items = t.items[n:]
}

func (t *teller) nudge() {
	select {
	case t.wake <- struct{}{}:
	default: // it is awake already
	}
}

// flush returns when all that was told before was sent.
func (t *teller) flush(ctx context.Context) error {
	done := make(chan struct{})
	t.mu.Lock()
	t.seq++
	t.items = append(t.items, item{seq: t.seq, done: done})
	t.mu.Unlock()
	t.nudge()
	select {
	case <-done:
		return nil
	case <-t.ended:
		return errors.New("closed before all was sent")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close sends what waits, as long as ctx lasts.
func (t *teller) close(ctx context.Context) error {
	t.mu.Lock()
	t.closed = true
	waiting := len(t.items) > 0
	t.mu.Unlock()
	var err error
	if waiting {
		err = t.flush(ctx)
	}
	t.kill()
	<-t.ended
	return err
}

// queued returns how many lines wait, lost how many nobody got.
func (t *teller) queued() (n int, lost uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.items), t.lost
}

// loop sends batches until ctx ends.
func (t *teller) loop(ctx context.Context) {
	defer close(t.ended)
	pause := firstPause
	for {
		batch := t.batch()
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-t.wake:
			}
			continue
		}
		err := t.send(ctx, batch)
		if err == nil || ctx.Err() != nil || answered(err) {
			if err != nil && ctx.Err() == nil {
				t.c.log.LogAttrs(ctx, slog.LevelError, "the state process refuses what it is told", slog.String("what", t.what), slog.Any("err", err))
			}
			t.sent(batch)
			pause = firstPause
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, waitAtMost)
	}
}

// batch returns what is first.
func (t *teller) batch() []item {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, size := 0, 0
	for n < len(t.items) && n < maxBatch && (n == 0 || size+len(t.items[n].line) <= batchBytes) {
		size += len(t.items[n].line)
		n++
	}
	return t.items[:n:n]
}

// sent forgets a batch, of which some may have been dropped meanwhile.
func (t *teller) sent(batch []item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, n := batch[len(batch)-1].seq, 0
	for n < len(t.items) && t.items[n].seq <= last {
		n++
	}
	t.drop(n)
}

// send sends one batch.
func (t *teller) send(ctx context.Context, batch []item) error {
	var body bytes.Buffer
	for _, it := range batch {
		body.Write(it.line)
	}
	if body.Len() == 0 {
		return nil
	}
	var res refusedLines
	if err := t.c.ask(ctx, question{name: "tell", body: &body}, &res); err != nil {
		return err
	}
	if res.Refused > 0 {
		t.c.log.LogAttrs(ctx, slog.LevelError, "the state process refuses some of what it is told",
			slog.String("what", t.what), slog.Int("count", res.Refused), slog.String("err", res.Why))
	}
	return nil
}
