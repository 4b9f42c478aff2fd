package resolver

import (
	"container/list"
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

// cache keeps answers until their time is over or room is needed.
type cache struct {
	size int64 // octets at most

	mu    sync.Mutex // guards all below
	used  int64
	items map[key]*list.Element
	order *list.List // of *item, the least recently used last
}

type item struct {
	key     key
	ans     answer
	cost    int64
	expires time.Time
}

func newCache(size int64) *cache {
	return &cache{size: size, items: make(map[key]*list.Element), order: list.New()}
}

// find returns the answer that is kept for k.
func (c *cache) find(k key, now time.Time) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.items[k]
	if e == nil {
		return answer{}, false
	}
	it := e.Value.(*item)
	if !now.Before(it.expires) {
		c.drop(e)
		return answer{}, false
	}
	c.order.MoveToFront(e)
	return it.ans, true
}

// put keeps ans for its TTL. One that is bigger than a tenth of the cache is
// not worth what it pushes out.
func (c *cache) put(k key, ans answer, now time.Time) {
	cost := int64(overhead+len(k.name)) + ans.size()
	if ans.ttl <= 0 || cost > c.size/10 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.items[k]; e != nil {
		c.drop(e)
	}
	c.items[k] = c.order.PushFront(&item{k, ans, cost, now.Add(ans.ttl)})
	c.used += cost
	for c.used > c.size {
		c.drop(c.order.Back())
	}
}

// drop forgets e. The caller holds mu.
func (c *cache) drop(e *list.Element) {
	it := c.order.Remove(e).(*item)
	delete(c.items, it.key)
	c.used -= it.cost
}
