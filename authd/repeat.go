package authd

import (
	"context"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
)

// A webmail may log one user in a hundred times a second. Of one and the same
// good login, known from the cache, the first repeatTold within repeatTime are
// told one by one, and the others as a number: they say nothing new, and would
// push other records out of the journal's queue.
const (
	repeatTold = 10
	repeatTime = 10 * time.Second
	// maxRepeats bounds the logins that are counted at a time. Beyond it the
	// oldest is told first.
	maxRepeats = 1000
)

// repeatKey is what makes two logins the same.
type repeatKey struct {
	user, service, mech string
	addr                netip.Addr
}

// repeat is one login and how often it came since began. more of them were not
// told, the last of them at last.
type repeat struct {
	repeatKey
	began, last time.Time
	told, more  int
}

// repeats counts repeated logins. It is safe for concurrent use.
type repeats struct {
	mu sync.Mutex
	// open and order, by began, have the same. Both are guarded by mu.
	open  map[repeatKey]*repeat
	order []*repeat
}

func newRepeats() *repeats { return &repeats{open: make(map[repeatKey]*repeat)} }

// add counts a login and reports whether it is to be told. over are those whose
// time has ended, with what was not told of them; a zero key adds nothing.
func (r *repeats) add(k repeatKey, now time.Time) (tell bool, over []repeat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.order) > 0 && (len(r.order) >= maxRepeats || now.Sub(r.order[0].began) >= repeatTime) {
		over = r.close(over)
	}
	if k == (repeatKey{}) {
		return false, over
	}
	e, ok := r.open[k]
	if !ok {
		e = &repeat{repeatKey: k, began: now}
		r.open[k] = e
		r.order = append(r.order, e)
	}
	if e.told < repeatTold {
		e.told++
		return true, over
	}
	e.more, e.last = e.more+1, now
	return false, over
}

// all ends all of them.
func (r *repeats) all() (over []repeat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.order) > 0 {
		over = r.close(over)
	}
	return over
}

// close ends the oldest. It needs mu.
func (r *repeats) close(over []repeat) []repeat {
	first := r.order[0]
	r.order = r.order[1:]
	delete(r.open, first.repeatKey)
	if first.more > 0 {
		over = append(over, *first)
	}
	return over
}

// tellRepeats tells of logins that were counted and not told.
func (s *Server) tellRepeats(ctx context.Context, over []repeat) {
	for _, r := range over {
		s.journal.Record(journal.Record{
			Time: r.last, Daemon: "authd", Event: "login", Service: r.service, ClientAddr: r.addr, User: r.user, Mech: r.mech,
			Verdict: verdictOK, Rule: "repeated", Facts: []journal.Fact{{Key: "logins", Value: strconv.Itoa(r.more)}},
		})
		s.log.LogAttrs(ctx, slog.LevelInfo, "login repeated",
			slog.String("client_addr", r.addr.String()), slog.String("service", r.service), slog.String("user", r.user),
			slog.String("mech", r.mech), slog.String("verdict", verdictOK), slog.Int("logins", r.more),
			slog.Duration("took", r.last.Sub(r.began)))
	}
}
