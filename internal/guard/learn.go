package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// following is how memory and the rows of bans stand to each other, where others
// write the rows too. It is not safe for concurrent use.
type following struct {
	// pending counts, by row, changes of memory that are being written: memory is
	// ahead of the row.
	pending map[string]int
	// touched has the rows of which memory changed, or that were written, while
	// the store was asked; it is nil when nobody asks.
	touched map[string]bool
	// lifted are the bans that were lifted here, until they would have ended.
	lifted map[string]lifted
	// owed says that a row could not be written, or rows not be read.
	owed bool
}

// lifted is a ban that was lifted, and when.
type lifted struct {
	Ban
	at time.Time
}

// maxLifted bounds how many of those are remembered.
const maxLifted = 10_000

// errBusy means that we are changing that row ourselves.
var errBusy = errors.New("the row of a ban is being written")

// ahead notes that memory has changed, and row will write it. A ban that was
// lifted is given as such. It needs mu.
func (g *Guard) ahead(b Ban, lift bool) {
	f := &g.follow
	if g.others == nil {
		return
	}
	key := b.key()
	f.pending[key]++
	if f.touched != nil {
		f.touched[key] = true
	}
	if !lift {
		delete(f.lifted, key)
		return
	}
	now := g.now()
	if len(f.lifted) >= maxLifted {
		for k, l := range f.lifted {
			if now.After(l.Until) || len(f.lifted) >= 2*maxLifted {
				delete(f.lifted, k)
			}
		}
	}
	b.Host = g.deps.Host // who lifts it
	f.lifted[key] = lifted{b, now}
}

// written ends what ahead began.
func (g *Guard) written(key string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := &g.follow
	if f.pending[key]--; f.pending[key] <= 0 {
		delete(f.pending, key)
	}
	if f.touched != nil {
		f.touched[key] = true // what was asked for may be older
	}
	f.owed = f.owed || err != nil
}

// owes reports whether a row could not be written.
func (g *Guard) owes() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.follow.owed
}

// ask begins to note what memory changes; the returned function ends it.
func (g *Guard) ask() (end func()) {
	set := func(m map[string]bool) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.follow.touched = m
	}
	set(map[string]bool{})
	return func() { set(nil) }
}

// refresh takes over the row that c tells of.
func (g *Guard) refresh(ctx context.Context, c state.Change) error {
	network, mx, ok := splitKey(c.Entry.Key)
	if !ok {
		return nil // of nobody that we know
	}
	defer g.ask()()
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	e, err := g.others.Get(ctx, state.Ban, c.Entry.Key)
	switch {
	case err == nil:
		return g.learn(ctx, e, true)
	case !errors.Is(err, state.ErrNotFound):
		return err
	case !c.Deleted:
		// It was there: the store is answered for from elsewhere, or has lost it.
		return g.learn(ctx, c.Entry, true)
	}
	b := Ban{Network: network}
	if mx {
		b.Services = []string{MX}
	}
	return g.adopt(ctx, b, time.Time{}, false)
}

// splitKey is Ban.key taken apart.
func splitKey(key string) (p netip.Prefix, mx, ok bool) {
	name, service, mx := strings.Cut(key, " ")
	p, err := netip.ParsePrefix(name)
	return p, mx, err == nil && p == p.Masked() && (!mx || service == MX)
}

// learn takes over a row. One that is damaged is left alone.
func (g *Guard) learn(ctx context.Context, e state.Entry, latest bool) error {
	b, at, err := banOf(e, g.now())
	switch {
	case err != nil:
		g.log.LogAttrs(ctx, slog.LevelWarn, "ban ignored", slog.Any("err", err))
		return nil
	case !latest && g.newer(b, at):
		return g.rewrite(ctx, b)
	case !at.IsZero():
		return g.adopt(ctx, b, time.Time{}, false)
	}
	return g.adopt(ctx, b, e.Expires, true)
}

// newer reports whether memory has what was done after the row of b was written,
// which was lifted at a time that is not zero. It is asked when changes may have
// been missed; else the store says what came last.
func (g *Guard) newer(b Ban, at time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l, gone := g.follow.lifted[b.key()]
	mine, ok := g.bans.last(b.Network, b.mx())
	switch {
	case gone && at.IsZero():
		return l.ID == b.ID || b.Since.Before(l.at)
	case !ok || mine.ID == b.ID || !g.now().Before(mine.Until):
		return false
	case !at.IsZero():
		return mine.Since.After(at)
	case mine.Manual != b.Manual && g.now().Before(b.Until):
		return mine.Manual
	}
	return mine.Since.After(b.Since)
}

// rewrite writes what memory has of the row of b.
func (g *Guard) rewrite(ctx context.Context, b Ban) error {
	g.mu.Lock()
	g.follow.pending[b.key()]++
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return g.row(ctx, b.Network, b.mx())
}

// relist makes memory and store agree when changes may have been missed: what is
// there is taken over, what was lifted goes, and what the store does not have is
// written. busy are rows that we are writing ourselves.
func (g *Guard) relist(ctx context.Context) (busy []state.Change, err error) {
	defer g.ask()()
	g.mu.Lock()
	g.follow.owed = false
	g.mu.Unlock()
	look, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	rows, err := g.others.List(look, state.Ban, "")
	if err != nil {
		return nil, fmt.Errorf("list bans: %w", err)
	}
	there := make(map[string]bool, len(rows))
	for _, e := range rows {
		there[e.Key] = true
		switch err := g.learn(ctx, e, false); {
		case errors.Is(err, errBusy):
			busy = append(busy, state.Change{Table: state.Ban, Entry: e})
		case err != nil:
			return nil, err
		}
	}
	for _, b := range g.missing(there) {
		if err := g.rewrite(ctx, b); err != nil {
			return nil, err
		}
	}
	g.relistLogins(ctx)
	return busy, nil
}

// relistLogins takes over what proved itself on other hosts. There may be much of
// it, and bans do not wait for it.
func (g *Guard) relistLogins(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, loginsTime)
	defer cancel()
	rows, err := g.others.List(ctx, state.Login, "")
	if err != nil {
		g.log.LogAttrs(ctx, slog.LevelWarn, "proven logins of other hosts not read, tried again", slog.Any("err", err))
		g.mu.Lock()
		g.follow.owed = true
		g.mu.Unlock()
	}
	for _, e := range rows {
		g.learnLogin(ctx, e)
	}
}

// missing returns the bans that hold, and were lifted, whose rows are not there.
func (g *Guard) missing(there map[string]bool) (all []Ban) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for _, b := range g.bans.list(now) {
		if key := b.key(); !there[key] && !g.follow.touched[key] && g.follow.pending[key] == 0 {
			all = append(all, b)
		}
	}
	for key, l := range g.follow.lifted {
		if !there[key] && now.Before(l.Until) {
			all = append(all, l.Ban)
		}
	}
	return all
}

// turn is what adopt changed in memory: from one ban, which held, to another, that
// holds.
type turn struct {
	old, b      Ban
	held, holds bool
	// same says that nothing changed; why is why b is not obeyed here.
	same bool
	why  string
	// over went for it.
	over []Ban
}

// adopt makes a ban of the store, or that there is none, that of memory, and
// tells whoever closes networks elsewhere.
func (g *Guard) adopt(ctx context.Context, b Ban, gone time.Time, there bool) error {
	g.order.Lock()
	defer g.order.Unlock()
	c, now := g.cfg.Load(), g.now()
	t, err := g.turn(c, b, gone, there, now)
	if err != nil || t.same {
		return err
	}
	g.lose(ctx, len(t.over))
	for _, o := range t.over {
		if now.Before(o.Until) {
			g.changed(o, true, c.Mode)
		}
	}
	if t.held && (!t.holds || t.b.Shared || t.b.Observe) {
		g.changed(t.old, true, c.Mode)
	}
	if t.holds {
		g.changed(t.b, false, c.Mode)
	}
	g.tellLearned(ctx, c, t)
	return nil
}

// turn is adopt in memory.
func (g *Guard) turn(c *settings, b Ban, gone time.Time, there bool, now time.Time) (t turn, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := b.key()
	if g.follow.pending[key] > 0 || g.follow.touched[key] {
		return t, errBusy
	}
	old, had := g.bans.last(b.Network, b.mx())
	t.old, t.held = old, had && now.Before(old.Until)
	if there {
		t.why = g.never(c, b.Network, now)
		b = g.adapt(c, b, now)
	}
	t.b = b
	switch take := there && t.why == ""; {
	case take && had && old.same(b):
		t.same = true
		return t, nil
	case take:
		delete(g.follow.lifted, key)
		t.over = g.bans.put(b, gone, min(c.MaxNetworks, maxBans))
		g.lanes.wakeIn(b.Network)
		t.holds = now.Before(b.Until)
		return t, nil
	case had:
		g.bans.remove(old)
	}
	if t.held {
		g.counts.forget(func(host uint64) bool { return b.Network.Overlaps(networkOf(host)) })
	}
	return t, nil
}

// tellLearned writes down what another host did, once. Another process of this
// host has done so, in the same journal.
func (g *Guard) tellLearned(ctx context.Context, c *settings, t turn) {
	own := t.b.Host == g.deps.Host
	record := func(b Ban, verdict string, mode unit.Mode) {
		if !own {
			g.record(b, verdict, mode, &Attempt{})
		}
	}
	tell := func(level slog.Level, message string, b Ban) unit.Mode {
		mode := c.Mode
		if b.Observe {
			mode = unit.Observe
		}
		if own {
			level = slog.LevelDebug
		}
		g.log.LogAttrs(ctx, level, message, slog.String("client_addr", b.Network.Addr().String()), slog.String("network", netaddr.String(b.Network)),
			slog.String("rule", b.ID), slog.String("host", b.Host), slog.String("verdict", string(mode)), slog.Time("until", b.Until))
		return mode
	}
	switch {
	case t.why != "":
		tell(slog.LevelWarn, "ban of another host ignored, its network is never banned here", t.b)
	case t.holds:
		record(t.b, "ban", tell(slog.LevelInfo, "network banned by another host", t.b))
	case t.held:
		t.old.Host = t.b.Host // who lifted it
		record(t.old, "lifted", tell(slog.LevelInfo, "ban lifted by another host", t.old))
	}
}

// same reports whether both are the same ban, with the same effect.
func (b Ban) same(o Ban) bool {
	return b.ID == o.ID && b.Until.Equal(o.Until) && b.Shared == o.Shared && b.Observe == o.Observe
}

// adapt is b as it holds here: this host has addresses of its own, and a host
// that only watches must not make others refuse. It needs mu.
func (g *Guard) adapt(c *settings, b Ban, now time.Time) Ban {
	b.Observe = b.Observe || b.Trial && b.Host != g.deps.Host
	if !b.mx() && !b.Shared {
		b.Shared = g.apart(c, b.Network, now) || !b.Manual && g.inhabited(b.Network)
	}
	return b
}

// inhabited reports whether accounts proved themselves in p. It needs mu.
func (g *Guard) inhabited(p netip.Prefix) bool {
	host := hostKey(p.Addr())
	if p.Bits() >= networkOf(host).Bits() {
		return g.proofs.hosts[host] > 0
	}
	return g.proofs.wides[wideKey(host)] > 0
}

// learnLogin takes a row of the table Login of another host.
func (g *Guard) learnLogin(ctx context.Context, e state.Entry) {
	g.mu.Lock()
	ok := g.remember(g.cfg.Load(), e, g.now())
	g.mu.Unlock()
	if !ok {
		g.log.LogAttrs(ctx, slog.LevelWarn, "proven login ignored, its row is damaged", slog.Int("bytes", len(e.Value)))
	}
}
