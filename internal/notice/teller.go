package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/state"
)

// store remembers what was told.
type store interface {
	Get(ctx context.Context, t state.Table, key string) (state.Entry, error)
	Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error
}

// mailer takes mail of our own (package outgoing).
type mailer interface {
	On() bool
	Add(m outgoing.Mail) error
}

type recorder interface{ Record(journal.Record) }

// Deps are the parts that a Teller uses. All are needed.
type Deps struct {
	State   store
	Mail    mailer
	Journal recorder
}

// Teller tells. It is safe for concurrent use.
type Teller struct {
	deps   Deps
	log    *slog.Logger
	queue  chan Event
	missed atomic.Uint64

	mu    sync.Mutex // guards cfg and texts
	cfg   Config
	texts texts

	// What Run alone uses.
	hook    *hook
	warned  time.Time // that mail of our own is off
	dropped uint64    // of hook.dropped, logged
}

const queueLen = 256

// New returns a Teller, which tells once Run runs.
func New(cfg Config, deps Deps, log *slog.Logger) (*Teller, error) {
	t := &Teller{deps: deps, log: log, queue: make(chan Event, queueLen), hook: newHook()}
	if err := t.Reconfigure(cfg); err != nil {
		return nil, err
	}
	return t, nil
}

// Reconfigure takes new settings and reads the templates. With an error the old
// ones stay.
func (t *Teller) Reconfigure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("notices: %w", err)
	}
	texts, err := load(cfg.Templates)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cfg, t.texts = cfg, texts
	return nil
}

// Tell tells e to whom it concerns, unless that was done within its window. It
// never blocks; when too many wait, e is dropped and counted.
func (t *Teller) Tell(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	select {
	case t.queue <- e.bound():
	default:
		t.missed.Add(1)
	}
}

// Missed returns how many events were dropped.
func (t *Teller) Missed() uint64 { return t.missed.Load() }

// Run tells until ctx ends; mail that was asked for before is then in the spool.
// It returns nil.
func (t *Teller) Run(ctx context.Context) error {
	tick := time.NewTicker(hookRest / 4)
	defer tick.Stop()
	for {
		select {
		case e := <-t.queue:
			t.tell(ctx, e)
		case <-tick.C:
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			for len(t.queue) > 0 {
				t.tell(end, <-t.queue)
			}
			return nil
		}
		if len(t.queue) == 0 {
			t.post(ctx)
		}
	}
}

func (t *Teller) tell(ctx context.Context, e Event) {
	t.mu.Lock()
	cfg, texts := t.cfg, t.texts
	t.mu.Unlock()
	e.Host = cfg.Hostname
	first, err := t.first(ctx, cfg, e)
	if err != nil {
		t.log.LogAttrs(ctx, slog.LevelWarn, "what was told is not remembered", slog.Any("err", err))
	}
	if !first {
		return
	}
	told, errs := t.mail(ctx, cfg, texts, e)
	if cfg.WebhookFile != "" {
		told = append(told, "webhook")
		errs = append(errs, t.hook.add(e))
	}
	if err := errors.Join(errs...); err != nil {
		t.log.LogAttrs(ctx, slog.LevelError, "notice not sent to all", slog.String("kind", string(e.Kind)), slog.String("user", e.User), slog.Any("err", err))
	}
	r := journal.Record{Time: e.Time, Daemon: "notice", Event: string(e.Kind), User: e.User, Verdict: "told",
		Facts: []journal.Fact{{Key: "title", Value: e.Title}}}
	for _, to := range told {
		r.Facts = append(r.Facts, journal.Fact{Key: "to", Value: to})
	}
	for _, l := range e.Lines {
		r.Facts = append(r.Facts, journal.Fact{Key: "evidence", Value: l})
	}
	t.deps.Journal.Record(r)
}

// first reports whether e was not told within its window, and remembers it. A
// state that is away tells rather than keeps silent.
func (t *Teller) first(ctx context.Context, cfg Config, e Event) (bool, error) {
	window := e.Window
	if window <= 0 {
		window = cfg.Window.Std()
	}
	key := "notice/" + string(e.Kind) + "/" + strings.ToLower(e.Key)
	key = key[:min(len(key), state.MaxKeyBytes)]
	_, err := t.deps.State.Get(ctx, state.Limit, key)
	switch {
	case err == nil:
		return false, nil
	case !errors.Is(err, state.ErrNotFound):
		return true, err
	}
	return true, t.deps.State.Put(ctx, state.Limit, state.Entry{Key: key, Expires: time.Now().Add(min(window, state.MaxWindow))}, false)
}

// mail puts a message for each reader into the spool, and returns who they are.
func (t *Teller) mail(ctx context.Context, cfg Config, texts texts, e Event) (told []string, errs []error) {
	if !t.deps.Mail.On() {
		if len(cfg.To) > 0 && time.Since(t.warned) > 24*time.Hour {
			t.warned = time.Now()
			t.log.LogAttrs(ctx, slog.LevelWarn, "notices are not mailed: outgoing.address is not set")
		}
		return nil, nil
	}
	one := func(to mailaddr.Address, r reader) {
		text, err := render(texts[name(e.Kind, r)], e)
		if err == nil {
			var m outgoing.Mail
			if m, err = mailOf(cfg.from(), to, cfg.Hostname, text, e.Time); err == nil {
				err = t.deps.Mail.Add(m)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("to %s: %w", to, err))
			return
		}
		told = append(told, to.String())
	}
	if texts[name(e.Kind, admin)] == nil {
		return nil, []error{fmt.Errorf("there is no text for %q", e.Kind)}
	}
	for _, to := range cfg.To {
		if !e.UserOnly {
			one(to, admin)
		}
	}
	if to, err := mailaddr.Parse(e.User); err == nil && to.Domain != "" && cfg.Users && !e.AdminOnly {
		one(to, user)
	}
	return told, errs
}

// post sends what waits for the webhook.
func (t *Teller) post(ctx context.Context) {
	t.mu.Lock()
	path := t.cfg.WebhookFile
	t.mu.Unlock()
	if path == "" {
		t.hook.pending = nil
		return
	}
	err := t.hook.send(ctx, func() (secret.Value, error) { return readURL(path) })
	if err == nil && t.hook.dropped == t.dropped {
		return
	}
	t.log.LogAttrs(ctx, slog.LevelWarn, "webhook not told", slog.Uint64("dropped", t.hook.dropped-t.dropped), slog.Int("waiting", len(t.hook.pending)), slog.Any("err", err))
	t.dropped = t.hook.dropped
}
