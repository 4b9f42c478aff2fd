package mysql

import (
	"sync"
	"sync/atomic"
	"time"
)

// clock knows which version of our tables this process has seen.
type clock struct {
	start time.Time
	// epoch moves whenever answers from before may be wrong.
	epoch atomic.Uint64
	// proved is when somebody last began to ask whether known is current, and
	// heard that it is.
	proved atomic.Int64

	mu sync.Mutex
	// known is the version that the host for changes had. Guarded by mu.
	known uint64
}

func newClock() *clock {
	c := &clock{start: time.Now()}
	c.proved.Store(-int64(time.Hour))
	return c
}

// now is time of the process, in nanoseconds.
func (c *clock) now() int64 { return int64(time.Since(c.start)) }

// version returns an epoch, and a version that is not older than it.
func (c *clock) version() (epoch, known uint64) {
	epoch = c.epoch.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	return epoch, c.known
}

// changed notes a change of our own, which has made version.
func (c *clock) changed(version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = max(c.known, version)
	c.epoch.Add(1)
}

// doubt notes that something may have changed.
func (c *clock) doubt() { c.epoch.Add(1) }

// polled notes what the host for changes answered to a question that began at
// a time, when known was before. A version that went back is that of a server
// that was restored, or of another one, and is the truth now.
func (c *clock) polled(before, version uint64, began int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known != before {
		return // a change of ours came between: ask again
	}
	if version != c.known {
		c.known = version
		c.epoch.Add(1)
	}
	c.proved.Store(began)
}

// heard reports whether the host for changes has answered since the start.
func (c *clock) heard() bool { return c.proved.Load() >= 0 }

// provedWithin reports whether known was found to be current a while ago at
// most.
func (c *clock) provedWithin(d time.Duration) bool { return c.now()-c.proved.Load() <= int64(d) }
