package access

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// source is the store of the entries.
type source interface {
	// Access lists all entries.
	Access(ctx context.Context) ([]Entry, error)
	// Version moves with every change.
	Version() uint64
}

// retryAfter is how long a store that did not answer is left alone.
const retryAfter = time.Second

// Cache keeps the List of a store in memory, and makes a new one when the store
// has changed: one caller does, and those who come meanwhile get the old one. It
// is safe for concurrent use.
type Cache struct {
	from source
	held atomic.Pointer[held]

	mu     sync.Mutex // held while a list is made; guards the fields below
	failed time.Time
	err    error
}

// held is the list of one version of the store.
type held struct {
	list    *List
	version uint64
}

// NewCache returns a Cache over a store.
func NewCache(from source) *Cache { return &Cache{from: from} }

// List returns the entries of now. With an error, which is the store's, it is
// the list that was good last, nil if none was.
func (c *Cache) List(ctx context.Context) (*List, error) {
	version := c.from.Version() // before the look, so that a change in between is seen
	h := c.held.Load()
	switch {
	case h != nil && h.version == version:
		return h.list, nil
	case h == nil:
		h = &held{}
		c.mu.Lock()
	case !c.mu.TryLock():
		return h.list, nil
	}
	defer c.mu.Unlock()
	if now := c.held.Load(); now != nil {
		if h = now; h.version == version {
			return h.list, nil
		}
	}
	if c.err != nil && time.Since(c.failed) < retryAfter {
		return h.list, c.err
	}
	all, err := c.from.Access(ctx)
	if c.err = err; err != nil {
		c.failed = time.Now()
		return h.list, err
	}
	h = &held{New(all), version}
	c.held.Store(h)
	return h.list, nil
}
