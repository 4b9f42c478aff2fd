package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config is one run.
type Config struct {
	// Binary is gatepost. Dir holds everything and is made; one that an earlier
	// run left is taken up, with its seed. The mail user has to get through to
	// both.
	Binary, Dir string
	Seed        uint64
	// Kills is how many there are in the end, those of earlier runs counted.
	Kills   int
	Senders int
	// Say tells how far it is, from one goroutine at a time.
	Say func(format string, args ...any)
}

// Report is what a run found.
type Report struct {
	Seed            uint64
	Kills, Messages int
	// Copies is how many are in the mailboxes, Left what the kills left in tmp.
	Copies, Left int
	// Faults says what is wrong, one line each.
	Faults []string
}

const (
	// longestLife is how long the process lives at most before a kill.
	longestLife = 250 * time.Millisecond
	// maxFaults bounds the report.
	maxFaults = 20
)

// users are few, so that deliveries meet.
var users = []string{"u0", "u1", "u2", "u3", "u4"}

// Run kills until there were Config.Kills, lets the senders deliver the rest
// and checks every mailbox. An error means that the run could not be finished;
// what the check finds is in the report.
func Run(ctx context.Context, cfg Config) (r Report, err error) {
	s, err := newSite(cfg.Binary, cfg.Dir)
	if err != nil {
		return r, err
	}
	l, err := openLedger(s.path("ledger"), cfg.Seed, users)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.file.Close()) }()
	defer func() { err = errors.Join(err, s.end(syscall.SIGKILL)) }()
	cfg.Say("seed %d, %d kills of %d done, directory %s", l.seed, l.kills, cfg.Kills, cfg.Dir)
	if err := s.addUsers(ctx, users); err != nil {
		return r, err
	}
	for l.kills < cfg.Kills {
		if err := round(ctx, s, l, cfg.Senders); err != nil {
			return r, err
		}
		if n, err := l.killed(); err != nil {
			return r, err
		} else if n%50 == 0 {
			cfg.Say("%d kills, %d messages, %d in the queue", n, l.next, len(l.waiting()))
		}
	}
	if err := flush(ctx, s, l); err != nil {
		return r, err
	}
	r = Report{Seed: l.seed, Kills: l.kills, Messages: l.next}
	return r, check(s, l, &r)
}

// round starts the process, delivers, and kills it.
func round(ctx context.Context, s *site, l *ledger, senders int) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan mail)
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for m := range work {
				err := hand(ctx, s.socket(), m, m.content(l.seed), func(user string) {
					if err := l.took(m.number, user); err != nil {
						cancel(err)
					}
				})
				if no := (refused{}); errors.As(err, &no) {
					cancel(fmt.Errorf("message %d: %w", m.number, no))
				}
			}
		})
	}
	wg.Go(func() { feed(ctx, l, work, cancel) })
	wg.Go(func() { readMail(ctx, s, l.seed, l.kills) })
	life := time.Duration(source(l.seed, kindKill, l.kills).Int64N(int64(longestLife)))
	select {
	case <-time.After(life):
	case <-ctx.Done():
	}
	err := s.end(syscall.SIGKILL)
	over := context.Cause(ctx)
	cancel(nil)
	wg.Wait()
	return errors.Join(err, over)
}

// feed gives out what waits, and then new messages.
func feed(ctx context.Context, l *ledger, work chan<- mail, fail func(error)) {
	defer close(work)
	give := func(m mail) bool {
		select {
		case work <- m:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for _, m := range l.waiting() {
		if !give(m) {
			return
		}
	}
	for ctx.Err() == nil {
		m, err := l.arrive()
		if err != nil {
			fail(err)
			return
		}
		if !give(m) {
			return
		}
	}
}

// readMail is a mail program of one user: it moves what is new to cur.
func readMail(ctx context.Context, s *site, seed uint64, round int) {
	r := source(seed, kindRead, round)
	box := s.mailbox(users[r.IntN(len(users))])
	for ctx.Err() == nil {
		names, _ := os.ReadDir(filepath.Join(box, "new"))
		for _, n := range names {
			if r.IntN(4) == 0 {
				_ = os.Rename(filepath.Join(box, "new", n.Name()), filepath.Join(box, "cur", n.Name()+":2,S"))
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// flush delivers what waits, without a kill.
func flush(ctx context.Context, s *site, l *ledger) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	for _, m := range l.waiting() {
		var noted error
		err := hand(ctx, s.socket(), m, m.content(l.seed), func(user string) { noted = errors.Join(noted, l.took(m.number, user)) })
		if err := errors.Join(err, noted); err != nil {
			return fmt.Errorf("message %d is not taken by a process that nobody kills: %w", m.number, err)
		}
	}
	return s.end(syscall.SIGTERM)
}

// check reads every mailbox.
func check(s *site, l *ledger, r *Report) error {
	for _, user := range l.users {
		seen := make(map[int]int)
		for _, sub := range []string{"new", "cur"} {
			if err := checkDir(filepath.Join(s.mailbox(user), sub), user, l, r, seen); err != nil {
				return err
			}
		}
		left, err := os.ReadDir(filepath.Join(s.mailbox(user), "tmp"))
		if err != nil {
			return err
		}
		r.Left += len(left)
		for n := range l.next {
			want := 0
			m := newMail(l.seed, n, l.arrived[n], l.users)
			for _, u := range m.waiting {
				if u == user {
					want = 1
				}
			}
			if seen[n] != want {
				r.fault("%s has message %d %d times, want %d", user, n, seen[n], want)
			}
		}
	}
	return nil
}

func (r *Report) fault(format string, args ...any) {
	if len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
	}
}

func checkDir(dir, user string, l *ledger, r *Report, seen map[int]int) error {
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range names {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		r.Copies++
		n, content, err := numberOf(b)
		if err != nil || n < 0 || n >= l.next {
			r.fault("%s/%s: %v", dir, e.Name(), errForeign)
			continue
		}
		seen[n]++
		want := onDisk(newMail(l.seed, n, l.arrived[n], l.users).content(l.seed))
		if string(content) != string(want) {
			r.fault("%s: message %d is not what was sent: %d bytes, want %d", user, n, len(content), len(want))
		}
		if !strings.Contains(e.Name(), fmt.Sprintf(",S=%d,", len(b))) {
			r.fault("%s/%s has %d bytes", dir, e.Name(), len(b))
		}
	}
	return nil
}
