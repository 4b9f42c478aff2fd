package limit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// store is all that limits need of a state store; see state.Store.
type store interface {
	TakeAll(ctx context.Context, claims []state.Claim, ask bool) ([]state.Usage, error)
	Give(ctx context.Context, key string, n int64, at time.Time) error
	Counters(ctx context.Context, prefix string) ([]state.Counter, error)
	Reset(ctx context.Context, key string) error
	Get(ctx context.Context, t state.Table, key string) (state.Entry, error)
	Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error
	Delete(ctx context.Context, t state.Table, key string) error
	List(ctx context.Context, t state.Table, prefix string) ([]state.Entry, error)
}

// Limiter counts. It is safe for concurrent use.
type Limiter struct {
	store store
	// sets is held while distinct recipients are looked at and written back.
	sets sync.Mutex
	// telling is held while is looked who was told.
	telling sync.Mutex
	byHand  atomic.Pointer[loaded]
	scratch sync.Pool // of *Memo, for mails without one
}

// New returns a Limiter that counts in s.
func New(s store) *Limiter { return &Limiter{store: s} }

// Ask returns what of s would not allow m, and counts nothing. Of the limits by recipients' domain only those of the last recipient's are
// asked: the others were asked for the recipients before.
func (l *Limiter) Ask(ctx context.Context, s *Set, m *Mail) ([]Result, error) {
	return l.do(ctx, s, m, true)
}

// Take counts m on each limit of s, unless an enforced one does not allow it:
// then it counts on none. There is a result for each window of each limit that
// concerns m.
func (l *Limiter) Take(ctx context.Context, s *Set, m *Mail) ([]Result, error) {
	return l.do(ctx, s, m, false)
}

// do asks or takes with the memo of the mail, or with one of everybody's, which
// keeps no results.
func (l *Limiter) do(ctx context.Context, s *Set, m *Mail, ask bool) ([]Result, error) {
	if s.Empty() {
		return nil, nil
	}
	if m.Memo != nil {
		return l.run(ctx, s, m, ask, m.Memo)
	}
	memo, ok := l.scratch.Get().(*Memo)
	if !ok {
		memo = &Memo{}
	}
	defer l.scratch.Put(memo)
	results, err := l.run(ctx, s, m, ask, memo)
	return slices.Clone(results), err
}

// run returns results that are memo's.
func (l *Limiter) run(ctx context.Context, s *Set, m *Mail, ask bool, memo *Memo) ([]Result, error) {
	q := memo.begin(m, ask, l.setByHand(ctx, m.Now))
	defer memo.end()
	for i := range s.limits {
		if c := &s.limits[i]; c.concerns(m.Outbound) {
			q.limit(c)
		}
	}
	if len(q.members) > 0 {
		l.sets.Lock()
		defer l.sets.Unlock()
	}
	fits, err := l.lookAtMembers(ctx, q)
	if err == nil {
		err = l.claim(ctx, q, ask || !fits)
	}
	if err == nil && !ask && Refused(q.results) == nil {
		err = l.keepMembers(ctx, q)
	}
	if err != nil {
		return nil, fmt.Errorf("count limits: %w", err)
	}
	if ask {
		return slices.DeleteFunc(q.refusals(), func(r Result) bool { return r.Allowed }), nil
	}
	return q.results, nil
}

// refusals returns the results from the first that does not allow.
func (q *question) refusals() []Result {
	for i := range q.results {
		if !q.results[i].Allowed {
			return q.results[i:]
		}
	}
	return nil
}

// limit adds what c asks of the mail.
func (q *question) limit(c *compiled) {
	m := q.mail
	if !c.byRcpt {
		q.key(c, "", c.amount(m, m.Recipients, m.Rcpts), m.Rcpts)
		return
	}
	if len(m.Rcpts) == 0 {
		return
	}
	if q.ask {
		q.domain(c, m.Rcpts[len(m.Rcpts)-1].Domain)
		return
	}
	seen := make(map[string]bool, 4)
	for i := range m.Rcpts {
		if d := m.Rcpts[i].Domain; !seen[d] {
			seen[d] = true
			q.domain(c, d)
		}
	}
}

// domain adds what c asks of the mail's recipients in one domain.
func (q *question) domain(c *compiled, domain string) {
	var in []Rcpt
	for _, r := range q.mail.Rcpts {
		if r.Domain == domain {
			in = append(in, r)
		}
	}
	q.key(c, domain, c.amount(q.mail, int64(len(in)), in), in)
}

// amount is what c counts of a mail that has n recipients, of whom rcpts are
// known.
func (c *compiled) amount(m *Mail, n int64, rcpts []Rcpt) int64 {
	switch c.Counts() {
	case Messages:
		return 1
	case Bytes:
		return m.Bytes
	case Bounces:
		if m.Bounce {
			return 1
		}
		return 0
	case NewRecipients:
		var fresh int64
		for i := range rcpts {
			if rcpts[i].New {
				fresh++
			}
		}
		return fresh
	}
	return n
}

// key adds the windows of c for n more under the key of the mail. What counts
// nothing is not asked.
func (q *question) key(c *compiled, domain string, n int64, rcpts []Rcpt) {
	key := c.key(q.mail, domain, q.memo)
	if key == "" || n <= 0 {
		return
	}
	t := c.tariffOf(q.mail, key, domain, q.byHand)
	for i, rate := range t.rates {
		r := Result{Limit: &c.Limit, Rate: rate, Span: t.spans[i], Key: shownKey(key), Asked: min(n, state.MaxCount)}
		counter := q.memo.counter(t.prefixes[i], key)
		if c.Counts() == DistinctRecipients {
			q.members = append(q.members, &members{
				result: len(q.results), key: counter, rate: rate,
				rcpts: rcpts, unknown: max(n-int64(len(rcpts)), 0),
			})
			q.results = append(q.results, r)
			continue
		}
		r.counter = counter
		q.claims = append(q.claims, state.Claim{
			Key: r.counter, N: r.Asked, Max: rate.Count, Window: rate.Window, Soft: !c.Enforced(),
		})
		q.claimed = append(q.claimed, len(q.results))
		q.results = append(q.results, r)
	}
}

// claim asks or takes the counters.
func (l *Limiter) claim(ctx context.Context, q *question, ask bool) error {
	if len(q.claims) == 0 {
		return nil
	}
	usage, err := l.store.TakeAll(ctx, q.claims, ask)
	if err != nil {
		q.claims = nil // a store that gave up may look at them still
		return err
	}
	for i, u := range usage {
		q.results[q.claimed[i]].answer(u)
	}
	return nil
}

func (r *Result) answer(u state.Usage) {
	r.Allowed, r.Used, r.Ends, r.at = u.OK, u.Used, u.Ends, u.At
	if r.Never() {
		r.Allowed, r.Ends = false, time.Time{}
	}
}

// Counted is what one result has counted: as much of it as GiveBack needs.
type Counted struct {
	of      Of
	counter string
	n       int64
	at      time.Time
}

// CountedBy appends to dst what results have counted, and returns the longer
// dst, which shares nothing with them that changes.
func CountedBy(dst []Counted, results []Result) []Counted {
	dst = slices.Grow(dst, len(results))
	for i := range results {
		if r := &results[i]; r.Allowed && r.counter != "" {
			dst = append(dst, Counted{r.Limit.Counts(), r.counter, r.Asked, r.at})
		}
	}
	return dst
}

// Give takes back n of what each result had counted of the kind of, or all of
// it with n < 0: the mail was refused after all, or is smaller than it said.
func (l *Limiter) Give(ctx context.Context, results []Result, of Of, n int64) error {
	return l.GiveBack(ctx, CountedBy(nil, results), of, n)
}

// GiveBack is Give for what is left of results.
func (l *Limiter) GiveBack(ctx context.Context, all []Counted, of Of, n int64) error {
	var errs []error
	for i := range all {
		c := &all[i]
		if of != "" && c.of != of {
			continue
		}
		back := c.n
		if n >= 0 {
			back = min(n, back)
		}
		errs = append(errs, l.store.Give(ctx, c.counter, back, c.at))
	}
	return errors.Join(errs...)
}
