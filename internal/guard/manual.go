package guard

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/state"
)

// Bans returns the bans that hold, oldest first.
func (g *Guard) Bans(context.Context) ([]Ban, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bans.list(g.now()), nil
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
	if why := g.never(c, network); why != "" {
		return Ban{}, fmt.Errorf("%w: %s is %s, and never banned", ErrInvalid, netaddr.String(network), why)
	}
	now := g.now()
	b := Ban{ID: newID(), Network: network, Services: loginServices(), Reason: reason, Since: now, Until: now.Add(d), Manual: true}
	g.mu.Lock()
	over := g.bans.put(b, b.Until, min(c.MaxNetworks, maxBans))
	g.lanes.wakeAll()
	g.mu.Unlock()
	g.lose(ctx, len(over))
	err := g.keep(ctx, b, b.Until, over)
	g.record(b, "ban", c.Mode, &Attempt{})
	g.changed(b, false, c.Mode)
	return b, err
}

// never says why a whole network can not be banned, "" if it can.
func (g *Guard) never(c *settings, p netip.Prefix) string {
	if why := c.blameless(p.Addr()); p.IsSingleIP() && why != "" {
		return "of " + why
	}
	for _, list := range [][]netaddr.Prefix{c.IgnoreNetworks, c.TrustedProxies} {
		for _, n := range list {
			if n.Bits() <= p.Bits() && n.Contains(p.Addr()) {
				return "in ignore_networks or trusted_proxies"
			}
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.Bits() >= 24 && g.isOwn(p, g.now()) {
		return "where an address of this host is"
	}
	return ""
}

// Remove lifts the bans of exactly that network, for logins and for port 25,
// forgets what was counted in it, and lets accounts that were closed there in
// again. When the error is of the store, the ban is lifted until a restart.
func (g *Guard) Remove(ctx context.Context, network netip.Prefix) error {
	now := g.now()
	var lifted []Ban
	g.mu.Lock()
	for _, mx := range []bool{false, true} {
		if b, ok := g.bans.last(network, mx); ok && now.Before(b.Until) {
			g.bans.remove(b)
			lifted = append(lifted, b)
		}
	}
	open := g.reopen(network, now)
	if len(lifted) > 0 || open > 0 {
		g.counts.forget(func(host uint64) bool { return network.Overlaps(networkOf(host)) })
	}
	g.mu.Unlock()
	if len(lifted) == 0 && open == 0 {
		return fmt.Errorf("%w: %v", ErrNotFound, network)
	}
	c := g.cfg.Load()
	if len(lifted) == 0 {
		b := Ban{Network: network, Reason: number(open, "closed account") + " opened"}
		g.record(b, "lifted", c.Mode, &Attempt{})
		return nil
	}
	for _, b := range lifted {
		g.record(b, "lifted", c.Mode, &Attempt{})
		g.changed(b, true, c.Mode)
		if err := g.deps.State.Delete(ctx, state.Ban, b.key()); err != nil {
			return fmt.Errorf("remove ban of %s: %w", netaddr.String(network), err)
		}
	}
	return nil
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
