package account

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// useDelay is how often uses are written.
	useDelay = time.Minute
	// maxUses bounds what uses remembers: 50,000 take some 6 MB. Beyond, a use
	// of one that is not among them is not noted until the next write.
	maxUses = 50_000
)

// use is the last login with an app password.
type use struct {
	when time.Time
	from netip.Addr
}

// uses has the last uses of app passwords since the start, or since it was
// full. The cached rows do not have them, because a use must not empty a cache.
type uses struct {
	mu sync.Mutex
	// last is by the id of the app password, fresh has those that are not on
	// disk. Both are guarded by mu.
	last  map[int64]use
	fresh map[int64]struct{}
	// epoch moves when last was emptied: who cached rows reads them again.
	epoch atomic.Uint64
}

func newUses() *uses { return &uses{last: map[int64]use{}, fresh: map[int64]struct{}{}} }

// note takes a use that is later than what is known.
func (u *uses) note(id int64, when time.Time, from netip.Addr) {
	u.mu.Lock()
	defer u.mu.Unlock()
	old, ok := u.last[id]
	if ok && !when.After(old.when) || !ok && len(u.last) >= maxUses {
		return
	}
	u.last[id] = use{when, from}
	u.fresh[id] = struct{}{}
}

// show returns rows with their last uses; rows stay as they are.
func (u *uses) show(rows []AppPassword) []AppPassword {
	u.mu.Lock()
	defer u.mu.Unlock()
	shown, own := rows, false
	for i, p := range rows {
		last, ok := u.last[p.ID]
		if !ok || !last.when.After(p.LastUsed) {
			continue
		}
		if !own {
			shown, own = slices.Clone(rows), true
		}
		shown[i].LastUsed, shown[i].LastAddr = last.when, last.from
	}
	return shown
}

// due returns the uses that are not on disk.
func (u *uses) due() map[int64]use {
	u.mu.Lock()
	defer u.mu.Unlock()
	due := make(map[int64]use, len(u.fresh))
	for id := range u.fresh {
		due[id] = u.last[id]
	}
	return due
}

// written notes that those are on disk. A full table is emptied of what is.
func (u *uses) written(due map[int64]use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, w := range due {
		if u.last[id] == w { // not used again meanwhile
			delete(u.fresh, id)
		}
	}
	if len(u.last) < maxUses/2 {
		return
	}
	for id := range u.last {
		if _, ok := u.fresh[id]; !ok {
			delete(u.last, id)
		}
	}
	u.epoch.Add(1)
}
