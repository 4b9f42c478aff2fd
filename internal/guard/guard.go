package guard

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// Errors of Add and Remove.
var (
	// ErrNotFound means that no ban has exactly that network.
	ErrNotFound = errors.New("no such ban")
	// ErrInvalid means that a ban cannot be made so.
	ErrInvalid = errors.New("not valid")
)

// store is what the guard needs of the state.
type store interface {
	Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error
	Delete(ctx context.Context, t state.Table, key string) error
	List(ctx context.Context, t state.Table, prefix string) ([]state.Entry, error)
}

type recorder interface{ Record(journal.Record) }

// Deps are the parts that a Guard uses. Both are needed.
type Deps struct {
	State   store
	Journal recorder
}

// Guard counts failures and keeps bans. It is safe for concurrent use.
type Guard struct {
	cfg     atomic.Pointer[Config]
	state   store
	journal recorder
	log     *slog.Logger
	key     [32]byte
	dropped atomic.Uint64

	mu sync.Mutex
	// counts and bans are guarded by mu, warned too.
	counts *counts
	bans   *bans
	warned time.Time
}

// storeTimeout bounds how long an answer waits for a ban to be durable. The
// ban holds in memory before.
const storeTimeout = 2 * time.Second

// New returns a Guard with the bans that state has. A state that cannot be
// read is an error: starting without bans would let the banned in.
func New(ctx context.Context, cfg Config, deps Deps, log *slog.Logger) (*Guard, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	g := &Guard{state: deps.State, journal: deps.Journal, log: log, counts: newCounts(), bans: newBans()}
	g.cfg.Store(&cfg)
	_, _ = rand.Read(g.key[:]) // it never returns an error
	entries, err := deps.State.List(ctx, state.Ban, "")
	if err != nil {
		return nil, fmt.Errorf("read bans: %w", err)
	}
	now := time.Now()
	for _, e := range entries {
		b, err := banOf(e)
		if err != nil {
			log.LogAttrs(ctx, slog.LevelWarn, "ban ignored", slog.Any("err", err))
			continue
		}
		g.bans.put(b, now, cfg.MaxNetworks)
	}
	return g, nil
}

// Reconfigure takes new settings, which are valid. Bans that hold go on.
func (g *Guard) Reconfigure(cfg Config) { g.cfg.Store(&cfg) }

// Mode returns the mode of now: a ban bites in enforce only, one that a person
// added too.
func (g *Guard) Mode() unit.Mode { return g.cfg.Load().Mode }

// Check says whether a login from addr may be looked at. It asks memory only.
func (g *Guard) Check(_ context.Context, a Attempt) Decision {
	cfg := g.cfg.Load()
	addr := a.Addr.Unmap().WithZone("")
	if cfg.Mode == unit.Off || cfg.ignores(addr) {
		return Decision{}
	}
	g.mu.Lock()
	b, ok := g.bans.find(addr, time.Now())
	g.mu.Unlock()
	return decision(cfg.Mode, b, ok)
}

func decision(mode unit.Mode, b Ban, found bool) Decision {
	if !found {
		return Decision{}
	}
	return Decision{Refuse: mode == unit.Enforce, Observed: mode == unit.Observe, Ban: b}
}

// fail counts a failure. When it bans the network, the ban holds before fail
// returns, and is durable unless the state is away.
func (g *Guard) fail(ctx context.Context, a Attempt) Decision {
	cfg := g.cfg.Load()
	addr := a.Addr.Unmap().WithZone("")
	if cfg.Mode == unit.Off || cfg.ignores(addr) {
		return Decision{}
	}
	network := netaddr.Network(addr)
	now := time.Now()
	t := try{at: now.UnixNano(), user: g.user(a.User), password: g.pair(a.User, a.Password)}

	g.mu.Lock()
	if b, ok := g.bans.find(addr, now); ok {
		g.mu.Unlock()
		return decision(cfg.Mode, b, true)
	}
	n, lost := g.counts.add(network, t, cfg.FindTime.Std(), cfg.MaxNetworks)
	if n < cfg.MaxFailures {
		g.mu.Unlock()
		g.lose(ctx, lost)
		return Decision{}
	}
	g.counts.forget(network)
	b := Ban{
		ID: newID(), Network: network, Since: now, Until: now.Add(cfg.BanTime.Std()),
		Reason: fmt.Sprintf("%d different wrong passwords within %v", n, cfg.FindTime),
	}
	over := g.bans.put(b, now, cfg.MaxNetworks)
	g.mu.Unlock()

	g.lose(ctx, lost+len(over))
	g.keep(ctx, b, over)
	g.record(b, "ban", cfg.Mode, a)
	g.log.LogAttrs(ctx, slog.LevelInfo, "network banned", slog.String("client_addr", addr.String()),
		slog.String("rule", b.ID), slog.String("verdict", string(cfg.Mode)), slog.Time("until", b.Until))
	return decision(cfg.Mode, b, true)
}

// success takes back the failures of user from addr's network. It lifts no ban.
func (g *Guard) success(_ context.Context, addr netip.Addr, user string) {
	cfg := g.cfg.Load()
	addr = addr.Unmap().WithZone("")
	if cfg.Mode == unit.Off || cfg.ignores(addr) {
		return
	}
	network := netaddr.Network(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.counts.byNetwork[network]; ok {
		g.counts.forgive(network, g.user(user))
	}
}

// Bans returns the bans that hold, oldest first.
func (g *Guard) Bans(context.Context) ([]Ban, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bans.list(time.Now()), nil
}

// Add bans network for d. A ban of the same network is replaced. When the error
// is of the store, the ban holds until the next restart.
func (g *Guard) Add(ctx context.Context, network netip.Prefix, d time.Duration, reason string) (Ban, error) {
	cfg := g.cfg.Load()
	switch {
	case !network.IsValid() || network != network.Masked() || network.Addr().Is4In6():
		return Ban{}, fmt.Errorf("%w: %v is not a network", ErrInvalid, network)
	case d < time.Second || d > maxSpan:
		return Ban{}, fmt.Errorf("%w: a ban is for 1s to 366d", ErrInvalid)
	case len(reason) > maxReasonBytes || strings.ContainsFunc(reason, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return Ban{}, fmt.Errorf("%w: the reason is one line of at most %d bytes", ErrInvalid, maxReasonBytes)
	}
	for _, n := range cfg.IgnoreNetworks {
		if n.Bits() <= network.Bits() && n.Contains(network.Addr()) {
			return Ban{}, fmt.Errorf("%w: %s is in ignore_networks", ErrInvalid, netaddr.String(network))
		}
	}
	now := time.Now()
	b := Ban{ID: newID(), Network: network, Reason: reason, Since: now, Until: now.Add(d), Manual: true}
	g.mu.Lock()
	over := g.bans.put(b, now, cfg.MaxNetworks)
	g.mu.Unlock()
	g.lose(ctx, len(over))
	err := g.keep(ctx, b, over)
	g.record(b, "ban", cfg.Mode, Attempt{})
	return b, err
}

// Remove lifts the ban of exactly that network and forgets what was counted
// in it. When the error is of the store, the ban is lifted until a restart.
func (g *Guard) Remove(ctx context.Context, network netip.Prefix) error {
	g.mu.Lock()
	b, ok := g.bans.byNetwork[network]
	if ok = ok && time.Now().Before(b.Until); ok {
		g.bans.remove(network)
		g.counts.forget(network)
	}
	g.mu.Unlock()
	if !ok {
		return fmt.Errorf("%w: %v", ErrNotFound, network)
	}
	g.record(b, "lifted", g.cfg.Load().Mode, Attempt{})
	if err := g.state.Delete(ctx, state.Ban, network.String()); err != nil {
		return fmt.Errorf("remove ban of %s: %w", netaddr.String(network), err)
	}
	return nil
}

// Stats are figures for metrics.
type Stats struct {
	// Networks are counted, Bans hold, Dropped went before their time because
	// there were too many.
	Networks, Bans int
	Dropped        uint64
}

// Stats returns the figures of now.
func (g *Guard) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bans.expire(time.Now())
	return Stats{Networks: g.counts.recent.Len(), Bans: len(g.bans.byNetwork), Dropped: g.dropped.Load()}
}

// keep makes b durable and removes the rows of the bans that it displaced.
func (g *Guard) keep(ctx context.Context, b Ban, over []Ban) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	e, err := b.entry()
	if err == nil {
		err = g.state.Put(ctx, state.Ban, e, true)
	}
	for _, o := range over {
		err = errors.Join(err, g.state.Delete(ctx, state.Ban, o.Network.String()))
	}
	if err != nil {
		err = fmt.Errorf("keep ban of %s: %w", netaddr.String(b.Network), err)
		g.log.LogAttrs(ctx, slog.LevelWarn, "ban holds in memory only", slog.String("rule", b.ID), slog.Any("err", err))
	}
	return err
}

// lose counts what was dropped before its time, and says so once an hour.
func (g *Guard) lose(ctx context.Context, n int) {
	if n == 0 {
		return
	}
	g.dropped.Add(uint64(n))
	now := time.Now()
	g.mu.Lock()
	quiet := now.Sub(g.warned) < time.Hour
	if !quiet {
		g.warned = now
	}
	g.mu.Unlock()
	if !quiet {
		g.log.LogAttrs(ctx, slog.LevelWarn, "guard is full, the oldest networks go first",
			slog.Int("max_networks", g.cfg.Load().MaxNetworks))
	}
}

func (g *Guard) record(b Ban, verdict string, mode unit.Mode, a Attempt) {
	g.journal.Record(journal.Record{
		Time: time.Now(), Daemon: "guard", Event: "ban", Service: a.Service, User: a.User, Mech: a.Mech,
		ClientAddr: b.Network.Addr(), Verdict: verdict, Rule: b.ID,
		Facts: []journal.Fact{
			{Key: "network", Value: netaddr.String(b.Network)},
			{Key: "reason", Value: b.Reason},
			{Key: "until", Value: b.Until.UTC().Format(time.RFC3339)},
			{Key: "mode", Value: string(mode)},
		},
	})
}

// user returns a keyed hash of an account's name.
func (g *Guard) user(name string) (h [8]byte) {
	m := hmac.New(sha256.New, g.key[:])
	_, _ = m.Write([]byte{'u'})
	_, _ = m.Write([]byte(name))
	copy(h[:], m.Sum(nil))
	return h
}

// pair returns a keyed hash of an account's name and a password.
func (g *Guard) pair(name string, password secret.Value) (h [16]byte) {
	m := hmac.New(sha256.New, g.key[:])
	_, _ = fmt.Fprintf(m, "p%d:%s", len(name), name)
	_, _ = m.Write(password.Reveal())
	copy(h[:], m.Sum(nil))
	return h
}

// newID returns a name that is short enough to read out on the telephone.
func newID() string { return strings.ToLower(rand.Text()[:8]) }
