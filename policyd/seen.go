package policyd

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/unit"
)

const (
	// seenLife is how long the queue ids of counted requests are remembered at
	// least.
	seenLife = time.Hour
	// maxSeen bounds a generation of them.
	maxSeen = 100_000
	// warnEvery is how often a message that was not counted is warned of.
	warnEvery = 24 * time.Hour
)

// Message is one that the milter had at the end.
type Message struct {
	QueueID string
	// Outbound says that it came from a user or over a submission listener.
	Outbound bool
	// Began is when its transaction began.
	Began time.Time
}

// The lines of main.cf that have us asked.
const (
	remedyInbound  = "add to main.cf: smtpd_end_of_data_restrictions = check_policy_service { unix:gatepost/policy, timeout=10s, policy_context=smtp }"
	remedyOutbound = "add to main.cf: mua_end_of_data_restrictions = check_policy_service { unix:gatepost/policy, timeout=10s, policy_context=submission }" +
		", and to the submission services of master.cf: -o smtpd_end_of_data_restrictions=$mua_end_of_data_restrictions"
)

// seenData remembers which messages had a request that counts, and those that
// had none.
type seenData struct {
	mu         sync.Mutex // guards the fields below but started
	young, old map[uint64]struct{}
	turned     time.Time
	missed     [2]limit.Uncounted // inbound, outbound
	warned     [2]time.Time
	started    time.Time // what began before may have asked another process
}

// text returns the hash of s.
func (h hasher) text(s string) uint64 { return maphash.String(h.seed, s) }

// add remembers the queue id of a request.
func (s *seenData) add(id uint64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= maxSeen || now.Sub(s.turned) > seenLife {
		s.old, s.young, s.turned = s.young, map[uint64]struct{}{}, now
	}
	s.young[id] = struct{}{}
}

// miss reports whether id is not known, and then whether it is time to warn.
func (s *seenData) miss(id uint64, m Message, now time.Time) (missed, warn bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.young[id]; ok {
		return false, false
	}
	if _, ok := s.old[id]; ok {
		return false, false
	}
	i, remedy := 0, remedyInbound
	if m.Outbound {
		i, remedy = 1, remedyOutbound
	}
	u := &s.missed[i]
	if u.Count == 0 || now.Sub(u.Last) > warnEvery {
		*u = limit.Uncounted{Since: now}
	}
	u.QueueID, u.Last, u.Remedy = m.QueueID, now, remedy
	u.Count++
	if warn = now.Sub(s.warned[i]) >= warnEvery; warn {
		s.warned[i] = now
	}
	return true, warn
}

// Ended tells the server of a message that the milter saw the end of. If a limit
// could have counted it and Postfix never asked about it at DATA or
// END-OF-MESSAGE, that is one warning a day, with what mends it.
func (s *Server) Ended(ctx context.Context, m Message) {
	if m.QueueID == "" || m.Began.Before(s.seen.started) || !s.now.Load().policy.limited(m.Outbound) {
		return
	}
	missed, warn := s.seen.miss(s.hash.text(m.QueueID), m, time.Now())
	if !missed || !warn {
		return
	}
	remedy := remedyInbound
	if m.Outbound {
		remedy = remedyOutbound
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "mail is not counted by limits: postfix did not ask at data or end of message",
		slog.String("queue_id", m.QueueID), slog.String("remedy", remedy))
}

// Uncounted returns what passed uncounted within the last day.
func (s *Server) Uncounted() []limit.Uncounted {
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	var out []limit.Uncounted
	for _, u := range s.seen.missed {
		if u.Count > 0 && time.Since(u.Last) < warnEvery {
			out = append(out, u)
		}
	}
	return out
}

// limited reports whether a limit can count mail of that direction.
func (p *Policy) limited(outbound bool) bool {
	if p.other.limits.Concerns(outbound) {
		return true
	}
	for _, pr := range p.profiles {
		if pr.limits.Concerns(outbound) && (outbound || !pr.outbound) {
			return true
		}
	}
	return false
}

// notice returns what is called for the first refusal of a limit in its window:
// it is journaled, logged and handed on.
func (s *Server) notice(on func(context.Context, limit.Event)) func(context.Context, limit.Event) {
	return func(ctx context.Context, e limit.Event) {
		s.log.LogAttrs(ctx, slog.LevelWarn, "limit reached",
			slog.String("rule", "limit "+e.Limit), slog.String("user", e.User), slog.String("key", e.Key),
			slog.Int64("used", e.Used), slog.Int64("of", e.Of), slog.String("window", e.Window.String()), slog.Time("ends", e.Ends))
		s.journal.Record(journal.Record{
			Daemon: daemon, Event: "limit", User: e.User, Rule: "limit " + e.Limit, Verdict: "defer",
			Facts: []journal.Fact{
				{Key: "limit", Value: e.Limit + " by " + string(e.By) + " " + e.Key + ": " + unit.Rate{Count: e.Of, Window: e.Window.Std()}.String() + " " + string(e.Counts)},
			},
		})
		if on != nil {
			on(ctx, e)
		}
	}
}
