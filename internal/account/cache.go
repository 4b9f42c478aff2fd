package account

import "sync"

// cacheRows is how many answers of one kind a generation holds: two
// generations of 20,000 users with their hashes are some 15 MB. A flood of
// names that are not there pushes others out, and costs them one query.
const cacheRows = 20_000

// cache keeps answers, also "no such row", of one version of the store. It has
// two generations: a hit in the old one moves to the young one, and when that
// is full, the old one goes first.
type cache[K comparable, V any] struct {
	mu         sync.Mutex // guards the fields below
	version    uint64
	young, old map[K]answer[V]
}

type answer[V any] struct {
	v     V
	found bool
}

func newCache[K comparable, V any]() *cache[K, V] {
	return &cache[K, V]{young: map[K]answer[V]{}}
}

// get returns what is known of key in that version, or ok = false.
func (c *cache[K, V]) get(version uint64, key K) (v V, found, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != version {
		return v, false, false
	}
	a, ok := c.young[key]
	if !ok {
		if a, ok = c.old[key]; ok {
			c.keep(key, a)
		}
	}
	return a.v, a.found, ok
}

// put keeps an answer that was true in that version; an older one than what
// the cache holds is not kept.
func (c *cache[K, V]) put(version uint64, key K, v V, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if version < c.version {
		return
	}
	if version > c.version {
		c.version, c.young, c.old = version, map[K]answer[V]{}, nil
	}
	c.keep(key, answer[V]{v, found})
}

// keep needs c.mu.
func (c *cache[K, V]) keep(key K, a answer[V]) {
	if len(c.young) >= cacheRows {
		c.old, c.young = c.young, make(map[K]answer[V])
	}
	c.young[key] = a
}
