package shared

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

const (
	// maxGrants is how many grants of one counter are kept apart; those in the
	// same sixtieth of the window are joined then, and take the later time.
	maxGrants = 64
	slots     = 60
	// maxTallies bounds the counters that wait to be merged.
	maxTallies = 100_000
	// perBatch is how many counters are merged in one step.
	perBatch = 100

	countPrefix = "count/"
)

// tally is what this host alone granted on one counter. Times are Unix
// nanoseconds by our clock.
type tally struct {
	Key    string        `json:"key"`
	Max    int64         `json:"max"`
	Window time.Duration `json:"window"`
	Grants []grant       `json:"grants"`

	gen uint64
}

type grant struct {
	At int64 `json:"at"`
	N  int64 `json:"n"`
}

// row is the tally's name in the Outbox. The generation is in it so that what is
// counted after a batch was made never shares a row with what is in it.
func (t *tally) row() string { return fmt.Sprintf("%s%x/%s", countPrefix, t.gen, t.Key) }

// ends is when the last grant leaves the window.
func (t *tally) ends() time.Time {
	return time.Unix(0, t.Grants[len(t.Grants)-1].At).Add(t.Window)
}

// write returns what is to be written of the tally.
func (t *tally) write() state.Write {
	if len(t.Grants) == 0 {
		return t.remove()
	}
	b, err := json.Marshal(t)
	if err != nil {
		panic(err) // numbers and a string
	}
	return state.Write{Table: state.Outbox, Entry: state.Entry{Key: t.row(), Value: b, Expires: t.ends()}}
}

func (t *tally) remove() state.Write {
	return state.Write{Table: state.Outbox, Entry: state.Entry{Key: t.row()}, Delete: true}
}

// parseTally reads a row of the Outbox.
func parseTally(e state.Entry) (*tally, error) {
	gen, _, ok := strings.Cut(strings.TrimPrefix(e.Key, countPrefix), "/")
	t := &tally{}
	if _, err := fmt.Sscanf(gen, "%x", &t.gen); !ok || err != nil {
		return nil, fmt.Errorf("row %.40q has no generation", e.Key)
	}
	if err := json.Unmarshal(e.Value, t); err != nil {
		return nil, fmt.Errorf("row %.40q: %w", e.Key, err)
	}
	return t, t.valid()
}

func (t *tally) valid() error {
	if t.Key == "" || len(t.Key) > state.MaxKeyBytes || t.Max < 0 || t.Window <= 0 || t.Window > state.MaxWindow ||
		len(t.Grants) == 0 || len(t.Grants) > maxGrants {
		return fmt.Errorf("tally of %.40q is damaged", t.Key)
	}
	for i, g := range t.Grants {
		if g.N <= 0 || g.N > state.MaxCount || i > 0 && g.At < t.Grants[i-1].At {
			return fmt.Errorf("tally of %.40q is damaged", t.Key)
		}
	}
	return nil
}

// merged returns the tally for the common store at now, without what has left
// the window.
func (t *tally) merged(now time.Time) (m state.Merged, ok bool) {
	m = state.Merged{Key: t.Key, Max: t.Max, Window: t.Window}
	for _, g := range t.Grants {
		if ago := max(now.Sub(time.Unix(0, g.At)), 0); ago < t.Window {
			m.Grants = append(m.Grants, state.Grant{Ago: ago, N: g.N})
		}
	}
	return m, len(m.Grants) > 0
}

// add counts n at a time.
func (t *tally) add(at, n int64) {
	if last := len(t.Grants) - 1; last >= 0 && t.Grants[last].At >= at {
		t.Grants[last].N += n // the clock went back, or did not move
		return
	}
	if t.Grants = append(t.Grants, grant{at, n}); len(t.Grants) <= maxGrants {
		return
	}
	for len(t.Grants) > 0 && at-t.Grants[0].At >= int64(t.Window) {
		t.Grants = t.Grants[1:]
	}
	width := max(int64(t.Window)/slots, 1)
	kept := t.Grants[:1]
	for _, g := range t.Grants[1:] {
		last := &kept[len(kept)-1]
		if last.At/width == g.At/width {
			last.At, last.N = g.At, last.N+g.N
			continue
		}
		kept = append(kept, g)
	}
	t.Grants = kept
}

// take takes back n of what was counted at a time and reports whether it was
// here. The first grant that is not older holds it.
func (t *tally) take(at, n int64) bool {
	for i := range t.Grants {
		g := &t.Grants[i]
		if g.At < at {
			continue
		}
		if g.N -= min(n, g.N); g.N == 0 {
			t.Grants = append(t.Grants[:i], t.Grants[i+1:]...)
		}
		return true
	}
	return false
}

// ledger has what was counted while the common store was away.
type ledger struct {
	mu      sync.Mutex // guards the fields below
	gen     uint64
	tallies map[string]*tally
	// left are tallies of an earlier process; lost counts what found no room.
	left []*tally
	lost uint64
	// apply writes to the local store without waiting for its disk. It is called
	// with mu held: else a row could come back that a batch has removed.
	apply func(...state.Write)
}

// add counts a claim that was granted.
func (l *ledger) add(c *state.Claim, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tallies[c.Key]
	if t == nil {
		if len(l.tallies) >= maxTallies {
			l.lost++
			return
		}
		if l.tallies == nil {
			l.tallies = map[string]*tally{}
		}
		t = &tally{Key: c.Key, gen: l.gen}
		l.tallies[c.Key] = t
	}
	t.Max, t.Window = c.Max, c.Window
	t.add(at.UnixNano(), c.N)
	l.apply(t.write())
}

// take takes back what was counted here at a time, or reports that it was not.
func (l *ledger) take(key string, n int64, at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tallies[key]
	if t == nil || !t.take(at.UnixNano(), n) {
		return false
	}
	if len(t.Grants) == 0 {
		delete(l.tallies, key)
	}
	l.apply(t.write())
	return true
}

// drop forgets a counter.
func (l *ledger) drop(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.left[:0]
	for _, t := range l.left {
		if t.Key == key {
			l.apply(t.remove())
		} else {
			kept = append(kept, t)
		}
	}
	l.left = kept
	if t := l.tallies[key]; t != nil {
		delete(l.tallies, key)
		l.apply(t.remove())
	}
}

// freeze removes some tallies, which are no longer added to.
func (l *ledger) freeze() (some []*tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gen++
	n := min(perBatch, len(l.left))
	some, l.left = append(some, l.left[:n]...), l.left[n:]
	for key, t := range l.tallies {
		if len(some) == perBatch {
			break
		}
		some = append(some, t)
		delete(l.tallies, key)
	}
	return some
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.tallies) + len(l.left)
}
