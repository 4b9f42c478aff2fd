package stated

import (
	"sync"
	"time"
)

const (
	// cacheRows bounds a generation of the cache: two of them are some 20 MB. A
	// flood of names that are not there pushes others out.
	cacheRows = 20_000
	// lastGood is how long an answer stands in for a process that is away.
	lastGood = 24 * time.Hour
)

// name is what was asked: the call, and the address or name.
type name struct{ call, of string }

// known is an answer, v nil for "there is none".
type known struct {
	v       any
	version uint64
	at      time.Time
}

// lasts reports whether k may stand in for a process that is away.
func (k known) lasts() bool { return time.Since(k.at) < lastGood }

// cache keeps answers about names.
type cache struct {
	mu         sync.Mutex // guards the fields below
	young, old map[name]known
}

func newCache() *cache { return &cache{young: map[name]known{}} }

func (c *cache) get(n name) (known, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.young[n]
	if !ok {
		if k, ok = c.old[n]; ok {
			c.keep(n, k)
		}
	}
	return k, ok
}

func (c *cache) put(n name, k known) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(n, k)
}

// keep needs c.mu.
func (c *cache) keep(n name, k known) {
	if len(c.young) >= cacheRows {
		c.old, c.young = c.young, make(map[name]known)
	}
	c.young[n] = k
}
