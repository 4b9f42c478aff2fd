package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// limitDesk does for the admin socket what can be done about limits.
type limitDesk struct {
	*limit.Limiter
	limits func() []limit.Limit
	// stored has the rates and groups of the account store; nil: it has none.
	stored *account.Limits
	// uncounted is of the policy server; nil without one.
	uncounted func() []limit.Uncounted
}

// Usage lists what has been used.
func (d limitDesk) Usage(ctx context.Context) ([]limit.Usage, error) {
	if d.stored == nil {
		return d.Limiter.Usage(ctx, d.limits(), nil)
	}
	var failed error
	all, err := d.Limiter.Usage(ctx, d.limits(), func(ctx context.Context, user string) ([]string, []limit.Stored) {
		addr, err := mailaddr.Parse(user)
		if err != nil {
			return nil, nil // a login without account, or "@" and a domain
		}
		s, err := d.stored.Standing(ctx, addr)
		failed = errors.Join(failed, err)
		return s.Groups, storedRates(s.Rates)
	})
	return all, errors.Join(err, failed)
}

// storedRates are rates of the account store as package limit has them.
func storedRates(all []account.LimitRate) []limit.Stored {
	out := make([]limit.Stored, len(all))
	for i, r := range all {
		out[i] = limit.Stored{Limit: r.Limit, Rate: r.Rate}
	}
	return out
}

// subjectOf reads whom a key of "limit set" is about. one says that it can be a
// key of a counter as well, and many that it can be nothing else.
func subjectOf(key string) (s account.Subject, one, many bool) {
	if g, ok := strings.CutPrefix(key, limit.GroupPrefix); ok {
		return account.Subject{Group: g}, false, true
	}
	if d, ok := strings.CutPrefix(key, "@"); ok {
		return account.Subject{Domain: d}, false, true
	}
	a, err := mailaddr.Parse(key)
	return account.Subject{User: a}, err == nil && a.Domain != "", false
}

// Set sets a rate: in the account store for ever, if it is for a user, a group or
// a domain and the limit counts by user, else by hand for that key.
func (d limitDesk) Set(ctx context.Context, h limit.ByHand) error {
	ofUser, err := limit.Check(d.limits(), h)
	if err != nil {
		return err
	}
	s, one, many := subjectOf(h.Key)
	switch {
	case !one && !many:
		return d.Limiter.Set(ctx, d.limits(), h)
	case many && !h.Ends.IsZero():
		return fmt.Errorf("%w: a rate with an end is for one key, as \"gatepost limit show\" has it", limit.ErrInvalid)
	case many && !ofUser:
		return fmt.Errorf("%w: limit %s does not count by user; name a key as \"gatepost limit show\" has it", limit.ErrInvalid, h.Limit)
	case many && d.stored == nil:
		return fmt.Errorf("%w: this account store has no rates; use policyd.limits[].overrides", limit.ErrInvalid)
	}
	if d.stored == nil || !ofUser || !h.Ends.IsZero() {
		return d.Limiter.Set(ctx, d.limits(), h)
	}
	err = d.stored.SetRate(ctx, account.LimitRate{Subject: s, Limit: h.Limit, Rate: h.Rate.String()})
	if one && errors.Is(err, account.ErrNotFound) { // such as a login that has no account
		return d.Limiter.Set(ctx, d.limits(), h)
	}
	if s.Group != "" && errors.Is(err, account.ErrNotFound) {
		return fmt.Errorf("%w; a group begins with \"gatepost group add\"", err)
	}
	if err != nil || many {
		return err
	}
	return d.forgetEndless(ctx, h)
}

// forgetEndless forgets the rate by hand for the same key that has no end: it
// would go before the one that was stored now.
func (d limitDesk) forgetEndless(ctx context.Context, h limit.ByHand) error {
	all, err := d.Limiter.ByHand(ctx)
	if err != nil {
		return err
	}
	for _, old := range all {
		if old.Limit == h.Limit && strings.EqualFold(old.Key, h.Key) && old.Ends.IsZero() {
			return d.Limiter.Unset(ctx, old.Limit, old.Key)
		}
	}
	return nil
}

// Unset forgets what Set has set, for the key and in the account store.
func (d limitDesk) Unset(ctx context.Context, name, key string) error {
	s, one, many := subjectOf(key)
	stored := error(account.ErrNotFound)
	if d.stored != nil && (one || many) {
		stored = d.stored.RemoveRate(ctx, s, name)
	}
	if stored != nil && !errors.Is(stored, account.ErrNotFound) {
		return stored
	}
	byHand := d.Limiter.Unset(ctx, name, key)
	if stored == nil && errors.Is(byHand, limit.ErrUnknown) {
		return nil
	}
	return byHand
}

// ByHand lists the rates that Set has set: those by hand, then those of the
// account store.
func (d limitDesk) ByHand(ctx context.Context) ([]limit.ByHand, error) {
	all, err := d.Limiter.ByHand(ctx)
	if err != nil || d.stored == nil {
		return all, err
	}
	stored, err := d.stored.Rates(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range stored {
		h := limit.ByHand{Limit: r.Limit, Key: r.Subject.String(), Stored: true}
		if h.Rate, err = limit.ParseRates(r.Rate); err != nil {
			continue // of another version
		}
		all = append(all, h)
	}
	return all, nil
}

// errNoGroups says that there is nowhere to keep a group.
var errNoGroups = fmt.Errorf("%w: this account store has no groups; use policyd.groups", limit.ErrInvalid)

// Groups lists the groups of the account store.
func (d limitDesk) Groups(ctx context.Context) ([]account.Group, error) {
	if d.stored == nil {
		return nil, nil
	}
	return d.stored.Groups(ctx)
}

// AddToGroup adds users to a group.
func (d limitDesk) AddToGroup(ctx context.Context, g account.Group) error {
	if d.stored == nil {
		return errNoGroups
	}
	return d.stored.AddToGroup(ctx, g)
}

// RemoveFromGroup removes users from a group, or without any the group.
func (d limitDesk) RemoveFromGroup(ctx context.Context, g account.Group) error {
	if d.stored == nil {
		return errNoGroups
	}
	return d.stored.RemoveFromGroup(ctx, g)
}

// Uncounted returns what passed lately without being counted.
func (d limitDesk) Uncounted() []limit.Uncounted {
	if d.uncounted == nil {
		return nil
	}
	return d.uncounted()
}
