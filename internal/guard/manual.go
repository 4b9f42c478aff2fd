package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// Bans returns the bans that hold, oldest first. All of them are only observed
// while the guard as a whole does no more.
func (g *Guard) Bans(context.Context) ([]Ban, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.bans.list(g.now())
	for i := range all {
		all[i].Observe = all[i].Observe || g.Mode() != unit.Enforce
	}
	return all, nil
}

// Add closes the logins of network for d, for proven accounts too. A ban of the
// same network is replaced. When the error is of the store, the ban holds until
// the next restart.
func (g *Guard) Add(ctx context.Context, network netip.Prefix, d time.Duration, reason string) (Ban, error) {
	c := g.cfg.Load()
	switch {
	case !network.IsValid() || network != network.Masked() || network.Addr().Is4In6():
		return Ban{}, fmt.Errorf("%w: %v is not a network", ErrInvalid, network)
	case d < time.Second || d > maxSpan:
		return Ban{}, fmt.Errorf("%w: a ban is for 1s to 366d", ErrInvalid)
	case len(reason) > maxReasonBytes || !printable(reason):
		return Ban{}, fmt.Errorf("%w: the reason is one line of at most %d bytes", ErrInvalid, maxReasonBytes)
	}
	now := g.now()
	b := Ban{ID: newID(), Network: network, Services: loginServices(), Reason: reason, Since: now, Until: now.Add(d), Manual: true,
		Host: g.deps.Host, Trial: c.Mode != unit.Enforce}
	g.mu.Lock()
	if why := g.never(c, network, now); why != "" {
		g.mu.Unlock()
		return Ban{}, fmt.Errorf("%w: %s is %s, and never banned", ErrInvalid, netaddr.String(network), why)
	}
	b.Shared = g.apart(c, network, now)
	over := g.bans.put(b, b.Until, min(c.MaxNetworks, maxBans))
	g.ahead(b, false)
	g.lanes.wakeIn(network)
	g.mu.Unlock()
	g.lose(ctx, len(over))
	g.announce(b, c.Mode)
	err := g.keep(ctx, b, over)
	g.record(b, "ban", c.Mode, &Attempt{})
	return b, err
}

// never says why a whole network can not be banned, "" if it can. It needs mu.
func (g *Guard) never(c *settings, p netip.Prefix, now time.Time) string {
	why := c.blameless(p.Addr())
	if why != "" && (p.IsSingleIP() || p.Addr().IsLoopback() && p.Addr().Is4() || p.Addr().IsMulticast()) {
		return "of " + why
	}
	for _, list := range [][]netaddr.Prefix{c.IgnoreNetworks, c.TrustedProxies} {
		for _, n := range list {
			if n.Bits() <= p.Bits() && n.Contains(p.Addr()) {
				return "in ignore_networks or trusted_proxies"
			}
		}
	}
	if p.Bits() >= 24 && g.isOwn(p, now) {
		return "where an address of this host is"
	}
	return ""
}

// Remove lifts the bans of exactly that network, for logins and for port 25,
// forgets what was counted in it, and lets accounts that were closed there in
// again. When the error is of the store, the ban is lifted until a restart.
func (g *Guard) Remove(ctx context.Context, network netip.Prefix) error {
	lifted, open := g.lift(network)
	if len(lifted) == 0 && open == 0 {
		return fmt.Errorf("%w: %v", ErrNotFound, network)
	}
	c := g.cfg.Load()
	if len(lifted) == 0 {
		b := Ban{Network: network, Reason: number(open, "closed account") + " opened"}
		g.record(b, "lifted", c.Mode, &Attempt{})
		return nil
	}
	var errs []error
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	for _, b := range lifted {
		g.record(b, "lifted", c.Mode, &Attempt{})
		if err := g.row(ctx, network, b.mx()); err != nil {
			errs = append(errs, fmt.Errorf("remove ban of %s: %w", netaddr.String(network), err))
		}
	}
	return errors.Join(errs...)
}

// lift is Remove in memory, and elsewhere. It returns how many accounts were
// closed there.
func (g *Guard) lift(network netip.Prefix) (lifted []Ban, open int) {
	g.order.Lock()
	defer g.order.Unlock()
	now := g.now()
	g.mu.Lock()
	for _, mx := range []bool{false, true} {
		if b, ok := g.bans.last(network, mx); ok && now.Before(b.Until) {
			g.bans.remove(b)
			g.ahead(b, true)
			lifted = append(lifted, b)
		}
	}
	open = g.reopen(network, now)
	if len(lifted) > 0 || open > 0 {
		g.counts.forget(func(host uint64) bool { return network.Overlaps(networkOf(host)) })
	}
	g.mu.Unlock()
	for _, b := range lifted {
		g.changed(b, true, g.Mode())
	}
	return lifted, open
}

// reopen counts the accounts that are closed in p. It needs mu.
func (g *Guard) reopen(p netip.Prefix, now time.Time) (n int) {
	g.counts.pairs.each(func(_ uint64, e *pair) {
		if int64(e.until) > now.Unix() && p.Overlaps(networkOf(e.host)) {
			n++
		}
	})
	return n
}

// Stats are figures for metrics.
type Stats struct {
	// Networks are counted, Bans hold, Dropped went before their time because
	// there were too many.
	Networks int    `json:"networks"`
	Bans     int    `json:"bans"`
	Dropped  uint64 `json:"dropped"`
	// Pairs of account and network are counted, Proven proved themselves,
	// Senders had mail accepted within 30 days.
	Pairs   int `json:"pairs"`
	Proven  int `json:"proven"`
	Senders int `json:"senders"`
	// Flying attempts are looked at, Waiting ones wait for them.
	Flying  int `json:"under_way"`
	Waiting int `json:"waiting"`
}

// Stats returns the figures of now.
func (g *Guard) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Stats{Networks: g.counts.hosts.n, Bans: g.bans.holding(g.now()), Dropped: g.dropped.Load(),
		Pairs: g.counts.pairs.n, Proven: g.proofs.pairs.n, Senders: g.senders.n}
	for _, f := range g.lanes.pairs {
		s.Flying += f.n
	}
	for _, l := range g.lanes.hosts {
		s.Waiting += len(l.waiting)
	}
	return s
}
