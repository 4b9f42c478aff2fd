package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gatepost/gatepost/internal/abuse"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/geo"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/hold"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/notice"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/queue"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/milter"
)

// sendersConfig has the settings about what our users send.
type sendersConfig struct {
	Outgoing outgoing.Config
	Notices  notice.Config
	Abuse    abuse.Config
	// QueueHelper is the socket of gatepost-queue.service; empty: none.
	QueueHelper string
	GeoFile     string
	Delimiter   string
}

// senders are the parts that notice a stolen account, hold it and tell of it.
type senders struct {
	outgoing spool
	teller   teller
	watcher  watcher
	places   atomic.Pointer[geo.Table]
	on       atomic.Bool // whether mail of our own can be sent, where another process sends it

	// What follows is nil in a process that asks another one.
	queue  *outgoing.Queue
	told   *notice.Teller
	keeper *hold.Keeper
	own    *abuse.Watcher
}

// spool has mail of our own that waits.
type spool interface {
	Add(m outgoing.Mail) error
	On() bool
	Wrote(messageID string) (outgoing.Kind, bool)
}

// teller tells people.
type teller interface{ Tell(e notice.Event) }

// watcher watches what accounts do. Nothing of it blocks.
type watcher interface {
	Sent(s abuse.Sent)
	Bounced(b abuse.Bounced)
	Refused(r abuse.Refused)
	Login(l abuse.Login)
}

// newSenders builds them over the stores.
func newSenders(ctx context.Context, cfg sendersConfig, s *stores, dataDirectory string, log *slog.Logger) (d *senders, err error) {
	d = &senders{}
	if d.queue, err = outgoing.New(cfg.Outgoing, filepath.Join(dataDirectory, "outgoing"), log); err != nil {
		return nil, err
	}
	d.outgoing = d.queue
	if d.told, err = notice.New(cfg.Notices, notice.Deps{State: s.state, Mail: d.queue, Journal: s.journal}, log); err != nil {
		return nil, err
	}
	d.teller = d.told
	resolve := func(ctx context.Context, login mailaddr.Address) (mailaddr.Address, error) {
		u, _, err := account.Resolve(ctx, s.accounts, login, cfg.Delimiter)
		if errors.Is(err, account.ErrNotFound) { // removed since, or a login that the state knows alone
			return login, nil
		}
		return u.Addr, err
	}
	deps := hold.Deps{Accounts: s.accounts, Journal: s.own.journal, Notice: d.teller, Resolve: resolve,
		Forgive: func(ctx context.Context, a mailaddr.Address, legitimate bool) error {
			return d.own.Forgive(ctx, a, legitimate)
		}}
	if cfg.QueueHelper != "" {
		deps.Queue = &queue.Client{Path: cfg.QueueHelper}
	}
	if s.own.shared != nil { // else nobody else has a queue to sweep
		deps.State, deps.Host = s.own.hub.View("own"), cfg.Outgoing.Hostname
	}
	d.keeper = hold.New(deps, log)
	watch := abuse.Deps{State: s.state, Act: d.keeper, Resolve: resolve}
	watch.Places = func(a netip.Addr) geo.Place { return d.places.Load().Find(a) }
	if err := d.readPlaces(cfg.GeoFile); err != nil {
		return nil, err
	}
	if d.own, err = abuse.New(ctx, cfg.Abuse, watch, log); err != nil {
		return nil, err
	}
	d.watcher = d.own
	return d, nil
}

// measure adds what they count to the metrics.
func (d *senders) measure(s *stores) {
	s.metrics.Gauge("gatepost_outgoing_waiting", "Messages of our own that wait to be sent.",
		func() float64 { return float64(d.queue.Len()) })
	s.metrics.Gauge("gatepost_abuse_accounts", "Accounts whose sending is watched.",
		func() float64 { return float64(d.own.Stats().Accounts) })
	s.metrics.Counter("gatepost_notices_missed_total", "Notices that were not told because too many waited.",
		func() float64 { return float64(d.told.Missed()) })
}

// readPlaces reads the file of countries, "" for none.
func (d *senders) readPlaces(path string) error {
	var table *geo.Table
	if path != "" {
		var err error
		if table, err = geo.Open(path); err != nil {
			return fmt.Errorf("geo_file: %w", err)
		}
	}
	d.places.Store(table)
	return nil
}

// reconfigure takes new settings, which are valid. The socket of the queue
// helper needs a restart.
func (d *senders) reconfigure(cfg sendersConfig) error {
	if d.own == nil {
		d.on.Store(cfg.Outgoing.Address != "")
		return d.readPlaces(cfg.GeoFile)
	}
	d.queue.Reconfigure(cfg.Outgoing)
	d.own.Reconfigure(cfg.Abuse)
	return errors.Join(d.told.Reconfigure(cfg.Notices), d.readPlaces(cfg.GeoFile))
}

// run runs those that are ours until ctx ends.
func (d *senders) run(ctx context.Context, g *errgroup.Group) {
	if d.own == nil {
		return
	}
	for _, part := range []func(context.Context) error{d.queue.Run, d.told.Run, d.keeper.Run, d.own.Run} {
		g.Go(func() error { return part(ctx) })
	}
}

// limitReached tells that a limit refused somebody.
func (d *senders) limitReached(_ context.Context, e limit.Event) {
	d.teller.Tell(notice.Event{
		Kind: notice.Limit, Key: e.Limit + "/" + e.Key + "/" + e.Window.String(), Window: e.Window.Std(), User: e.User,
		Title: fmt.Sprintf("limit %s: %s %s", e.Limit, unit.Rate{Count: e.Of, Window: e.Window.Std()}, e.Counts),
		Facts: []notice.Fact{
			{Key: "counted by", Value: string(e.By) + " " + e.Key},
			{Key: "used", Value: fmt.Sprintf("%d of %d", e.Used, e.Of)},
			{Key: "ends", Value: e.Ends.UTC().Format("2006-01-02 15:04:05 UTC")},
		},
	})
}

// guessed tells a user what the guard saw of his account.
func (d *senders) guessed(n guard.Notice) {
	e := notice.Event{Kind: notice.Guesses, Key: n.User, Window: 23 * time.Hour, Time: n.Time, User: n.User, UserOnly: true, Title: n.User + ": " + n.Text()}
	if n.Country != "" {
		e.Kind, e.Key = notice.Login, n.User+" "+n.Country
	} else {
		e.Facts = []notice.Fact{{Key: "since", Value: n.Since.UTC().Format("2006-01-02 15:04:05 UTC")}}
	}
	d.teller.Tell(e)
}

// submitted tells the watcher of a message that a user submitted.
func (d *senders) submitted(m milter.Submitted) {
	d.watcher.Sent(abuse.Sent{
		At: time.Now(), User: m.User, MessageID: m.MessageID, QueueID: m.QueueID, MailFrom: m.MailFrom, From: m.From,
		RcptTo: m.RcptTo, Client: m.Client, Scanned: m.Scanned, Marked: m.Marked,
	})
}

// bounced tells the watcher of mail that failed.
func (d *senders) bounced(b milter.Bounced) {
	d.watcher.Bounced(abuse.Bounced{At: time.Now(), Local: b.Local, MessageID: b.MessageID, QueueID: b.QueueID, RcptTo: b.RcptTo})
}
