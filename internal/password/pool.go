package password

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/gatepost/gatepost/internal/secret"
)

// DefaultMemory is a budget for two hashes at once with Dovecot's default
// parameters of ARGON2ID.
const DefaultMemory = 128 << 20

// Pool verifies passwords, so many at once as Go may use processors, and with
// a bounded sum of memory. It is safe for concurrent use.
type Pool struct {
	slots  *semaphore.Weighted
	n      int64
	memory *semaphore.Weighted
	budget int64
	def    Scheme
	key    []byte // of what SCRAM makes up

	mu sync.Mutex
	// pending is the work that was promised and is not done. Guarded by mu.
	pending time.Duration
	// slower is how much longer work takes here than class.work says, a
	// moving average. Guarded by mu.
	slower float64
	// seen counts the classes of stored hashes. Guarded by mu.
	seen map[class]int
	// done counts hashes, for tests of equal work. Guarded by mu.
	done uint64
}

// maxClasses bounds Pool.seen.
const maxClasses = 32

// Options says how a Pool works.
type Options struct {
	// Memory is what argon2 hashes take at most together, in bytes.
	Memory int64
	// Default is the scheme of a stored password that names none, Dovecot's
	// default_pass_scheme; empty makes such a password an error. A "$…$" hash is
	// always read by its own prefix.
	Default Scheme
	// Key makes what SCRAM makes up for a user the same after a restart, and on
	// other hosts that have it. Empty is a random one.
	Key secret.Value
}

// New returns a Pool.
func New(o Options) *Pool {
	n := int64(runtime.GOMAXPROCS(0))
	p := &Pool{
		slots: semaphore.NewWeighted(n), n: n,
		memory: semaphore.NewWeighted(o.Memory), budget: o.Memory,
		def: o.Default, key: o.Key.Reveal(),
		slower: 1, seen: make(map[class]int),
	}
	if len(p.key) == 0 {
		p.key = make([]byte, 32)
		_, _ = rand.Read(p.key) // it never returns an error
	}
	return p
}

// NewPool returns a Pool with that budget of memory, and defaults.
func NewPool(memory int64) *Pool { return New(Options{Memory: memory}) }

// Verify reports whether pw is the password that hash was made from. The error
// is ErrHash, ErrBusy when ctx's deadline cannot be kept (known beforehand
// where possible), or that of a cancelled ctx.
func (p *Pool) Verify(ctx context.Context, hash secret.Value, pw []byte) (bool, error) {
	return p.VerifyIf(ctx, hash, pw, nil)
}

// VerifyIf is Verify that asks still, where it is not nil, when the turn to hash
// has come. That may be seconds later: under a flood others are before it. An error
// of still is returned, and nothing is hashed.
func (p *Pool) VerifyIf(ctx context.Context, hash secret.Value, pw []byte, still func() error) (bool, error) {
	if !usable(pw) {
		return false, nil
	}
	s, err := p.parse(hash)
	if err != nil {
		return false, err
	}
	p.count(s.class)
	return p.run(ctx, s, pw, still)
}

// parse reads a stored password that p can verify.
func (p *Pool) parse(hash secret.Value) (stored, error) {
	s, err := parse(hash, p.def)
	if err == nil {
		err = s.class.fits(p.budget)
	}
	return s, err
}

// Check returns nil for a stored password that p can verify; else the error says
// what is wrong with it, without it.
func (p *Pool) Check(hash secret.Value) error {
	_, err := p.parse(hash)
	return err
}

// Scheme returns the scheme of a stored password that p can verify.
func (p *Pool) Scheme(hash secret.Value) (Scheme, error) {
	s, err := p.parse(hash)
	return s.class.scheme, err
}

// NeedsRehash reports whether a stored password, for which pw just verified, is
// of another scheme than want, or takes less work than a new one of it. One that p
// can not read needs more than that, and is not. Nor is one where pw need not be
// what its owner typed when it was set: bcrypt reads 72 bytes, and SCRAM another
// form. A hash of pw would lock out who types the other.
func (p *Pool) NeedsRehash(hash secret.Value, want Scheme, pw []byte) bool {
	s, err := p.parse(hash)
	if err != nil || len(pw) > bcryptBytes && (s.class.scheme == BLFCrypt || want == BLFCrypt) || len(s.class.forms(pw)) > 1 {
		return false
	}
	wanted := newClass(want)
	return s.class.scheme != want || s.class.work() < wanted.work() || s.class.memory < wanted.memory
}

// Hash is the function Hash, within p's bounds: ErrBusy where the work would not
// be done before ctx's deadline.
func (p *Pool) Hash(ctx context.Context, scheme Scheme, pw []byte) (secret.Value, error) {
	c := newClass(scheme)
	if err := c.fits(p.budget); err != nil {
		return secret.Value{}, err
	}
	var hash secret.Value
	var err error
	if doErr := p.do(ctx, c, nil, func() { hash, err = Hash(scheme, pw) }); doErr != nil {
		return secret.Value{}, doErr
	}
	return hash, err
}

// Dummy takes the time of Verify for an account that does not exist: it works
// on a hash of the kind that was seen most.
func (p *Pool) Dummy(ctx context.Context, pw []byte) error {
	return p.DummyIf(ctx, pw, nil)
}

// DummyIf takes the time of VerifyIf for an account that does not exist.
func (p *Pool) DummyIf(ctx context.Context, pw []byte, still func() error) error {
	if !usable(pw) {
		return nil
	}
	_, err := p.run(ctx, nobody(p.usual()), pw, still)
	return err
}

// Saw tells the pool of a stored hash, so that Dummy knows what is usual before
// anyone has logged in. A hash that cannot be used is ignored.
func (p *Pool) Saw(hash secret.Value) {
	if s, err := p.parse(hash); err == nil {
		p.count(s.class)
	}
}

// Done returns how many hashes were computed.
func (p *Pool) Done() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// count notes a hash of the class c. Old counts fade, so that a change of
// scheme becomes the usual one in time.
func (p *Pool) count(c class) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.seen[c]; !ok && len(p.seen) >= maxClasses {
		return
	}
	p.seen[c]++
	if p.seen[c] < 1000 {
		return
	}
	for k, n := range p.seen {
		if p.seen[k] = n / 2; n < 2 {
			delete(p.seen, k)
		}
	}
}

// usual returns the class that was seen most, and that of a new password while
// none was.
func (p *Pool) usual() class {
	p.mu.Lock()
	defer p.mu.Unlock()
	best, most := newClass(Argon2id), 0
	if best.fits(p.budget) != nil {
		best = newClass(BLFCrypt)
	}
	for c, n := range p.seen {
		if n > most || n == most && c.work() > best.work() {
			best, most = c, n
		}
	}
	return best
}

// run does one verification.
func (p *Pool) run(ctx context.Context, s stored, pw []byte, still func() error) (ok bool, err error) {
	for _, form := range s.class.forms(pw) {
		err = p.do(ctx, s.class, still, func() { ok = s.matches(form) })
		if ok || err != nil {
			break
		}
	}
	return ok, err
}

// forms are what pw may be to a hash of the class c: SCRAM's clients hash another
// form than Dovecot, which takes the bytes as they came.
func (c class) forms(pw []byte) [][]byte {
	if c.scheme == SCRAMSHA1 || c.scheme == SCRAMSHA256 {
		if form := prepared(pw); !bytes.Equal(form, pw) {
			return [][]byte{form, pw}
		}
	}
	return [][]byte{pw}
}

// do waits for memory and a processor and then does work, which is that of one
// hash of the class c, unless still says no.
func (p *Pool) do(ctx context.Context, c class, still func() error, work func()) error {
	promised, err := p.promise(ctx, c)
	if err != nil {
		return err
	}
	defer p.settle(promised)
	size, lanes := c.bytes(), min(max(int64(c.lanes), 1), p.n)
	if err := p.memory.Acquire(ctx, size); err != nil {
		return waited(err)
	}
	defer p.memory.Release(size)
	if err := p.slots.Acquire(ctx, lanes); err != nil {
		return waited(err)
	}
	defer p.slots.Release(lanes)
	if err := ctx.Err(); err != nil {
		return waited(err)
	}
	if still != nil {
		if err := still(); err != nil {
			return err
		}
	}
	start := time.Now()
	work()
	p.learn(c, time.Since(start))
	return nil
}

// waited names a deadline that passed in the queue.
func waited(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}

// promise adds the work of c to what is pending, unless it would not be done
// before ctx's deadline.
func (p *Pool) promise(ctx context.Context, c class) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	work := time.Duration(float64(c.work()) * p.slower)
	if deadline, ok := ctx.Deadline(); ok && p.pending/time.Duration(p.n)+work > time.Until(deadline) {
		return 0, ErrBusy
	}
	p.pending += work
	return work, nil
}

// Pending returns the work that waits or is under way, as one processor would
// take it.
func (p *Pool) Pending() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pending
}

func (p *Pool) settle(work time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending -= work
}

// learn corrects the estimate by what a hash really took.
func (p *Pool) learn(c class, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if c.work() <= quickWork {
		return
	}
	ratio := float64(took) / float64(c.work())
	p.slower = min(max(0.9*p.slower+0.1*ratio, 0.1), 20)
}
