package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
			_ = g.keep(ctx, e.ban, forgotten(c, e.ban), fx.over) // it has told the log
			g.tell(ctx, "network banned", e.ban, a, mode)
			g.changed(e.ban, false, mode)
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

// keep makes b durable and removes the rows of the bans that it displaced.
func (g *Guard) keep(ctx context.Context, b Ban, gone time.Time, over []Ban) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	e, err := b.entry(gone)
	if err == nil {
		err = g.deps.State.Put(ctx, state.Ban, e, true)
	}
	for _, o := range over {
		err = errors.Join(err, g.deps.State.Delete(ctx, state.Ban, o.key()))
		if g.now().Before(o.Until) {
			g.changed(o, true, g.Mode())
		}
	}
	if err != nil {
		err = fmt.Errorf("keep ban of %s: %w", netaddr.String(b.Network), err)
		g.log.LogAttrs(ctx, slog.LevelWarn, "ban holds in memory only", slog.String("rule", b.ID), slog.Any("err", err))
	}
	return err
}

// record writes what began, or was lifted, to the journal.
func (g *Guard) record(b Ban, verdict string, mode unit.Mode, a *Attempt) {
	r := journal.Record{
		Time: g.now(), Daemon: "guard", Event: "ban", Service: a.Service, User: a.User, Mech: a.Mech,
		ClientAddr: a.Addr.Unmap().WithZone(""), Verdict: verdict, Rule: b.ID,
		Facts: make([]journal.Fact, 0, 7),
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
	fact("mode", string(mode))
	g.deps.Journal.Record(r)
}
