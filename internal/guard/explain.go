package guard

import (
	"context"
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

// Figure is a count beside the line that it must not reach.
type Figure struct {
	Name  string        `json:"name"`
	Count int           `json:"count"`
	Line  int           `json:"line"`
	Span  unit.Duration `json:"within"`
	Mode  unit.Mode     `json:"mode"`
}

// FigureSeveral is the Name of the failures of all accounts of a network
// together; that of the account that failed most is max_failures.
const FigureSeveral = "max_failures of all"

// Explanation is what the guard knows of an address.
type Explanation struct {
	Addr netip.Addr `json:"addr"`
	Mode unit.Mode  `json:"mode"`
	// Never says why the address is never banned, empty if it may be.
	Never string `json:"never,omitempty"`
	// Bans hold and cover the address, Past are over and not forgotten.
	Bans []Ban `json:"bans"`
	Past []Ban `json:"past"`
	// Closed are accounts that are closed on its network, with the last of them
	// until then. The journal names them.
	Closed      int       `json:"closed_accounts"`
	ClosedUntil time.Time `json:"closed_until,omitzero"`
	// Proven accounts logged in from its network lately.
	Proven int `json:"proven_accounts"`
	// Accepted says that mail of the client was accepted within 30 days.
	Accepted bool     `json:"accepted_mail"`
	Figures  []Figure `json:"figures"`
	// Next is how long the next ban of its network would be.
	Next unit.Duration `json:"next_ban"`
}

// Explain tells what the guard knows of an address. It looks at all pairs.
func (g *Guard) Explain(_ context.Context, addr netip.Addr) (Explanation, error) {
	c := g.cfg.Load()
	addr = addr.Unmap().WithZone("")
	e := Explanation{Addr: addr, Mode: c.Mode, Never: c.blameless(addr), Bans: []Ban{}, Past: []Ban{}, Figures: []Figure{}}
	if !addr.IsValid() {
		return e, nil
	}
	v := g.keys.place(&c.Config, addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	network := networkOf(v.host)
	if e.Never == "" && g.isOwn(netip.PrefixFrom(addr, addr.BitLen()), now) {
		e.Never = "an address of this host"
	}
	earlier := 0
	for _, k := range g.bans.order {
		switch {
		case !k.Network.Contains(addr):
		case now.Before(k.Until):
			e.Bans = append(e.Bans, k.Ban)
		default:
			e.Past = append(e.Past, k.Ban)
		}
	}
	if b, ok := g.bans.last(network, false); ok && !b.Manual {
		earlier = remembered(&c.Config, b.Times, b.Until, now)
	}
	sortBans(e.Bans)
	sortBans(e.Past)
	e.Next = unit.Duration(spanOfBan(&c.Config, earlier))
	e.Proven, e.Accepted = g.proofs.hosts[v.host], g.welcome(v.host, now)
	worst := 0
	g.counts.pairs.each(func(_ uint64, p *pair) {
		if p.host != v.host {
			return
		}
		worst = max(worst, p.failures.count(now, c.FindTime.Std()))
		if int64(p.until) > now.Unix() {
			e.Closed++
			if t := time.Unix(int64(p.until), 0); t.After(e.ClosedUntil) {
				e.ClosedUntil = t
			}
		}
	})
	e.Figures = g.figures(c, &v, worst, now)
	return e, nil
}

// figures are the counts of a network beside their lines; worst is the account
// there that failed most. It needs mu.
func (g *Guard) figures(c *settings, v *view, worst int, now time.Time) []Figure {
	var h host
	if p := g.counts.hosts.get(v.host); p != nil {
		h = *p
	}
	var w wide
	if p := g.counts.wides.get(v.wide); p != nil {
		w = *p
	}
	r, proven, around := &c.Rules, g.proofs.hosts[v.host], g.proofs.wides[v.wide]
	count := func(w *window, d unit.Duration) int { return w.count(now, d.Std()) }
	accounts := w.accounts.count(now, r.NetworkBan.FindTime.Std())
	all := []Figure{
		{Name: string(ruleFailures), Count: worst, Line: c.MaxFailures, Span: c.FindTime, Mode: unit.Enforce},
		{Name: FigureSeveral, Count: count(&h.failures, c.FindTime), Line: raised(c.MaxFailures+several, proven), Span: c.FindTime, Mode: unit.Enforce},
		{string(ruleSlow), count(&h.slow, r.Slow.FindTime), raised(r.Slow.Max, proven), r.Slow.FindTime, r.Slow.Mode},
		{string(ruleAccounts), count(&h.accounts, r.Accounts.FindTime), raised(r.Accounts.Max, proven), r.Accounts.FindTime, r.Accounts.Mode},
		{string(ruleUnknown), count(&h.unknown, r.Unknown.FindTime), raised(r.Unknown.Max, proven), r.Unknown.FindTime, r.Unknown.Mode},
		{string(ruleNetworkDelay), accounts, raised(r.NetworkDelay.Max, around), r.NetworkDelay.FindTime, r.NetworkDelay.Mode},
		{string(ruleNetworkBan), accounts, raised(r.NetworkBan.Max, around), r.NetworkBan.FindTime, r.NetworkBan.Mode},
		{string(ruleMX), count(&h.mx, r.MX.FindTime), r.MX.Max, r.MX.FindTime, r.MX.Mode},
	}
	for i := range all {
		all[i].Mode = weaker(c.Mode, all[i].Mode)
	}
	return all
}

// Status is how the guard stands.
type Status struct {
	Mode unit.Mode `json:"mode"`
	Stats
	// Rules say how often each line was crossed since the start.
	Rules []Crossed `json:"rules"`
}

// Crossed is a line.
type Crossed struct {
	Rule  string    `json:"rule"`
	Mode  unit.Mode `json:"mode"`
	Times uint64    `json:"times"`
}

// Status returns how the guard stands.
func (g *Guard) Status(context.Context) (Status, error) {
	c := g.cfg.Load()
	s := Status{Mode: c.Mode, Stats: g.Stats()}
	g.mu.Lock()
	defer g.mu.Unlock()
	add := func(name ruleName, mode unit.Mode) {
		s.Rules = append(s.Rules, Crossed{string(name), weaker(c.Mode, mode), g.hits[name]})
	}
	add(ruleFailures, unit.Enforce)
	add(ruleTrap, unit.Enforce)
	for _, r := range c.Rules.named() {
		add(r.name, r.rule.Mode)
	}
	return s, nil
}
