package guard

import (
	"net/netip"
	"time"
)

// ownAddresses are those of this host, for a minute.
type ownAddresses struct {
	list []netip.Addr
	at   time.Time
}

// isOwn needs mu.
func (g *Guard) isOwn(p netip.Prefix, now time.Time) bool {
	if g.deps.Own == nil {
		return false
	}
	if g.own.at.IsZero() || now.Sub(g.own.at) >= time.Minute {
		g.own = ownAddresses{g.deps.Own(), now}
	}
	for _, a := range g.own.list {
		if p.Contains(a.Unmap().WithZone("")) {
			return true
		}
	}
	return false
}

// single is a as a network.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// apart reports whether a ban of p can be obeyed by the guard alone: some address
// in it is never banned. It needs mu.
func (g *Guard) apart(c *settings, p netip.Prefix, now time.Time) bool {
	return c.touches(p) || g.isOwn(p, now)
}
