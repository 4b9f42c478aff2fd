package authd

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/netaddr"
)

// cacheKey is a keyed hash over everything that a verification depends on: the
// account, its stored hash, the password, and the network that it came from. A
// changed password is another key, so nothing has to be dropped when an account
// changes. The rules of an account are no part of it: they are read anew for every
// login. The network is, so that nobody but who proved to know the password gets
// past the guard's count of guesses under way.
type cacheKey [sha256.Size]byte

// cache remembers right passwords, as keyed hashes whose key lives as long as
// the process. The one that was verified longest ago goes first. It is safe for
// concurrent use.
type cache struct {
	// secret is before what is hashed. What comes out is shown to nobody, so it
	// needs no HMAC.
	secret [sha256.Size]byte
	rooms  sync.Pool // of *[]byte, empty and overwritten between two uses

	mu sync.Mutex
	// known and order are guarded by mu. order has the keys as they were
	// added; a key whose time was renewed stands in it twice, and only the
	// younger entry counts.
	known map[cacheKey]cached
	order []cached
}

// cached is one right password. app is the id of the app password that it is, 0
// for the main one.
type cached struct {
	key     cacheKey
	app     int64
	expires time.Time
}

func newCache() *cache {
	c := &cache{known: make(map[cacheKey]cached), rooms: sync.Pool{New: func() any { return new([]byte) }}}
	_, _ = rand.Read(c.secret[:]) // it never returns an error
	return c
}

// key returns the key of a login whose account is known.
func (c *cache) key(l *login) (k cacheKey) {
	room := c.rooms.Get().(*[]byte)
	defer c.rooms.Put(room)
	stored, network := l.user.Password.Reveal(), netaddr.Network(l.auth.addr)
	b := append((*room)[:0], c.secret[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(l.shown)))
	b = binary.BigEndian.AppendUint64(b, uint64(len(stored)))
	addr := network.Addr().As16()
	b = append(b, addr[:]...)
	b = append(b, byte(network.Bits()))
	b = append(b, l.shown...)
	b = append(b, stored...)
	b = append(b, l.cred.password.Reveal()...)
	k = sha256.Sum256(b)
	clear(b)
	*room = b[:0]
	return k
}

// has reports whether k was verified and is still fresh, and which app password
// it is.
func (c *cache) has(k cacheKey, now time.Time) (app int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.known[k]
	return e.app, now.Before(e.expires)
}

// put remembers k for life.
func (c *cache) put(k cacheKey, app int64, now time.Time, life time.Duration) {
	if life <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.order) > 0 && (len(c.order) >= maxCached || !now.Before(c.order[0].expires)) {
		first := c.order[0]
		c.order = c.order[1:]
		if c.known[first.key].expires.Equal(first.expires) {
			delete(c.known, first.key)
		}
	}
	e := cached{key: k, app: app, expires: now.Add(life)}
	c.known[k] = e
	c.order = append(c.order, e)
}

// flush forgets all and returns how many there were.
func (c *cache) flush() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.known)
	clear(c.known)
	c.order = nil
	return n
}
