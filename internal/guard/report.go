package guard

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"log/slog"
	"math/big"
	"net/netip"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

// Report tells how an attempt ended. A ban that follows from it holds before
// Report returns. Right may be refused too: the network was closed while the
// password was looked at.
func (g *Guard) Report(ctx context.Context, a Attempt, o Outcome) Decision {
	c := g.cfg.Load()
	if !usable(a.Addr) {
		return Decision{}
	}
	v := g.keys.view(&c.Config, &a)
	var fx effects
	var d Decision
	now := g.now()
	g.mu.Lock()
	if c.Mode != unit.Off {
		g.proofs.expire(now, c.ProvenTime.Std())
		switch o {
		case Wrong, NoAccount:
			d = g.failed(c, &v, &a, o, now, &fx)
		case Right:
			d = g.right(c, &v, &a, now, &fx)
		}
	}
	g.reported(&v)
	if a.Admitted {
		g.lanes.give(&v)
	}
	g.release(c, &v, now)
	g.mu.Unlock()
	g.apply(ctx, c, &a, &fx)
	return d
}

// failed counts a failure. It needs mu.
func (g *Guard) failed(c *settings, v *view, a *Attempt, o Outcome, now time.Time, fx *effects) Decision {
	before := g.look(c, v, a.User, now, fx)
	if before.Refuse {
		return before // it was under way when the line was crossed
	}
	s := seen{view: *v, at: now, unknown: o == NoAccount, trap: c.traps[v.account],
		proven: g.proofs.has(v.pair, now, c.ProvenTime.Std()), hostProven: g.proofs.hosts[v.host], wideProven: g.proofs.wides[v.wide]}
	f, fresh, dropped := g.counts.fail(&c.Config, s)
	fx.dropped = dropped
	if o == Wrong && !s.proven {
		g.notice(c, v, a, now, fx)
	}
	var st step
	if fresh || s.trap {
		st = judge(&c.Config, f)
	}
	if st.do > closePair && g.isOwn(g.networkFor(st.do, v), now) {
		f.blameless = true
		st = judge(&c.Config, f)
	}
	d := before
	switch {
	case st.do == closePair:
		d = g.close(c, v, a, st, now, fx)
	case st.do != nothing:
		d = g.ban(c, v, st, now, fx)
	}
	d.Delay = max(d.Delay, delayAfter(&c.Config, f))
	d.Mark = mark(v.password)
	return d
}

// networkFor is what an action closes.
func (g *Guard) networkFor(do action, v *view) netip.Prefix {
	switch do {
	case banSingle:
		return netip.PrefixFrom(v.addr, v.addr.BitLen())
	case banWide:
		return wideNetwork(v.wide)
	}
	return networkOf(v.host)
}

// close closes an account on one network.
func (g *Guard) close(c *settings, v *view, a *Attempt, st step, now time.Time, fx *effects) Decision {
	p := g.counts.pairs.get(v.pair)
	held := int64(p.until) > now.Unix()
	if held && (st.mode == unit.Observe || !p.watched) {
		return decision(c.Mode, closed(v, p, a.User))
	}
	times := remembered(&c.Config, int(p.offences), time.Unix(int64(p.until), 0), now)
	p.watched = st.mode == unit.Observe
	p.offences = uint8(min(times+1, 255))
	p.until = seconds(now.Add(g.jittered(c, spanOfBan(&c.Config, times))))
	p.failures = window{}
	b := closed(v, p, a.User)
	b.Rule, b.Reason = string(st.rule), st.text()
	g.hits[st.rule]++
	fx.begin(b, "closed")
	return decision(c.Mode, b)
}

// ban closes a network for logins.
func (g *Guard) ban(c *settings, v *view, st step, now time.Time, fx *effects) Decision {
	network := g.networkFor(st.do, v)
	if b, ok := g.bans.last(network, false); ok && now.Before(b.Until) && (st.mode == unit.Observe || !b.Observe) {
		return decision(c.Mode, b)
	}
	b := g.newBan(c, network, loginServices(), st, now)
	b.Shared = g.proofs.hosts[v.host] > 0 || st.do == banWide && g.proofs.wides[v.wide] > 0 || g.apart(c, network, now)
	if p := g.counts.pairs.get(v.pair); p != nil {
		p.failures = window{}
	}
	g.counts.settle(v.host)
	if st.do == banSingle {
		g.counts.settle(v.single)
	}
	fx.over = g.bans.put(b, forgotten(c, b), min(c.MaxNetworks, maxBans))
	g.ahead(b, false)
	fx.kept = true
	fx.begin(b, "ban")
	g.lanes.wakeIn(network)
	return decision(c.Mode, b)
}

// newBan is the next ban of a network.
func (g *Guard) newBan(c *settings, network netip.Prefix, services []string, st step, now time.Time) Ban {
	earlier := 0
	if old, ok := g.bans.last(network, services[0] == MX); ok && !old.Manual {
		earlier = remembered(&c.Config, old.Times, old.Until, now)
	}
	g.hits[st.rule]++
	return Ban{
		ID: newID(), Network: network, Services: services, Rule: string(st.rule), Reason: st.text(),
		Since: now, Until: now.Add(g.jittered(c, spanOfBan(&c.Config, earlier))),
		Times: min(earlier+1, maxTimes), Observe: st.mode == unit.Observe && c.Mode == unit.Enforce,
		Host: g.deps.Host, Trial: c.Mode != unit.Enforce,
	}
}

// forgotten is when b makes no later ban longer.
func forgotten(c *settings, b Ban) time.Time {
	return b.Until.Add(time.Duration(min(b.Times, maxGrowth+1)) * c.ForgetTime.Std())
}

// jittered makes d longer by up to ban_jitter percent.
func (g *Guard) jittered(c *settings, d time.Duration) time.Duration {
	most := int64(d) / 100 * int64(c.BanJitter)
	if most <= 0 {
		return d
	}
	n, err := rand.Int(rand.Reader, big.NewInt(most))
	if err != nil {
		return d
	}
	return d + time.Duration(n.Int64())
}

// right notes a success. It lifts no ban.
func (g *Guard) right(c *settings, v *view, a *Attempt, now time.Time, fx *effects) Decision {
	d := g.look(c, v, a.User, now, fx)
	if d.Refuse || a.User == "" {
		return d
	}
	fresh, write := g.proofs.put(*v, now, c.ProvenTime.Std())
	g.counts.forgive(&c.Config, *v, now)
	if write {
		fx.proven = true
	}
	if fresh {
		if t := g.counts.targets.get(v.account); t != nil {
			t.entered = min(t.entered+1, 1000)
		}
		g.travel(v, a, now, fx)
	}
	return d
}

// newID returns a name that is short enough to read out on the telephone.
func newID() string { return strings.ToLower(rand.Text()[:8]) }

// idOf is the name of what has no row of its own.
func idOf(key uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], key)
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:5]))
}

// tell logs a ban.
func (g *Guard) tell(ctx context.Context, msg string, b Ban, a *Attempt, mode unit.Mode) {
	g.log.LogAttrs(ctx, slog.LevelInfo, msg, slog.String("client_addr", a.Addr.Unmap().String()),
		slog.String("rule", b.ID), slog.String("verdict", string(mode)), slog.Time("until", b.Until))
}
