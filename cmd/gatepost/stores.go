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
	"github.com/gatepost/gatepost/internal/backup"
	"github.com/gatepost/gatepost/internal/classify"
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
	"github.com/gatepost/gatepost/internal/state/redis"
	"github.com/gatepost/gatepost/internal/state/shared"
	"github.com/gatepost/gatepost/internal/stated"
	"github.com/gatepost/gatepost/internal/tail"
	"github.com/gatepost/gatepost/policyd"
)

// stores is what the daemons share: what lies on disk, or in the process that
// has it, and the parts that live over it.
type stores struct {
	accounts   account.Backend
	rates      *account.Limits
	state      state.Store
	journal    recorder
	keys       signer
	learn      learner
	quarantine quarantiner
	guard      *guard.Guard
	limiter    *limit.Limiter
	metrics    *metric.Set
	dns        *resolver.Resolver
	memory     *known.Memory
	greylist   *greylist.Greylist
	listed     clientLists
	senders    *senders

	// own is what only the process has that opened the files; nil in one that asks
	// that process, and remote is who it asks.
	own    *own
	remote *stated.Client

	// uncounted tells of mail that no limit saw; nil where no daemon runs.
	uncounted func() []limit.Uncounted

	// limits are the limits of the configuration in force, for lists.
	limits atomic.Pointer[[]limit.Limit]
	open   []io.Closer
}

// own is what is on disk, and what works on it alone.
type own struct {
	// state is this host's; shared is that of all hosts over it and over redis,
	// both nil without Redis.
	state      *state.SQLite
	shared     *shared.Store
	redis      *redis.Store
	hub        *stated.Hub
	backup     *backup.Source
	journal    *journal.Journal
	keys       *keys.Store
	learn      *learn.Learner
	quarantine *quarantine.Store
	sinks      *sink.Sinks
	logs       *tail.Logs
	// freshDNS keeps no answer: "dkim test" and a rotation see what is published
	// now.
	freshDNS *resolver.Resolver
	writable lastLook // at the account store

	// seal is the domain whose key the milter gets in the split shape.
	seal atomic.Pointer[string]
	// srs is held while the keys of senders are read, and made where there are none.
	srs sync.Mutex
}

// recorder is the journal as daemons have it.
type recorder interface {
	Record(r journal.Record)
	Flush(ctx context.Context) error
	Reconfigure(cfg journal.Config)
	Dropped() uint64
	Queued() int
}

// signer has the signing keys.
type signer interface {
	Active(domain string) []keys.Key
	Waiting(domain string) bool
	Sign(signers []keys.Key, msg io.Reader) ([]string, error)
	Reload() error
	Reconfigure(cfg keys.Config)
}

// learner is the learned filter, for mail and for what users move.
type learner interface {
	Score(f *classify.Features) classify.Score
	Keep(t learn.Trace, f *classify.Features)
	NoteFiled(base string, junk bool)
	Filed(ctx context.Context, base string) (junk, ok bool)
	Learn(ctx context.Context, w learn.Wish) (learn.Result, error)
	Seen(ctx context.Context, mailbox string) ([]byte, error)
	SetSeen(ctx context.Context, mailbox string, seen []byte) error
	ReportWatch(s learn.WatchStatus)
	Reconfigure(cfg learn.Config)
}

// quarantiner takes messages that nobody is to have.
type quarantiner interface {
	Put(ctx context.Context, e quarantine.Entry, msg io.Reader) (string, error)
}

func newStores(cfg Config) *stores {
	s := &stores{metrics: metric.New(version)}
	active := cfg.Policyd.ActiveLimits()
	s.limits.Store(&active)
	return s
}

// openStores opens everything below the data directory. On an error what was
// opened is closed again.
func openStores(ctx context.Context, cfg Config, log *slog.Logger) (*stores, error) {
	s := newStores(cfg)
	s.own = &own{}
	s.own.seal.Store(&cfg.Milter.ARCSeal)
	if err := s.openAll(ctx, cfg, log); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.measure()
	s.measureOwn()
	s.measureShared()
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
	if err := s.openFiles(ctx, cfg, log); err != nil {
		return err
	}
	fresh := cfg.Resolver
	fresh.CacheSize = 0
	if s.own.freshDNS, err = resolver.New(fresh, log); err != nil {
		return err
	}
	if err := s.overState(cfg, log); err != nil {
		return err
	}
	if s.senders, err = newSenders(ctx, cfg.senders(), s, cfg.DataDirectory, log); err != nil {
		return err
	}
	s.senders.measure(s)
	return s.openGuard(ctx, cfg, log)
}

// openFiles opens what is on disk.
func (s *stores) openFiles(ctx context.Context, cfg Config, log *slog.Logger) (err error) {
	o := s.own
	in := func(name string) string { return filepath.Join(cfg.DataDirectory, name) }
	if o.journal, err = journal.Open(ctx, in("journal.db"), cfg.Journal, log); err != nil {
		return err
	}
	s.journal, s.open = o.journal, append(s.open, o.journal)
	o.backup = &backup.Source{Dir: cfg.DataDirectory, Flush: []func(context.Context) error{o.journal.Flush}}
	if s.accounts, err = openAccounts(ctx, cfg, in("accounts.db"), log); err != nil {
		return err
	}
	s.open = append(s.open, s.accounts)
	s.rates = account.NewLimits(s.accounts)
	if err = s.openState(ctx, cfg, in("state.db"), log); err != nil {
		return err
	}
	if err = s.openLearn(ctx, cfg, log); err != nil {
		return err
	}
	if o.quarantine, err = quarantine.Open(in("quarantine"), cfg.Quarantine, log); err != nil {
		return err
	}
	s.quarantine = o.quarantine
	if o.keys, err = keys.Open(cfg.dkimDirectory(), log); err != nil {
		return err
	}
	o.keys.Reconfigure(cfg.DKIM)
	s.keys = o.keys
	return nil
}

// overState makes what lives over the state and asks the DNS.
func (s *stores) overState(cfg Config, log *slog.Logger) (err error) {
	if s.dns, err = resolver.New(cfg.Resolver, log); err != nil {
		return err
	}
	s.limiter = limit.New(s.state)
	s.memory = known.New(s.state)
	s.greylist, err = greylist.New(cfg.Policyd.GreylistConfig(), greylist.Deps{
		State: s.state, Correspondence: s.memory,
		Authenticator: policyd.NewOrganizations(s.dns),
		Mailboxes:     policyd.NewMailboxes(s.accounts, cfg.RecipientDelimiter),
		Listed:        &s.listed,
	}, log)
	return err
}

// openGuard makes the guard with who it tells, and who tells it.
func (s *stores) openGuard(ctx context.Context, cfg Config, log *slog.Logger) (err error) {
	out := &outlet{}
	if s.guard, err = guard.New(ctx, cfg.Guard, s.guardDeps(cfg, out.changed), log); err != nil {
		return err
	}
	o := s.own
	if o.sinks, err = newSinks(cfg, s.guard, log); err != nil {
		return err
	}
	out.sinks.Store(o.sinks)
	if o.logs, err = newTail(cfg.WatchLogs, cfg.DataDirectory, s.guard, log); err != nil {
		return err
	}
	measureSinks(s.metrics, o.sinks, o.logs)
	return nil
}

// guardDeps is what a guard asks and tells. changed may be nil.
func (s *stores) guardDeps(cfg Config, changed func(guard.Change)) guard.Deps {
	host := "" // nobody asks which one it was where there is one
	if cfg.Redis.Enabled() {
		host = cfg.Hostname
	}
	return guard.Deps{
		State: s.state, Journal: s.journal, Own: ownAddresses, Told: s.senders.guessed,
		Country: func(a netip.Addr) string { return s.senders.places.Load().Find(a).Country },
		Changed: changed, Host: host,
	}
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

// measure adds what every process counts to the metrics.
func (s *stores) measure() {
	s.measureDaemons()
	s.metrics.Counter("gatepost_journal_dropped_total", "Journal records dropped because the disk did not follow.",
		func() float64 { return float64(s.journal.Dropped()) })
	s.metrics.Gauge("gatepost_journal_queue_records", "Journal records that wait for the disk.",
		func() float64 { return float64(s.journal.Queued()) })
	s.metrics.Counter("gatepost_guard_dropped_total", "Networks that the guard forgot because its tables were full.",
		func() float64 { return float64(s.guard.Stats().Dropped) })
	s.metrics.Gauge("gatepost_guard_waiting", "Logins that wait for guesses from their network which are under way.",
		func() float64 { return float64(s.guard.Stats().Waiting) })
	s.metrics.Gauge("gatepost_guard_proven", "Pairs of account and network that proved themselves lately.",
		func() float64 { return float64(s.guard.Stats().Proven) })
}

// measureOwn adds what the files count.
func (s *stores) measureOwn() {
	s.metrics.Gauge("gatepost_state_behind_rows", "Rows of the state that wait for the disk.",
		func() float64 { return float64(s.own.state.Stats().Behind) })
	for _, t := range state.Tables {
		s.metrics.Gauge("gatepost_state_"+string(t)+"_entries", "Entries in memory of this table of the state.",
			func() float64 { return float64(s.own.state.Stats().Tables[t].Entries) })
		s.metrics.Counter("gatepost_state_"+string(t)+"_evicted_total", "Entries that went before their time because this table was full.",
			func() float64 { return float64(s.own.state.Stats().Tables[t].Evicted) })
	}
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

// backend is what the admin socket serves of stores that were opened here.
func (s *stores) backend() admin.Backend {
	return admin.Backend{
		Accounts:   s.accounts,
		Keys:       s.own.keys,
		Learn:      s.own.learn,
		Quarantine: s.own.quarantine,
		DNS:        s.own.freshDNS,
		Guard:      s.guard,
		Hold:       s.senders.keeper,
		Signals:    s.senders.own,
		Limits:     limitDesk{Limiter: s.limiter, limits: func() []limit.Limit { return *s.limits.Load() }, stored: s.rates, uncounted: s.uncounted},
		Greylist:   s.greylist,
		Journal:    s.own.journal,
		Metrics:    s.metrics.Handler(),
		State:      stateDesk{local: s.own.state, shared: s.own.shared, redis: s.own.redis},
		Backup:     s.own.backup,
	}
}
