package state

import (
	"encoding/binary"
	"errors"
	"time"
)

// A counter remembers grants in buckets. While they are few, each has its own
// time; then neighbours in the same sixtieth of the window are merged, and take
// the later time. So a grant is never forgotten too early, and a window of any
// place holds no more than max.
const (
	slots      = 60
	maxBuckets = 64 // a window touches slots + 2 at most, so merging makes room
)

// bucket is n grants, the last of them at that time in Unix nanoseconds.
type bucket struct{ at, n int64 }

// counter is a sliding window, its buckets in order of time.
type counter struct {
	key     string
	max     int64 // of the last Take, for lists
	window  time.Duration
	used    int64 // sum of buckets
	buckets []bucket
	// shared says that somebody reads it without a lock: it changes no more, and
	// a grant makes a copy. dirty says that it is among those to be written.
	shared, dirty bool
}

func (c *counter) name() string { return c.key }
func (c *counter) size() int64  { return int64(len(c.key)+16*cap(c.buckets)) + overhead }

// expires is when the window is empty.
func (c *counter) expires() time.Time {
	if len(c.buckets) == 0 {
		return time.Time{}
	}
	return time.Unix(0, c.buckets[len(c.buckets)-1].at).Add(c.window)
}

// look returns the answer to asking for n at now. Used is without n.
func (c *counter) look(now time.Time, n, max int64, window time.Duration) Usage {
	t := now.UnixNano()
	live := c.buckets
	u := Usage{Used: c.used, Ends: now}
	for len(live) > 0 && t-live[0].at >= int64(window) {
		u.Used -= live[0].n
		live = live[1:]
	}
	u.OK = u.Used <= max-n
	if len(live) > 0 {
		u.Ends = time.Unix(0, min(live[len(live)-1].at, t)).Add(window)
	}
	if u.OK || n > max {
		return u
	}
	used := u.Used
	for _, b := range live {
		if used -= b.n; used <= max-n {
			u.Ends = time.Unix(0, min(b.at, t)).Add(window)
			break
		}
	}
	return u
}

// take returns the counter after asking for n at now, and the answer. It does
// not change c, which it returns if nothing was granted. A grant counts until a
// whole window has passed.
func (c *counter) take(now time.Time, n, max int64, window time.Duration) (*counter, Usage) {
	u := c.look(now, n, max, window)
	if !u.OK || n == 0 {
		return c, u
	}
	next := c.at(now, window)
	next.max = max
	next.add(now.UnixNano(), n)
	u.Used, u.Ends = next.used, next.expires()
	return next, u
}

// grant is take for an n that fits; it changes c and returns it unless c is
// shared.
func (c *counter) grant(now time.Time, n, max int64, window time.Duration) (*counter, Usage) {
	if c.shared {
		return c.take(now, n, max, window)
	}
	t := now.UnixNano()
	c.forget(t, window)
	c.max, c.window = max, window
	c.add(t, n)
	return c, Usage{OK: true, Used: c.used, Ends: c.expires()}
}

// forget drops what has left the window at t; see at. It changes c, and mostly
// there is nothing to do.
func (c *counter) forget(t int64, window time.Duration) {
	if n := len(c.buckets); n == 0 || t-c.buckets[0].at < int64(window) && c.buckets[n-1].at <= t {
		return
	}
	kept := c.buckets[:0]
	c.used = 0
	for _, b := range c.buckets {
		if t-b.at < int64(window) {
			kept = append(kept, bucket{min(b.at, t), b.n})
			c.used += b.n
		}
	}
	c.buckets = kept
}

// give returns the counter without n of what was granted at a time, or a part
// of it if less is left: the first bucket that is not older holds that grant,
// because a merged one takes the later time.
func (c *counter) give(n int64, at time.Time) *counter {
	next := &counter{key: c.key, max: c.max, window: c.window, used: c.used}
	next.buckets = append(make([]bucket, 0, len(c.buckets)), c.buckets...)
	for i, b := range next.buckets {
		if b.at < at.UnixNano() {
			continue
		}
		back := min(n, b.n)
		next.used -= back
		if next.buckets[i].n -= back; next.buckets[i].n == 0 {
			next.buckets = append(next.buckets[:i], next.buckets[i+1:]...)
		}
		break
	}
	return next
}

// future reports whether something was granted after now: the clock went back.
func (c *counter) future(now time.Time) bool {
	n := len(c.buckets)
	return n > 0 && c.buckets[n-1].at > now.UnixNano()
}

// at returns a copy of c without what has left the window at now. A bucket that
// lies in the future, because the clock went back, counts as of now.
func (c *counter) at(now time.Time, window time.Duration) *counter {
	next := &counter{key: c.key, max: c.max, window: window}
	t := now.UnixNano()
	next.buckets = make([]bucket, 0, len(c.buckets)+1)
	for _, b := range c.buckets {
		if t-b.at >= int64(window) {
			continue
		}
		next.buckets = append(next.buckets, bucket{min(b.at, t), b.n})
		next.used += b.n
	}
	return next
}

// add grants n at time t, which is not before the last bucket.
func (c *counter) add(t, n int64) {
	c.used += n
	if last := len(c.buckets) - 1; last >= 0 && c.buckets[last].at == t {
		c.buckets[last].n += n
		return
	}
	if len(c.buckets) >= maxBuckets {
		c.merge()
	}
	c.buckets = append(c.buckets, bucket{t, n})
}

// merge joins neighbours in the same slot.
func (c *counter) merge() {
	width := max(int64(c.window)/slots, 1)
	kept := c.buckets[:1]
	for _, b := range c.buckets[1:] {
		last := &kept[len(kept)-1]
		if last.at/width == b.at/width {
			last.at, last.n = b.at, last.n+b.n
			continue
		}
		kept = append(kept, b)
	}
	c.buckets = kept
}

var errBuckets = errors.New("damaged counter")

// appendBuckets encodes buckets as pairs of varints: the time since the bucket
// before, and the count.
func appendBuckets(dst []byte, buckets []bucket) []byte {
	var at int64
	for _, b := range buckets {
		dst = binary.AppendUvarint(dst, uint64(b.at-at))
		dst = binary.AppendUvarint(dst, uint64(b.n))
		at = b.at
	}
	return dst
}

// parseBuckets is the reverse of appendBuckets, and returns the sum, too.
func parseBuckets(src []byte) (buckets []bucket, used int64, err error) {
	var at int64
	for len(src) > 0 {
		d, dn := binary.Uvarint(src)
		if dn <= 0 {
			return nil, 0, errBuckets
		}
		n, nn := binary.Uvarint(src[dn:])
		if nn <= 0 || n == 0 || n > MaxCount || d > uint64(1<<63-1-at) || len(buckets) == maxBuckets {
			return nil, 0, errBuckets
		}
		src = src[dn+nn:]
		at += int64(d)
		used += int64(n)
		buckets = append(buckets, bucket{at, int64(n)})
	}
	return buckets, used, nil
}
