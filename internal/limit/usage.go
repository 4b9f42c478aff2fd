package limit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// Usage is one counter, for a list of who used how much.
type Usage struct {
	// Limit is the limit's name; By and Key say whose count it is, Counts what
	// is counted.
	Limit  string `json:"limit"`
	By     By     `json:"by"`
	Counts Of     `json:"counts"`
	Key    string `json:"key"`
	Used   int64  `json:"used"`
	// Of is the most that the window may hold, 0 when the configuration no longer
	// has the limit.
	Of     int64         `json:"of"`
	Window unit.Duration `json:"window"`
	// Mode is empty when the configuration no longer has the limit.
	Mode unit.Mode `json:"mode,omitempty"`
	// Ends is when the window is empty if nothing more is counted.
	Ends time.Time `json:"ends"`
}

// ErrInvalid means that a rate or a key is not one that a limit could have.
var ErrInvalid = errors.New("not a rate for this limit")

// ErrUnknown means that no limit has that name, or nothing was counted or set
// for that key.
var ErrUnknown = errors.New("no such limit")

// counted is one counter with its key in the store.
type counted struct {
	Usage
	key string // the key that the limit has for it
	at  string // its key in the store
	set bool   // it is a set of distinct recipients
}

// Usage lists every counter that is not empty, by limit and key. Counters of
// limits that the configuration no longer has are listed until their window has
// passed. standing tells what the account store has for a user; nil: nothing.
func (l *Limiter) Usage(ctx context.Context, limits []Limit, standing Standing) ([]Usage, error) {
	all, err := l.counted(ctx)
	if err != nil {
		return nil, err
	}
	s := Compile(limits)
	hand := l.setByHand(ctx, time.Now())
	out := make([]Usage, 0, len(all))
	for _, c := range all {
		c.complete(ctx, s, hand, standing)
		out = append(out, c.Usage)
	}
	return out, nil
}

func (l *Limiter) counted(ctx context.Context) ([]counted, error) {
	list, err := l.store.Counters(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("list limits: %w", err)
	}
	sets, err := l.store.List(ctx, state.Limit, membersPrefix+prefix)
	if err != nil {
		return nil, fmt.Errorf("list limits: %w", err)
	}
	var out []counted
	for _, c := range list {
		if one, ok := parseCounter(c.Key); ok && c.Used > 0 {
			one.Used, one.Ends = c.Used, c.Ends
			out = append(out, one)
		}
	}
	for _, e := range sets {
		one, ok := parseCounter(strings.TrimPrefix(e.Key, membersPrefix))
		if !ok {
			continue
		}
		one.Used = int64(len(liveMembers(e.Value, time.Now().Add(-one.Window.Std()))))
		one.Ends, one.at, one.set = e.Expires, e.Key, true
		out = append(out, one)
	}
	slices.SortStableFunc(out, func(a, b counted) int { return strings.Compare(a.Limit, b.Limit) })
	return out, nil
}

// parseCounter reads a counter's key.
func parseCounter(key string) (counted, bool) {
	part := strings.SplitN(strings.TrimPrefix(key, prefix), "/", 4)
	if len(part) < 4 {
		return counted{}, false
	}
	window, err := unit.ParseDuration(part[1])
	if err != nil {
		return counted{}, false
	}
	by, of, ok := strings.Cut(part[2], ":")
	if !ok {
		of = string(Recipients)
	}
	return counted{key: part[3], at: key, Usage: Usage{
		Limit: part[0], By: By(by), Counts: Of(of), Key: shownKey(part[3]), Window: unit.Duration(window),
	}}, true
}

// Standing returns the groups of a user and the rates that the account store has
// for him or her, as Mail has them.
type Standing func(ctx context.Context, user string) (groups []string, stored []Stored)

// complete tells what s has of the limit.
func (c *counted) complete(ctx context.Context, s *Set, hand byHand, standing Standing) {
	lim := s.find(c.Limit)
	if lim == nil || By(lim.by()) != c.By || lim.Counts() != c.Counts {
		return
	}
	m, domain := lim.mailOf(c.key)
	if standing != nil && m.User != "" {
		m.Groups, m.Stored = standing(ctx, m.User)
	}
	for _, r := range lim.tariffOf(&m, c.key, domain, hand).rates {
		if r.Window == c.Window.Std() {
			c.Of, c.Mode = r.Count, unit.Enforce
			if !lim.Enforced() {
				c.Mode = lim.Mode
			}
		}
	}
}

// mailOf returns a mail that has this key, as far as the key tells.
func (c *compiled) mailOf(key string) (m Mail, domain string) {
	parts := strings.Split(key, keySeparator)
	for i, p := range c.parts {
		if i >= len(parts) {
			break
		}
		switch p {
		case ByUser:
			m.User = parts[i]
		case ByUserDomain:
			m.User = "@" + parts[i]
		case BySender:
			m.Sender = parts[i]
		case BySenderDomain:
			m.Sender = "@" + parts[i]
		case ByRecipientDomain:
			domain = parts[i]
		case ByClient, ByClientNetwork:
			if w, err := parseWho(parts[i]); err == nil {
				m.Client = w.network.Addr()
			}
		}
	}
	return m, domain
}

// Reset forgets what was counted for key, of one limit, or of all with an empty
// name, and who was told of it. It returns how many counters it forgot.
func (l *Limiter) Reset(ctx context.Context, name, key string) (int, error) {
	all, err := l.counted(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	var errs []error
	for _, c := range all {
		if name != "" && c.Limit != name || !strings.EqualFold(c.Key, key) {
			continue
		}
		n++
		if c.set {
			errs = append(errs, l.store.Delete(ctx, state.Limit, c.at))
		} else {
			errs = append(errs, l.store.Reset(ctx, c.at))
		}
		errs = append(errs, l.store.Delete(ctx, state.Limit, toldPrefix+strings.TrimPrefix(c.at, membersPrefix)))
	}
	if err := errors.Join(errs...); err != nil {
		return n, fmt.Errorf("reset limit: %w", err)
	}
	if n == 0 {
		return 0, fmt.Errorf("%w: nothing is counted for %s", ErrUnknown, key)
	}
	return n, nil
}

// Event says that a limit refused somebody for the first time in a window.
type Event struct {
	Limit  string    `json:"limit"`
	By     By        `json:"by"`
	Counts Of        `json:"counts"`
	Key    string    `json:"key"`
	User   string    `json:"user,omitempty"`
	Used   int64     `json:"used"`
	Of     int64     `json:"of"`
	Ends   time.Time `json:"ends"`
	// Window is the limit's window.
	Window unit.Duration `json:"window"`
}

// Uncounted says that mail passed for which Postfix did not ask at DATA or
// END-OF-MESSAGE, so that no limit counts it.
type Uncounted struct {
	// QueueID is the last such message's, Count how many there were since.
	QueueID string    `json:"queue_id"`
	Count   int64     `json:"count"`
	Since   time.Time `json:"since"`
	Last    time.Time `json:"last"`
	// Remedy is what mends it.
	Remedy string `json:"remedy"`
}

// toldPrefix is that of who was told, in the table Limit.
const toldPrefix = "told/"

// First reports whether r, a refusal, is the first of its key in this window,
// and returns what there is to tell. Whoever asks again is told no.
func (l *Limiter) First(ctx context.Context, r *Result, user string) (Event, bool) {
	at := r.counter
	if at == "" {
		at = prefix + r.Limit.Name + "/" + unit.Duration(r.Rate.Window).String() + "/" + string(r.Limit.by()) + ":" + string(r.Limit.Counts()) + "/" + r.Key
	}
	l.telling.Lock()
	defer l.telling.Unlock()
	if _, err := l.store.Get(ctx, state.Limit, toldPrefix+at); err == nil {
		return Event{}, false
	}
	e := state.Entry{Key: toldPrefix + at, Expires: time.Now().Add(r.Rate.Window)}
	if err := l.store.Put(ctx, state.Limit, e, false); err != nil {
		return Event{}, false // told at the next refusal
	}
	return Event{
		Limit: r.Limit.Name, By: r.Limit.by(), Counts: r.Limit.Counts(), Key: r.Key, User: user,
		Used: r.Used, Of: r.Rate.Count, Window: unit.Duration(r.Rate.Window), Ends: r.Ends,
	}, true
}
