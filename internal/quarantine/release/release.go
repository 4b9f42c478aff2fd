package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/lmtp"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/quarantine"
)

// spool is the quarantine.
type spool interface {
	Show(id string) (quarantine.Item, error)
	Message(id string) (quarantine.Entry, *quarantine.Message, error)
	Mark(id string) (quarantine.Mark, error)
	SetMark(id string, m quarantine.Mark) error
	Unlearned() []string
	Remove(id string) error
	Config() quarantine.Config
}

// accounts is what finding a mailbox needs (package account).
type accounts interface {
	Domain(ctx context.Context, name string) (account.Domain, error)
	User(ctx context.Context, addr mailaddr.Address) (account.User, error)
	Alias(ctx context.Context, addr mailaddr.Address) (account.Alias, error)
}

// verdicts keeps the delivery verdict (package delivery).
type verdicts interface {
	Put(ctx context.Context, r delivery.Row) error
}

// handover gives a message to the delivery daemon for one mailbox, and returns
// the daemon's reply once the copy is safe (package lmtp).
type handover interface {
	Deliver(ctx context.Context, from, to string, size int64, msg io.Reader) (reply string, err error)
}

// recorder keeps the story (package journal).
type recorder interface{ Record(journal.Record) }

// Deps are the parts that a release stands on. Learn and Journal may be nil.
type Deps struct {
	Spool    spool
	Accounts accounts
	Verdicts verdicts
	Handover handover
	// Learn learns a message, in the form in which it was delivered, as ham for
	// a user. To learn one twice has to do nothing.
	Learn   func(ctx context.Context, raw []byte, user mailaddr.Address) error
	Journal recorder
}

// Releaser releases messages. Its methods are safe for concurrent use.
type Releaser struct {
	d                   Deps
	hostname, delimiter string
	log                 *slog.Logger

	mu   sync.Mutex // guards busy
	busy map[string]bool
}

// New returns a Releaser for the host of that name (Postfix's myhostname) and
// Postfix's recipient_delimiter.
func New(d Deps, hostname, delimiter string, log *slog.Logger) (*Releaser, error) {
	if d.Spool == nil || d.Accounts == nil || d.Verdicts == nil || d.Handover == nil {
		return nil, errors.New("release: a part is missing")
	}
	return &Releaser{d: d, hostname: hostname, delimiter: delimiter, log: log, busy: map[string]bool{}}, nil
}

// Errors that callers branch on.
var (
	// ErrBusy means that somebody else releases the entry right now.
	ErrBusy = errors.New("is being released already")
	// ErrNobody means that no mailbox got the message.
	ErrNobody = errors.New("nobody could be given the message")
)

// Request says what to release.
type Request struct {
	// ID is the entry's, or a queue id that only one has.
	ID string
	// To is who gets the message instead of its recipients; zero: these. The
	// entry then stays for them.
	To mailaddr.Address
	// NoLearn leaves the filter as it is.
	NoLearn bool
}

// Outcome is what became of a release.
type Outcome struct {
	ID string `json:"id"`
	// Delivered has the mailboxes that got the message now, Before those that
	// had it already.
	Delivered []quarantine.Delivered `json:"delivered"`
	Before    []string               `json:"before,omitempty"`
	// Refused has the addresses that did not get it, and why.
	Refused []Refusal        `json:"refused,omitempty"`
	State   quarantine.State `json:"state"`
	Learned bool             `json:"learned"`
	// Deleted says that the entry is gone (delete_released).
	Deleted bool `json:"deleted,omitempty"`
}

// Refusal is an address that did not get a message.
type Refusal struct {
	To  string `json:"to"`
	Why string `json:"why"`
}

// Release delivers an entry to all who are to have it and have it not. Where
// some cannot get it the others do, and Outcome.Refused says why; an error
// means that nothing more is known than the mark tells.
func (r *Releaser) Release(ctx context.Context, q Request) (Outcome, error) {
	it, err := r.d.Spool.Show(q.ID)
	if err != nil {
		return Outcome{}, err
	}
	id := it.ID
	if !r.take(id) {
		return Outcome{}, fmt.Errorf("%s %w", id, ErrBusy)
	}
	defer r.free(id)
	job := &job{r: r, out: Outcome{ID: id, Delivered: []quarantine.Delivered{}}}
	if job.mark, err = r.d.Spool.Mark(id); err != nil {
		return Outcome{}, err
	}
	var msg *quarantine.Message
	if job.entry, msg, err = r.d.Spool.Message(id); err != nil {
		return Outcome{}, err
	}
	defer msg.Close()
	job.msg = msg
	if err := job.deliver(ctx, q); err != nil {
		return job.out, err
	}
	return job.finish(ctx)
}

func (r *Releaser) take(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[id] {
		return false
	}
	r.busy[id] = true
	return true
}

func (r *Releaser) free(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, id)
}

// job is one release under way.
type job struct {
	r     *Releaser
	entry quarantine.Entry
	msg   *quarantine.Message
	mark  quarantine.Mark
	out   Outcome
}

// deliver delivers to all who have not the message yet.
func (j *job) deliver(ctx context.Context, q Request) error {
	rcpts := j.entry.RcptTo
	if !q.To.IsNull() {
		rcpts = []string{q.To.String()}
	}
	boxes, err := j.boxes(ctx, rcpts)
	if err != nil {
		return err
	}
	for _, box := range boxes {
		if j.mark.Has(box.String()) {
			j.out.Before = append(j.out.Before, box.String())
			continue
		}
		if err := j.one(ctx, box, q.NoLearn); err != nil {
			return err
		}
	}
	if len(j.out.Delivered)+len(j.out.Before) == 0 {
		return fmt.Errorf("%s: %w: %s", j.entry.ID, ErrNobody, j.out.why())
	}
	if q.To.IsNull() && len(j.out.Refused) == 0 && !j.mark.Done {
		j.mark.Done = true
		return j.r.d.Spool.SetMark(j.entry.ID, j.mark)
	}
	return nil
}

// why tells of the first that were refused.
func (o *Outcome) why() string {
	var all []string
	for i, f := range o.Refused {
		if i == 3 {
			all = append(all, fmt.Sprintf("and %d more", len(o.Refused)-i))
			break
		}
		all = append(all, f.To+": "+f.Why)
	}
	return strings.Join(all, "; ")
}

// boxes returns the mailboxes behind rcpts, each once, and notes the addresses
// that have none.
func (j *job) boxes(ctx context.Context, rcpts []string) ([]mailaddr.Address, error) {
	e := expansion{accounts: j.r.d.Accounts, delimiter: j.r.delimiter, seen: map[mailaddr.Address]bool{}}
	for _, s := range rcpts {
		a, err := mailaddr.ParsePath(s)
		if err != nil || a.Domain == "" {
			j.refuse(s, "not an address")
			continue
		}
		if err := e.add(ctx, a, 0); err != nil {
			return nil, fmt.Errorf("look up %s: %w", a, err)
		}
	}
	for _, a := range e.outside {
		j.refuse(a.String(), "no mailbox here")
	}
	return e.boxes, nil
}

func (j *job) refuse(to, why string) {
	j.out.Refused = append(j.out.Refused, Refusal{to, why})
}

// one delivers one copy and notes it. A mailbox that does not take it is no
// error.
func (j *job) one(ctx context.Context, box mailaddr.Address, noLearn bool) error {
	now := time.Now()
	d := quarantine.Delivered{To: box.String(), At: now.UTC().Truncate(time.Second), ID: newQueueID()}
	// The verdict of the row is the zero one, accept.
	err := j.r.d.Verdicts.Put(ctx, delivery.Row{QueueID: d.ID, Arrived: now, Score: j.entry.Score})
	if err != nil {
		return fmt.Errorf("release %s: %w", j.entry.ID, err)
	}
	top := j.top(d.ID, now)
	from := j.entry.MailFrom
	if _, err := mailaddr.ParsePath(from); err != nil {
		from = "" // what LMTP cannot carry; it is for the Return-Path alone
	}
	body := io.MultiReader(strings.NewReader(top), j.entry.Leaving(j.msg))
	answer, err := j.r.d.Handover.Deliver(ctx, from, d.To, int64(len(top))+j.entry.Size, body)
	if ctx.Err() != nil || errors.Is(err, lmtp.ErrAway) {
		return fmt.Errorf("release %s: %w", j.entry.ID, err)
	}
	if err != nil {
		j.refuse(d.To, err.Error())
		return nil
	}
	j.mark.Delivered = append(j.mark.Delivered, d)
	j.mark.Learn = j.mark.Learn || j.r.d.Learn != nil && !noLearn
	j.out.Delivered = append(j.out.Delivered, d)
	j.tell(d, answer)
	if err := j.r.d.Spool.SetMark(j.entry.ID, j.mark); err != nil {
		return fmt.Errorf("%s has it, but that could not be noted: %w", d.To, err)
	}
	return nil
}

// tell journals one copy, under the queue id with which the message came.
func (j *job) tell(d quarantine.Delivered, answer string) {
	if j.r.d.Journal == nil {
		return
	}
	j.r.d.Journal.Record(journal.Record{
		Time: time.Now(), Daemon: "quarantine", Event: "release", QueueID: j.entry.QueueID, MessageID: j.entry.Header.MessageID,
		MailFrom: j.entry.MailFrom, RcptTo: []string{d.To}, Verdict: "released", Reply: answer,
		Facts: []journal.Fact{{Key: "quarantine", Value: j.entry.ID}, {Key: "delivered as", Value: d.ID}},
	})
}

// finish learns, removes what is to go, and completes the outcome.
func (j *job) finish(ctx context.Context) (Outcome, error) {
	err := j.learn(ctx)
	j.out.State, j.out.Learned = stateOf(j.mark), j.mark.Learned
	if err == nil && j.mark.Done && j.r.d.Spool.Config().DeleteReleased {
		err = j.r.d.Spool.Remove(j.entry.ID)
		j.out.Deleted = err == nil
	}
	return j.out, err
}

func stateOf(m quarantine.Mark) quarantine.State {
	if m.Done {
		return quarantine.Released
	}
	return quarantine.Partly
}
