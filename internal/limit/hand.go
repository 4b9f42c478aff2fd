package limit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// ByHand is a rate that the administrator set for one key of a limit
// ("gatepost limit set"). It goes before the configuration's.
type ByHand struct {
	Limit string `json:"limit"`
	Key   string `json:"key"`
	Rate  Rates  `json:"rate"`
	// Ends is zero for one without an end.
	Ends time.Time `json:"ends,omitzero"`
	// Stored says that the account store has it; Key is then a user's address,
	// "@" and a domain, or GroupPrefix and a group.
	Stored bool `json:"stored,omitempty"`
}

// byHand are rates by "limit/key".
type byHand map[string]Rates

// loaded is what was read of the store at a time.
type loaded struct {
	rates byHand
	at    time.Time
}

const (
	// handPrefix is that of the rates set by hand, in the table Limit.
	handPrefix = "rate/"
	// handEvery is how late another host's change is seen.
	handEvery = 5 * time.Second
	// noEnd is the life of a rate without an end: a table's rows have one.
	noEnd = 100 * 365 * 24 * time.Hour
	// maxHandKey bounds a key that is set by hand.
	maxHandKey = 600
)

// setByHand returns the rates set by hand, at most handEvery old. When the
// store does not answer, those known before hold on.
func (l *Limiter) setByHand(ctx context.Context, now time.Time) byHand {
	was := l.byHand.Load()
	if now.IsZero() {
		now = time.Now()
	}
	if was != nil && now.Sub(was.at) < handEvery {
		return was.rates
	}
	next := &loaded{at: now}
	list, err := l.store.List(ctx, state.Limit, handPrefix)
	if err != nil && was != nil {
		next.rates = was.rates
	}
	for _, e := range list {
		if r, err := ParseRates(string(e.Value)); err == nil {
			if next.rates == nil {
				next.rates = byHand{}
			}
			next.rates[strings.TrimPrefix(e.Key, handPrefix)] = r
		}
	}
	l.byHand.CompareAndSwap(was, next)
	return next.rates
}

// ByHand lists the rates set by hand, by limit and key.
func (l *Limiter) ByHand(ctx context.Context) ([]ByHand, error) {
	list, err := l.store.List(ctx, state.Limit, handPrefix)
	if err != nil {
		return nil, fmt.Errorf("list rates set by hand: %w", err)
	}
	var out []ByHand
	for _, e := range list {
		name, key, _ := strings.Cut(strings.TrimPrefix(e.Key, handPrefix), "/")
		r, err := ParseRates(string(e.Value))
		if err != nil {
			continue // of another version
		}
		h := ByHand{Limit: name, Key: key, Rate: r, Ends: e.Expires}
		if time.Until(h.Ends) > noEnd/2 {
			h.Ends = time.Time{}
		}
		out = append(out, h)
	}
	return out, nil
}

// Check reports what is wrong with h for one of limits, and whether that limit
// counts by who logged in, so that the account store can have h.
func Check(limits []Limit, h ByHand) (ofUser bool, err error) {
	lim := Compile(limits).find(h.Limit)
	if lim == nil {
		return false, fmt.Errorf("%w: %s", ErrUnknown, h.Limit)
	}
	if err := h.Rate.valid(lim.Counts()); err != nil {
		return false, fmt.Errorf("%w: %s %w", ErrInvalid, h.Rate, err)
	}
	if h.Key == "" || len(h.Key) > maxHandKey {
		return false, fmt.Errorf("%w: a key of %d bytes", ErrInvalid, len(h.Key))
	}
	return lim.ofUser(), nil
}

// Set sets a rate by hand for one of limits; it is durable when Set returns. The
// rate has to be one that the limit could have.
func (l *Limiter) Set(ctx context.Context, limits []Limit, h ByHand) error {
	if _, err := Check(limits, h); err != nil {
		return err
	}
	if h.Ends.IsZero() {
		h.Ends = time.Now().Add(noEnd)
	}
	e := state.Entry{Key: handKey(h.Limit, h.Key), Value: []byte(h.Rate.String()), Expires: h.Ends}
	if err := l.store.Put(ctx, state.Limit, e, true); err != nil {
		return fmt.Errorf("set rate: %w", err)
	}
	l.byHand.Store(nil)
	return nil
}

// Unset forgets a rate that was set by hand.
func (l *Limiter) Unset(ctx context.Context, name, key string) error {
	_, err := l.store.Get(ctx, state.Limit, handKey(name, key))
	if errors.Is(err, state.ErrNotFound) {
		return fmt.Errorf("%w: no rate is set by hand for %s on limit %s", ErrUnknown, key, name)
	}
	if err == nil {
		err = l.store.Delete(ctx, state.Limit, handKey(name, key))
	}
	if err != nil {
		return fmt.Errorf("forget rate: %w", err)
	}
	l.byHand.Store(nil)
	return nil
}

func handKey(name, key string) string { return handPrefix + name + "/" + strings.ToLower(key) }
