package guard

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

// parts is into how many slots a window is cut.
const parts = 5

// window counts events of the last span, in 8 bytes. An event counts for the
// whole span and at most a fifth longer: a line is crossed a little early,
// never late. Each slot stops at 255. Its zero value is empty. A window is used
// with one span; with another one it begins anew.
type window struct {
	slot uint16 // of n[0], the newest, modulo 2^16
	n    [parts + 1]uint8
}

// slotOf numbers the slots of span.
func slotOf(now time.Time, span time.Duration) uint16 {
	return uint16(uint64(now.UnixNano()) / uint64(span/parts))
}

// roll moves w to now. A clock that goes back a little counts on in the newest
// slot.
func (w *window) roll(slot uint16) {
	d := slot - w.slot
	if d == 0 || -d <= parts {
		return
	}
	if d > parts {
		*w = window{slot: slot}
		return
	}
	copy(w.n[d:], w.n[:])
	clear(w.n[:d])
	w.slot = slot
}

// add counts n events at now.
func (w *window) add(n int, now time.Time, span time.Duration) {
	w.roll(slotOf(now, span))
	w.n[0] = uint8(min(int(w.n[0])+n, math.MaxUint8))
}

// take takes back n events, the newest first.
func (w *window) take(n int) {
	for i := range w.n {
		k := min(n, int(w.n[i]))
		w.n[i] -= uint8(k)
		n -= k
	}
}

// count returns the events of the last span.
func (w *window) count(now time.Time, span time.Duration) int {
	w.roll(slotOf(now, span))
	sum := 0
	for _, n := range w.n {
		sum += int(n)
	}
	return sum
}

// sketch counts different things of the last span by linear counting: a bit for
// each hash. It is right within a tenth up to some 300, and the hash has to be
// keyed. What was seen counts for one to two spans. Its zero value is empty.
type sketch struct {
	span      uint16
	now, last [4]uint64
}

const sketchBits = 256

func (s *sketch) roll(n uint16) {
	switch d := n - s.span; {
	case d == 0, -d == 1:
	case d == 1:
		s.span, s.last, s.now = n, s.now, [4]uint64{}
	default:
		*s = sketch{span: n}
	}
}

func (s *sketch) add(hash uint64, now time.Time, span time.Duration) {
	s.roll(uint16(uint64(now.UnixNano()) / uint64(span)))
	s.now[hash>>6&3] |= 1 << (hash & 63)
}

func (s *sketch) count(now time.Time, span time.Duration) int {
	s.roll(uint16(uint64(now.UnixNano()) / uint64(span)))
	set := 0
	for i := range s.now {
		set += bits.OnesCount64(s.now[i] | s.last[i])
	}
	switch {
	case set < 16: // exact enough, and the logarithm is what costs
		return set
	case set == sketchBits:
		set--
	}
	return int(math.Round(-sketchBits * math.Log(1-float64(set)/sketchBits)))
}

// ring remembers the last different hashes. Zero is none.
type ring struct {
	n    uint8
	seen [6]uint32
}

// has reports whether h is remembered.
func (r *ring) has(h uint32) bool {
	return slices.Contains(r.seen[:], max(h, 1))
}

// add reports whether h is new, and remembers it.
func (r *ring) add(h uint32) bool {
	h = max(h, 1)
	if r.has(h) {
		return false
	}
	r.seen[r.n%uint8(len(r.seen))] = h
	r.n = (r.n + 1) % uint8(len(r.seen))
	return true
}
