package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// effects are what an attempt leads to outside of memory. They are collected
// under the lock and done without it.
type effects struct {
	dropped int
	// begun is what began, by the verdict of its record; kept says that it is a
	// row, over is what went for it.
	begun   []begun
	kept    bool
	over    []Ban
	notices []Notice
	// proven and country are to be written, accepted too.
	proven   bool
	country  string
	accepted bool
}

type begun struct {
	ban     Ban
	verdict string
}

func (fx *effects) begin(b Ban, verdict string) { fx.begun = append(fx.begun, begun{b, verdict}) }

// apply does what is in fx.
func (g *Guard) apply(ctx context.Context, c *settings, a *Attempt, fx *effects) {
	g.lose(ctx, fx.dropped+len(fx.over))
	for _, e := range fx.begun {
		mode := c.Mode
		if e.ban.Observe {
			mode = unit.Observe
		}
		switch {
		case e.verdict == "ban" && fx.kept:
			g.announce(e.ban, mode)
			_ = g.keep(ctx, e.ban, fx.over) // it has told the log
			g.tell(ctx, "network banned", e.ban, a, mode)
		case e.verdict == "closed":
			g.tell(ctx, "account closed on a network", e.ban, a, mode)
		}
		g.record(e.ban, e.verdict, mode, a)
	}
	if fx.proven || fx.accepted || fx.country != "" {
		g.write(ctx, c, a, fx)
	}
	if g.deps.Told != nil {
		for _, n := range fx.notices {
			g.deps.Told(n)
		}
	}
}

// changed tells of a ban, unless it is for the guard alone.
func (g *Guard) changed(b Ban, lifted bool, mode unit.Mode) {
	if b.Observe {
		mode = unit.Observe
	}
	if g.deps.Changed != nil && !b.Shared {
		g.deps.Changed(Change{b, lifted, mode})
	}
}

// announce tells of a ban that began, unless it was lifted or replaced since.
func (g *Guard) announce(b Ban, mode unit.Mode) {
	g.order.Lock()
	defer g.order.Unlock()
	if g.current(b.Network, b.mx()) == b.ID {
		g.changed(b, false, mode)
	}
}

// retract tells that a ban went before its time, unless there is a new one.
func (g *Guard) retract(b Ban) {
	g.order.Lock()
	defer g.order.Unlock()
	if g.now().Before(b.Until) && g.current(b.Network, b.mx()) == "" {
		g.changed(b, true, g.Mode())
	}
}

// current returns the ID of the ban that memory has of a network, "" for none.
func (g *Guard) current(p netip.Prefix, mx bool) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, _ := g.bans.last(p, mx)
	return b.ID
}

// keep makes b durable and removes the rows of the bans that it displaced.
func (g *Guard) keep(ctx context.Context, b Ban, over []Ban) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout) // for all of them
	defer cancel()
	err := g.row(ctx, b.Network, b.mx())
	for _, o := range over {
		if g.others == nil { // else it may hold on other hosts
			err = errors.Join(err, g.row(ctx, o.Network, o.mx()))
		}
		g.retract(o)
	}
	if err != nil {
		err = fmt.Errorf("keep ban of %s: %w", netaddr.String(b.Network), err)
	}
	return err
}

// row makes the row of a network what memory has of it. A ban may be lifted or
// replaced while its row is written, so it looks again until they agree: else a
// restart would bring back what a person lifted. It ends what ahead began.
func (g *Guard) row(ctx context.Context, p netip.Prefix, mx bool) (err error) {
	key := Ban{Network: p}
	if mx {
		key.Services = []string{MX}
	}
	if g.others != nil {
		defer func() { g.written(key.key(), err) }()
	}
	for {
		g.mu.Lock()
		b, gone := key, time.Time{}
		if k := g.bans.at(p, mx); k != nil {
			b, gone = k.Ban, k.gone
		}
		l := g.follow.lifted[key.key()]
		g.mu.Unlock()
		if err := g.writeRow(ctx, b, gone, l); err != nil {
			message := "ban holds in memory only"
			if b.ID == "" {
				message = "lifted ban is not forgotten, a restart brings it back"
			}
			g.log.LogAttrs(ctx, slog.LevelWarn, message, slog.String("rule", b.ID), slog.Any("err", err))
			return err
		}
		if g.current(p, mx) == b.ID {
			return nil
		}
	}
}

// writeRow writes the row of b. Where there is no ban it removes the row, or
// writes that it was lifted for others to hear.
func (g *Guard) writeRow(ctx context.Context, b Ban, gone time.Time, l lifted) error {
	var at time.Time
	switch {
	case b.ID != "":
	case g.others == nil:
		return g.deps.State.Delete(ctx, state.Ban, b.key())
	case l.ID == "":
		return nil // others may have it
	default:
		b, gone, at = l.Ban, l.Until, l.at
	}
	e, err := b.entry(gone, at)
	if err != nil {
		return err
	}
	return g.deps.State.Put(ctx, state.Ban, e, true)
}

// record writes what began, or was lifted, to the journal.
func (g *Guard) record(b Ban, verdict string, mode unit.Mode, a *Attempt) {
	r := journal.Record{
		Time: g.now(), Daemon: "guard", Event: "ban", Service: a.Service, User: a.User, Mech: a.Mech,
		ClientAddr: a.Addr.Unmap().WithZone(""), Verdict: verdict, Rule: b.ID,
		Facts: make([]journal.Fact, 0, 8),
	}
	fact := func(key, value string) {
		if value != "" {
			r.Facts = append(r.Facts, journal.Fact{Key: key, Value: value})
		}
	}
	if b.Network.IsValid() {
		r.ClientAddr = b.Network.Addr()
		fact("network", netaddr.String(b.Network))
	}
	fact("setting", b.Rule)
	fact("reason", b.Reason)
	if !b.Until.IsZero() {
		fact("until", b.Until.UTC().Format(time.RFC3339))
	}
	if b.Times > 1 {
		fact("times", fmt.Sprint(b.Times))
	}
	if b.Shared {
		fact("shared", "yes")
	}
	if b.Host != g.deps.Host {
		fact("host", b.Host)
	}
	fact("mode", string(mode))
	g.deps.Journal.Record(r)
}
