package guard

import (
	"container/list"
	"net/netip"
	"time"
)

// try is one wrong password from one network.
type try struct {
	// password stands for the pair of account and password, user for the
	// account. Both are keyed hashes.
	password [16]byte
	user     [8]byte
	// at is when it was last tried, in Unix nanoseconds.
	at int64
}

// track has the tries of one network within the window, oldest first.
type track struct {
	network netip.Prefix
	tries   []try
}

// counts holds the tracks. The one that failed longest ago goes first when
// there are too many. It is not safe for concurrent use.
type counts struct {
	byNetwork map[netip.Prefix]*list.Element // of *track
	recent    *list.List                     // front: failed last
}

func newCounts() *counts {
	return &counts{byNetwork: make(map[netip.Prefix]*list.Element), recent: list.New()}
}

// add counts t and returns how many different tries of the network lie within
// window, and how many networks were dropped to stay below most.
func (c *counts) add(network netip.Prefix, t try, window time.Duration, most int) (n, dropped int) {
	e, ok := c.byNetwork[network]
	if !ok {
		for c.recent.Len() >= most {
			c.drop(c.recent.Back())
			dropped++
		}
		e = c.recent.PushFront(&track{network: network})
		c.byNetwork[network] = e
	}
	c.recent.MoveToFront(e)
	tr := e.Value.(*track)
	since := t.at - int64(window)
	kept := tr.tries[:0]
	for _, old := range tr.tries {
		if old.at > since && old.password != t.password {
			kept = append(kept, old)
		}
	}
	tr.tries = append(kept, t)
	return len(tr.tries), dropped
}

// forgive takes back what was counted against user from network.
func (c *counts) forgive(network netip.Prefix, user [8]byte) {
	e, ok := c.byNetwork[network]
	if !ok {
		return
	}
	tr := e.Value.(*track)
	kept := tr.tries[:0]
	for _, t := range tr.tries {
		if t.user != user {
			kept = append(kept, t)
		}
	}
	if tr.tries = kept; len(kept) == 0 {
		c.drop(e)
	}
}

// forget drops all networks that lie in p.
func (c *counts) forget(p netip.Prefix) {
	if e, ok := c.byNetwork[p]; ok {
		c.drop(e)
		return
	}
	for network, e := range c.byNetwork {
		if p.Overlaps(network) {
			c.drop(e)
		}
	}
}

func (c *counts) drop(e *list.Element) {
	delete(c.byNetwork, e.Value.(*track).network)
	c.recent.Remove(e)
}
