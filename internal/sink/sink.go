package sink

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/firewall"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// Ban is what a sink hears of one.
type Ban struct {
	ID       string       `json:"id"`
	Network  netip.Prefix `json:"network"`
	Services []string     `json:"services"`
	Reason   string       `json:"reason"`
	Since    time.Time    `json:"since"`
	Until    time.Time    `json:"until"`
}

// Change is one ban that was made, or lifted before its time.
type Change struct {
	Ban    Ban
	Lifted bool
	// Observed says that the guard itself does not obey the ban.
	Observed bool
}

// errKnown marks a ban that a sink can not carry and never will: it is no
// reason to try again.
var errKnown = errors.New("not for this sink")

// carrier is one kind of sink.
type carrier interface {
	// apply carries one change.
	apply(ctx context.Context, c Change) error
	// sync makes these bans hold and no others.
	sync(ctx context.Context, all []Ban) error
	close() error
}

// Bounds of a worker.
const (
	maxQueue  = 1024
	firstRest = time.Second
	lastRest  = time.Minute
	// syncEvery is how often the whole list is carried without a reason: what
	// somebody else took away comes back.
	syncEvery = 10 * time.Minute
)

// Stats are figures for the metrics.
type Stats struct {
	// Name is that of the setting: nftables, command or webhook.
	Name string
	Mode unit.Mode
	// Waiting is what is in the queue now.
	Waiting int
	// Carried and Failed count changes, Synced counts whole lists, Overrun how
	// often the queue ran over.
	Carried, Failed, Synced, Overrun uint64
	// Behind says that the sink does not have what the guard has.
	Behind bool
}

// worker feeds one sink.
type worker struct {
	name    string
	mode    unit.Mode
	carrier carrier
	queue   chan Change
	kick    chan struct{}
	// stale says that the whole list is needed.
	stale atomic.Bool

	carried, failed, synced, overrun atomic.Uint64
}

// Sinks carries changes to all sinks that are not off.
type Sinks struct {
	workers []*worker
	bans    func(context.Context) ([]Ban, error)
	log     *slog.Logger
	// unused is the socket of a firewall that is not to have bans of ours.
	unused string
}

// New returns Sinks. bans lists all bans that hold, those aside that the guard
// only observes.
func New(cfg Config, bans func(context.Context) ([]Ban, error), log *slog.Logger) (*Sinks, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Sinks{bans: bans, log: log}
	if cfg.Nftables.Mode != unit.Enforce {
		s.unused = cfg.Nftables.Socket
	}
	if cfg.Nftables.Mode != unit.Off {
		s.add("nftables", cfg.Nftables.Mode, newNftables(cfg.Nftables))
	}
	if cfg.Command.Mode != unit.Off {
		s.add("command", cfg.Command.Mode, newCommand(cfg.Command))
	}
	if cfg.Webhook.Mode != unit.Off {
		w, err := newWebhook(cfg.Webhook)
		if err != nil {
			return nil, err
		}
		s.add("webhook", cfg.Webhook.Mode, w)
	}
	return s, nil
}

func (s *Sinks) add(name string, mode unit.Mode, c carrier) {
	w := &worker{name: name, mode: mode, carrier: c, queue: make(chan Change, maxQueue), kick: make(chan struct{}, 1)}
	w.stale.Store(true) // a sink begins with the whole list
	s.workers = append(s.workers, w)
}

// Changed takes a change. It never blocks.
func (s *Sinks) Changed(c Change) {
	if c.Observed && !c.Lifted {
		return
	}
	c.Ban.Services = slices.Clone(c.Ban.Services)
	for _, w := range s.workers {
		select {
		case w.queue <- c:
		default:
			w.overrun.Add(1)
			w.stale.Store(true)
		}
	}
}

// Resync makes each sink take the whole list again, as when the guard begins to
// obey what it only observed. It never blocks.
func (s *Sinks) Resync() {
	for _, w := range s.workers {
		w.stale.Store(true)
		select {
		case w.kick <- struct{}{}:
		default: // it knows
		}
	}
}

// Stats returns the figures of each sink that is not off.
func (s *Sinks) Stats() []Stats {
	var all []Stats
	for _, w := range s.workers {
		all = append(all, Stats{Name: w.name, Mode: w.mode, Waiting: len(w.queue), Carried: w.carried.Load(), Failed: w.failed.Load(),
			Synced: w.synced.Load(), Overrun: w.overrun.Load(), Behind: w.stale.Load()})
	}
	return all
}

// Run carries changes until ctx ends. It returns when all sinks are done with
// what they had in hand. Bans stay where they were carried.
func (s *Sinks) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.clear(ctx) })
	for _, w := range s.workers {
		wg.Go(func() { s.run(ctx, w) })
	}
	wg.Wait()
}

// clear takes our table out of the firewall when the setting was enforce before.
// Without a helper there was none.
func (s *Sinks) clear(ctx context.Context) {
	if _, err := os.Stat(s.unused); s.unused == "" || err != nil {
		return
	}
	c := firewall.NewClient(s.unused)
	if err := errors.Join(c.Off(ctx), c.Close()); err != nil {
		s.log.LogAttrs(ctx, slog.LevelDebug, "firewall not asked to forget our bans", slog.Any("err", err))
	}
}

func (s *Sinks) run(ctx context.Context, w *worker) {
	defer func() {
		if err := w.carrier.close(); err != nil {
			s.log.LogAttrs(ctx, slog.LevelDebug, "close a ban sink", slog.String("rule", w.name), slog.Any("err", err))
		}
	}()
	every := time.NewTicker(syncEvery)
	defer every.Stop()
	rest := time.Duration(0)
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			w.stale.Store(true)
		case <-w.kick:
		case c := <-w.queue:
			// Without that the whole list comes, and has it.
			if !w.stale.Load() && s.apply(ctx, w, c) != nil {
				rest = s.later(w, wait, rest)
			}
		case <-wait.C:
			if !w.stale.Load() {
				break
			}
			if s.sync(ctx, w) == nil {
				rest = 0
			} else {
				rest = s.later(w, wait, rest)
			}
		}
		if w.stale.Load() && rest == 0 {
			wait.Reset(0)
		}
	}
}

// later says when the whole list is tried again.
func (s *Sinks) later(w *worker, wait *time.Timer, rest time.Duration) time.Duration {
	w.stale.Store(true)
	rest = min(max(2*rest, firstRest), lastRest)
	wait.Reset(rest)
	return rest
}

// apply carries one change and says so once.
func (s *Sinks) apply(ctx context.Context, w *worker, c Change) error {
	var err error
	if w.mode == unit.Enforce {
		err = w.carrier.apply(ctx, c)
	}
	level, action, message := slog.LevelInfo, "ban", "ban carried to a sink"
	if c.Lifted {
		action = "lift"
	}
	switch {
	case errors.Is(err, errKnown):
		level, message = slog.LevelDebug, "ban is not for this sink"
	case err != nil:
		w.failed.Add(1)
		if ctx.Err() != nil {
			return err
		}
		level, message = slog.LevelWarn, "ban not carried to a sink, all bans follow later"
	case w.mode == unit.Observe:
		message = "ban would be carried to a sink"
		w.carried.Add(1)
	default:
		w.carried.Add(1)
	}
	s.log.LogAttrs(ctx, level, message, slog.String("rule", w.name), slog.String("verdict", action),
		slog.String("ban", c.Ban.ID), slog.String("network", netaddr.String(c.Ban.Network)), slog.Any("services", c.Ban.Services),
		slog.Time("until", c.Ban.Until), slog.Any("err", err))
	if errors.Is(err, errKnown) {
		return nil
	}
	return err
}

// sync carries the whole list. What is in the queue by then is part of it.
func (s *Sinks) sync(ctx context.Context, w *worker) error {
	w.stale.Store(false) // before the list is read: what comes after it is new
	for range len(w.queue) {
		<-w.queue
	}
	all, err := s.bans(ctx)
	if err == nil && w.mode == unit.Enforce {
		err = w.carrier.sync(ctx, all)
	}
	if err != nil {
		w.failed.Add(1)
		if ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "ban sink is away, all bans follow later", slog.String("rule", w.name), slog.Int("bans", len(all)), slog.Any("err", err))
		}
		return err
	}
	message := "ban sink has all bans"
	if w.mode == unit.Observe {
		message = "ban sink would have all bans"
	}
	level := slog.LevelInfo
	if w.synced.Add(1) > 1 {
		level = slog.LevelDebug
	}
	s.log.LogAttrs(ctx, level, message, slog.String("rule", w.name), slog.Int("bans", len(all)))
	return nil
}

// left returns how long b holds from now on, in whole seconds, at least one.
func (b Ban) left() time.Duration {
	return max(time.Until(b.Until).Round(time.Second), time.Second)
}

// longest returns the n bans that last longest.
func longest(all []Ban, n int) []Ban {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Ban) int { return b.Until.Compare(a.Until) })
	return all[:min(n, len(all))]
}
