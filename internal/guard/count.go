package guard

import (
	"math"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

// host is what is counted of one network: an IPv4 address, an IPv6 /64, or one
// address of a /64 that others share.
type host struct {
	failures, slow    window
	accounts, unknown window
	mx                window
}

// pair is what is counted of an account on a network.
type pair struct {
	host           uint64
	failures, slow window
	tried          ring
	offences       uint8
	// watched says that it is closed in observation only.
	watched     bool
	last, until uint32 // Unix seconds
}

// wide is what is counted of an IPv4 /24 or an IPv6 /48.
type wide struct {
	accounts sketch
	told     uint32 // when the delay was journaled
}

// target is what is counted of an account, from places that are not proven.
type target struct {
	failures window
	tried    ring
	told     uint32 // when the delay was journaled
	// since, passwords and networks are for the notice.
	since, noticed      uint32
	passwords, networks uint16
	// entered is how many new places logged in since.
	entered uint16
}

// sprayed is a password that was wrong.
type sprayed struct {
	accounts window
	until    uint32
}

// counts holds what is counted. It is not safe for concurrent use.
type counts struct {
	hosts     *table[host]
	pairs     *table[pair]
	wides     *table[wide]
	targets   *table[target]
	passwords *table[sprayed]
}

// maxPasswords bounds how many wrong passwords are remembered beyond their
// network, leastTargets how few accounts at least.
const (
	maxPasswords = 65_536
	leastTargets = 10_000
)

func newCounts(networks int) *counts {
	c := &counts{
		hosts: newTable[host](networks), pairs: newTable[pair](networks), passwords: newTable[sprayed](maxPasswords),
	}
	c.wides = newTable[wide](wideOf(networks))
	c.targets = newTable[target](targetsOf(networks))
	return c
}

func wideOf(networks int) int    { return max(networks/4, 10) }
func targetsOf(networks int) int { return max(networks/20, leastTargets) }

// resize takes a new bound, and returns how many networks went for it.
func (c *counts) resize(networks int) int {
	dropped := c.hosts.resize(networks)
	c.pairs.resize(networks)
	c.wides.resize(wideOf(networks))
	c.targets.resize(targetsOf(networks))
	return dropped
}

// seen is a failure to be counted.
type seen struct {
	view
	at time.Time
	// unknown says that nobody has the account, trap that nobody should try.
	unknown, trap bool
	// proven is the pair's, the others count proven accounts.
	proven                 bool
	hostProven, wideProven int
}

// fail counts a failure and returns the figures after it, and how many networks
// were dropped for it. It reports whether the password was new for the account
// here.
func (c *counts) fail(cfg *Config, s seen) (f figures, fresh bool, dropped int) {
	f = figures{blameless: s.blameless, proven: s.proven, trap: s.trap}
	p, gone := c.pairs.put(s.pair)
	p.host = s.host
	fresh = s.password == 0 || p.tried.add(uint32(s.password))
	r := &cfg.Rules
	// The account counts anew for its network when it last failed before the
	// window began.
	again := func(span time.Duration) bool { return s.at.Unix()-int64(p.last) > int64(span/time.Second) }
	e := evidence{account: again(r.Accounts.FindTime.Std()), unknown: s.unknown && again(r.Unknown.FindTime.Std())}
	newToday := again(day)
	p.last = seconds(s.at)
	if fresh {
		e.failures = 1
	}
	find, slow := cfg.FindTime.Std(), r.Slow.FindTime.Std()
	p.failures.add(e.failures, s.at, find)
	p.slow.add(e.failures, s.at, slow)
	f.pair, f.pairSlow = p.failures.count(s.at, find), p.slow.count(s.at, slow)
	if !s.proven {
		f.account = c.aim(cfg, s, fresh, newToday)
	}
	if s.blameless {
		return f, fresh, 0
	}
	f.host, dropped = c.blame(cfg, s.host, e, s.at)
	f.host.proven = s.hostProven
	if s.single != 0 && s.hostProven > 0 {
		one, _ := c.blame(cfg, s.single, e, s.at)
		f.single = one.failures
	}
	w, _ := c.wides.put(s.wide)
	span := r.NetworkBan.FindTime.Std()
	w.accounts.add(s.account, s.at, span)
	f.wide = wideFigures{w.accounts.count(s.at, span), s.wideProven}
	if gone {
		dropped = 1
	}
	return f, fresh, dropped
}

// evidence is what one failure adds.
type evidence struct {
	failures         int
	account, unknown bool
}

// blame counts a failure against a network.
func (c *counts) blame(cfg *Config, key uint64, e evidence, now time.Time) (hostFigures, int) {
	h, gone := c.hosts.put(key)
	r := &cfg.Rules
	find, slow, accounts, unknown := cfg.FindTime.Std(), r.Slow.FindTime.Std(), r.Accounts.FindTime.Std(), r.Unknown.FindTime.Std()
	h.failures.add(e.failures, now, find)
	h.slow.add(e.failures, now, slow)
	if e.account {
		h.accounts.add(1, now, accounts)
	}
	if e.unknown {
		h.unknown.add(1, now, unknown)
	}
	dropped := 0
	if gone {
		dropped = 1
	}
	return hostFigures{failures: h.failures.count(now, find), slow: h.slow.count(now, slow),
		accounts: h.accounts.count(now, accounts), unknown: h.unknown.count(now, unknown)}, dropped
}

// aim counts a failure against its account and its password, which was new on
// its network if fresh, and returns the figure of the account. Names that
// nobody has are not kept: whoever makes them up would push out the others.
func (c *counts) aim(cfg *Config, s seen, fresh, newNetwork bool) int {
	if s.unknown {
		if fresh {
			c.spray(cfg, s)
		}
		return 0
	}
	t, _ := c.targets.put(s.account)
	span := cfg.Rules.Account.FindTime.Std()
	if s.password == 0 || t.tried.add(uint32(s.password)) {
		t.failures.add(1, s.at, span)
		t.passwords = uint16(min(int(t.passwords)+1, math.MaxUint16))
		c.spray(cfg, s)
	}
	if t.since == 0 {
		t.since = seconds(s.at)
	}
	if newNetwork {
		t.networks = uint16(min(int(t.networks)+1, math.MaxUint16))
	}
	return t.failures.count(s.at, span)
}

// spray counts an account at which a password was wrong.
func (c *counts) spray(cfg *Config, s seen) {
	if !s.global || cfg.Rules.Passwords.Mode == unit.Off {
		return
	}
	w, _ := c.passwords.put(s.password)
	w.accounts.add(1, s.at, cfg.Rules.Passwords.FindTime.Std())
}

// forgive takes back what was counted against the account on its network: the
// right password came in the end. What was tried stays known.
func (c *counts) forgive(cfg *Config, v view, now time.Time) {
	p := c.pairs.get(v.pair)
	if p == nil {
		return
	}
	n, slow := p.failures.count(now, cfg.FindTime.Std()), p.slow.count(now, cfg.Rules.Slow.FindTime.Std())
	counted := now.Unix()-int64(p.last) <= int64(cfg.Rules.Accounts.FindTime.Std()/time.Second)
	for _, key := range [...]uint64{v.host, v.single} {
		h := c.hosts.get(key)
		if h == nil {
			continue
		}
		h.failures.take(n)
		h.slow.take(slow)
		if counted {
			h.accounts.take(1)
		}
	}
	*p = pair{host: p.host, tried: p.tried}
}

// sum is what lies in a window, whether its time is over or not.
func sum(w window) (n int) {
	for _, k := range w.n {
		n += int(k)
	}
	return n
}

// settle begins the counts of a network anew after a ban. A part of the slow
// count stays, so that who guesses slowly is banned again sooner.
func (c *counts) settle(key uint64) {
	if h := c.hosts.get(key); h != nil {
		slow := h.slow
		slow.take(sum(slow) / 3)
		*h = host{slow: slow}
	}
}

// forget drops the networks for which in says yes. It looks at all of them.
func (c *counts) forget(in func(host uint64) bool) {
	c.hosts.each(func(key uint64, _ *host) {
		if in(key) {
			c.hosts.remove(key)
		}
	})
	c.pairs.each(func(key uint64, p *pair) {
		if in(p.host) {
			c.pairs.remove(key)
		}
	})
}

func seconds(t time.Time) uint32 { return uint32(t.Unix()) }
