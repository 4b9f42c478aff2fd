// Package statetest has the tests that every state.Store must pass, and those of
// a state.Watcher.
package statetest

import (
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// Open gives a store on the data of a name. The same name gives another store on
// the same data, after what was there has been written.
type Open func(t *testing.T, name string) state.Store

// Option tells Run more of the stores. Without one a store belongs to one
// process: two writers are two users of one store, who have one clock, and a
// restart is Close and open.
type Option func(*suite)

// Shared says that several hosts use one store at once. second opens the store
// of a host whose clock is ahead of the true time, or for a negative time behind.
func Shared(second func(t *testing.T, name string, ahead time.Duration) state.Store) Option {
	return func(s *suite) { s.second = second }
}

// Restarts says that the store stands on servers, which restart makes end and
// come back, or give way to others, while the store is open; it returns when
// they are well. lossy says that others take their place, to which the servers
// pass on what they have acknowledged a moment later.
func Restarts(restart func(t *testing.T), lossy bool) Option {
	return func(s *suite) { s.restart, s.lossy = restart, lossy }
}

// suite is what Run knows of the stores.
type suite struct {
	open    Open
	second  func(t *testing.T, name string, ahead time.Duration) state.Store
	restart func(t *testing.T)
	lossy   bool
}

// hosts is what a case may do beyond using its store.
type hosts struct {
	suite
	name  string
	again func() state.Store
}

// two returns the store of a second host, and how far its clock is ahead.
func (h *hosts) two(t *testing.T, s state.Store, ahead time.Duration) (state.Store, time.Duration) {
	t.Helper()
	if h.second == nil {
		return s, 0
	}
	b := h.second(t, h.name, ahead)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close() of the second = %v", err)
		}
	})
	return b, ahead
}

// shake restarts what the store stands on and returns the store to use then.
func (h *hosts) shake(t *testing.T, s state.Store) state.Store {
	t.Helper()
	if h.restart == nil {
		return h.again()
	}
	h.restart(t)
	return s
}

// alone makes a case of one that needs one host.
func alone(test func(t *testing.T, s state.Store, again func() state.Store)) func(*testing.T, state.Store, *hosts) {
	return func(t *testing.T, s state.Store, h *hosts) { test(t, s, h.again) }
}

// Run runs the contract on stores that open makes. Each case uses its own name.
// The tests run on the real clock, for a store may have its own; they wait for
// nothing longer than tens of milliseconds, a restart of servers aside. No case
// may be left out.
func Run(t *testing.T, open Open, options ...Option) {
	su := suite{open: open}
	for _, o := range options {
		o(&su)
	}
	for _, tc := range []struct {
		name string
		test func(t *testing.T, s state.Store, h *hosts)
	}{
		{"put and get", alone(putGet)},
		{"tables are apart", alone(tables)},
		{"caller owns its bytes", alone(ownBytes)},
		{"expiry", alone(expiry)},
		{"delete", alone(remove)},
		{"list", alone(list)},
		{"keys of any bytes", alone(anyBytes)},
		{"what can not be kept", alone(invalid)},
		{"largest values", alone(largest)},
		{"largest counts", alone(largestCounts)},
		{"cancelled context", alone(cancelled)},
		{"sync row is there after a restart", alone(restart)},
		{"many sync writers", alone(syncWriters)},
		{"take", alone(take)},
		{"take more than max", alone(takeTooMuch)},
		{"take nothing", alone(takeNothing)},
		{"take with another max", alone(takeOtherMax)},
		{"counters", alone(counters)},
		{"reset", alone(reset)},
		{"take concurrently", alone(takeConcurrently)},
		{"take all", alone(takeAll)},
		{"take all concurrently", alone(takeAllConcurrently)},
		{"give back", alone(give)},
		{"counter is there after a restart", alone(restartCounter)},
		{"two writers", twoWriters},
		{"two hosts take", twoTake},
		{"clock ahead", func(t *testing.T, s state.Store, h *hosts) { skewed(t, s, h, skew) }},
		{"clock behind", func(t *testing.T, s state.Store, h *hosts) { skewed(t, s, h, -skew) }},
		{"restart in mid-test", restartMid},
		{"restart in mid-traffic", restartTraffic},
		{"closed", alone(closed)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			name := strings.ReplaceAll(tc.name, " ", "-")
			var s state.Store
			h := &hosts{suite: su, name: name}
			h.again = func() state.Store {
				if err := s.Close(); err != nil {
					t.Fatalf("Close() = %v", err)
				}
				s = open(t, name)
				return s
			}
			s = open(t, name)
			tc.test(t, s, h)
			if err := s.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
		})
	}
}
