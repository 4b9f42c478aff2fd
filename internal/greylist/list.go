package greylist

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/publicsuffix"
	"github.com/gatepost/gatepost/internal/state"
)

// ErrInvalid means that the arguments are not ones: a fault of the caller.
var ErrInvalid = errors.New("not valid for the greylist")

// State says what an item is.
type State string

// The states.
const (
	// Waiting is a triplet that has to come back.
	Waiting State = "waiting"
	// Passed is a triplet that did.
	Passed State = "passed"
	// Counted is a client of which triplets passed.
	Counted State = "counted"
	// Allowed is a client that an administrator let in, or one that passed often
	// enough.
	Allowed State = "allowed"
	// OptedOut is a recipient, or a domain, without delay.
	OptedOut State = "opted-out"
)

// States lists all states.
var States = []State{Waiting, Passed, Counted, Allowed, OptedOut}

// Item is one thing that is remembered.
type Item struct {
	State State `json:"state"`
	// Client is a network or an organization; empty for OptedOut.
	Client string `json:"client,omitempty"`
	// MailFrom has "#" for what changes with each mail.
	MailFrom string `json:"mail_from,omitempty"`
	RcptTo   string `json:"rcpt_to,omitempty"`
	// First is when a triplet was first seen, Back when it may come back.
	First  time.Time `json:"first,omitzero"`
	Back   time.Time `json:"back,omitzero"`
	Passed time.Time `json:"passed,omitzero"`
	// Tries are those of a triplet that were deferred, Passes the triplets of a
	// client that passed.
	Tries  uint64 `json:"tries,omitempty"`
	Passes uint64 `json:"passes,omitempty"`
	// Expires is when it is forgotten; zero for what an administrator set
	// without an end.
	Expires time.Time `json:"expires,omitzero"`

	key string
}

// forever is the life of what has no end: the state wants one.
const forever = 100 * 365 * 24 * time.Hour

// Filter chooses items. What is empty chooses all.
type Filter struct {
	State State `json:"state,omitempty"`
	// Client is an address, whose network is meant, or a part of what is listed.
	Client string `json:"client,omitempty"`
	// MailFrom and RcptTo are parts of addresses, or whole ones.
	MailFrom string `json:"mail_from,omitempty"`
	RcptTo   string `json:"rcpt_to,omitempty"`
	// Limit is how many at most; 0 is all.
	Limit int `json:"limit,omitempty"`
}

// IsZero reports whether f chooses all.
func (f Filter) IsZero() bool { return f.Client == "" && f.MailFrom == "" && f.RcptTo == "" }

func (f Filter) has(it Item, delim string) bool {
	if f.State != "" && f.State != it.State {
		return false
	}
	client := strings.ToLower(f.Client)
	if a, err := netaddr.Parse(f.Client); err == nil {
		client = networkOf(a)
	}
	return strings.Contains(it.Client, client) &&
		(strings.Contains(it.MailFrom, strings.ToLower(f.MailFrom)) || strings.Contains(it.MailFrom, foldSender(f.MailFrom))) &&
		(strings.Contains(it.RcptTo, strings.ToLower(f.RcptTo)) || strings.Contains(it.RcptTo, foldRecipient(f.RcptTo, delim)))
}

// List returns what is remembered: triplets first, then clients and recipients,
// each by name.
func (g *Greylist) List(ctx context.Context, f Filter) ([]Item, error) {
	p := g.policy.Load()
	var out []Item
	for _, kind := range [...]string{tripletRow, clientRow, recipientRow} {
		rows, err := g.deps.State.List(ctx, state.Seen, kind+sep)
		if err != nil {
			return nil, fmt.Errorf("list greylist: %w", err)
		}
		for _, e := range rows {
			it, ok := p.item(kind, e)
			if !ok || !f.has(it, p.RecipientDelimiter) {
				continue
			}
			if out = append(out, it); len(out) == f.Limit {
				return out, nil
			}
		}
	}
	return out, nil
}

// item reads a row.
func (p *policy) item(kind string, e state.Entry) (Item, bool) {
	part := strings.Split(e.Key, sep)
	it := Item{key: e.Key, Expires: e.Expires}
	if time.Until(e.Expires) > forever/2 {
		it.Expires = time.Time{}
	}
	switch {
	case kind == tripletRow && len(part) == 4:
		t, err := parseTriplet(e.Value)
		it.State, it.Client, it.MailFrom, it.RcptTo = Waiting, part[1], part[2], part[3]
		it.First, it.Passed, it.Tries = t.First, t.Passed, t.Tries
		if t.Passed.IsZero() {
			it.Back = t.First.Add(p.Delay.Std())
		} else {
			it.State = Passed
		}
		return it, err == nil
	case kind == clientRow && len(part) == 2:
		c, err := parseClient(e.Value)
		it.State, it.Client, it.Passes = Counted, part[1], c.Passes
		if c.Allowed || p.AutoAllow > 0 && c.Passes >= uint64(p.AutoAllow) {
			it.State = Allowed
		}
		return it, err == nil
	case kind == recipientRow && len(part) == 2:
		it.State, it.RcptTo = OptedOut, part[1]
		return it, true
	}
	return it, false
}

// Release lets the triplets that wait pass with their next try, and returns
// them.
func (g *Greylist) Release(ctx context.Context, f Filter) ([]Item, error) {
	f.State, f.Limit = Waiting, 0
	all, err := g.List(ctx, f)
	if err != nil {
		return nil, err
	}
	p, now := g.policy.Load(), time.Now()
	for i := range all {
		it := &all[i]
		t := triplet{First: it.First, Passed: now, Tries: it.Tries}
		it.State, it.Passed, it.Back, it.Expires = Passed, now, time.Time{}, now.Add(p.Keep.Std())
		if err := g.put(ctx, it.key, t.append(nil), it.Expires, i == len(all)-1); err != nil {
			return all[:i], fmt.Errorf("release from greylist: %w", err)
		}
	}
	return all, nil
}

// Allow lets a client in, or a recipient have no delay, for so long; 0 is without
// an end.
func (g *Greylist) Allow(ctx context.Context, a Allowance) (Item, error) {
	key, value, err := a.row(g.policy.Load().RecipientDelimiter)
	if err != nil {
		return Item{}, err
	}
	life := a.For
	if life == 0 {
		life = forever
	}
	e := state.Entry{Key: key, Value: value, Expires: time.Now().Add(life)}
	if err := g.put(ctx, e.Key, e.Value, e.Expires, true); err != nil {
		return Item{}, fmt.Errorf("allow in greylist: %w", err)
	}
	it, _ := g.policy.Load().item(key[:1], e)
	return it, nil
}

// Allowance is what Allow lets in: exactly one of Client and RcptTo.
type Allowance struct {
	// Client is an address, a /24 or /64, or a domain that SPF proves.
	Client string `json:"client,omitempty"`
	// RcptTo is an address or a domain of recipients.
	RcptTo string        `json:"rcpt_to,omitempty"`
	For    time.Duration `json:"for,omitempty"`
}

func (a Allowance) row(delim string) (key string, value []byte, err error) {
	switch {
	case (a.Client == "") == (a.RcptTo == ""):
		return "", nil, fmt.Errorf("%w: either a client or a recipient is needed", ErrInvalid)
	case a.For < 0 || a.For > forever/2:
		return "", nil, fmt.Errorf("%w: %s is too long", ErrInvalid, a.For)
	case a.RcptTo != "":
		rcpt, err := recipientKey(a.RcptTo, delim)
		if err != nil {
			return "", nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return rowKey(recipientRow, rcpt), []byte{}, nil
	}
	name, err := clientName(a.Client)
	if err != nil {
		return "", nil, err
	}
	return rowKey(clientRow, name), client{Allowed: true}.append(nil), nil
}

// clientName returns the name by which a client is remembered.
func clientName(s string) (string, error) {
	if p, err := netaddr.ParsePrefix(s); err == nil {
		network := netip.MustParsePrefix(networkOf(p.Addr()))
		if p.Bits() < network.Bits() {
			return "", fmt.Errorf("%w: %s is larger than a /24 (IPv4) or a /64 (IPv6): name it in greylist.clients of the configuration", ErrInvalid, netaddr.String(p))
		}
		return network.String(), nil
	}
	if d, err := mailaddr.ParseDomain(s); err == nil {
		if org, ok := publicsuffix.Organization(d); ok {
			return word(org), nil
		}
	}
	return "", fmt.Errorf("%w: %q is not an address, a network or a domain", ErrInvalid, s)
}

// Forget forgets items, and returns them; with dry it only returns them.
func (g *Greylist) Forget(ctx context.Context, f Filter, dry bool) ([]Item, error) {
	f.Limit = 0
	all, err := g.List(ctx, f)
	if err != nil || dry {
		return all, err
	}
	for i, it := range all {
		if err := g.deps.State.Delete(ctx, state.Seen, it.key); err != nil {
			return all[:i], fmt.Errorf("forget in greylist: %w", err)
		}
	}
	return all, nil
}
