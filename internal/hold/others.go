package hold

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/queue"
	"github.com/gatepost/gatepost/internal/state"
)

// store is what is needed of a state that other hosts share. The flag of the
// account they see by themselves; what is to be done with their queues they hear
// through it.
type store interface {
	Get(ctx context.Context, t state.Table, key string) (state.Entry, error)
	Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error
	List(ctx context.Context, t state.Table, prefix string) ([]state.Entry, error)
	state.Watcher
}

const (
	// orderPrefix is before the account in the table state.Login, whose changes
	// others are told of; donePrefix before host and account in the table
	// state.Limit, by which no host does the same twice.
	orderPrefix = "hold/"
	donePrefix  = "hold-done/"
	// orderKept is as long as Postfix keeps mail: a host that is away for longer
	// has none of that time.
	orderKept = 5 * 24 * time.Hour
	// orderAgain is when a queue is dealt with again that could not be.
	orderAgain = time.Minute
	maxOrders  = 10_000
	listTime   = 30 * time.Second
)

// order is what one host did with its queue, and the others are to do with
// theirs.
type order struct {
	Host string    `json:"host"`
	Verb string    `json:"verb"` // a queue.Verb, or keep
	At   time.Time `json:"at"`

	account mailaddr.Address
	due     time.Time
}

// parseOrder reads a row.
func parseOrder(e state.Entry) (o order, err error) {
	name, _ := strings.CutPrefix(e.Key, orderPrefix)
	if o.account, err = mailaddr.Parse(name); err != nil {
		return o, fmt.Errorf("order for a queue: %w", err)
	}
	if err := json.Unmarshal(e.Value, &o); err != nil {
		return o, fmt.Errorf("order for a queue: %w", err)
	}
	switch queue.Verb(o.Verb) {
	case queue.Hold, queue.Release, queue.Delete, queue.Verb(Keep):
		return o, nil
	}
	return o, errors.New("order for a queue: it is none")
}

func (o order) key() string { return orderPrefix + o.account.String() }

// stamp is what tells one order from another.
func (o order) stamp() []byte {
	return []byte(o.At.UTC().Format(time.RFC3339Nano) + " " + o.Verb + " " + o.Host)
}

// publish lets the other hosts do the same with their queues.
func (k *Keeper) publish(ctx context.Context, account mailaddr.Address, verb queue.Verb) {
	if k.deps.State == nil {
		return
	}
	o := order{Host: k.deps.Host, Verb: string(verb), At: time.Now(), account: account}
	b, err := json.Marshal(o)
	if err == nil {
		err = k.deps.State.Put(ctx, state.Login, state.Entry{Key: o.key(), Value: b, Expires: o.At.Add(orderKept)}, true)
	}
	if err != nil {
		k.log.LogAttrs(ctx, slog.LevelError, "other hosts do not hear what to do with their queues",
			slog.String("user", account.String()), slog.String("verdict", o.Verb), slog.Any("err", err))
	}
}

// watch hears of the orders of others until ctx ends.
func (k *Keeper) watch(ctx context.Context) {
	for ctx.Err() == nil {
		err := k.deps.State.Watch(ctx, []state.Table{state.Login}, func(c state.Change) {
			if !c.Deleted && strings.HasPrefix(c.Entry.Key, orderPrefix) {
				k.hear(ctx, c.Entry, false)
			}
		}, func() {
			k.mu.Lock()
			k.unlisted = true
			k.mu.Unlock()
			k.rouse()
		})
		if ctx.Err() != nil {
			return
		}
		k.log.LogAttrs(ctx, slog.LevelWarn, "holds of other hosts not heard of", slog.Any("err", err))
		t := time.NewTimer(orderAgain)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// list hears of all orders, where some may have been missed.
func (k *Keeper) list(ctx context.Context) {
	k.mu.Lock()
	due := k.unlisted
	k.unlisted = false
	k.mu.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	rows, err := k.deps.State.List(ctx, state.Login, orderPrefix)
	if err != nil {
		k.log.LogAttrs(ctx, slog.LevelWarn, "holds of other hosts not read, tried again", slog.Any("err", err))
		k.mu.Lock()
		k.unlisted = true
		k.mu.Unlock()
		return
	}
	for _, e := range rows {
		k.hear(ctx, e, true)
	}
}

// hear takes a row of the state. The last order for an account is the one that
// counts; one that is listed may be older than what was told meanwhile.
func (k *Keeper) hear(ctx context.Context, e state.Entry, listed bool) {
	o, err := parseOrder(e)
	if err != nil {
		k.log.LogAttrs(ctx, slog.LevelWarn, "order of another host ignored", slog.Any("err", err))
		return
	}
	if o.Host == k.deps.Host || k.deps.Queue == nil {
		return
	}
	k.mu.Lock()
	was, waits := k.orders[o.account]
	if older := listed && waits && o.At.Before(was.At); !older && (waits || len(k.orders) < maxOrders) {
		k.orders[o.account] = o
	}
	k.mu.Unlock()
	k.rouse()
}

// nextOrder takes an order that is due.
func (k *Keeper) nextOrder(now time.Time) (order, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for account, o := range k.orders {
		if !now.Before(o.due) {
			delete(k.orders, account)
			return o, true
		}
	}
	return order{}, false
}

// obey does what another host did, once, and reports whether there was an order.
func (k *Keeper) obey(ctx context.Context) bool {
	o, ok := k.nextOrder(time.Now())
	if !ok {
		return false
	}
	name := donePrefix + k.deps.Host + "/" + o.account.String()
	err := k.done(ctx, name, o)
	if err == nil {
		err = k.carryOut(ctx, o)
	}
	switch {
	case errors.Is(err, errDone):
		return true
	case err == nil:
		err = k.deps.State.Put(ctx, state.Limit, state.Entry{Key: name, Value: o.stamp(), Expires: o.At.Add(orderKept)}, false)
		if err == nil {
			return true
		}
	}
	k.log.LogAttrs(ctx, slog.LevelError, "queue of this host not dealt with as that of another, tried again",
		slog.String("user", o.account.String()), slog.String("host", o.Host), slog.String("verdict", o.Verb), slog.Any("err", err))
	if o.due = time.Now().Add(orderAgain); o.due.Before(o.At.Add(orderKept)) {
		k.mu.Lock()
		if _, newer := k.orders[o.account]; !newer {
			k.orders[o.account] = o
		}
		k.mu.Unlock()
	}
	return true
}

// errDone means that this host did it already.
var errDone = errors.New("done before")

// done returns errDone where this host obeyed o.
func (k *Keeper) done(ctx context.Context, name string, o order) error {
	e, err := k.deps.State.Get(ctx, state.Limit, name)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return nil
	case err == nil && bytes.Equal(e.Value, o.stamp()):
		return errDone
	}
	return err
}

// carryOut deals with the queue of this host.
func (k *Keeper) carryOut(ctx context.Context, o order) error {
	if queue.Verb(o.Verb) == queue.Hold {
		now := time.Now()
		k.later(o.account, now, now.Add(again))
		return nil
	}
	k.working.Lock()
	defer k.working.Unlock()
	k.drop(o.account)
	if Queued(o.Verb) == Keep {
		return nil
	}
	out := k.sweep(ctx, o.account, queue.Verb(o.Verb))
	if out.Queue != "" {
		return fmt.Errorf("%s", out.Queue)
	}
	k.log.LogAttrs(ctx, slog.LevelInfo, "queued mail of an account released on another host dealt with", slog.String("user", o.account.String()),
		slog.String("host", o.Host), slog.String("verdict", o.Verb), slog.Int("messages", len(out.IDs)))
	return nil
}
