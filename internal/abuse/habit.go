package abuse

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

const (
	// habitDays is how far back a habit reaches.
	habitDays = 30
	// fresh is how old an hour has to be to count.
	fresh = 24 * time.Hour
	// maxHours and maxNets bound a habit: the oldest go first.
	maxHours = habitDays * 24
	maxNets  = 64
	maxHabit = 64 << 10
)

// Hour is the most that an account did within any 60 minutes that ended in an
// hour of the clock.
type Hour struct {
	// At counts hours since 1970 (UTC).
	At int64
	// Accepted says that an administrator called it right: it counts at once.
	Accepted bool
	Counts
}

// Net is a network from which the account was used.
type Net struct {
	// ID is a hash of the network.
	ID uint64
	// Day counts days since 1970 (UTC) up to the last time.
	Day int64
}

// Habit is what an account usually does. Its zero value is that of an account
// that did nothing yet.
type Habit struct {
	// Hours are those in which it did something, oldest first, Nets the networks,
	// in no order.
	Hours []Hour
	Nets  []Net
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }
func dayOf(t time.Time) int64  { return t.Unix() / 86400 }

// Usual returns the most of each count in any hour of the last 30 days, without
// the last day.
func (h *Habit) Usual(now time.Time) Counts {
	var c Counts
	from, to := hourOf(now)-maxHours, hourOf(now.Add(-fresh))
	for i := range h.Hours {
		if u := &h.Hours[i]; u.At >= from && (u.At <= to || u.Accepted) {
			c.raise(&u.Counts)
		}
	}
	return c
}

// fields are the counts that are stored, in the order of the wire. Hasty is not
// held against a habit.
func (c *Counts) fields() [10]*uint32 {
	return [...]*uint32{&c.Messages, &c.Recipients, &c.Distinct, &c.Refused, &c.Outside,
		&c.Mismatched, &c.NullSenders, &c.Networks, &c.Countries, &c.Marked}
}

// raise makes each count of c at least that of d.
func (c *Counts) raise(d *Counts) {
	from := d.fields()
	for i, to := range c.fields() {
		*to = max(*to, *from[i])
	}
}

// see notes what was done within the hour that ends at now.
func (h *Habit) see(c *Counts, now time.Time) {
	at := hourOf(now)
	n := len(h.Hours)
	if n == 0 || h.Hours[n-1].At < at {
		h.Hours = append(h.Hours, Hour{At: at})
		h.forget(at)
		n = len(h.Hours)
	}
	h.Hours[n-1].raise(c) // a clock that went back counts for the last hour
}

// forget drops the hours that are too old, and those above the cap.
func (h *Habit) forget(at int64) {
	i := 0
	for i < len(h.Hours) && (h.Hours[i].At < at-maxHours || len(h.Hours)-i > maxHours) {
		i++
	}
	h.Hours = slices.Delete(h.Hours, 0, i)
}

// visit notes a network and reports whether it is new: one that was not used
// for 30 days is. An account without any network has none that is new.
func (h *Habit) visit(id uint64, now time.Time) (news bool) {
	today, found, oldest, settled := dayOf(now), -1, 0, false
	for i, n := range h.Nets {
		if n.ID == id {
			found = i
		}
		if n.Day < h.Nets[oldest].Day {
			oldest = i
		}
		settled = settled || n.Day >= today-habitDays
	}
	switch {
	case found >= 0:
		news = h.Nets[found].Day < today-habitDays
		h.Nets[found].Day = max(h.Nets[found].Day, today)
		return news && settled
	case len(h.Nets) < maxNets:
		h.Nets = append(h.Nets, Net{id, today})
	default:
		h.Nets[oldest] = Net{id, today}
	}
	return settled
}

// accept makes the hours of the last day count at once.
func (h *Habit) accept(now time.Time) {
	for i := range h.Hours {
		if h.Hours[i].At > hourOf(now.Add(-fresh)) {
			h.Hours[i].Accepted = true
		}
	}
}

// disown forgets the last day: it was the thief's.
func (h *Habit) disown(now time.Time) {
	h.Hours = slices.DeleteFunc(h.Hours, func(u Hour) bool { return u.At > hourOf(now.Add(-fresh)) && !u.Accepted })
}

// The form on disk: a version, the hours, the networks; numbers are varints, and
// an hour tells how many hours it is after the one before.
const habitVersion = 1

var errHabit = errors.New("not a habit that can be read")

// AppendBinary appends the form on disk.
func (h *Habit) AppendBinary(b []byte) ([]byte, error) {
	if len(h.Hours) > maxHours || len(h.Nets) > maxNets {
		return b, errHabit
	}
	b = append(b, habitVersion)
	b = binary.AppendUvarint(b, uint64(len(h.Hours)))
	var last int64
	for i := range h.Hours {
		u := &h.Hours[i]
		if u.At <= last && i > 0 || u.At < 0 {
			return b, errHabit
		}
		flag := uint64(0)
		if u.Accepted {
			flag = 1
		}
		b = binary.AppendUvarint(b, uint64(u.At-last)<<1|flag)
		last = u.At
		for _, f := range u.fields() {
			b = binary.AppendUvarint(b, uint64(*f))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(h.Nets)))
	for _, n := range h.Nets {
		b = binary.BigEndian.AppendUint64(b, n.ID)
		b = binary.AppendUvarint(b, uint64(n.Day))
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote, and nothing else.
func (h *Habit) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != habitVersion || len(b) > maxHabit {
		return errHabit
	}
	r := reader{b: b[1:]}
	var out Habit
	n := r.number(maxHours)
	var last int64
	for i := range n {
		v := r.number(1 << 40)
		u := Hour{At: last + int64(v>>1), Accepted: v&1 == 1}
		if i > 0 && u.At <= last {
			return errHabit
		}
		last = u.At
		for _, f := range u.fields() {
			*f = uint32(r.number(1<<32 - 1))
		}
		if r.bad {
			return errHabit
		}
		out.Hours = append(out.Hours, u)
	}
	for range r.number(maxNets) {
		out.Nets = append(out.Nets, Net{r.fixed(), int64(r.number(1 << 40))})
		if r.bad {
			return errHabit
		}
	}
	if r.bad || len(r.b) > 0 {
		return errHabit
	}
	*h = out
	return nil
}

// reader takes numbers from bytes; bad says that one was missing or too large.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) fixed() uint64 {
	if len(r.b) < 8 {
		r.bad, r.b = true, nil
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}
