package lists

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Run tests each list when it is due, the first time at once, until ctx ends.
func (l *Lists) Run(ctx context.Context) {
	for {
		next := l.test(ctx, time.Now())
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-l.kick:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// Test tests all lists now, whenever they are due.
func (l *Lists) Test(ctx context.Context) {
	l.test(ctx, time.Now().Add(2*daily))
}

// test tests the lists that are due, at once, and returns when the next one is.
func (l *Lists) test(ctx context.Context, now time.Time) (next time.Time) {
	s := l.set.Load()
	var wg sync.WaitGroup
	for _, li := range s.lists {
		if at := li.due(); !at.IsZero() && !at.After(now) {
			wg.Go(func() { l.testOne(ctx, s, li) })
		}
	}
	wg.Wait()
	next = time.Now().Add(daily)
	for _, li := range s.lists {
		if at := li.due(); !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return next
}

// testOne asks one list for its test entries.
func (l *Lists) testOne(ctx context.Context, s *set, li *list) {
	if !li.tested() {
		li.retry(time.Now())
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout.Std())
	defer cancel()
	goodName, badName := li.tests()
	var good, bad answer
	var wg sync.WaitGroup
	for _, t := range []struct {
		name string
		to   *answer
	}{{goodName, &good}, {badName, &bad}} {
		if t.name != "" {
			wg.Go(func() { t.to.addrs, t.to.err = l.lookUp(ctx, t.name) })
		}
	}
	wg.Wait()
	switch why := li.verdict(good, bad); {
	case why != "":
		l.off(ctx, li, why)
	case good.err != nil:
		li.unanswered(li.masked(good.err.Error()), time.Now())
	case bad.err != nil:
		li.unanswered(li.masked(bad.err.Error()), time.Now())
	case li.passed(time.Now()):
		l.log.LogAttrs(ctx, slog.LevelInfo, "a list is on again", slog.String("rule", li.Name))
	}
}

// verdict returns why the list fails its test, "" where it does not, or where
// nobody answered.
func (l *list) verdict(good, bad answer) string {
	for _, a := range append(append(good.addrs[:0:0], good.addrs...), bad.addrs...) {
		if why := l.refusal(a); why != "" {
			return why
		}
	}
	switch {
	case len(bad.addrs) > 0:
		return "it lists " + l.TestNotListed + ", which nobody lists: it may list everything"
	case l.TestListed != none && good.err == nil && len(good.addrs) == 0:
		return "it does not list its test entry " + l.TestListed + ": the zone or the key is wrong, or the list is empty"
	}
	return ""
}
