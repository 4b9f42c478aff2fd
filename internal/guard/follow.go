package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// others is a store that other hosts, or processes, write to, too.
type others interface {
	store
	state.Watcher
	Get(ctx context.Context, t state.Table, key string) (state.Entry, error)
}

const (
	// lookTime bounds one look at the store, loginsTime a list of all that proved
	// itself.
	lookTime   = 5 * time.Second
	loginsTime = time.Minute
	// busyRest is when a row is looked at again that we are writing ourselves,
	// firstRest and lastRest when a store is asked again that is away.
	busyRest  = 50 * time.Millisecond
	firstRest = time.Second
	lastRest  = 30 * time.Second
	// maxHeard is how many rows wait to be looked at; beyond it all are.
	maxHeard = 10_000
)

// heard are rows that somebody else changed, to be looked at. It is safe for
// concurrent use.
type heard struct {
	wake chan struct{} // has room for one

	mu sync.Mutex
	// The fields below are guarded by mu. rows has the change that was told last.
	rows map[string]state.Change
	all  bool
}

func newHeard() *heard {
	return &heard{wake: make(chan struct{}, 1), rows: map[string]state.Change{}}
}

// add notes a change; it wins over one of the same row that was noted before.
func (h *heard) add(c state.Change) {
	h.mu.Lock()
	if h.rows[c.Entry.Key] = c; len(h.rows) > maxHeard {
		h.all = true
		clear(h.rows)
	}
	h.mu.Unlock()
	h.rouse()
}

// again notes a change that was looked at in vain, unless there is a newer one.
func (h *heard) again(c state.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, newer := h.rows[c.Entry.Key]; !newer {
		h.rows[c.Entry.Key] = c
	}
}

// everything notes that all rows are to be looked at.
func (h *heard) everything() {
	h.note()
	h.rouse()
}

// note is everything, for who will look again by himself.
func (h *heard) note() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = true
}

func (h *heard) rouse() {
	select {
	case h.wake <- struct{}{}:
	default: // it is awake
	}
}

// take empties h.
func (h *heard) take() (rows map[string]state.Change, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rows, all = h.rows, h.all
	h.rows, h.all = map[string]state.Change{}, false
	return rows, all
}

// Run keeps the bans, the proven logins and the senders of g those of all hosts
// that share its state, until ctx ends. It returns nil then, and at once where
// nobody else writes to the state.
//
// What is told of a row is only that it changed: its content is asked for, once
// no change of our own is on its way. So whatever order two hosts hear of each
// other in, all of them end with what the store took last.
func (g *Guard) Run(ctx context.Context) error {
	if g.others == nil {
		return nil
	}
	var wg sync.WaitGroup
	wg.Go(func() { g.watch(ctx) })
	g.keepUp(ctx)
	wg.Wait()
	return nil
}

// watch hears of changes until ctx ends.
func (g *Guard) watch(ctx context.Context) {
	rest := time.Duration(0)
	for {
		err := g.others.Watch(ctx, []state.Table{state.Ban, state.Login}, func(c state.Change) {
			rest = 0
			if c.Table == state.Ban {
				g.heard.add(c)
			} else if !c.Deleted { // what proved itself ends by its time alone
				g.learnLogin(ctx, c.Entry)
			}
		}, g.heard.everything)
		if ctx.Err() != nil {
			return
		}
		rest = min(max(2*rest, firstRest), lastRest)
		g.log.LogAttrs(ctx, slog.LevelWarn, "bans of other hosts not heard of", slog.Any("err", err))
		pause(ctx, rest)
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// keepUp looks at what was heard of until ctx ends.
func (g *Guard) keepUp(ctx context.Context) {
	owed := time.NewTicker(lastRest)
	defer owed.Stop()
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	rest := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.heard.wake:
		case <-retry.C:
		case <-owed.C:
			if !g.owes() {
				continue
			}
			g.heard.everything()
		}
		err := g.catchUp(ctx)
		switch {
		case err == nil:
			rest = 0
			continue
		case errors.Is(err, errBusy):
			retry.Reset(busyRest)
			continue
		case ctx.Err() != nil:
			return
		}
		rest = min(max(2*rest, firstRest), lastRest)
		g.log.LogAttrs(ctx, slog.LevelWarn, "bans of other hosts not read, tried again", slog.Any("err", err))
		retry.Reset(rest)
	}
}

// catchUp looks at what was heard of. What could not be looked at stays noted.
func (g *Guard) catchUp(ctx context.Context) error {
	rows, all := g.heard.take()
	var errs error
	if all {
		busy, err := g.relist(ctx)
		if err != nil {
			g.heard.note()
			return err
		}
		for _, c := range busy {
			rows[c.Entry.Key] = c
		}
	}
	for _, c := range rows {
		if err := g.refresh(ctx, c); err != nil {
			g.heard.again(c)
			errs = errors.Join(errs, err)
		}
	}
	if errs != nil && !errors.Is(errs, errBusy) {
		return fmt.Errorf("read bans: %w", errs)
	}
	return errs
}
