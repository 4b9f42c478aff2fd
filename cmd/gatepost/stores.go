package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/greylist"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/known"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/metric"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/sink"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/tail"
	"github.com/gatepost/gatepost/policyd"
)

// stores is what lies on disk, and the parts that live over it.
type stores struct {
	accounts   *account.SQLite
	rates      *account.Limits
	state      *state.SQLite
	journal    *journal.Journal
	keys       *keys.Store
	learn      *learn.Learner
	quarantine *quarantine.Store
	guard      *guard.Guard
	sinks      *sink.Sinks
	logs       *tail.Logs
	limiter    *limit.Limiter
	metrics    *metric.Set
	dns        *resolver.Resolver
	// freshDNS keeps no answer: "dkim test" and a rotation see what is published
	// now.
	freshDNS *resolver.Resolver

	writable lastLook // at the account store

	memory   *known.Memory
	greylist *greylist.Greylist
	listed   clientLists
	senders  *senders
	// uncounted tells of mail that no limit saw; nil where no daemon runs.
	uncounted func() []limit.Uncounted

	// limits are the limits of the configuration in force, for lists.
	limits atomic.Pointer[[]limit.Limit]
	open   []io.Closer
}

// openStores opens everything below the data directory. On an error what was
// opened is closed again.
func openStores(ctx context.Context, cfg Config, log *slog.Logger) (*stores, error) {
	s := &stores{metrics: metric.New(version)}
	active := cfg.Policyd.ActiveLimits()
	s.limits.Store(&active)
	if err := s.openAll(ctx, cfg, log); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.measure()
	return s, nil
}

func (s *stores) openAll(ctx context.Context, cfg Config, log *slog.Logger) (err error) {
	for _, dir := range []string{"spool", "dkim"} {
		if err := os.MkdirAll(filepath.Join(cfg.DataDirectory, dir), 0o700); err != nil {
			return err
		}
	}
	if err := emptySpool(filepath.Join(cfg.DataDirectory, "spool")); err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(cfg.DataDirectory, name) }
	if s.journal, err = journal.Open(ctx, in("journal.db"), cfg.Journal, log); err != nil {
		return err
	}
	s.open = append(s.open, s.journal)
	if s.accounts, err = account.OpenSQLite(ctx, in("accounts.db"), log); err != nil {
		return err
	}
	s.open = append(s.open, s.accounts)
	s.rates = account.NewLimits(s.accounts)
	if s.learn, err = learn.Open(ctx, cfg.DataDirectory, cfg.Learn, &mailboxes{accounts: s.accounts}, log); err != nil {
		return err
	}
	s.open = append(s.open, s.learn)
	if s.quarantine, err = quarantine.Open(in("quarantine"), cfg.Quarantine, log); err != nil {
		return err
	}
	if s.state, err = state.OpenSQLite(ctx, in("state.db"), log); err != nil {
		return err
	}
	s.open = append(s.open, s.state)
	if s.keys, err = keys.Open(cfg.dkimDirectory(), log); err != nil {
		return err
	}
	s.keys.Reconfigure(cfg.DKIM)
	if s.dns, err = resolver.New(cfg.Resolver, log); err != nil {
		return err
	}
	fresh := cfg.Resolver
	fresh.CacheSize = 0
	if s.freshDNS, err = resolver.New(fresh, log); err != nil {
		return err
	}
	s.limiter = limit.New(s.state)
	s.memory = known.New(s.state)
	if s.greylist, err = greylist.New(cfg.Policyd.GreylistConfig(), greylist.Deps{
		State: s.state, Correspondence: s.memory,
		Authenticator: policyd.NewOrganizations(s.dns),
		Mailboxes:     policyd.NewMailboxes(s.accounts, cfg.RecipientDelimiter),
		Listed:        &s.listed,
	}, log); err != nil {
		return err
	}
	if s.senders, err = newSenders(ctx, cfg.senders(), s, cfg.DataDirectory, log); err != nil {
		return err
	}
	s.senders.measure(s)
	return s.openGuard(ctx, cfg, log)
}

// openGuard makes the guard with who it tells, and who tells it.
func (s *stores) openGuard(ctx context.Context, cfg Config, log *slog.Logger) (err error) {
	out := &outlet{}
	s.guard, err = guard.New(ctx, cfg.Guard, guard.Deps{
		State: s.state, Journal: s.journal, Own: ownAddresses, Told: s.senders.guessed,
		Country: func(a netip.Addr) string { return s.senders.places.Load().Find(a).Country },
		Changed: out.changed,
	}, log)
	if err != nil {
		return err
	}
	if s.sinks, err = newSinks(cfg.BanSinks, cfg.RuntimeDirectory, s.guard, log); err != nil {
		return err
	}
	out.sinks.Store(s.sinks)
	if s.logs, err = newTail(cfg.WatchLogs, cfg.DataDirectory, s.guard, log); err != nil {
		return err
	}
	measureSinks(s.metrics, s.sinks, s.logs)
	return nil
}

// ownAddresses returns the addresses of this host's interfaces.
func ownAddresses() (all []netip.Addr) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, p.Addr())
		}
	}
	return all
}

// emptySpool removes what a process left that was killed between making a spool
// file and unlinking it. Nothing was promised for it.
func emptySpool(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "gatepost-*"))
	if err != nil {
		return fmt.Errorf("empty spool: %w", err)
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("empty spool: %w", err)
		}
	}
	return nil
}

// measure adds what the stores count themselves to the metrics.
func (s *stores) measure() {
	s.measureDaemons()
	s.metrics.Counter("gatepost_journal_dropped_total", "Journal records dropped because the disk did not follow.",
		func() float64 { return float64(s.journal.Dropped()) })
	s.metrics.Gauge("gatepost_journal_queue_records", "Journal records that wait for the disk.",
		func() float64 { return float64(s.journal.Queued()) })
	s.metrics.Gauge("gatepost_state_behind_rows", "Rows of the state that wait for the disk.",
		func() float64 { return float64(s.state.Stats().Behind) })
	for _, t := range state.Tables {
		s.metrics.Gauge("gatepost_state_"+string(t)+"_entries", "Entries in memory of this table of the state.",
			func() float64 { return float64(s.state.Stats().Tables[t].Entries) })
		s.metrics.Counter("gatepost_state_"+string(t)+"_evicted_total", "Entries that went before their time because this table was full.",
			func() float64 { return float64(s.state.Stats().Tables[t].Evicted) })
	}
	s.metrics.Counter("gatepost_guard_dropped_total", "Networks that the guard forgot because its tables were full.",
		func() float64 { return float64(s.guard.Stats().Dropped) })
	s.metrics.Gauge("gatepost_guard_waiting", "Logins that wait for guesses from their network which are under way.",
		func() float64 { return float64(s.guard.Stats().Waiting) })
	s.metrics.Gauge("gatepost_guard_proven", "Pairs of account and network that proved themselves lately.",
		func() float64 { return float64(s.guard.Stats().Proven) })
}

// lookEvery is how long the answer of a look that costs a write is kept.
const lookEvery = 10 * time.Second

// lastLook keeps what the last look found.
type lastLook struct {
	mu  sync.Mutex // guards the fields below
	at  time.Time
	err error
}

// look returns what f found, at most lookEvery ago.
func (l *lastLook) look(ctx context.Context, f func(context.Context) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.at) >= lookEvery {
		l.err = f(ctx)
		if l.at = now; ctx.Err() != nil {
			l.at = time.Time{} // who asked did not wait for the answer
		}
	}
	return l.err
}

// close closes in the reverse order of opening.
func (s *stores) close() error {
	var errs []error
	for i := len(s.open) - 1; i >= 0; i-- {
		errs = append(errs, s.open[i].Close())
	}
	return errors.Join(errs...)
}

// backend is what the admin socket serves of the stores.
func (s *stores) backend() admin.Backend {
	return admin.Backend{
		Accounts:   s.accounts,
		Keys:       s.keys,
		Learn:      s.learn,
		Quarantine: s.quarantine,
		DNS:        s.freshDNS,
		Guard:      s.guard,
		Hold:       s.senders.keeper,
		Signals:    s.senders.watcher,
		Limits:     limitDesk{Limiter: s.limiter, limits: func() []limit.Limit { return *s.limits.Load() }, stored: s.rates, uncounted: s.uncounted},
		Greylist:   s.greylist,
		Journal:    s.journal,
		Metrics:    s.metrics.Handler(),
	}
}
