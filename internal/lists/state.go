package lists

import (
	"sync"
	"sync/atomic"
	"time"
)

// Phase is what a list is good for now.
type Phase string

// The phases.
const (
	// Untested lists have not answered yet. They are not asked.
	Untested Phase = "untested"
	// On lists are asked.
	On Phase = "on"
	// Resting lists gave no answer to several messages in a row.
	Resting Phase = "resting"
	// Off lists do not serve us, or failed their test.
	Off Phase = "off"
)

// Times of tests.
const (
	daily = 24 * time.Hour
	// A test without an answer is done again after firstRetry, then after twice
	// as long and so on up to lastRetry; that of a list which is off after
	// firstPardon, up to daily.
	firstRetry  = 10 * time.Second
	lastRetry   = 10 * time.Minute
	firstPardon = time.Hour
	// silences is how many messages in a row get no answer before a list rests.
	silences = 3
)

// state is what is known of one list. It is safe for concurrent use.
type state struct {
	// Counts of questions, since the start.
	asks, listings, silent atomic.Uint64

	mu      sync.Mutex // guards all below
	phase   Phase
	why     string
	since   time.Time
	next    time.Time // of the next test
	pause   time.Duration
	silence int // messages in a row without an answer
	warned  bool
}

// newState returns that of a list nobody has asked. One without a test is on.
func newState(tested bool, now time.Time) *state {
	s := &state{phase: Untested, why: "not tested yet", since: now, next: now}
	if !tested {
		s.to(On, "", now)
		s.next = time.Time{}
	}
	return s
}

// to changes the phase. The caller holds mu, or nobody else has s.
func (s *state) to(p Phase, why string, now time.Time) {
	if s.phase != p {
		s.since = now
	}
	s.phase, s.why = p, why
}

// asked reports whether the list is to be asked.
func (s *state) asked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == On
}

// passed notes a good test, and reports whether the list was known to be bad.
func (s *state) passed(now time.Time) (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	again = s.phase == Off || s.phase == Resting
	s.to(On, "", now)
	s.silence, s.pause, s.next, s.warned = 0, 0, now.Add(daily), false
	return again
}

// retry has the next message test a list that has no entry to test it by.
func (s *state) retry(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to(On, "", now)
	s.next = time.Time{}
}

// unanswered notes a test without an answer: what was known still holds.
func (s *state) unanswered(why string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == Untested {
		s.why = why
	}
	s.wait(firstRetry, lastRetry, now)
}

// refused notes that the list is of no use, and reports whether that is new.
func (s *state) refused(why string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	isNew := !s.warned
	if isNew {
		s.pause = 0
	}
	s.warned = true
	s.to(Off, why, now)
	s.wait(firstPardon, daily, now)
	return isNew
}

// wait sets the time of the next test: the pause doubles from first to last.
func (s *state) wait(first, last time.Duration, now time.Time) {
	s.pause = min(max(2*s.pause, first), last)
	s.next = now.Add(s.pause)
}

// heard notes that a message got an answer, or none. It reports whether the list
// begins to rest, and whether that is new since it last answered.
func (s *state) heard(answered bool, now time.Time) (rests, isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answered {
		s.silence, s.warned = 0, false
		return false, false
	}
	if s.silence++; s.silence < silences || s.phase != On {
		return false, false
	}
	s.silence, s.pause = 0, 0
	s.to(Resting, "gave no answer", now)
	s.wait(firstRetry, lastRetry, now)
	isNew = !s.warned
	s.warned = true
	return true, isNew
}

// explain returns why the list is not asked.
func (s *state) explain() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.phase) + ": " + s.why
}

// due returns when the next test is; the zero time for never.
func (s *state) due() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}
