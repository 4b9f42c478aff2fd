package guard

import (
	"context"
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

// lanes bound the guesses under way. They are not safe for concurrent use.
type lanes struct {
	hosts map[uint64]*lane
	pairs map[uint64]*flight
}

// lane is a network with attempts under way, or that wait.
type lane struct {
	flying  int
	last    time.Time // a place was taken
	waiting []*waiter
}

// flight is attempts of one pair under way. hosts of them hold a place in the
// lane of their network.
type flight struct {
	n, hosts int
	last     time.Time // a place was taken
}

// waiter is an attempt that waits for a place.
type waiter struct {
	view    view
	ready   chan struct{}
	granted bool // guarded by Guard.mu
	woken   bool // guarded by Guard.mu
}

func newLanes() lanes { return lanes{hosts: map[uint64]*lane{}, pairs: map[uint64]*flight{}} }

// wake lets w look again. Its lane has let go of it.
func (w *waiter) wake() { close(w.ready) }

// all takes every waiter out of its lane.
func (l *lanes) all() (out []*waiter) {
	for key := range l.hosts {
		out = append(out, l.empty(key)...)
	}
	return out
}

// empty takes the waiters out of a lane.
func (l *lanes) empty(key uint64) (out []*waiter) {
	h := l.hosts[key]
	if h == nil {
		return nil
	}
	out, h.waiting = h.waiting, nil
	for _, w := range out {
		w.woken = true
	}
	l.tidy(key)
	return out
}

// wakeIn lets those look again whose network was closed, and nobody else: where
// thousands wait and hundreds are banned, that would be a lot of looking.
func (l *lanes) wakeIn(p netip.Prefix) {
	wake := func(key uint64) {
		for _, w := range l.empty(key) {
			w.wake()
		}
	}
	if key := hostKey(p.Addr()); networkOf(key).Bits() <= p.Bits() {
		wake(key)
		return
	}
	for key := range l.hosts {
		if p.Overlaps(networkOf(key)) {
			wake(key)
		}
	}
}

func (l *lanes) tidy(host uint64) {
	if h := l.hosts[host]; h != nil && h.flying == 0 && len(h.waiting) == 0 {
		delete(l.hosts, host)
	}
}

// take gives v a place.
func (l *lanes) take(v *view, inHost bool, now time.Time) {
	f := l.pairs[v.pair]
	if f == nil {
		f = &flight{}
		l.pairs[v.pair] = f
	}
	f.n++
	f.last = now
	if inHost {
		f.hosts++
		h := l.lane(v.host)
		h.flying++
		h.last = now
	}
}

// reportTime is after which a report is not waited for: no login takes so long,
// and a fault of the caller must not close a network.
const reportTime = time.Minute

// expire forgets the places around v whose reports never came.
func (l *lanes) expire(v *view, now time.Time) {
	if f := l.pairs[v.pair]; f != nil && now.Sub(f.last) > reportTime {
		delete(l.pairs, v.pair)
	}
	if h := l.hosts[v.host]; h != nil && h.flying > 0 && now.Sub(h.last) > reportTime {
		h.flying = 0
	}
}

func (l *lanes) lane(host uint64) *lane {
	h := l.hosts[host]
	if h == nil {
		h = &lane{}
		l.hosts[host] = h
	}
	return h
}

// give takes a place of v back. An attempt that was not admitted has none.
func (l *lanes) give(v *view) {
	f := l.pairs[v.pair]
	if f == nil {
		return
	}
	if f.n--; f.hosts > 0 {
		f.hosts--
		if h := l.hosts[v.host]; h != nil && h.flying > 0 {
			h.flying--
		}
	}
	if f.n == 0 {
		delete(l.pairs, v.pair)
	}
}

// Admit is asked just before a password is hashed. Failures that are counted
// and attempts under way never go beyond a line together: an attempt that would
// waits until others are reported, or ctx ends. So the guess that crosses the
// line is refused, and none behind it is looked at, however many connections
// guess at once.
//
// Unless it says Refuse, Report has to be called once for the same attempt,
// with Admitted,
// also when ctx ended; the caller sees that by ctx.Err, and then reports
// Abandoned.
//
// An account that proved itself here waits for its own guesses only, and once
// it has max_failures of them for a pause between two.
func (g *Guard) Admit(ctx context.Context, a Attempt) Decision {
	c := g.cfg.Load()
	if c.Mode == unit.Off || !usable(a.Addr) {
		return Decision{}
	}
	v := g.keys.view(&c.Config, &a)
	for {
		c = g.cfg.Load()
		var fx effects
		g.mu.Lock()
		now := g.now()
		d := g.look(c, &v, a.User, now, &fx)
		if !d.Refuse && c.traps[v.account] && c.Mode == unit.Enforce {
			// Nobody has it, so there is nothing to look at, and no others are let
			// in until it would have been found wrong.
			d = g.failed(c, &v, &a, NoAccount, now, &fx)
		}
		wait, ok := g.room(c, &v, now)
		var w *waiter
		switch {
		case d.Refuse:
		case ok:
			g.lanes.take(&v, g.inHost(c, &v, now), now)
		default:
			w = &waiter{view: v, ready: make(chan struct{})}
			l := g.lanes.lane(v.host)
			l.waiting = append(l.waiting, w)
		}
		g.mu.Unlock()
		g.apply(ctx, c, &a, &fx)
		if w == nil {
			return d
		}
		if g.await(ctx, w, wait) {
			return g.again(ctx, &v, &a)
		}
	}
}

// again looks once more at who waited and has a place: much may have become
// known since.
func (g *Guard) again(ctx context.Context, v *view, a *Attempt) Decision {
	c := g.cfg.Load()
	var fx effects
	g.mu.Lock()
	now := g.now()
	d := g.look(c, v, a.User, now, &fx)
	if c.Mode == unit.Off {
		d = Decision{}
	}
	if d.Refuse {
		g.lanes.give(v)
		g.release(c, v, now)
	}
	g.mu.Unlock()
	g.apply(ctx, c, a, &fx)
	return d
}

// await waits until w has a place, which it reports, or has to look again.
func (g *Guard) await(ctx context.Context, w *waiter, wait time.Duration) bool {
	for {
		t := time.NewTimer(max(wait, leastWait))
		ended := false
		select {
		case <-w.ready:
		case <-t.C:
		case <-ctx.Done():
			ended = true
		}
		t.Stop()
		g.mu.Lock()
		ok := w.granted || w.woken
		if !ok {
			c, now := g.cfg.Load(), g.now()
			wait, ok = g.room(c, &w.view, now)
			if ok || ended {
				g.lanes.leave(w)
				g.lanes.take(&w.view, !ended && g.inHost(c, &w.view, now), now)
				w.granted, ok = true, true
			}
		}
		granted := w.granted
		g.mu.Unlock()
		if ok {
			return granted
		}
	}
}

// leastWait keeps who waits from spinning.
const leastWait = 10 * time.Millisecond

// leave takes w out of its lane.
func (l *lanes) leave(w *waiter) {
	h := l.hosts[w.view.host]
	for i, x := range h.waiting {
		if x == w {
			h.waiting = append(h.waiting[:i], h.waiting[i+1:]...)
			break
		}
	}
	l.tidy(w.view.host)
}

// pairPause is how far apart the guesses at a proven account are, once it has
// max_failures: it can not be closed, because its owner is there too. The more
// attempts wait, the shorter it is, so that the owner's comes to its turn.
const pairPause = 2 * time.Second

// pause is what is left of it. A clock that went back makes it no longer, and
// where thousands wait they look less often each, so that looking costs the same.
func (g *Guard) pause(v *view, last uint32, now time.Time) time.Duration {
	waiting := 0
	if l := g.lanes.hosts[v.host]; l != nil {
		waiting = len(l.waiting)
	}
	whole := pairPause / time.Duration(1+min(waiting, 100))
	left := min(time.Unix(int64(last), 0).Add(whole).Sub(now), whole)
	if left <= 0 {
		return left
	}
	return max(left, leastWait*time.Duration(waiting/lookAhead))
}

// inHost says whether an attempt needs a place in the lane of its network.
func (g *Guard) inHost(c *settings, v *view, now time.Time) bool {
	return !v.blameless && !g.proofs.has(v.pair, now, c.ProvenTime.Std())
}

// room says whether an attempt may be under way, or else in how long that may
// change by itself. It needs mu.
func (g *Guard) room(c *settings, v *view, now time.Time) (time.Duration, bool) {
	if c.Mode != unit.Enforce {
		return 0, true
	}
	g.lanes.expire(v, now)
	find := c.FindTime.Std()
	failures, flying, last := 0, 0, uint32(0)
	if p := g.counts.pairs.get(v.pair); p != nil {
		failures, last = p.failures.count(now, find), p.last
	}
	if f := g.lanes.pairs[v.pair]; f != nil {
		flying = f.n
	}
	if g.proofs.has(v.pair, now, c.ProvenTime.Std()) {
		if failures < c.MaxFailures {
			return 0, failures+flying < c.MaxFailures
		}
		pause := g.pause(v, last, now)
		return pause, flying == 0 && pause <= 0
	}
	account := 0
	if t := g.counts.targets.get(v.account); t != nil {
		account = t.failures.count(now, c.Rules.Account.FindTime.Std())
	}
	if failures+flying >= pairLine(&c.Config, account) {
		return retryAfter, flying == 0
	}
	if v.blameless {
		return 0, true
	}
	l := g.lanes.hosts[v.host]
	if l == nil {
		return 0, true
	}
	return retryAfter, l.flying == 0 || l.flying < g.left(c, v.host, now)
}

// left is how many failures of a network stay below each of its lines. It takes
// that of one account for all of them, as nobody knows whose the next ones are.
// It needs mu.
func (g *Guard) left(c *settings, key uint64, now time.Time) int {
	proven := g.proofs.hosts[key]
	var h host
	if p := g.counts.hosts.get(key); p != nil {
		h = *p
	}
	n, r := raised(c.MaxFailures, proven)-h.failures.count(now, c.FindTime.Std()), &c.Rules
	for _, one := range [...]struct {
		rule *Rule
		w    *window
	}{{&r.Slow, &h.slow}, {&r.Accounts, &h.accounts}, {&r.Unknown, &h.unknown}} {
		if one.rule.Mode == unit.Enforce {
			n = min(n, raised(one.rule.Max, proven)-one.w.count(now, one.rule.FindTime.Std()))
		}
	}
	return n
}

// retryAfter is when who waits looks again though nobody was reported: a
// report may never come.
const retryAfter = 2 * time.Second

// lookAhead is how many who wait are looked at for one place; the others look
// again by themselves.
const lookAhead = 64

// release hands on what is free around v. It needs mu.
func (g *Guard) release(c *settings, v *view, now time.Time) {
	l := g.lanes.hosts[v.host]
	if l == nil {
		return
	}
	ahead := min(len(l.waiting), lookAhead)
	kept := l.waiting[:0]
	for _, w := range l.waiting[:ahead] {
		if _, ok := g.room(c, &w.view, now); !ok {
			kept = append(kept, w)
			continue
		}
		g.lanes.take(&w.view, g.inHost(c, &w.view, now), now)
		w.granted = true
		w.wake()
	}
	if len(kept) == ahead {
		g.lanes.tidy(v.host)
		return
	}
	kept = append(kept, l.waiting[ahead:]...)
	clear(l.waiting[len(kept):])
	l.waiting = kept
	g.lanes.tidy(v.host)
}
