// Package hold stops an account's sending and lets it go on: the flag in the
// account store, which policyd and authd obey with the next request, the mail
// that already waits in Postfix's queue, the journal, and who is told.
//
// Mail in the queue belongs to an account when Postfix and the journal agree:
// postqueue names the id, its arrival and its sender, and the milter's record of
// the same id, within an hour of that arrival, has the same sender and a login
// of the account. Ids come back, so neither alone would do.
//
// The hold does not wait for the queue: without the helper (package queue) the
// account is held all the same, and the log says what was left.
//
// Limits: who is logged in to IMAP stays so, because reading goes on; mail that
// was relayed already is gone; a release gives back each message of the account
// that is on hold, also one that an administrator had put there himself. Other
// hosts that share the state do the same with their queues when they hear of it,
// each by its own journal; who releases an account sees the outcome of this host
// alone, the others tell their logs and try again.
package hold

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/abuse"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/notice"
	"github.com/gatepost/gatepost/internal/queue"
)

// accounts sets the flag (package account).
type accounts interface {
	SetHeld(ctx context.Context, addr mailaddr.Address, held bool) error
}

// stories is what is needed of the journal.
type stories interface {
	Record(journal.Record)
	Flush(ctx context.Context) error
	Story(ctx context.Context, id string) (journal.Story, error)
}

// mailQueue is Postfix's queue (package queue).
type mailQueue interface {
	List(ctx context.Context) (queue.Listing, error)
	Do(ctx context.Context, verb queue.Verb, ids []string) ([]string, error)
}

// teller tells people (package notice). It does not block.
type teller interface{ Tell(notice.Event) }

// Deps are the parts that a Keeper uses. Accounts and Journal are needed; a nil
// one of the others is left out.
type Deps struct {
	// State is shared with other hosts, and Host the name of this one, which
	// differs from theirs: they deal with their queues too. nil: there are none.
	State    store
	Host     string
	Accounts accounts
	Journal  stories
	Queue    mailQueue
	Notice   teller
	// Forgive forgets why an account was held (abuse.Watcher.Forgive).
	Forgive func(ctx context.Context, account mailaddr.Address, legitimate bool) error
	// Resolve returns the account that a login is of; nil takes the login.
	Resolve func(ctx context.Context, login mailaddr.Address) (mailaddr.Address, error)
}

// Keeper holds and releases. It is safe for concurrent use.
type Keeper struct {
	deps Deps
	log  *slog.Logger
	wake chan struct{}

	// working is held from when a look at the queue is due until it is done, and
	// while an account is released: a late look must not hold its mail again.
	working sync.Mutex

	mu     sync.Mutex // guards the fields below
	sweeps []sweep
	// orders are those of other hosts, by account. unlisted says that some may
	// have been missed.
	orders   map[mailaddr.Address]order
	unlisted bool
}

// sweep is a look at the queue that is due.
type sweep struct {
	account mailaddr.Address
	at      time.Time
}

// New returns a Keeper.
func New(deps Deps, log *slog.Logger) *Keeper {
	return &Keeper{deps: deps, log: log, wake: make(chan struct{}, 1), orders: map[mailaddr.Address]order{}}
}

// Queued says what becomes of mail that is on hold.
type Queued string

// What to do with it.
const (
	// Keep leaves it on hold.
	Keep Queued = "keep"
	// Send lets it go on: it was right, and so was the rest of that day.
	Send Queued = "release"
	// Drop deletes it: it was a thief's.
	Drop Queued = "delete"
)

// Outcome is what was done.
type Outcome struct {
	// IDs are the messages of the queue with which it was done.
	IDs []string `json:"queue_ids"`
	// Queue says what was not done about the queue, "" for nothing.
	Queue string `json:"queue_problem,omitempty"`
}

// again is how long after a hold the queue is looked at for mail that was on its
// way in.
const again = 10 * time.Second

// Act holds the account of a case, or tells of it. It does not wait for the
// queue.
func (k *Keeper) Act(ctx context.Context, c abuse.Case) error {
	k.record(c)
	k.log.LogAttrs(ctx, slog.LevelWarn, "account sends as it never did",
		slog.String("user", c.Account.String()), slog.String("verdict", word(c)), slog.Any("evidence", c.Verdict.Evidence()))
	if c.Observed {
		return nil
	}
	e := notice.Event{
		Kind: notice.Warning, Key: c.Account.String(), User: c.Account.String(), Time: c.At, Lines: c.Verdict.Evidence(),
		Title: fmt.Sprintf("%s: %g points", c.Account, c.Verdict.Points),
	}
	if c.Verdict.Action == abuse.Hold {
		if err := k.deps.Accounts.SetHeld(ctx, c.Account, true); err != nil {
			return fmt.Errorf("hold %s: %w", c.Account, err)
		}
		k.later(c.Account, c.At, c.At.Add(again))
		k.publish(ctx, c.Account, queue.Hold)
		e.Kind = notice.Hold
	}
	k.tell(e)
	return nil
}

// word is the verdict as the journal has it.
func word(c abuse.Case) string {
	if c.Observed {
		return "would " + string(c.Verdict.Action)
	}
	return string(c.Verdict.Action)
}

func (k *Keeper) record(c abuse.Case) {
	r := journal.Record{Time: c.At, Daemon: "guard", Event: "account", User: c.Account.String(), Verdict: word(c), Rule: "abuse",
		Facts: []journal.Fact{{Key: "points", Value: strconv.FormatFloat(c.Verdict.Points, 'g', -1, 64)}}}
	for _, s := range c.Verdict.Evidence() {
		r.Facts = append(r.Facts, journal.Fact{Key: "evidence", Value: s})
	}
	k.deps.Journal.Record(r)
}

func (k *Keeper) tell(e notice.Event) {
	if k.deps.Notice != nil {
		k.deps.Notice.Tell(e)
	}
}

// Hold stops the sending of an account by hand. The outcome has what was held in
// the queue.
func (k *Keeper) Hold(ctx context.Context, account mailaddr.Address) (Outcome, error) {
	account = account.Folded()
	if err := k.deps.Accounts.SetHeld(ctx, account, true); err != nil {
		return Outcome{}, err
	}
	k.byHand(account, "hold", "held by hand")
	out := k.sweep(ctx, account, queue.Hold)
	k.later(account, time.Now().Add(again))
	k.publish(ctx, account, queue.Hold)
	k.tell(notice.Event{Kind: notice.Hold, Key: account.String(), User: account.String(), Title: "an administrator held it",
		Facts: []notice.Fact{{Key: "messages held in the queue", Value: strconv.Itoa(len(out.IDs))}}})
	return out, nil
}

// Release lets an account send again and does with its mail on hold what q says.
// When the queue cannot be dealt with the account stays held: mail that should
// have been deleted must not be forgotten.
func (k *Keeper) Release(ctx context.Context, account mailaddr.Address, q Queued) (out Outcome, err error) {
	account = account.Folded()
	k.working.Lock()
	defer k.working.Unlock()
	k.drop(account)
	verb := queue.Verb(q)
	switch q {
	case Send, Drop:
		if out = k.sweep(ctx, account, verb); out.Queue != "" {
			return out, fmt.Errorf("%w: %s", ErrQueue, out.Queue)
		}
	case Keep:
	default:
		return out, fmt.Errorf("%q is not release, delete or keep", string(q))
	}
	if err := k.deps.Accounts.SetHeld(ctx, account, false); err != nil {
		return out, err
	}
	if k.deps.Forgive != nil {
		if err := k.deps.Forgive(ctx, account, q == Send); err != nil {
			k.log.LogAttrs(ctx, slog.LevelWarn, "released account may be held again soon", slog.String("user", account.String()), slog.Any("err", err))
		}
	}
	k.publish(ctx, account, verb)
	k.byHand(account, "released", fmt.Sprintf("%d messages in the queue: %s", len(out.IDs), q))
	k.tell(notice.Event{Kind: notice.Release, Key: account.String() + " " + time.Now().UTC().Format(time.RFC3339), User: account.String(),
		Title: "an administrator released it", Facts: []notice.Fact{{Key: "messages in the queue", Value: fmt.Sprintf("%d, %s", len(out.IDs), q)}}})
	return out, nil
}

// ErrQueue means that the account stays held because its mail on hold could not
// be dealt with.
var ErrQueue = errors.New("the queue could not be dealt with, the account stays held")

func (k *Keeper) byHand(account mailaddr.Address, verdict, what string) {
	k.deps.Journal.Record(journal.Record{Time: time.Now(), Daemon: "guard", Event: "account", User: account.String(), Verdict: verdict,
		Rule: "manual", Facts: []journal.Fact{{Key: "what", Value: what}}})
}
