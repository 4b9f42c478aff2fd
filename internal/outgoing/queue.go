package outgoing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/mailerr"
)

// sender brings one message to the smtpd. Its error bears a class (package
// mailerr).
type sender interface {
	send(ctx context.Context, e envelope, raw []byte) error
}

// Queue is the spool and who empties it. It is safe for concurrent use.
type Queue struct {
	cfg    atomic.Pointer[Config]
	dir    dir
	sender sender
	log    *slog.Logger
	wake   chan struct{}

	mu    sync.Mutex
	wrote map[string]wrote // what waits, by Message-ID; guarded by mu
	tries map[string]tried // what failed, by name; guarded by mu
	count int              // of what waits; guarded by mu
}

// wrote is what waits with one Message-ID: a redirect may have that of a notice.
type wrote struct {
	kind Kind
	n    int
}

// note remembers what waits. It needs q.mu. Of two kinds the redirect holds: who
// knows the Message-ID of a notice must not get his own mail signed as one.
func (q *Queue) note(id string, k Kind) {
	if id == "" {
		return
	}
	w, there := q.wrote[id]
	if !there || k == Redirect {
		w.kind = k
	}
	w.n++
	q.wrote[id] = w
}

// tried is what is known of a message that could not be sent yet.
type tried struct {
	times int
	next  time.Time
	taken bool // Postfix has it; only its file is left
	told  bool // its sender has a bounce
}

// New opens the spool in path, which is made where it is missing. What waits
// there is sent as soon as Run runs.
func New(cfg Config, path string, log *slog.Logger) (*Queue, error) {
	q := &Queue{dir: dir(path), log: log, wake: make(chan struct{}, 1),
		wrote: map[string]wrote{}, tries: map[string]tried{}}
	q.cfg.Store(&cfg)
	q.sender = &smtpSender{cfg: q.cfg.Load}
	if err := q.dir.prepare(); err != nil {
		return nil, err
	}
	names, err := q.dir.names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if e, _, err := q.dir.read(name); err == nil {
			q.note(e.MessageID, e.Kind)
		}
	}
	q.count = len(names)
	return q, nil
}

// Reconfigure takes new settings, which are valid.
func (q *Queue) Reconfigure(cfg Config) {
	q.cfg.Store(&cfg)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// On reports whether mail of our own can be sent at all.
func (q *Queue) On() bool { return q.cfg.Load().Address != "" }

// Len returns how many messages wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count
}

// Wrote returns what a message is that waits here, by its Message-ID.
func (q *Queue) Wrote(messageID string) (Kind, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w, ok := q.wrote[messageID]
	return w.kind, ok
}

// Add takes m: it is durable when Add returns. The error is ErrFull, ErrInvalid
// or that of the disk; then nothing was taken.
func (q *Queue) Add(m Mail) error {
	now := time.Now()
	file, err := encode(m, now)
	if err != nil {
		return err
	}
	q.mu.Lock()
	if cfg := q.cfg.Load(); q.count >= cfg.MaxMessages {
		q.mu.Unlock()
		return fmt.Errorf("%w: %d messages wait for the smtpd at %s", ErrFull, cfg.MaxMessages, cfg.Address)
	}
	q.count++
	q.note(m.MessageID, m.Kind)
	q.mu.Unlock()
	if _, err := q.dir.add(file, now); err != nil {
		q.forget("", m.MessageID)
		return err
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// forget drops a message that is no longer in the spool.
func (q *Queue) forget(name, messageID string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count--
	delete(q.tries, name)
	w, ok := q.wrote[messageID]
	if w.n--; ok && w.n > 0 {
		q.wrote[messageID] = w
		return
	}
	delete(q.wrote, messageID)
}

// lookEvery is how often the spool is looked through for what is due again.
const lookEvery = 15 * time.Second

// Run sends what is in the spool until ctx ends. It returns nil.
func (q *Queue) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if q.On() {
			q.round(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-q.wake:
		case <-tick.C:
		}
	}
}

// round tries all that is due.
func (q *Queue) round(ctx context.Context) {
	names, err := q.dir.names()
	if err != nil {
		q.log.LogAttrs(ctx, slog.LevelError, "outgoing spool can not be read", slog.Any("err", err))
		return
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return
		}
		if q.due(name, time.Now()) {
			q.try(ctx, name)
		}
	}
}

func (q *Queue) due(name string, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !now.Before(q.tries[name].next)
}

func (q *Queue) try(ctx context.Context, name string) {
	e, raw, err := q.dir.read(name)
	if err != nil {
		// A file that add made is whole: somebody changed it.
		q.giveUp(ctx, name, e, fmt.Errorf("read: %w", err))
		return
	}
	if !q.taken(name) {
		err = q.sender.send(ctx, e, raw)
	}
	var some *partly
	switch {
	case err == nil:
		q.done(ctx, name, e)
	case errors.As(err, &some):
		back := e
		back.RcptTo = some.to
		q.bounce(ctx, name, back, raw, err)
		q.log.LogAttrs(ctx, slog.LevelError, "mail of our own is refused for some recipients", append(attrs(e), slog.Any("err", err))...)
		q.done(ctx, name, e)
	case ctx.Err() != nil:
	case mailerr.ClassOf(err) == mailerr.Permanent || time.Since(e.Added) > q.cfg.Load().GiveUp.Std():
		q.bounce(ctx, name, e, raw, err)
		q.giveUp(ctx, name, e, err)
	default:
		q.later(ctx, name, e, err)
	}
}

func (q *Queue) taken(name string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.tries[name].taken
}

// done removes a message that Postfix has taken. One that stays in the spool,
// because the disk can not be written, is not sent again by this process.
func (q *Queue) done(ctx context.Context, name string, e envelope) {
	if err := q.dir.done(name); err != nil {
		q.log.LogAttrs(ctx, slog.LevelError, "mail of our own was sent and stays in the spool", slog.Any("err", err))
		q.mu.Lock()
		t := q.tries[name]
		t.taken = true
		q.tries[name] = t
		q.mu.Unlock()
		return
	}
	q.forget(name, e.MessageID)
	q.log.LogAttrs(ctx, slog.LevelInfo, "mail of our own sent", attrs(e)...)
}

func (q *Queue) giveUp(ctx context.Context, name string, e envelope, cause error) {
	q.log.LogAttrs(ctx, slog.LevelError, "mail of our own is not sent, it lies in the directory failed of the outgoing spool",
		append(attrs(e), slog.String("file", name), slog.Any("err", cause))...)
	if err := q.dir.fail(name); err != nil {
		q.log.LogAttrs(ctx, slog.LevelError, "outgoing spool can not be written", slog.Any("err", err))
		q.later(ctx, name, e, err)
		return
	}
	q.forget(name, e.MessageID)
}

func (q *Queue) later(ctx context.Context, name string, e envelope, cause error) {
	q.mu.Lock()
	t := q.tries[name]
	t.times++
	t.next = time.Now().Add(wait(t.times))
	q.tries[name] = t
	q.mu.Unlock()
	if t.times == 1 {
		q.log.LogAttrs(ctx, slog.LevelWarn, "mail of our own waits", append(attrs(e), slog.Any("err", cause))...)
	}
}

// wait returns how long after a failed try the next one comes.
func wait(times int) time.Duration {
	const first, most = 30 * time.Second, time.Hour
	d := first << min(times-1, 10)
	return min(d, most)
}

func attrs(e envelope) []slog.Attr {
	to := make([]string, 0, min(len(e.RcptTo), 5))
	for _, a := range e.RcptTo[:min(len(e.RcptTo), 5)] {
		to = append(to, a.String())
	}
	return []slog.Attr{slog.String("kind", string(e.Kind)), slog.String("mail_from", e.MailFrom.String()), slog.Any("rcpt_to", to)}
}
