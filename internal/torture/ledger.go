package torture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ledger is the sender's side of a run, one line for each event:
//
//	seed 123          the first line
//	+ 17 1795157745   message 17 arrived
//	= 17 u3           u3 was answered with 250
//	x 4               the fourth kill
//
// It is safe for concurrent use.
type ledger struct {
	seed  uint64
	users []string

	mu      sync.Mutex // guards all below
	file    *os.File
	next    int // number of the next message
	kills   int
	queue   map[int]*mail // those that are not answered for all
	arrived []time.Time   // by number
}

// openLedger opens the file at path, or begins one with seed.
func openLedger(path string, seed uint64, users []string) (*ledger, error) {
	l := &ledger{seed: seed, users: users, queue: make(map[int]*mail)}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := l.read(string(b)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if whole := bytes.LastIndexByte(b, '\n') + 1; whole < len(b) { // ended while it wrote
		if err := os.Truncate(path, int64(whole)); err != nil {
			return nil, err
		}
		b = b[:whole]
	}
	if l.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644); err != nil {
		return nil, err
	}
	if len(b) == 0 {
		_, err = fmt.Fprintf(l.file, "seed %d\n", seed)
	}
	return l, err
}

// read takes up what an earlier run wrote. A last line without its end was cut
// off and does not count.
func (l *ledger) read(text string) error {
	in := bufio.NewScanner(strings.NewReader(text[:strings.LastIndexByte(text, '\n')+1]))
	for in.Scan() {
		f := strings.Fields(in.Text())
		if len(f) < 2 {
			return fmt.Errorf("line %q", in.Text())
		}
		n, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			return fmt.Errorf("line %q: %w", in.Text(), err)
		}
		if err := l.replay(f, n); err != nil {
			return fmt.Errorf("line %q: %w", in.Text(), err)
		}
	}
	return in.Err()
}

func (l *ledger) replay(f []string, n uint64) error {
	switch {
	case f[0] == "seed":
		l.seed = n
	case f[0] == "x":
		l.kills = int(n)
	case f[0] == "+" && len(f) == 3 && int(n) == l.next:
		at, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil {
			return err
		}
		l.add(time.Unix(at, 0))
	case f[0] == "=" && len(f) == 3 && l.queue[int(n)] != nil:
		l.answered(int(n), f[2])
	default:
		return errors.New("out of order")
	}
	return nil
}

func (l *ledger) add(at time.Time) *mail {
	m := newMail(l.seed, l.next, at, l.users)
	l.queue[m.number] = &m
	l.arrived = append(l.arrived, at)
	l.next++
	return &m
}

func (l *ledger) answered(number int, user string) {
	m := l.queue[number]
	m.waiting = slices.DeleteFunc(m.waiting, func(u string) bool { return u == user })
	if len(m.waiting) == 0 {
		delete(l.queue, number)
	}
}

// arrive makes the next message.
func (l *ledger) arrive() (mail, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.add(time.Now().Truncate(time.Second))
	_, err := fmt.Fprintf(l.file, "+ %d %d\n", m.number, m.arrived.Unix())
	return m.copy(), err
}

func (m *mail) copy() mail {
	c := *m
	c.waiting = slices.Clone(m.waiting)
	return c
}

// took notes a 250.
func (l *ledger) took(number int, user string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered(number, user)
	_, err := fmt.Fprintf(l.file, "= %d %s\n", number, user)
	return err
}

// killed notes a kill and returns how many there were.
func (l *ledger) killed() (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kills++
	_, err := fmt.Fprintf(l.file, "x %d\n", l.kills)
	return l.kills, err
}

// waiting returns the messages in the queue, the oldest first.
func (l *ledger) waiting() []mail {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []mail
	for _, m := range l.queue {
		out = append(out, m.copy())
	}
	slices.SortFunc(out, func(a, b mail) int { return a.number - b.number })
	return out
}
