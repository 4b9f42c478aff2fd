package resolver

import (
	"hash/maphash"
	"sync"
	"time"
)

// key names what was asked.
type key struct {
	name  string
	rtype uint16
}

// overhead is what one cache entry costs beside its data, about.
const overhead = 256

// cache keeps answers until their time is over or room is needed. Its entries
// stand in one slice and refer to each other by their index: tens of thousands
// of them with pointers to each other are what the collector would be busy with,
// again and again, for answers that mostly say "no".
type cache struct {
	size  int64 // octets at most
	seed  maphash.Seed
	start time.Time // expires counts from here

	mu    sync.Mutex // guards all below
	used  int64
	items map[uint64]int32 // by hash of the key, to an index of slab
	// slab has the entries in use and those that are free. Number 0 is none of
	// them: its next is the entry used last, its prev the one used least
	// recently.
	slab []item
	free int32 // the first free entry, which names the next one; 0 for none
}

// item is one entry.
type item struct {
	name       string
	ans        *answer // nil for one without records
	hash       uint64
	expires    time.Duration
	cost       int64
	prev, next int32
	rtype      uint16
	gone       bool
	secure     bool
}

func newCache(size int64) *cache {
	return &cache{size: size, seed: maphash.MakeSeed(), start: time.Now(), items: make(map[uint64]int32), slab: make([]item, 1)}
}

// hash is the key of items. Two keys with one hash push each other out.
func (c *cache) hash(k key) uint64 { return maphash.String(c.seed, k.name) + uint64(k.rtype) }

// find returns the answer that is kept for k.
func (c *cache) find(k key, now time.Time) (answer, bool) {
	h := c.hash(k)
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.items[h]
	if !ok {
		return answer{}, false
	}
	it := &c.slab[n]
	if it.name != k.name || it.rtype != k.rtype {
		return answer{}, false
	}
	if now.Sub(c.start) >= it.expires {
		c.drop(n)
		return answer{}, false
	}
	c.unlink(n)
	c.toFront(n)
	if it.ans != nil {
		return *it.ans, true
	}
	return answer{gone: it.gone, secure: it.secure}, true
}

// put keeps ans for its TTL. One that is bigger than a tenth of the cache is
// not worth what it pushes out.
func (c *cache) put(k key, ans answer, now time.Time) {
	size := ans.size()
	cost := int64(overhead+len(k.name)) + size
	if ans.ttl <= 0 || cost > c.size/10 {
		return
	}
	it := item{name: k.name, rtype: k.rtype, hash: c.hash(k), cost: cost, expires: now.Add(ans.ttl).Sub(c.start), gone: ans.gone, secure: ans.secure}
	if size > 0 {
		kept := ans // so that only this one is allocated
		it.ans = &kept
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.items[it.hash]; ok {
		c.drop(n)
	}
	n := c.free
	if n == 0 {
		n = int32(len(c.slab))
		c.slab = append(c.slab, item{})
	} else {
		c.free = c.slab[n].next
	}
	c.slab[n] = it
	c.items[it.hash] = n
	c.toFront(n)
	c.used += cost
	for c.used > c.size {
		c.drop(c.slab[0].prev)
	}
}

// drop forgets the entry n. The caller holds mu.
func (c *cache) drop(n int32) {
	c.unlink(n)
	it := &c.slab[n]
	delete(c.items, it.hash)
	c.used -= it.cost
	*it = item{next: c.free}
	c.free = n
}

// unlink takes the entry n out of the order of use. The caller holds mu.
func (c *cache) unlink(n int32) {
	it := &c.slab[n]
	c.slab[it.prev].next, c.slab[it.next].prev = it.next, it.prev
}

// toFront makes the entry n the one used last. The caller holds mu.
func (c *cache) toFront(n int32) {
	first := c.slab[0].next
	c.slab[n].prev, c.slab[n].next = 0, first
	c.slab[first].prev, c.slab[0].next = n, n
}
