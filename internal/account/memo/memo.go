// Package memo keeps answers of a store for a while, in bounded memory. An
// answer belongs to the version of the store that it was asked in.
package memo

import "sync"

// Cache keeps answers, also "no such row". It has two generations: a hit in the
// old one moves to the young one, and when that is full, the old one goes first.
// It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	rows       int
	mu         sync.Mutex // guards the fields below
	young, old map[K]answer[V]
}

type answer[V any] struct {
	v       V
	found   bool
	version uint64
	at      int64
}

// New returns a Cache of at most rows answers in each generation.
func New[K comparable, V any](rows int) *Cache[K, V] {
	return &Cache[K, V]{rows: rows, young: map[K]answer[V]{}}
}

// Get returns what is known of key in that version, or ok = false. An answer
// that Put was told of with an earlier time than since is not known.
func (c *Cache[K, V]) Get(version uint64, key K, since int64) (v V, found, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.find(key)
	if !ok || a.version != version || a.at < since {
		return v, false, false
	}
	return a.v, a.found, true
}

// Last returns what was known of key at last, in whatever version.
func (c *Cache[K, V]) Last(key K) (v V, found, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.find(key)
	return a.v, a.found, ok
}

// Put keeps an answer that was true in that version at a time in any unit, which
// only Get compares. An older one than what the cache holds is not kept.
func (c *Cache[K, V]) Put(version uint64, key K, v V, found bool, at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, ok := c.find(key); ok && (a.version > version || a.version == version && a.at > at) {
		return
	}
	c.keep(key, answer[V]{v, found, version, at})
}

// find needs c.mu.
func (c *Cache[K, V]) find(key K) (answer[V], bool) {
	a, ok := c.young[key]
	if ok {
		return a, true
	}
	if a, ok = c.old[key]; ok {
		delete(c.old, key)
		c.keep(key, a)
	}
	return a, ok
}

// keep needs c.mu.
func (c *Cache[K, V]) keep(key K, a answer[V]) {
	if _, ok := c.young[key]; !ok && len(c.young) >= c.rows {
		c.old, c.young = c.young, make(map[K]answer[V])
	}
	c.young[key] = a
}

// Len returns how many answers the cache holds.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.young) + len(c.old)
}
