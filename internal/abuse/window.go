package abuse

import (
	"time"
)

const (
	// span is what a window looks back, in slots of slotTime: between 60 and 65
	// minutes.
	span     = time.Hour
	slotTime = 5 * time.Minute
	slots    = int64(span/slotTime) + 1

	// maxDistinct and the others bound the sets of a window. What comes above
	// is not told apart.
	maxDistinct  = 4096
	maxNetworks  = 256
	maxCountries = 64
	maxNewNets   = 32
)

// window is the last hour of an account. Its zero value is empty. It is not
// safe for concurrent use.
type window struct {
	slots [slots]slot
	// rcpts, nets and lands have the slot in which each was seen last, by hash.
	rcpts, nets, lands map[uint64]int64
	// logins has when a network was first logged in from, where it was new.
	logins map[uint64]time.Time
	// swept is the slot up to which the sets hold nothing too old.
	swept int64
}

// slot is what was counted within slotTime, but for what has to be told apart.
type slot struct {
	at int64 // slots since 1970
	c  Counts
}

func slotOf(t time.Time) int64 { return t.Unix() / int64(slotTime/time.Second) }

// now returns the counts of the slot of t, to add to.
func (w *window) now(t time.Time) *Counts {
	at := slotOf(t)
	s := &w.slots[at%slots]
	if s.at < at {
		*s = slot{at: at}
	}
	w.sweep(at)
	return &s.c
}

// sum returns what was done within the hour before t.
func (w *window) sum(t time.Time) Counts {
	at := slotOf(t)
	w.sweep(at)
	var c Counts
	for i := range w.slots {
		if s := &w.slots[i]; s.at > at-slots {
			c.add(&s.c)
		}
	}
	c.Distinct, c.Networks, c.Countries = uint32(len(w.rcpts)), uint32(len(w.nets)), uint32(len(w.lands))
	return c
}

func (c *Counts) add(d *Counts) {
	from := d.fields()
	for i, to := range c.fields() {
		*to += *from[i]
	}
	c.Hasty += d.Hasty
}

// sweep drops from the sets what is too old.
func (w *window) sweep(at int64) {
	if w.swept >= at {
		return
	}
	w.swept = at
	for _, set := range []map[uint64]int64{w.rcpts, w.nets, w.lands} {
		for id, seen := range set {
			if seen <= at-slots {
				delete(set, id)
			}
		}
	}
	for id, seen := range w.logins {
		if slotOf(seen) <= at-slots {
			delete(w.logins, id)
		}
	}
}

// put adds id to a set of at most so many.
func put(set *map[uint64]int64, id uint64, at int64, most int) {
	if *set == nil {
		*set = map[uint64]int64{}
	}
	if _, ok := (*set)[id]; !ok && len(*set) >= most {
		return
	}
	(*set)[id] = at
}

// login notes a login from a network that is new.
func (w *window) login(id uint64, t time.Time) {
	if w.logins == nil {
		w.logins = map[uint64]time.Time{}
	}
	if _, ok := w.logins[id]; !ok && len(w.logins) < maxNewNets {
		w.logins[id] = t
	}
}

// hasty reports whether mail at t from a network comes within d of the first
// login from it.
func (w *window) hasty(id uint64, t time.Time, d time.Duration) bool {
	at, ok := w.logins[id]
	return ok && t.Sub(at) <= d
}
