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

// take returns the counter after asking for n at now, and the answer. It does
// not change c. A grant counts until a whole window has passed.
func (c *counter) take(now time.Time, n, max int64, window time.Duration) (*counter, Usage) {
	next := c.at(now, window)
	next.max = max
	u := Usage{OK: next.used <= max-n, Used: next.used, Ends: next.expires()}
	if !u.OK {
		u.Ends = next.fits(n, max)
		return next, u
	}
	if n > 0 {
		next.add(now.UnixNano(), n)
		u.Used, u.Ends = next.used, next.expires()
	}
	if u.Ends.IsZero() {
		u.Ends = now
	}
	return next, u
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

// fits returns when n more would fit under max, or for an n that never does,
// when the window is empty.
func (c *counter) fits(n, max int64) time.Time {
	used := c.used
	for _, b := range c.buckets {
		used -= b.n
		if used <= max-n {
			return time.Unix(0, b.at).Add(c.window)
		}
	}
	return c.expires()
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
