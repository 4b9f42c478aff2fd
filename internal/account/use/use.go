// Package use remembers when each app password was last used, so that a store
// can write it later and together with others: a login must not wait for a disk.
package use

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Delay is how often uses are written.
	Delay = time.Minute
	// max bounds what Uses remembers: 50,000 take some 6 MB. Beyond, a use of one
	// that is not among them is not noted until the next write.
	max = 50_000
)

// Use is the last login with an app password.
type Use struct {
	When time.Time
	From netip.Addr
}

// Uses has the last uses of app passwords since the start, or since it was
// full, by the id of the app password. Rows that a store caches do not have
// them, because a use must not empty a cache. It is safe for concurrent use.
type Uses struct {
	mu sync.Mutex
	// last has all, fresh those that are not on disk. Both are guarded by mu.
	last  map[int64]Use
	fresh map[int64]struct{}
	epoch atomic.Uint64
}

// New returns Uses without any.
func New() *Uses { return &Uses{last: map[int64]Use{}, fresh: map[int64]struct{}{}} }

// Epoch moves when uses were forgotten: who cached rows reads them again.
func (u *Uses) Epoch() uint64 { return u.epoch.Load() }

// Note takes a use that is later than what is known.
func (u *Uses) Note(id int64, w Use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	old, ok := u.last[id]
	if ok && !w.When.After(old.When) || !ok && len(u.last) >= max {
		return
	}
	u.last[id] = w
	u.fresh[id] = struct{}{}
}

// Last returns the last use that was noted.
func (u *Uses) Last(id int64) (Use, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	w, ok := u.last[id]
	return w, ok
}

// Due returns the uses that are not on disk.
func (u *Uses) Due() map[int64]Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	due := make(map[int64]Use, len(u.fresh))
	for id := range u.fresh {
		due[id] = u.last[id]
	}
	return due
}

// Written notes that those are on disk. A full table is emptied of what is.
func (u *Uses) Written(due map[int64]Use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, w := range due {
		if u.last[id] == w { // not used again meanwhile
			delete(u.fresh, id)
		}
	}
	if len(u.last) < max/2 {
		return
	}
	for id := range u.last {
		if _, ok := u.fresh[id]; !ok {
			delete(u.last, id)
		}
	}
	u.epoch.Add(1)
}

// Keep calls write each Delay until ctx ends, and once more then. What could not
// be written stays for the next time; log, which may be nil, hears of the first
// failure of a row.
func (u *Uses) Keep(ctx context.Context, write func(context.Context) error, log *slog.Logger) {
	tick := time.NewTicker(Delay)
	defer tick.Stop()
	failed := false
	for {
		ended, last := false, ctx
		select {
		case <-tick.C:
		case <-ctx.Done():
			ended, last = true, context.WithoutCancel(ctx)
		}
		err := write(last)
		if err != nil && !failed && log != nil {
			log.LogAttrs(ctx, slog.LevelWarn, "last use of app passwords not written", slog.Any("err", err))
		}
		failed = err != nil
		if ended {
			return
		}
	}
}
