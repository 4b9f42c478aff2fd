package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/resolver"
)

// Authority asks every authoritative server of a name's zone (package
// resolver).
type Authority interface {
	Authoritative(ctx context.Context, name string) ([]resolver.Shown, time.Duration, error)
}

// Times of a look at the DNS.
const (
	// maxWait bounds how long an old answer is waited for, whatever its TTL says.
	maxWait = 48 * time.Hour
	// lookTimeout is for all servers of one key.
	lookTimeout = 20 * time.Second
	// lookEvery is how often Run looks.
	lookEvery = 5 * time.Minute
)

// look is what all servers said about one pending key.
type look struct {
	// problem is what is missing, "" when every server shows the record.
	problem string
	// silent says that no answer came, rather than a wrong one.
	silent bool
	// wait is how long caches may know another answer.
	wait time.Duration
}

// lookUp asks every authoritative server for the record of k.
func lookUp(ctx context.Context, auth Authority, k Key) look {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	all, negative, err := auth.Authoritative(ctx, k.Name())
	if err != nil {
		return look{problem: err.Error(), silent: true}
	}
	if len(all) == 0 {
		return look{problem: "no server answers for the name", silent: true}
	}
	l := look{wait: negative}
	for _, s := range all {
		problem, silent := "", s.Err != nil
		switch {
		case silent:
			problem = "gives no answer: " + s.Err.Error()
		case len(s.Records) == 0:
			problem = "has no record"
		case len(s.Records) > 1:
			problem = "has more than one TXT record"
		default:
			problem, _ = compare(k, s.Records[0])
		}
		if problem == "" {
			continue
		}
		l.wait = max(l.wait, s.TTL)
		// What a server shows wrongly is worth more than who is silent.
		if l.problem == "" || l.silent && !silent {
			l.problem, l.silent = s.Server+": "+problem, silent
		}
	}
	l.wait = min(l.wait, maxWait)
	return l
}

// Check looks at the DNS for the pending keys of a domain, and lets them sign
// when every authoritative server has shown all their records for as long as
// caches may know better. It returns the keys that sign from now on, if the
// look made it so. What is missing is in the Next of their Status.
func (s *Store) Check(ctx context.Context, auth Authority, domain string) ([]Key, error) {
	d, err := cleanDomain(domain)
	if err != nil {
		return nil, err
	}
	var ks []Key
	t := s.set.Load()
	for _, k := range t.pending(d) {
		if !t.index(d).of(k.Selector).Held {
			ks = append(ks, k)
		}
	}
	if len(ks) == 0 {
		return nil, fmt.Errorf("check keys of %s: no key waits for the DNS: %w", d, ErrNothing)
	}
	looks := make([]look, len(ks))
	var wg sync.WaitGroup
	for i, k := range ks {
		wg.Go(func() { looks[i] = lookUp(ctx, auth, k) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("check keys of %s: %w", d, err)
	}
	return s.apply(d, ks, looks)
}

// apply keeps what was seen, and activates the keys when it is time for all.
func (s *Store) apply(domain string, ks []Key, looks []look) ([]Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.set.Load()
	x := t.index(domain).clone()
	now := time.Now()
	ready, changed := true, false
	for i, k := range ks {
		e := x.of(k.Selector)
		if e.State != Pending || e.Held || !t.has(domain)(k.Selector) {
			return nil, nil // someone did something else in between
		}
		n := e.seen(looks[i], now)
		changed = changed || n.Problem != e.Problem || n.Shown != e.Shown || n.Wait != e.Wait
		x.Keys[k.Selector] = n
		ready = ready && n.due(now)
	}
	if changed {
		if err := s.writeIndex(domain, x); err != nil {
			return nil, err
		}
		s.set.Store(s.set.Load().with(domain, x))
	}
	if !ready {
		return nil, nil
	}
	if err := s.activate(domain, ks); err != nil {
		return nil, err
	}
	return s.set.Load().signing[domain], nil
}

// seen is e after a look. A server that is silent does not begin the waiting
// anew, but nothing is activated while one is.
func (e entry) seen(l look, now time.Time) entry {
	e.Problem = l.problem
	e.Wait = max(e.Wait, l.wait)
	switch {
	case l.problem == "" && e.Shown.IsZero():
		e.Shown = now.UTC()
	case l.problem != "" && !l.silent:
		e.Shown = time.Time{}
	}
	return e
}

// due reports whether a pending key may sign.
func (e entry) due(now time.Time) bool {
	return e.Problem == "" && !e.Shown.IsZero() && !now.Before(e.Shown.Add(e.Wait))
}

// Run goes on with the rotations of all domains until ctx ends: it looks at the
// DNS for pending keys every five minutes, and ends the time of retiring ones.
// It is for the one process that works on the directory.
func (s *Store) Run(ctx context.Context, auth Authority) {
	if err := s.sweep(); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "temporary key files not removed", slog.Any("err", err))
	}
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		s.turn(ctx, auth)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// turn is one round of Run. What fails is tried again in the next one.
func (s *Store) turn(ctx context.Context, auth Authority) {
	revoked, err := s.revoke()
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "dkim keys not revoked", slog.Any("err", err))
	}
	for _, k := range revoked {
		s.log.LogAttrs(ctx, slog.LevelWarn, "dkim key is over, its revoked record is to be published", slog.String("key", k.Name()))
	}
	for d := range s.set.Load().byDomain {
		active, err := s.Check(ctx, auth, d)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, ErrNothing) {
			s.log.LogAttrs(ctx, slog.LevelError, "dkim keys not looked up", slog.Any("err", err))
		}
		if len(active) > 0 {
			s.log.LogAttrs(ctx, slog.LevelInfo, "dkim keys activated", slog.String("keys", selectors(active)))
		}
	}
}

func selectors(ks []Key) string {
	out := make([]string, len(ks))
	for i, k := range ks {
		out[i] = k.Name()
	}
	return strings.Join(out, " ")
}

// Status is a key and what a person has to do about it.
type Status struct {
	Key
	// Next is a sentence for the administrator, "" when there is nothing to do.
	Next string
}

// Statuses returns the keys of a domain, or all for "", in the order of List.
func (s *Store) Statuses(domain string) []Status {
	if d, err := cleanDomain(domain); err == nil {
		domain = d
	}
	after := s.cfg.Load().RetireAfter.Std()
	t := s.set.Load()
	var out []Status
	for _, k := range t.all {
		if domain == "" || domain == k.Domain {
			out = append(out, Status{k, t.index(k.Domain).of(k.Selector).next(k, after)})
		}
	}
	return out
}

// next says what is to be done about k.
func (e entry) next(k Key, after time.Duration) string {
	const day = "2006-01-02 15:04 UTC"
	switch e.State {
	case Pending:
		switch {
		case e.Held && !e.Since.IsZero():
			return "was taken back; gatepost dkim rotate " + k.Domain + " goes on, with --undo it is removed"
		case e.Held: // see remedy
			return "its state was lost: gatepost dkim rotate " + k.Domain + " goes on with it, gatepost dkim remove " + k.Domain + " " + k.Selector + " takes it away"
		case e.Problem != "":
			return "publish its record: " + e.Problem
		case e.Shown.IsZero():
			return "publish its record; it signs when every server of the zone shows it"
		}
		return "nothing: every server shows it, it signs from " + e.Shown.Add(e.Wait).UTC().Format(day)
	case Retiring:
		return "keep its record until " + e.Since.Add(after).UTC().Format(day)
	case Revoked:
		return "publish its revoked record (gatepost dkim dns " + k.Domain + "); after some weeks take both away: gatepost dkim remove " + k.Domain + " " + k.Selector
	}
	return ""
}
