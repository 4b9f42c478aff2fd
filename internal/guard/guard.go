package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
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

// Change is a ban that begins or is lifted before its time, for who closes
// networks elsewhere.
type Change struct {
	Ban    Ban
	Lifted bool
	// Mode says whether the ban bites: enforce or observe.
	Mode unit.Mode
}

// Deps are the parts that a Guard uses. State and Journal are needed.
type Deps struct {
	// State may be a state.Watcher too, with a Get: then Run follows what other
	// hosts write.
	State   store
	Journal recorder
	// Host is the name of this host, for bans that others hear of.
	Host string
	// Changed is told of every Change of a ban that closes a network as a whole.
	// A ban that is Shared is not: who is let in all the same, only the guard can
	// tell. It must not block, nor call the guard.
	Changed func(Change)
	// Told hears what a user should know. It must not block.
	Told func(Notice)
	// Country returns the country of an address, "" for unknown; nil tells of
	// none.
	Country func(a netip.Addr) string
	// Own returns the addresses of this host, which are never banned. It is
	// asked, once a minute at most, when a network is about to be or a ban would
	// refuse somebody.
	Own func() []netip.Addr
	// Now is the clock, nil for that of the host.
	Now func() time.Time
}

// settings are a Config, made ready.
type settings struct {
	Config
	traps map[uint64]bool
}

// Guard counts failures and keeps bans. It is safe for concurrent use.
type Guard struct {
	cfg     atomic.Pointer[settings]
	deps    Deps
	log     *slog.Logger
	keys    keys
	now     func() time.Time
	dropped atomic.Uint64
	// others is Deps.State where others write to it, too, else nil; heard is what
	// Run has to look at.
	others others
	heard  *heard

	// order is held while a ban is lifted and told of, or told of alone, so that
	// nobody hears last of what was first. It is taken before mu.
	order sync.Mutex

	mu sync.Mutex
	// The fields below are guarded by mu.
	counts  *counts
	bans    *bans
	proofs  *proofs
	senders *table[sender]
	lands   *table[land]
	lanes   lanes
	askers  *table[asked]
	own     ownAddresses
	hits    map[ruleName]uint64
	warned  time.Time
	follow  following
}

const (
	// storeTimeout bounds how long an answer waits for a ban to be durable. The
	// ban holds in memory before.
	storeTimeout = 2 * time.Second
	// maxBans and the others are within the bounds of the state's tables.
	maxBans    = 50_000
	maxProofs  = 50_000
	maxSenders = 20_000
	maxLands   = 10_000
)

// New returns a Guard with what the state has. A state that cannot be read is
// an error: starting without bans would let the banned in.
func New(ctx context.Context, cfg Config, deps Deps, log *slog.Logger) (*Guard, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	g := &Guard{deps: deps, log: log, keys: newKeys(), now: deps.Now,
		counts: newCounts(cfg.MaxNetworks), bans: newBans(), proofs: newProofs(maxProofs),
		senders: newTable[sender](maxSenders), lands: newTable[land](maxLands),
		lanes: newLanes(), askers: newTable[asked](maxAskers), hits: map[ruleName]uint64{}}
	if g.now == nil {
		g.now = time.Now
	}
	if o, ok := deps.State.(others); ok {
		g.others, g.heard = o, newHeard()
		g.follow = following{pending: map[string]int{}, lifted: map[string]lifted{}}
	}
	g.cfg.Store(g.ready(cfg))
	if err := g.load(ctx); err != nil {
		return nil, err
	}
	return g, nil
}

// ready prepares cfg.
func (g *Guard) ready(cfg Config) *settings {
	s := &settings{Config: cfg, traps: map[uint64]bool{}}
	for _, t := range cfg.TrapAccounts {
		if a, err := mailaddr.Parse(t); err == nil { // Validate has said so
			s.traps[g.keys.accountKey(a.Folded().String())] = true
		}
	}
	return s
}

// Reconfigure takes new settings, which are valid. Bans that hold go on, but for
// those of networks that are never banned from now on, and Changed hears of them
// when the mode is another.
func (g *Guard) Reconfigure(cfg Config) {
	lifted := g.take(cfg)
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	for _, b := range lifted {
		g.record(b, "lifted", cfg.Mode, &Attempt{})
		_ = g.row(ctx, b.Network, b.mx()) // it has told the log, and New looks again
	}
}

// take is Reconfigure but for the state. It returns the bans that it lifted.
func (g *Guard) take(cfg Config) (lifted []Ban) {
	g.order.Lock()
	defer g.order.Unlock()
	g.mu.Lock()
	next := g.ready(cfg)
	old := g.cfg.Swap(next)
	lost := g.counts.resize(cfg.MaxNetworks)
	lifted, narrowed := g.spare(next, g.now())
	var all []Ban
	if old.Mode != cfg.Mode {
		all = g.bans.list(g.now())
	}
	waiting := g.lanes.all()
	g.mu.Unlock()
	for _, w := range waiting {
		w.wake()
	}
	g.dropped.Add(uint64(lost))
	for _, b := range slices.Concat(lifted, narrowed) {
		g.changed(b, true, cfg.Mode)
	}
	for _, b := range all {
		g.changed(b, false, cfg.Mode)
	}
	return lifted
}

// spare lifts the bans of networks that are never banned, and keeps to the guard
// those that have such a part: narrowed are these as they were. It needs mu.
func (g *Guard) spare(c *settings, now time.Time) (lifted, narrowed []Ban) {
	for _, b := range g.bans.list(now) {
		switch {
		case g.never(c, b.Network, now) != "":
			g.bans.remove(b)
			g.ahead(b, true)
			lifted = append(lifted, b)
		case !b.mx() && !b.Shared && g.apart(c, b.Network, now):
			narrowed = append(narrowed, b)
			g.bans.at(b.Network, false).Shared = true
		}
	}
	return lifted, narrowed
}

// Mode returns the mode of now: a ban bites in enforce only, one that a person
// added too.
func (g *Guard) Mode() unit.Mode { return g.cfg.Load().Mode }

// Check says whether a login may be looked at. It asks memory only.
func (g *Guard) Check(ctx context.Context, a Attempt) Decision {
	c := g.cfg.Load()
	if c.Mode == unit.Off || !usable(a.Addr) {
		return Decision{}
	}
	v := g.keys.view(&c.Config, &a)
	var fx effects
	g.mu.Lock()
	d := g.look(c, &v, a.User, g.now(), &fx)
	g.mu.Unlock()
	g.apply(ctx, c, &a, &fx)
	return d
}

// usable reports whether a is the address of a client at all.
func usable(a netip.Addr) bool { return a.IsValid() && !a.Unmap().IsUnspecified() }

// look is what is known of an attempt before its password is looked at. It
// needs mu.
func (g *Guard) look(c *settings, v *view, user string, now time.Time, fx *effects) (d Decision) {
	proven := g.proofs.has(v.pair, now, c.ProvenTime.Std())
	if !v.blameless {
		// A proven account gets past what others did, not past a person.
		if b, ok := g.bans.find(v.addr, false, proven, now); ok && !g.isOwn(single(v.addr), now) {
			if d = decision(c.Mode, b); d.Refuse {
				return d
			}
		}
	}
	if proven {
		return d
	}
	if p := g.counts.pairs.get(v.pair); p != nil && int64(p.until) > now.Unix() {
		return decision(c.Mode, closed(v, p, user))
	}
	if b, ok := g.sprayed(c, v, now, fx); ok {
		return decision(c.Mode, b)
	}
	d.Delay = g.late(c, v, now, fx)
	return d
}

// closed is the ban of an account on one network.
func closed(v *view, p *pair, user string) Ban {
	return Ban{
		ID: idOf(v.pair), Network: networkOf(v.host), Services: loginServices(), User: user, Rule: string(ruleFailures),
		Reason: "too many different wrong passwords for this account from this network",
		Since:  time.Unix(int64(p.last), 0), Until: time.Unix(int64(p.until), 0), Times: int(p.offences), Observe: p.watched,
	}
}

// sprayed refuses a password that was wrong at many accounts, as long as it is
// tried.
func (g *Guard) sprayed(c *settings, v *view, now time.Time, fx *effects) (Ban, bool) {
	r := &c.Rules.Passwords
	if !v.global || r.Mode == unit.Off {
		return Ban{}, false
	}
	s := g.counts.passwords.get(v.password)
	if s == nil {
		return Ban{}, false
	}
	n, span := s.accounts.count(now, r.FindTime.Std()), r.FindTime.Std()
	if n < r.Max && int64(s.until) <= now.Unix() {
		return Ban{}, false
	}
	mode := weaker(c.Mode, r.Mode)
	st := step{rule: rulePasswords, mode: mode, n: n, span: span}
	if s.until == 0 {
		g.hits[rulePasswords]++
		fx.begin(Ban{ID: idOf(v.password), Rule: string(rulePasswords), Reason: "one wrong password was tried at " + number(n, "account"),
			Until: now.Add(span), Observe: mode == unit.Observe}, "refused password")
	}
	s.until = seconds(now.Add(span))
	return Ban{ID: idOf(v.password), Network: networkOf(v.host), Services: loginServices(), Rule: string(st.rule),
		Reason: "this wrong password was tried at many accounts", Since: now, Until: now.Add(span), Observe: mode == unit.Observe}, true
}

// late returns the tarpit of an attempt from a place that is not proven.
func (g *Guard) late(c *settings, v *view, now time.Time, fx *effects) time.Duration {
	var around wideFigures
	w, t := g.counts.wides.get(v.wide), g.counts.targets.get(v.account)
	if w != nil && !v.blameless {
		around = wideFigures{w.accounts.count(now, c.Rules.NetworkBan.FindTime.Std()), g.proofs.wides[v.wide]}
	}
	account := 0
	if t != nil {
		account = t.failures.count(now, c.Rules.Account.FindTime.Std())
	}
	d, rule := delayBefore(&c.Config, around, account)
	at := seconds(now)
	switch {
	case rule == ruleNetworkDelay && at-w.told > tellEvery:
		w.told = at
		g.hits[rule]++
		fx.begin(Ban{Network: wideNetwork(v.wide), Rule: string(rule), Reason: "failures at about " + number(around.accounts, "account") + " from this network"}, "tarpit")
	case rule == ruleAccount && at-t.told > tellEvery:
		t.told = at
		g.hits[rule]++
		fx.begin(Ban{Rule: string(rule), Reason: number(account, "different wrong password") + " for one account, from elsewhere"}, "tarpit")
	}
	return d
}

// tellEvery is how many seconds apart the same tarpit is journaled.
const tellEvery = 3600

func decision(mode unit.Mode, b Ban) Decision {
	bites := mode == unit.Enforce && !b.Observe
	return Decision{Refuse: bites, Observed: !bites, Ban: b}
}

// CheckClient says whether a client may speak to a service at all: MX, or one
// of those of Attempt. It asks memory only. An account may be let in all the
// same where others proved themselves, so such a network is not refused as a
// whole.
func (g *Guard) CheckClient(_ context.Context, addr netip.Addr, service string) Decision {
	c := g.cfg.Load()
	addr = addr.Unmap().WithZone("")
	if c.Mode == unit.Off || !addr.IsValid() || c.blameless(addr) != "" {
		return Decision{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	b, ok := g.bans.find(addr, service == MX, false, now)
	if b.Shared && !b.Manual { // it may hide one of a person, which is for all
		b, ok = g.bans.find(addr, service == MX, true, now)
	}
	if !ok || service == MX && g.welcome(hostKey(addr), now) || g.isOwn(single(addr), now) {
		return Decision{}
	}
	return decision(c.Mode, b)
}

// number says how many.
func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// lose counts what was dropped before its time, and says so once an hour.
func (g *Guard) lose(ctx context.Context, n int) {
	if n == 0 {
		return
	}
	g.dropped.Add(uint64(n))
	now := g.now()
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
