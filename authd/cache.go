package authd

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

// cacheKey is a keyed hash over everything that a verification depends on: the
// account, its stored hash and the password. A changed password is another key,
// so nothing has to be dropped when an account changes. The flags of an account
// are no part of it: they are read anew for every login.
type cacheKey [sha256.Size]byte

// cache remembers right passwords, as keyed hashes whose key lives as long as
// the process. The one that was verified longest ago goes first. It is safe for
// concurrent use.
type cache struct {
	macs sync.Pool // of *keyer

	mu sync.Mutex
	// expires and order are guarded by mu. order has the keys as they were
	// added; a key whose time was renewed stands in it twice, and only the
	// younger entry counts.
	expires map[cacheKey]time.Time
	order   []cached
}

type cached struct {
	key     cacheKey
	expires time.Time
}

func newCache() *cache {
	secretKey := make([]byte, sha256.Size)
	_, _ = rand.Read(secretKey) // it never returns an error
	return &cache{
		macs:    sync.Pool{New: func() any { return &keyer{mac: hmac.New(sha256.New, secretKey)} }},
		expires: make(map[cacheKey]time.Time),
	}
}

// keyer computes keys. Its buffer is empty and overwritten between two uses.
type keyer struct {
	mac hash.Hash
	buf []byte
}

// key returns the key of a login.
func (c *cache) key(user string, stored, password secret.Value) (k cacheKey) {
	m := c.macs.Get().(*keyer)
	defer c.macs.Put(m)
	b := binary.BigEndian.AppendUint64(m.buf[:0], uint64(len(user)))
	b = binary.BigEndian.AppendUint64(b, uint64(len(stored.Reveal())))
	b = append(b, user...)
	b = append(b, stored.Reveal()...)
	b = append(b, password.Reveal()...)
	m.mac.Reset()
	_, _ = m.mac.Write(b)
	clear(b)
	m.buf = m.mac.Sum(b[:0])
	copy(k[:], m.buf)
	return k
}

// has reports whether k was verified and is still fresh.
func (c *cache) has(k cacheKey, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Before(c.expires[k])
}

// put remembers k for life.
func (c *cache) put(k cacheKey, now time.Time, life time.Duration) {
	if life <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.order) > 0 && (len(c.order) >= maxCached || !now.Before(c.order[0].expires)) {
		first := c.order[0]
		c.order = c.order[1:]
		if c.expires[first.key].Equal(first.expires) {
			delete(c.expires, first.key)
		}
	}
	expires := now.Add(life)
	c.expires[k] = expires
	c.order = append(c.order, cached{key: k, expires: expires})
}

// flush forgets all and returns how many there were.
func (c *cache) flush() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.expires)
	clear(c.expires)
	c.order = nil
	return n
}
