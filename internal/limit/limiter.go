package limit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// counters is all that limits need of a state store; see state.Store.
type counters interface {
	Take(ctx context.Context, key string, n, max int64, window time.Duration) (state.Usage, error)
	Counters(ctx context.Context, prefix string) ([]state.Counter, error)
	Reset(ctx context.Context, key string) error
}

// Keys are whom a request counts for. A limit whose key is empty does not
// apply.
type Keys struct {
	User string
}

func (k Keys) of(by By) string {
	if by == ByUser {
		return k.User
	}
	return ""
}

// Limiter counts. It is safe for concurrent use.
type Limiter struct{ store counters }

// New returns a Limiter that counts in store.
func New(store counters) *Limiter { return &Limiter{store: store} }

// prefix is that of all counters of limits.
const prefix = "limit/"

// counterKey is unambiguous: neither a name nor a window nor a By holds a
// slash. A limit with another window is another counter, one with another
// count is not.
func counterKey(l Limit, key string) string {
	return prefix + l.Name + "/" + unit.Duration(l.Rate.Window).String() + "/" + string(l.by()) + "/" + key
}

// Ask says of each limit that is not off whether n more would be allowed, and
// counts nothing.
func (l *Limiter) Ask(ctx context.Context, limits []Limit, keys Keys, n int64) ([]Result, error) {
	return l.each(limits, keys, func(lim Limit, key string) (Result, error) {
		return l.ask(ctx, lim, key, n)
	})
}

// Take counts n on each limit that is not off, unless an enforced one does not
// allow it: then it counts on none, and the results are those of Ask.
func (l *Limiter) Take(ctx context.Context, limits []Limit, keys Keys, n int64) ([]Result, error) {
	if len(limits) > 1 {
		asked, err := l.Ask(ctx, limits, keys, n)
		if _, refused := Refused(asked); refused {
			return asked, err
		}
	}
	return l.each(limits, keys, func(lim Limit, key string) (Result, error) {
		return l.take(ctx, lim, key, n)
	})
}

// each collects what do says of each limit that applies, and all its errors.
func (l *Limiter) each(limits []Limit, keys Keys, do func(Limit, string) (Result, error)) ([]Result, error) {
	out := make([]Result, 0, len(limits))
	var errs []error
	for _, lim := range limits {
		key := keys.of(lim.by())
		if lim.Mode == unit.Off || key == "" {
			continue
		}
		r, err := do(lim, key)
		if err != nil {
			errs = append(errs, fmt.Errorf("limit %s: %w", lim.Name, err))
			continue
		}
		out = append(out, r)
	}
	return out, errors.Join(errs...)
}

// ask lets the store say when the count is so low that n fits, which is when
// none more than the rest would fit.
func (l *Limiter) ask(ctx context.Context, lim Limit, key string, n int64) (Result, error) {
	r := Result{Limit: lim, Key: key, Asked: n}
	room := lim.Rate.Count - n
	if r.Never() {
		room = lim.Rate.Count
	}
	u, err := l.store.Take(ctx, counterKey(lim, key), 0, room, lim.Rate.Window)
	if err != nil {
		return Result{}, err
	}
	return r.with(u), nil
}

func (l *Limiter) take(ctx context.Context, lim Limit, key string, n int64) (Result, error) {
	u, err := l.store.Take(ctx, counterKey(lim, key), n, lim.Rate.Count, lim.Rate.Window)
	if err != nil {
		return Result{}, err
	}
	return Result{Limit: lim, Key: key, Asked: n}.with(u), nil
}

func (r Result) with(u state.Usage) Result {
	r.Allowed, r.Used, r.Ends = u.OK, u.Used, u.Ends
	if r.Never() {
		r.Allowed, r.Ends = false, time.Time{}
	}
	return r
}

// Usage lists every counter that is not empty, by limit and key. limits are
// those of the configuration; counters of others are listed until their window
// has passed.
func (l *Limiter) Usage(ctx context.Context, limits []Limit) ([]Usage, error) {
	list, err := l.store.Counters(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("list limits: %w", err)
	}
	known := map[string]Limit{}
	for _, lim := range limits {
		known[counterKey(lim, "")] = lim
	}
	var out []Usage
	for _, c := range list {
		part := strings.SplitN(strings.TrimPrefix(c.Key, prefix), "/", 4)
		if len(part) < 4 || c.Used == 0 {
			continue
		}
		u := Usage{Limit: part[0], By: By(part[2]), Key: part[3], Used: c.Used, Window: unit.Duration(c.Window), Ends: c.Ends}
		if lim, ok := known[strings.TrimSuffix(c.Key, part[3])]; ok {
			u.Of, u.Mode = lim.Rate.Count, unit.Enforce
			if !lim.Enforced() {
				u.Mode = lim.Mode
			}
		}
		out = append(out, u)
	}
	return out, nil
}

// Reset forgets what was counted for key on lim.
func (l *Limiter) Reset(ctx context.Context, lim Limit, key string) error {
	if err := l.store.Reset(ctx, counterKey(lim, key)); err != nil {
		return fmt.Errorf("reset limit %s: %w", lim.Name, err)
	}
	return nil
}
