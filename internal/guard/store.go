package guard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/state"
)

// The rows of the guard in the table state.Login.
const (
	// pairPrefix is before "NETWORK USER" of a pair that proved itself,
	// senderPrefix before the network of a client whose mail was accepted; the
	// value is when, in Unix seconds. landPrefix is before a user, whose
	// countries are the value.
	pairPrefix   = "pair/"
	senderPrefix = "mx/"
	landPrefix   = "land/"

	landKept = 366 * day
)

// write keeps what a success, or accepted mail, showed. It is no harm when it is
// lost: it is not waited for.
func (g *Guard) write(ctx context.Context, c *settings, a *Attempt, fx *effects) {
	now := g.now()
	at := binary.BigEndian.AppendUint32(nil, seconds(now))
	host := networkOf(hostKey(a.Addr.Unmap().WithZone(""))).String()
	var err error
	put := func(key string, value []byte, d time.Duration) {
		err = errors.Join(err, g.deps.State.Put(ctx, state.Login, state.Entry{Key: key, Value: value, Expires: now.Add(d)}, false))
	}
	if fx.proven {
		put(pairPrefix+host+" "+a.User, at, c.ProvenTime.Std()+day)
	}
	if fx.country != "" {
		put(landPrefix+a.User, []byte(fx.country), landKept)
	}
	if fx.accepted {
		put(senderPrefix+host, at, welcomeTime)
	}
	if err != nil && ctx.Err() == nil {
		g.log.LogAttrs(ctx, slog.LevelWarn, "proven login not kept", slog.Any("err", err))
	}
}

// load reads what the state has, first what proved itself: bans look at it.
// Nobody else has g yet.
func (g *Guard) load(ctx context.Context) error {
	now, c := g.now(), g.cfg.Load()
	rows, err := g.deps.State.List(ctx, state.Login, "")
	if err != nil {
		return fmt.Errorf("read proven logins: %w", err)
	}
	// The tables let go of what was put first.
	slices.SortStableFunc(rows, func(a, b state.Entry) int { return a.Expires.Compare(b.Expires) })
	for _, e := range rows {
		if !g.remember(c, e, now) {
			g.log.LogAttrs(ctx, slog.LevelWarn, "proven login ignored, its row is damaged", slog.Int("bytes", len(e.Value)))
		}
	}
	rows, err = g.deps.State.List(ctx, state.Ban, "")
	if err != nil {
		return fmt.Errorf("read bans: %w", err)
	}
	for _, e := range rows {
		b, lifted, err := banOf(e, now)
		if err != nil {
			g.log.LogAttrs(ctx, slog.LevelWarn, "ban ignored", slog.Any("err", err))
			continue
		}
		if lifted.IsZero() {
			g.restore(c, b, e.Expires, now)
		}
	}
	return nil
}

// restore takes a ban of the state. One of a network that is never banned, since
// the settings are others or somebody edited the row, is not obeyed.
func (g *Guard) restore(c *settings, b Ban, gone, now time.Time) {
	if why := g.never(c, b.Network, now); why != "" {
		g.log.LogAttrs(context.Background(), slog.LevelWarn, "ban ignored, its network is never banned",
			slog.String("rule", b.ID), slog.String("err", netaddr.String(b.Network)+" is "+why))
		return
	}
	g.bans.put(g.adapt(c, b, now), gone, min(c.MaxNetworks, maxBans))
}

// remember takes a row of the table Login, and goes back from nothing that is
// known. It reports whether the row is right. It needs mu.
func (g *Guard) remember(c *settings, e state.Entry, now time.Time) bool {
	if user, ok := strings.CutPrefix(e.Key, landPrefix); ok {
		seen := strings.Split(string(e.Value), ",")
		if len(seen) > maxCountries || !printable(string(e.Value)) {
			return false
		}
		l, _ := g.lands.put(g.keys.accountKey(user))
		for _, country := range l.seen {
			if !slices.Contains(seen, country) && len(seen) < maxCountries {
				seen = append(seen, country)
			}
		}
		l.seen = seen
		return true
	}
	name, pair := strings.CutPrefix(e.Key, pairPrefix)
	if !pair {
		var ok bool
		if name, ok = strings.CutPrefix(e.Key, senderPrefix); !ok {
			return true // of somebody else
		}
	}
	network, user, _ := strings.Cut(name, " ")
	p, err := netip.ParsePrefix(network)
	if err != nil || p != netaddr.Network(p.Addr()) || len(e.Value) != 4 {
		return false
	}
	at := binary.BigEndian.Uint32(e.Value)
	if at > seconds(now) {
		at = seconds(now)
	}
	host := hostKey(p.Addr())
	if !pair {
		s, _ := g.senders.put(host)
		*s = sender{at: max(s.at, at), wrote: max(s.wrote, at)}
		return true
	}
	v := view{host: host, wide: wideKey(host), pair: g.keys.pairKey(host, g.keys.accountKey(user))}
	g.proofs.put(v, time.Unix(int64(at), 0), c.ProvenTime.Std())
	return true
}
