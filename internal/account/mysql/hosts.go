package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// errAway means that no server answers that may be asked.
var errAway = errors.New("no account server answers")

const (
	// retryDelay is how long a host that is down is left alone by look-ups. The
	// watch tries it besides.
	retryDelay = 250 * time.Millisecond
	// listTimes is how much longer a list may take than a look-up.
	listTimes = 10
	// listConnections bounds the lists that a host makes at once.
	listConnections = 2
)

// host is one server.
type host struct {
	name string
	// db answers look-ups, lists answers lists, and takes longer.
	db, lists *sql.DB
	// down is set while it does not answer.
	down atomic.Bool
	// retry is when a look-up may try it again though it is down, by time of the
	// process.
	retry atomic.Int64
	// mute is set while it answers, but not with its version.
	mute atomic.Bool
	// applied is the version that it has, for one that is only read.
	applied atomic.Uint64
}

// hosts are the servers of a store.
type hosts struct {
	read  []*host
	write *host
	next  atomic.Uint64 // which of read begins
	log   *slog.Logger
	clock *clock
}

// openHosts makes the pools. Nothing is connected yet.
func openHosts(cfg Config, clock *clock, log *slog.Logger) (*hosts, error) {
	h := &hosts{log: log, clock: clock}
	writeName := cfg.WriteHost
	if writeName == "" {
		writeName = cfg.Hosts[0]
	}
	names := append([]string{writeName}, cfg.Hosts...)
	var made []*host
	for i, name := range names {
		if at := slices.IndexFunc(made, func(m *host) bool { return m.name == name }); at >= 0 {
			h.read = append(h.read, made[at])
			continue
		}
		one, err := openHost(cfg, name, i == 0)
		if err != nil {
			h.close()
			return nil, err
		}
		made = append(made, one)
		if i == 0 {
			h.write = one
		} else {
			h.read = append(h.read, one)
		}
	}
	return h, nil
}

func openHost(cfg Config, name string, write bool) (*host, error) {
	limit := cfg.MaxStatementTime.Std()
	db, err := cfg.pool(name, limit, write)
	if err != nil {
		return nil, err
	}
	lists, err := cfg.pool(name, listTimes*limit, false)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	lists.SetMaxOpenConns(listConnections)
	lists.SetMaxIdleConns(1)
	return &host{name: name, db: db, lists: lists}, nil
}

// all lists each host once.
func (h *hosts) all() []*host {
	if h.write == nil {
		return nil
	}
	all := []*host{h.write}
	for _, r := range h.read {
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	return all
}

func (h *hosts) close() {
	for _, one := range h.all() {
		// Nothing is unwritten here, and a server that is gone is no news.
		_, _ = one.db.Close(), one.lists.Close()
	}
}

// candidates are the hosts to ask, the first one first: those to read from that
// have all changes up to a version, by turns, and then the one for changes. Only
// the latter is current beyond a version.
func (h *hosts) candidates(version uint64, current bool) []*host {
	if current || len(h.read) == 1 && h.read[0] == h.write {
		return []*host{h.write}
	}
	out := make([]*host, 0, len(h.read)+1)
	start := int(h.next.Add(1) % uint64(len(h.read)))
	for i := range h.read {
		one := h.read[(start+i)%len(h.read)]
		if one == h.write || one.applied.Load() >= version {
			out = append(out, one)
		}
	}
	if !slices.Contains(out, h.write) {
		out = append(out, h.write)
	}
	return out
}

// usable reports whether a host may be asked: it is up, or this call is the one
// that tries it.
func (h *hosts) usable(one *host) bool {
	if !one.down.Load() {
		return true
	}
	at, now := one.retry.Load(), h.clock.now()
	return now >= at && one.retry.CompareAndSwap(at, now+int64(retryDelay))
}

// demand is what a question wants of who answers.
type demand struct {
	// version is what a host has to have.
	version uint64
	// current wants the host for changes.
	current bool
	// doubt wants the host for changes to be asked before another one is believed
	// that a row is not there, if it can be; sure wants its word for that.
	doubt, sure bool
}

// ask calls fn with hosts until one answers.
func (h *hosts) ask(ctx context.Context, d demand, fn func(*host) error) error {
	failed, missing := errAway, error(nil)
	for _, one := range h.candidates(d.version, d.current) {
		if missing != nil && one != h.write || !h.usable(one) {
			continue
		}
		err := fn(one)
		if d.doubt && one != h.write && errors.Is(err, sql.ErrNoRows) {
			h.up(one)
			missing = err
			continue
		}
		if err == nil || !isAway(ctx, err) && !isShut(err) {
			if ctx.Err() == nil {
				h.up(one)
			}
			return err
		}
		h.fell(ctx, one, err)
		failed = fmt.Errorf("%w: %s: %w", errAway, one.name, err)
	}
	if missing != nil && !d.sure {
		return missing
	}
	return failed
}

// fell notes that a host does not answer.
func (h *hosts) fell(ctx context.Context, one *host, err error) {
	one.retry.Store(h.clock.now() + int64(retryDelay))
	if !one.down.Swap(true) {
		h.log.LogAttrs(ctx, slog.LevelWarn, "account server does not answer", slog.String("host", one.name), slog.Any("err", err))
	}
}

// up notes that a host answers.
func (h *hosts) up(one *host) {
	if one.down.Load() && one.down.Swap(false) {
		h.log.LogAttrs(context.Background(), slog.LevelInfo, "account server answers again", slog.String("host", one.name))
	}
}
