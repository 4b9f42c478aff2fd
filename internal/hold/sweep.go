package hold

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/queue"
)

// later has Run look at the queue at those times.
func (k *Keeper) later(account mailaddr.Address, at ...time.Time) {
	const most = 10_000
	k.mu.Lock()
	for _, t := range at {
		if len(k.sweeps) < most {
			k.sweeps = append(k.sweeps, sweep{account, t})
		}
	}
	k.mu.Unlock()
	k.rouse()
}

func (k *Keeper) rouse() {
	select {
	case k.wake <- struct{}{}:
	default: // it is awake
	}
}

// drop forgets the looks at the queue that are due for an account.
func (k *Keeper) drop(account mailaddr.Address) {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := k.sweeps[:0]
	for _, s := range k.sweeps {
		if s.account != account {
			kept = append(kept, s)
		}
	}
	k.sweeps = kept
}

// due takes a sweep whose time has come.
func (k *Keeper) due(now time.Time) (sweep, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, s := range k.sweeps {
		if !now.Before(s.at) {
			k.sweeps = append(k.sweeps[:i], k.sweeps[i+1:]...)
			return s, true
		}
	}
	return sweep{}, false
}

// Run holds queued mail of accounts that were held, here or on another host, until
// ctx ends. It returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	if k.deps.State != nil {
		wg.Go(func() { k.watch(ctx) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		case <-tick.C:
		}
		if k.deps.State != nil {
			k.list(ctx)
			for ctx.Err() == nil && k.obey(ctx) {
			}
		}
		for ctx.Err() == nil && k.runDue(ctx) {
		}
	}
}

// runDue runs a look at the queue that is due, and reports whether there was one.
func (k *Keeper) runDue(ctx context.Context) bool {
	k.working.Lock()
	defer k.working.Unlock()
	s, ok := k.due(time.Now())
	if !ok {
		return false
	}
	out := k.sweep(ctx, s.account, queue.Hold)
	level, text := slog.LevelInfo, "queued mail of the account held"
	switch {
	case out.Queue != "":
		level, text = slog.LevelError, "queued mail of a held account goes on"
	case len(out.IDs) == 0:
		return true
	}
	k.log.LogAttrs(ctx, level, text, slog.String("user", s.account.String()), slog.Int("messages", len(out.IDs)), slog.String("err", out.Queue))
	return true
}

// sweep does something with the account's mail in the queue: it holds what is
// not held, and releases or deletes what is.
func (k *Keeper) sweep(ctx context.Context, account mailaddr.Address, verb queue.Verb) (out Outcome) {
	out.IDs = []string{}
	fail := func(err error) Outcome {
		out.Queue = err.Error()
		return out
	}
	if k.deps.Queue == nil {
		return fail(errors.New("no queue helper is set up (queue_helper)"))
	}
	list, err := k.deps.Queue.List(ctx)
	if err != nil {
		return fail(err)
	}
	if err := k.deps.Journal.Flush(ctx); err != nil {
		return fail(fmt.Errorf("journal: %w", err))
	}
	var ids []string
	for _, i := range list.Items {
		if i.Held() == (verb == queue.Hold) {
			continue
		}
		own, err := k.owns(ctx, account, i)
		if err != nil {
			return fail(err)
		}
		if own {
			ids = append(ids, i.ID)
		}
	}
	done, err := k.deps.Queue.Do(ctx, verb, ids)
	out.IDs = append(out.IDs, done...)
	if err != nil {
		return fail(err)
	}
	if list.More {
		return fail(fmt.Errorf("the queue has more than %d messages, only so many were looked at", queue.MaxItems))
	}
	return out
}

// maxApart is how far apart Postfix's arrival of a message and our record of it
// may be: a message may take long to come in, and ids come back.
const maxApart = time.Hour

// owns reports whether Postfix and the journal agree that the account sent i.
func (k *Keeper) owns(ctx context.Context, account mailaddr.Address, i queue.Item) (bool, error) {
	s, err := k.deps.Journal.Story(ctx, i.ID)
	if errors.Is(err, journal.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("journal: %w", err)
	}
	for _, step := range s.Steps {
		r := &step.Record
		d := r.Time.Sub(i.Arrived)
		if r.Daemon != "milter" || r.QueueID != i.ID || d < -maxApart || d > maxApart || !strings.EqualFold(strings.Trim(r.MailFrom, "<>"), i.MailFrom) {
			continue
		}
		login, err := mailaddr.Parse(r.User)
		if err != nil {
			continue
		}
		if login = login.Folded(); k.deps.Resolve != nil {
			if login, err = k.deps.Resolve(ctx, login); err != nil {
				return false, fmt.Errorf("account of a login: %w", err)
			}
		}
		if login == account {
			return true, nil
		}
	}
	return false, nil
}
