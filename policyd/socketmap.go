package policyd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/deadline"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/srs"
)

// socketmapDaemon is the table server's name in metrics and log.
const socketmapDaemon = "socketmap"

// Socketmap answers Postfix's table look-ups: from the account store, by SRS,
// from the configuration, and about the TLS of others. It keeps no cache: the
// store and the others have one, and know when it is out of date. It is safe for
// concurrent use.
//
// Look-ups are counted and not journaled: they are no verdicts, and each mail
// makes a dozen.
type Socketmap struct {
	service
	now       atomic.Pointer[mapSnapshot]
	accounts  accountReader
	srs       srsReverser
	tlsPolicy tlsPolicies
}

// srsReverser rewrites recipients back (srs.Live).
type srsReverser interface {
	// Domain is that of the addresses, "" when it is off.
	Domain() string
	// Reverse is srs.ErrNot for what is no such address.
	Reverse(to mailaddr.Address, now time.Time) (mailaddr.Address, error)
}

// noSRS is off.
type noSRS struct{}

func (noSRS) Domain() string { return "" }
func (noSRS) Reverse(mailaddr.Address, time.Time) (mailaddr.Address, error) {
	return mailaddr.Address{}, srs.ErrNot
}

// tlsPolicies says how to use TLS towards a next hop (package tlspolicy).
type tlsPolicies interface {
	// Find returns "" if there is nothing to say. Errors are transient.
	Find(ctx context.Context, nexthop string) (string, error)
}

// mapSnapshot is one version of the configuration of a Socketmap.
type mapSnapshot struct {
	*snapshot
	routes routes
}

func newMapSnapshot(cfg Config) (*mapSnapshot, error) {
	snap, err := newSnapshot(cfg)
	routes, err2 := newRoutes(cfg.TransportMaps)
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("socketmap: %w", err)
	}
	return &mapSnapshot{snapshot: snap, routes: routes}, nil
}

// NewSocketmap returns a table server; it uses the bounds of cfg and its
// RecipientDelimiter and TransportMaps, and of deps Accounts, SRS, TLSPolicy and
// Meter.
func NewSocketmap(cfg Config, deps Deps, log *slog.Logger) (*Socketmap, error) {
	snap, err := newMapSnapshot(cfg)
	if err != nil {
		return nil, err
	}
	if deps.Accounts == nil {
		return nil, errors.New("socketmap: accounts are needed")
	}
	deps = deps.complete()
	s := &Socketmap{accounts: deps.Accounts, srs: deps.SRS, tlsPolicy: deps.TLSPolicy}
	if s.srs == nil {
		s.srs = noSRS{}
	}
	s.now.Store(snap)
	s.service = service{
		name:   socketmapDaemon,
		bounds: func() bounds { return s.now.Load().bounds },
		begin:  func() conversation { return (*lookupTalk)(s) },
		meter:  deps.Meter,
		log:    log,
	}
	return s, nil
}

// Serve answers on ln until ctx ends, like Server.Serve.
func (s *Socketmap) Serve(ctx context.Context, ln net.Listener) error { return s.serve(ctx, ln) }

// Reconfigure takes cfg for every request from now on, or returns what is
// wrong with it and keeps the old.
func (s *Socketmap) Reconfigure(cfg Config) error {
	snap, err := newMapSnapshot(cfg)
	if err != nil {
		return err
	}
	s.now.Store(snap)
	return nil
}

// lookupTalk is one connection of a Postfix daemon; it remembers nothing.
type lookupTalk Socketmap

// length implements conversation.
func (*lookupTalk) length(b []byte, _ int) (int, error) {
	_, n, err := cutNetstring(b)
	return n, err
}

// answer implements conversation.
func (t *lookupTalk) answer(ctx context.Context, b, dst []byte) ([]byte, error) {
	start := time.Now()
	data, _, err := cutNetstring(b)
	if err != nil {
		return nil, err
	}
	a := t.lookup(ctx, data)
	out, err := a.Append(dst)
	if err != nil {
		t.log.LogAttrs(ctx, slog.LevelError, "table answer cannot be sent", slog.Any("err", err))
		a = Answer{Status: StatusTemp, Text: "answer cannot be sent"}
		if out, err = a.Append(dst); err != nil {
			return nil, err
		}
	}
	t.meter.Request(socketmapDaemon, a.Status.word(), time.Since(start))
	return out, nil
}

// lookup answers one request under one version of the configuration.
func (t *lookupTalk) lookup(ctx context.Context, data []byte) Answer {
	l, err := ParseLookup(data)
	if err != nil {
		return Answer{Status: StatusPerm, Text: "malformed request"}
	}
	snap := t.now.Load()
	late := deadline.New(ctx, time.Now().Add(snap.bounds.request))
	defer late.Stop()
	a, err := t.table(late, l, snap)
	if err == nil {
		return a
	}
	if l.Map == MapTLSPolicy {
		// Not our fault as a rule: the mail waits, as without an answer for its MX.
		t.log.LogAttrs(ctx, slog.LevelInfo, "tls policy not known", slog.String("nexthop", l.Key), slog.Any("err", err))
		return Answer{Status: StatusTemp, Text: "the TLS policy is not known now"}
	}
	t.log.LogAttrs(ctx, slog.LevelError, "account store does not answer",
		slog.String("map", l.Map), slog.Any("err", err))
	return Answer{Status: StatusTemp, Text: "accounts are not available"}
}

// table asks the map that l names.
func (t *lookupTalk) table(ctx context.Context, l Lookup, snap *mapSnapshot) (Answer, error) {
	switch l.Map {
	case MapDomains:
		return t.domain(ctx, l.Key)
	case MapMailboxes, MapAliases:
		return t.address(ctx, l, snap.cfg.RecipientDelimiter)
	case MapSenderLogin:
		return t.senderLogin(ctx, l.Key, snap.cfg.RecipientDelimiter)
	case MapCanonical:
		return t.canonical(l.Key), nil
	case MapTransport:
		return transport(snap, l.Key), nil
	case MapTLSPolicy:
		return t.tls(ctx, l.Key)
	}
	return Answer{Status: StatusPerm, Text: "no such map"}, nil
}

// domain answers virtual_mailbox_domains, for a bare domain only.
func (t *lookupTalk) domain(ctx context.Context, key string) (Answer, error) {
	// So that what the store is asked has the form of its rows.
	name, err := mailaddr.ParseDomain(key)
	if err != nil {
		return Answer{Status: StatusNotFound}, nil
	}
	if name == t.srs.Domain() {
		return Answer{Status: StatusOK, Text: name}, nil
	}
	d, err := t.accounts.Domain(ctx, name)
	if errors.Is(err, account.ErrNotFound) {
		return Answer{Status: StatusNotFound}, nil
	}
	return Answer{Status: StatusOK, Text: d.Name}, err
}

// address answers for a whole address. A bare domain, which Postfix asks the
// alias map for because virtual_alias_domains defaults to it, is never there.
func (t *lookupTalk) address(ctx context.Context, l Lookup, delim string) (Answer, error) {
	addr, err := mailaddr.Parse(l.Key)
	if err != nil || addr.Domain == "" {
		return Answer{Status: StatusNotFound}, nil
	}
	r, err := t.rows(ctx, addr, delim, l.Map == MapAliases)
	if err != nil {
		return Answer{}, err
	}
	if l.Map == MapMailboxes {
		return DecideMailbox(r), nil
	}
	return DecideAlias(r), nil
}

// rows looks up the exact rows for addr, and stops at the first that decides.
func (t *lookupTalk) rows(ctx context.Context, addr mailaddr.Address, delim string, aliases bool) (Rows, error) {
	var r Rows
	if _, err := t.accounts.Domain(ctx, addr.Domain); err != nil {
		return r, absent(err)
	}
	r.Local = true
	r.Candidates = candidates(addr, delim)
	for i := range r.Candidates {
		c := &r.Candidates[i]
		if err := t.candidate(ctx, c, aliases); err != nil {
			return r, err
		}
		if c.Mailbox || len(c.Alias.To) > 0 {
			return r, nil
		}
	}
	if !aliases {
		return r, nil
	}
	var err error
	r.CatchAll, err = t.accounts.Alias(ctx, mailaddr.Address{Domain: addr.Domain})
	if err != nil {
		return r, absent(err)
	}
	r.CatchAll.To, err = t.catchAll(ctx, addr, r.CatchAll, delim, 0)
	return r, err
}

// candidate looks up the mailbox and, for the alias map, the alias of c.
func (t *lookupTalk) candidate(ctx context.Context, c *Candidate, aliases bool) error {
	if aliases {
		var err error
		if c.Alias, err = t.accounts.Alias(ctx, c.Addr); absent(err) != nil {
			return err
		}
	}
	_, err := t.accounts.User(ctx, c.Addr)
	c.Mailbox = err == nil
	return absent(err)
}

// absent returns nil for a row that is not there.
func absent(err error) error {
	if errors.Is(err, account.ErrNotFound) {
		return nil
	}
	return err
}
