package limit

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// Distinct recipients are a set in the store for each counter: who was written
// to, and when last. A window holds those who were written to within it, so it
// never has more than the rate, however often somebody is written to.

const (
	// memberBytes is one member: eight bytes of ID, eight of Unix nanoseconds.
	memberBytes = 16
	// maxDistinct bounds a set, and so the rate.
	maxDistinct = 50_000
	// membersPrefix is that of the sets in the table Limit.
	membersPrefix = "distinct/"
)

// members is one set that a mail asks about.
type members struct {
	result  int // in question.results
	key     string
	rate    Rate
	rcpts   []Rcpt
	unknown int64 // recipients that are not among rcpts

	list []member
}

type member struct {
	id uint64
	at int64
}

// lookAtMembers answers the results that count distinct recipients, and reports
// whether all that are enforced fit. It needs l.sets.
func (l *Limiter) lookAtMembers(ctx context.Context, q *question) (bool, error) {
	fits := true
	now := time.Now()
	for _, m := range q.members {
		e, err := l.store.Get(ctx, state.Limit, membersPrefix+m.key)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return false, err
		}
		m.list = liveMembers(e.Value, now.Add(-m.rate.Window))
		r := &q.results[m.result]
		m.look(r, now)
		fits = fits && (r.Allowed || !r.Limit.Enforced())
	}
	return fits, nil
}

// look answers r: only who is not in the set yet adds to it.
func (m *members) look(r *Result, now time.Time) {
	added := m.unknown
	for i := range m.rcpts {
		if !m.has(m.rcpts[i].ID) && !slices.ContainsFunc(m.rcpts[:i], func(o Rcpt) bool { return o.ID == m.rcpts[i].ID }) {
			added++
		}
	}
	r.Asked, r.Used = added, int64(len(m.list))
	r.Allowed = r.Used+added <= m.rate.Count
	r.Ends = now.Add(m.rate.Window)
	if r.Allowed || r.Never() {
		if r.Never() {
			r.Ends = time.Time{}
		}
		return
	}
	// As many have to go as are too many: those who were written to longest ago.
	times := make([]int64, len(m.list))
	for i, one := range m.list {
		times[i] = one.at
	}
	slices.Sort(times)
	r.Ends = time.Unix(0, times[r.Used+added-m.rate.Count-1]).Add(m.rate.Window)
}

func (m *members) has(id uint64) bool {
	return slices.ContainsFunc(m.list, func(o member) bool { return o.id == id })
}

// keepMembers writes the sets back with the mail's recipients, where they fit.
// A recipient that is not known is a member that nobody else is. It needs
// l.sets.
func (l *Limiter) keepMembers(ctx context.Context, q *question) error {
	now := time.Now()
	var errs []error
	for _, m := range q.members {
		r := &q.results[m.result]
		if !r.Allowed {
			continue
		}
		for i := range m.rcpts {
			m.touch(m.rcpts[i].ID, now.UnixNano())
		}
		for i := range m.unknown {
			m.touch(uint64(now.UnixNano())+uint64(i), now.UnixNano())
		}
		r.Used = int64(len(m.list))
		e := state.Entry{Key: membersPrefix + m.key, Value: appendMembers(nil, m.list), Expires: now.Add(m.rate.Window)}
		errs = append(errs, l.store.Put(ctx, state.Limit, e, false))
	}
	return errors.Join(errs...)
}

func (m *members) touch(id uint64, at int64) {
	for i := range m.list {
		if m.list[i].id == id {
			m.list[i].at = at
			return
		}
	}
	m.list = append(m.list, member{id, at})
}

func appendMembers(dst []byte, list []member) []byte {
	for _, m := range list {
		dst = binary.LittleEndian.AppendUint64(dst, m.id)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(m.at))
	}
	return dst
}

// liveMembers reads what is younger than since. What is left over of a value
// that is damaged is ignored.
func liveMembers(b []byte, since time.Time) []member {
	var out []member
	for ; len(b) >= memberBytes && len(out) < maxDistinct; b = b[memberBytes:] {
		m := member{binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint64(b[8:]))}
		if m.at > since.UnixNano() {
			out = append(out, m)
		}
	}
	return out
}

// Join returns what two hosts have of one set of distinct recipients, each of
// which counted for itself while the store of both was away; of all else what
// this host has.
func Join(t state.Table, key string, mine, theirs []byte) []byte {
	if t != state.Limit || !strings.HasPrefix(key, membersPrefix) {
		return mine
	}
	latest := map[uint64]int64{}
	for _, m := range append(liveMembers(theirs, time.Unix(0, 0)), liveMembers(mine, time.Unix(0, 0))...) {
		latest[m.id] = max(latest[m.id], m.at)
	}
	both := make([]member, 0, len(latest))
	for id, at := range latest {
		both = append(both, member{id, at})
	}
	// With too many, those go that leave the window first.
	slices.SortFunc(both, func(a, b member) int { return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(a.id, b.id)) })
	return appendMembers(nil, both[:min(len(both), maxDistinct)])
}
