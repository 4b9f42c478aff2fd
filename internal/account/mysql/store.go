package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/memo"
	"github.com/gatepost/gatepost/internal/account/use"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

const (
	// pollEvery is how often each host is asked for its version.
	pollEvery = 500 * time.Millisecond
	// pollTime bounds that.
	pollTime = 1500 * time.Millisecond
	// migrateTime bounds a statement of a migration.
	migrateTime = 2 * time.Minute
)

// errNotReady means that no server has answered since the start.
var errNotReady = errors.New("no account server has answered since the start")

// Store is an account.Backend on MariaDB or MySQL servers.
type Store struct{ reader }

var _ account.Backend = (*Store)(nil)

// core is what the views of a store share.
type core struct {
	cfg    Config
	own    bool // the schema is ours
	tables ownTables
	look   statements
	theirs theirQueries
	hosts  *hosts
	clock  *clock
	log    *slog.Logger
	uses   *use.Uses
	remembered

	ready atomic.Bool
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// remembered are the answers that are kept.
type remembered struct {
	domains   *memo.Cache[string, account.Domain]
	users     *memo.Cache[mailaddr.Address, account.User]
	aliases   *memo.Cache[mailaddr.Address, account.Alias]
	grants    *memo.Cache[mailaddr.Address, []mailaddr.Address]
	grantees  *memo.Cache[mailaddr.Address, []mailaddr.Address]
	postings  *memo.Cache[mailaddr.Address, account.Posting]
	apps      *memo.Cache[mailaddr.Address, []account.AppPassword]
	standings *memo.Cache[mailaddr.Address, account.Standing]
	marked    *memo.Cache[mailaddr.Address, marks]
}

func newRemembered(rows int) remembered {
	return remembered{
		domains:   memo.New[string, account.Domain](rows),
		users:     memo.New[mailaddr.Address, account.User](rows),
		aliases:   memo.New[mailaddr.Address, account.Alias](rows),
		grants:    memo.New[mailaddr.Address, []mailaddr.Address](rows),
		grantees:  memo.New[mailaddr.Address, []mailaddr.Address](rows),
		postings:  memo.New[mailaddr.Address, account.Posting](rows),
		apps:      memo.New[mailaddr.Address, []account.AppPassword](rows),
		standings: memo.New[mailaddr.Address, account.Standing](rows),
		marked:    memo.New[mailaddr.Address, marks](rows),
	}
}

// Open connects to the servers of cfg, and makes our tables or brings them up to
// date. A server that does not answer is no error: until it does, every call is
// one. A server that answers that something is wrong (no such database, another
// schema) is.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	if !cfg.On() {
		return nil, errors.New("accounts: mysql.hosts names no server")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	schema, err := cfg.schema()
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	c := &core{
		cfg: cfg, own: cfg.Schema == Own, tables: ownTables{cfg.OwnDBName}, clock: newClock(), log: log,
		uses: use.New(), remembered: newRemembered(cfg.CacheSize),
	}
	if c.tables.database == "" {
		c.tables.database = cfg.DBName
	}
	c.look = c.tables.statements()
	if !c.own {
		if c.theirs, err = newTheirQueries(schema); err != nil {
			return nil, fmt.Errorf("accounts: %w", err)
		}
	}
	if c.hosts, err = openHosts(cfg, c.clock, log); err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	if err := c.prepare(ctx); err != nil && !isAway(ctx, err) {
		stop()
		c.hosts.close()
		return nil, fmt.Errorf("accounts: %w", err)
	} else if err != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "account server does not answer, accounts begin without it", slog.Any("err", err))
	}
	for _, h := range c.hosts.all() {
		c.poll(background, h)
		c.done.Go(func() { c.watch(background, h) })
	}
	c.done.Go(func() { c.uses.Keep(background, c.writeUses, log) })
	return &Store{reader{core: c}}, nil
}

// Close implements account.Store.
func (s *Store) Close() error {
	s.stop()
	s.done.Wait()
	s.hosts.close()
	return nil
}

// prepare brings our tables up to date, and looks at the queries of a foreign
// schema. While the host for changes is away, another one that has our tables
// will do.
func (c *core) prepare(ctx context.Context) error {
	err := c.migrate(ctx)
	if err != nil && isAway(ctx, err) {
		all, stepsErr := steps(migrations)
		if stepsErr != nil {
			return stepsErr
		}
		for _, h := range c.hosts.all()[1:] {
			if n, otherErr := applied(ctx, h.db, c.tables, all); otherErr == nil && n == len(all) {
				err = c.theirs.check(ctx, h.db)
				break
			}
		}
	}
	if err == nil {
		c.ready.Store(true)
	}
	return err
}

// migrate does it on the host for changes, by connections that may take long,
// after a look whether it answers.
func (c *core) migrate(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout.Std()+slack)
	defer cancel()
	if err := c.hosts.write.db.PingContext(bounded); err != nil {
		return err
	}
	db, err := c.cfg.pool(c.hosts.write.name, migrateTime, true)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := migrate(ctx, db, c.tables); err != nil {
		return err
	}
	return c.theirs.check(ctx, db)
}

// watch asks a host for its version until ctx ends.
func (c *core) watch(ctx context.Context, h *host) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	told := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if h == c.hosts.write && !c.ready.Load() {
			err := c.prepare(ctx)
			if err != nil && !isAway(ctx, err) && !told && ctx.Err() == nil {
				told = true
				c.log.LogAttrs(ctx, slog.LevelError, "accounts can not be used", slog.Any("err", err))
			}
			if err != nil {
				continue
			}
		}
		c.poll(ctx, h)
	}
}

// poll learns which version a host has, and whether it answers.
func (c *core) poll(ctx context.Context, h *host) {
	_, before := c.clock.version()
	began := c.clock.now()
	bounded, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	var version uint64
	err := h.db.QueryRowContext(bounded, c.look.version).Scan(&version)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil && numberOf(err) == noSuchTable:
		version = 0 // a server that does not have our tables yet
	case err != nil && (isAway(ctx, err) || isShut(err)):
		c.hosts.fell(ctx, h, err)
		return
	case err != nil:
		// It answers, but nothing proves what is remembered.
		c.hosts.up(h)
		if !h.mute.Swap(true) {
			c.log.LogAttrs(ctx, slog.LevelError, "account server does not tell its version, so each look-up asks it",
				slog.String("host", h.name), slog.Any("err", err))
		}
		return
	}
	c.hosts.up(h)
	h.mute.Store(false)
	if h != c.hosts.write {
		h.applied.Store(version)
	} else if err == nil {
		c.clock.polled(before, version, began)
	}
}

// Writable implements account.Backend. It begins a change and takes it back.
func (s *Store) Writable(ctx context.Context) error {
	if !s.ready.Load() {
		return errNotReady
	}
	refused := errors.New("taken back")
	_, err := s.transact(ctx, func(context.Context, *sql.Tx) error { return refused })
	if err != nil && !errors.Is(err, refused) {
		return fmt.Errorf("accounts can not be written: %w", err)
	}
	return nil
}

// Fresh implements account.Backend.
func (s *Store) Fresh() account.Reader {
	view := reader{core: s.core, fresh: true}
	if s.own {
		return ownFresh{view, s}
	}
	return view
}

// ownFresh is the fresh view of passwords that are ours.
type ownFresh struct {
	reader
	account.Rehasher
}

var (
	_ account.AppUses  = reader{}
	_ account.Rehasher = ownFresh{}
)
