package shared

import (
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// counts is what s counts since the start.
type counts struct {
	trips, probes, failed, alone, doubtful uint64
	mergedCounters, mergedRows             uint64
}

// Stats tells how the common store is.
type Stats struct {
	// Away says that this host goes on alone, Since when and Why; they are of the
	// last time otherwise, and zero if there was none.
	Away  bool      `json:"away"`
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	Why   string    `json:"why,omitempty"`
	// Trips is how often that began, Probes how often the store was tried, Failed
	// how many requests it refused while it was not away.
	Trips  uint64 `json:"trips"`
	Probes uint64 `json:"probes"`
	Failed uint64 `json:"failed"`
	// Alone is how many requests this host counted alone, Doubtful how many of
	// them may have been counted there, too.
	Alone    uint64 `json:"alone"`
	Doubtful uint64 `json:"doubtful"`
	// MergedCounters and MergedRows were brought to the store, Pending are to be,
	// Lost found no room to wait.
	MergedCounters uint64 `json:"merged_counters"`
	MergedRows     uint64 `json:"merged_rows"`
	Pending        int    `json:"pending"`
	Lost           uint64 `json:"lost"`
	// Ahead is how far the store's clock is ahead of this host's.
	Ahead time.Duration `json:"ahead_ns"`
	// Local is this host's own store.
	Local state.Stats `json:"-"`
}

// Stats returns what a metric may show.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	c, o, open := s.counts, s.outage, s.breaker.open
	s.mu.Unlock()
	return Stats{
		Away: open, Since: o.begun, Until: o.ends, Why: o.why,
		Trips: c.trips, Probes: c.probes, Failed: c.failed, Alone: c.alone, Doubtful: c.doubtful,
		MergedCounters: c.mergedCounters, MergedRows: c.mergedRows, Pending: s.pending(), Lost: s.lost(),
		Ahead: time.Duration(s.ahead.Load()), Local: s.local.Stats(),
	}
}

func (s *Store) lost() uint64 {
	s.ledger.mu.Lock()
	n := s.ledger.lost
	s.ledger.mu.Unlock()
	s.queue.mu.Lock()
	n += s.queue.lost
	s.queue.mu.Unlock()
	s.marks.mu.Lock()
	defer s.marks.mu.Unlock()
	return n + s.marks.lost
}
