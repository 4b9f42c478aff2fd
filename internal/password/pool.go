package password

import (
	"context"
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

// NewPool returns a Pool whose argon2 hashes take at most memory bytes
// together.
func NewPool(memory int64) *Pool {
	n := int64(runtime.GOMAXPROCS(0))
	return &Pool{
		slots: semaphore.NewWeighted(n), n: n,
		memory: semaphore.NewWeighted(memory), budget: memory,
		slower: 1, seen: make(map[class]int),
	}
}

// Verify reports whether pw is the password that hash was made from. The error
// is ErrHash, ErrBusy when ctx's deadline cannot be kept (known beforehand
// where possible), or that of a cancelled ctx.
func (p *Pool) Verify(ctx context.Context, hash secret.Value, pw []byte) (bool, error) {
	if !usable(pw) {
		return false, nil
	}
	s, err := parse(hash)
	if err == nil {
		err = s.class.fits(p.budget)
	}
	if err != nil {
		return false, err
	}
	p.count(s.class)
	return p.run(ctx, s, pw)
}

// Dummy takes the time of Verify for an account that does not exist: it works
// on a hash of the kind that was seen most.
func (p *Pool) Dummy(ctx context.Context, pw []byte) error {
	if !usable(pw) {
		return nil
	}
	_, err := p.run(ctx, nobody(p.usual()), pw)
	return err
}

// Saw tells the pool of a stored hash, so that Dummy knows what is usual before
// anyone has logged in. A hash that cannot be used is ignored.
func (p *Pool) Saw(hash secret.Value) {
	if s, err := parse(hash); err == nil && s.class.fits(p.budget) == nil {
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
	best, most := class{scheme: Argon2id, cost: newArgonPasses, memory: newArgonMemory, lanes: 1}, 0
	if best.fits(p.budget) != nil {
		best = class{scheme: BLFCrypt, cost: newBcryptCost}
	}
	for c, n := range p.seen {
		if n > most || n == most && c.work() > best.work() {
			best, most = c, n
		}
	}
	return best
}

// run waits for memory and a processor and then does the work.
func (p *Pool) run(ctx context.Context, s stored, pw []byte) (bool, error) {
	promised, err := p.promise(ctx, s.class)
	if err != nil {
		return false, err
	}
	defer p.settle(promised)
	bytes, lanes := s.class.bytes(), min(max(int64(s.class.lanes), 1), p.n)
	if err := p.memory.Acquire(ctx, bytes); err != nil {
		return false, waited(err)
	}
	defer p.memory.Release(bytes)
	if err := p.slots.Acquire(ctx, lanes); err != nil {
		return false, waited(err)
	}
	defer p.slots.Release(lanes)
	if err := ctx.Err(); err != nil {
		return false, waited(err)
	}
	start := time.Now()
	ok := s.matches(pw)
	p.learn(s.class, time.Since(start))
	return ok, nil
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
	if c.scheme == Plain {
		return
	}
	ratio := float64(took) / float64(c.work())
	p.slower = min(max(0.9*p.slower+0.1*ratio, 0.1), 20)
}
