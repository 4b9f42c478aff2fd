package policyd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// socketmapDaemon is the table server's name in metrics and log.
const socketmapDaemon = "socketmap"

// Socketmap answers Postfix's table look-ups from the account store. It keeps
// no cache: the store has one, and knows when it is out of date. It is safe for
// concurrent use.
//
// Look-ups are counted and not journaled: they are no verdicts, and each mail
// makes a dozen.
type Socketmap struct {
	service
	now      atomic.Pointer[snapshot]
	accounts accountReader
}

// NewSocketmap returns a table server; it uses the bounds of cfg and its
// RecipientDelimiter, and of deps Accounts and Meter.
func NewSocketmap(cfg Config, deps Deps, log *slog.Logger) (*Socketmap, error) {
	snap, err := newSnapshot(cfg)
	if err != nil {
		return nil, fmt.Errorf("socketmap: %w", err)
	}
	if deps.Accounts == nil {
		return nil, errors.New("socketmap: accounts are needed")
	}
	deps = deps.complete()
	s := &Socketmap{accounts: deps.Accounts}
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
	snap, err := newSnapshot(cfg)
	if err != nil {
		return fmt.Errorf("socketmap: %w", err)
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
	t.meter.Request(socketmapDaemon, strings.ToLower(string(a.Status)), time.Since(start))
	return out, nil
}

// lookup answers one request under one version of the configuration.
func (t *lookupTalk) lookup(ctx context.Context, data []byte) Answer {
	l, err := ParseLookup(data)
	if err != nil {
		return Answer{Status: StatusPerm, Text: "malformed request"}
	}
	snap := t.now.Load()
	ctx, cancel := context.WithTimeout(ctx, snap.bounds.request)
	defer cancel()
	var a Answer
	switch l.Map {
	case MapDomains:
		a, err = t.domain(ctx, l.Key)
	case MapMailboxes, MapAliases:
		a, err = t.address(ctx, l, snap.cfg.RecipientDelimiter)
	default:
		return Answer{Status: StatusPerm, Text: "no such map"}
	}
	if err != nil {
		t.log.LogAttrs(ctx, slog.LevelError, "account store does not answer",
			slog.String("map", l.Map), slog.Any("err", err))
		return Answer{Status: StatusTemp, Text: "accounts are not available"}
	}
	return a
}

// domain answers virtual_mailbox_domains, for a bare domain only.
func (t *lookupTalk) domain(ctx context.Context, key string) (Answer, error) {
	// The key is read as the domain of some address, so that what the store is
	// asked has the form of its rows.
	addr, err := mailaddr.Parse("postmaster@" + key)
	if err != nil || strings.Contains(key, "@") {
		return Answer{Status: StatusNotFound}, nil
	}
	d, err := t.accounts.Domain(ctx, addr.Domain)
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
	return r, absent(err)
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
