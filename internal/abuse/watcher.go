package abuse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/geo"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// Case is a verdict on an account, for who acts on it.
type Case struct {
	Account mailaddr.Address
	At      time.Time
	Verdict Verdict
	// Observed says that nothing is to be done: the mode is observe.
	Observed bool
}

// actor does what a verdict says. It is called from Run, one case at a time.
type actor interface {
	Act(ctx context.Context, c Case) error
}

// Deps are the parts that a Watcher uses. State and Act are needed.
type Deps struct {
	State store
	Act   actor
	// Resolve returns the account that a login is of; nil takes the login, which
	// is right where a detail cannot be part of a login.
	Resolve func(ctx context.Context, login mailaddr.Address) (mailaddr.Address, error)
	// Places tells the country of an address; nil watches no countries.
	Places func(a netip.Addr) geo.Place
}

// Watcher counts and judges. It is safe for concurrent use.
type Watcher struct {
	deps   Deps
	log    *slog.Logger
	cfg    atomic.Pointer[Config]
	queue  chan event
	missed atomic.Uint64

	mu       sync.Mutex // guards the fields below
	accounts map[string]*known
	sources  sources
	changed  bool // sources
	evicted  uint64
	told     time.Time // the log of toldOf evictions
	toldOf   uint64
}

// known is an account in memory.
type known struct {
	window window
	habit  Habit
	// usual is what habit gave in the hour usualAt.
	usual   Counts
	usualAt int64
	dirty   bool
	last    time.Time
	// acted is the last action, so that one verdict acts once.
	acted   Action
	actedAt time.Time
}

const (
	// queueLen is how many events wait: some seconds of a busy server.
	queueLen = 4096
	// flushEvery is how often habits are written.
	flushEvery = time.Minute
	// idle is after which quiet time an account leaves memory.
	idle = 2 * time.Hour
	// actEvery is how long one action on an account is not done again.
	actEvery = time.Hour
)

// New returns a Watcher over the habits in the state. It does nothing until Run
// runs.
func New(ctx context.Context, cfg Config, deps Deps, log *slog.Logger) (*Watcher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("abuse: %w", err)
	}
	w := &Watcher{deps: deps, log: log, queue: make(chan event, queueLen), accounts: map[string]*known{}}
	w.cfg.Store(&cfg)
	if err := w.readSources(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// Reconfigure takes new settings, which are valid.
func (w *Watcher) Reconfigure(cfg Config) { w.cfg.Store(&cfg) }

// Sent tells of a message that a logged-in user submitted. It never blocks, and
// the caller must not change what s holds afterwards; so with all hooks.
func (w *Watcher) Sent(s Sent) { w.offer(event{sent: &s}) }

// Refused tells of a recipient that was refused to a logged-in user.
func (w *Watcher) Refused(r Refused) { w.offer(event{refused: &r}) }

// Login tells of a login that succeeded.
func (w *Watcher) Login(l Login) { w.offer(event{login: &l}) }

// Bounced tells of a delivery status notification.
func (w *Watcher) Bounced(b Bounced) { w.offer(event{bounced: &b}) }

func (w *Watcher) offer(e event) {
	if w == nil || w.cfg.Load().Mode == unit.Off {
		return
	}
	select {
	case w.queue <- e:
	default:
		w.missed.Add(1)
	}
}

// Run judges what the hooks tell until ctx ends, then writes the habits. It
// returns nil.
func (w *Watcher) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case e := <-w.queue:
			w.one(ctx, e)
		case <-tick.C:
			w.tidy(ctx)
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			for len(w.queue) > 0 {
				w.one(end, <-w.queue)
			}
			w.flush(end)
			return nil
		}
	}
}

// one judges one event. A fault of ours costs that event.
func (w *Watcher) one(ctx context.Context, e event) {
	defer func() {
		if p := recover(); p != nil {
			w.log.LogAttrs(ctx, slog.LevelError, "sent mail not judged by a fault of ours",
				slog.Any("err", fmt.Errorf("panic: %v", p)), slog.String("stack", string(debug.Stack())))
		}
	}()
	c, err := w.take(ctx, e)
	if err != nil {
		w.log.LogAttrs(ctx, slog.LevelWarn, "sent mail not judged", slog.Any("err", err))
		return
	}
	if c == nil {
		return
	}
	if err := w.deps.Act.Act(ctx, *c); err != nil {
		w.log.LogAttrs(ctx, slog.LevelError, "account that looks stolen could not be dealt with",
			slog.String("user", c.Account.String()), slog.String("verdict", string(c.Verdict.Action)), slog.Any("err", err))
		w.again(c.Account.String())
	}
}

// again lets the next event of an account act anew.
func (w *Watcher) again(account string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if k := w.accounts[account]; k != nil {
		k.acted = Nothing
	}
}

// tidy writes habits and lets go of accounts that are quiet.
func (w *Watcher) tidy(ctx context.Context) {
	w.flush(ctx)
	now := time.Now()
	w.mu.Lock()
	for name, k := range w.accounts {
		if !k.dirty && now.Sub(k.last) > idle {
			delete(w.accounts, name)
		}
	}
	full := w.evicted > w.toldOf && now.Sub(w.told) > time.Hour
	if full {
		w.told, w.toldOf = now, w.evicted
	}
	w.mu.Unlock()
	if full {
		w.log.LogAttrs(ctx, slog.LevelWarn, "more accounts send than max_accounts has room for, their last hour is forgotten",
			slog.Int("max_accounts", w.cfg.Load().MaxAccounts))
	}
}

// flush writes the habits that changed.
func (w *Watcher) flush(ctx context.Context) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for name, k := range w.accounts {
		if !k.dirty {
			continue
		}
		if err := w.writeHabit(ctx, name, &k.habit, now); err != nil {
			errs = append(errs, err)
			break // the others fare no better; they stay dirty
		}
		k.dirty = false
	}
	if w.changed {
		errs = append(errs, w.writeSources(ctx, now))
		w.changed = false
	}
	if err := errors.Join(errs...); err != nil {
		w.log.LogAttrs(ctx, slog.LevelWarn, "habits of senders not written", slog.Any("err", err))
	}
}

// Stats are figures for metrics.
type Stats struct {
	// Accounts are in memory. Missed events found the queue full, Evicted
	// accounts went before their time.
	Accounts        int
	Missed, Evicted uint64
}

// Stats returns the figures of now.
func (w *Watcher) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Stats{Accounts: len(w.accounts), Missed: w.missed.Load(), Evicted: w.evicted}
}
