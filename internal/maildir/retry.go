package maildir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Key is what makes a message for one recipient the same when it comes again.
// The zero Key is none: then nothing is recognised.
type Key [16]byte

// NewKey returns the Key of parts, which together name one message and one
// recipient. The order counts, and no two lists give the same Key.
func NewKey(parts ...string) (k Key) {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	copy(k[:], h.Sum(nil))
	if k == (Key{}) {
		k[0] = 1
	}
	return k
}

// mark returns what the base name of a file delivered under k holds.
func (k Key) mark() string { return "K" + hex.EncodeToString(k[:]) + "." }

// Source is where a message came from, for a retry to be recognised.
type Source struct {
	Key Key
	// Arrived is when the MTA was given the message, by the clock of this host
	// and to the second.
	Arrived time.Time
}

const (
	// maxTried bounds the keys that are remembered.
	maxTried = 20000
	// arrivalSlack covers that Arrived is cut to the second.
	arrivalSlack = 2 * time.Second
)

// retries tells which messages cannot have been delivered before, so that for
// them nobody looks through a mailbox: those that came after this process
// began, and that it did not try. It also keeps two deliveries of one message
// apart, where the MTA comes again while the first is under way.
type retries struct {
	mu sync.Mutex // guards all below
	// since is when the memory begins: what came before may have been tried.
	since time.Time
	tried map[Key]struct{}
	busy  map[Key]chan struct{}
}

func newRetries(now time.Time) *retries {
	return &retries{since: now, tried: make(map[Key]struct{}), busy: make(map[Key]chan struct{})}
}

// hold waits until nobody delivers under the key of src, and reports whether
// somebody may have. Release has to be called when err is nil.
func (r *retries) hold(ctx context.Context, src Source, now time.Time) (maybe bool, release func(), err error) {
	if src.Key == (Key{}) {
		return false, func() {}, nil
	}
	for {
		wait, maybe := r.take(src, now)
		if wait == nil {
			return maybe, func() { r.release(src.Key) }, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return false, nil, ctx.Err()
		}
	}
}

// take makes the key busy, or returns what to wait for.
func (r *retries) take(src Source, now time.Time) (wait chan struct{}, maybe bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if wait := r.busy[src.Key]; wait != nil {
		return wait, false
	}
	r.busy[src.Key] = make(chan struct{})
	_, maybe = r.tried[src.Key]
	// An arrival in the future means that the clock was set back: then nobody
	// knows what came after since.
	maybe = maybe || src.Arrived.Before(r.since.Add(arrivalSlack)) || src.Arrived.After(now.Add(arrivalSlack))
	if len(r.tried) >= maxTried {
		clear(r.tried)
		r.since = now
	}
	r.tried[src.Key] = struct{}{}
	return nil, maybe
}

func (r *retries) release(k Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.busy[k])
	delete(r.busy, k)
}

// find looks for a file that was delivered under k into new and cur of c, and
// makes sure that its name is on the disk: who put it there may have been
// killed before. An error to look is a problem, not a reason to keep mail back:
// name is "" then, and the message is delivered.
func (s *Store) find(c *chain, k Key) (name string, problem, err error) {
	mark := k.mark()
	name, problem = s.search(c.new, mark)
	if name == "" && problem == nil {
		name, problem = s.findRead(c, mark)
	}
	if name == "" {
		return "", problem, nil
	}
	if err := s.commits.sync(c.id, func() error { return s.sys.fsync(c.new) }); err != nil {
		return "", nil, fmt.Errorf("sync new: %w", err)
	}
	return name, nil, nil
}

// findRead looks in cur, where a mail program moved what it has seen. That
// move need not be on the disk: without it the file is in new.
func (s *Store) findRead(c *chain, mark string) (name string, err error) {
	fd, err := s.sys.open(c.last(), "cur", dirFlags, 0)
	if errors.Is(err, unix.ENOENT) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("open cur: %w", err)
	}
	name, err = s.search(fd, mark)
	return name, errors.Join(err, s.sys.close(fd))
}

func (s *Store) search(fd int, mark string) (string, error) {
	names, err := s.sys.list(fd)
	if err != nil {
		return "", fmt.Errorf("look for an earlier delivery: %w", err)
	}
	for _, n := range names {
		if strings.Contains(n, mark) {
			return n, nil
		}
	}
	return "", nil
}
