package shared

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// Remote is the common store of all hosts: internal/state/redis.
type Remote interface {
	state.Store
	state.Watcher
	state.Streams
	// Probe does what requests do, wherever they may do it.
	Probe(ctx context.Context) error
	// Merge adds what was counted elsewhere. An id that it has seen adds nothing.
	Merge(ctx context.Context, id string, counts []state.Merged) error
	// Interrupt ends the requests in hand at once. Each has an error then.
	Interrupt()
}

// Join returns the value that holds both: mine, which this host wrote while the
// store was away, and theirs, which other hosts wrote there.
type Join func(t state.Table, key string, mine, theirs []byte) []byte

// Store is a state.Store of several hosts that one host can do without for a
// while. It is safe for concurrent use.
type Store struct {
	remote Remote
	local  *state.SQLite
	cfg    Config
	join   Join
	log    *slog.Logger

	// near is nil while the common store is away.
	near atomic.Pointer[epoch]
	// troubled says that the last call failed.
	troubled atomic.Bool
	asked    atomic.Int64 // when it last answered, Unix nanoseconds
	// ahead is how far the store's clock is ahead of ours.
	ahead atomic.Int64

	mu      sync.Mutex // guards the fields below
	breaker breaker
	outage  outage // the last one
	counts  counts
	// failure opened nothing, warned is when the log had one.
	failure error
	warned  time.Time

	marks  marks
	ledger ledger
	queue  queue

	healed broadcast
	poke   chan struct{} // has room for one
	stop   context.CancelFunc
	ended  sync.WaitGroup // run, and all calls
	// life is held while closed is set, so that Close waits for all calls.
	life   sync.RWMutex
	closed bool
}

// epoch is a time in which the store was used; over is closed at its end.
type epoch struct{ over chan struct{} }

// outage is a time in which it was away. It goes on while ends is zero.
type outage struct {
	begun, ends time.Time
	why         string
}

var (
	_ state.Store   = (*Store)(nil)
	_ state.Watcher = (*Store)(nil)
	_ state.Streams = (*Store)(nil)
)

// New returns a Store over both, which its Close closes. What an earlier process
// counted while the common store was away is merged as soon as it answers.
// join may be nil. New does not wait for the common store longer than a request.
func New(ctx context.Context, remote Remote, local *state.SQLite, join Join, log *slog.Logger) (*Store, error) {
	return open(ctx, Default(), remote, local, join, log)
}

func open(ctx context.Context, cfg Config, remote Remote, local *state.SQLite, join Join, log *slog.Logger) (*Store, error) {
	s := &Store{
		remote: remote, local: local, cfg: cfg, join: join, log: log,
		breaker: breaker{slow: cfg.Slow}, poke: make(chan struct{}, 1),
	}
	s.ledger.apply = s.apply
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	s.near.Store(&epoch{over: make(chan struct{})})
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.ended.Go(func() { s.run(run) })
	s.poked()
	return s, nil
}

// Close implements state.Store. What is not merged yet stays in the local file.
func (s *Store) Close() error {
	s.life.Lock()
	was := s.closed
	s.closed = true
	s.life.Unlock()
	if was {
		return nil
	}
	s.stop()
	var once sync.Once
	var err error
	closeRemote := func() { once.Do(func() { err = s.remote.Close() }) }
	// Who reads a stream of a server that hangs is ended by that alone.
	hung := time.AfterFunc(s.cfg.Wait, closeRemote)
	s.ended.Wait()
	hung.Stop()
	closeRemote()
	return errors.Join(err, s.local.Close())
}

// opened ends the epoch because of why. Who has asked a store that is only slow
// gets its answer; all others in hand end now. It needs s.mu.
func (s *Store) opened(why string, cause error) {
	was := s.near.Swap(nil)
	if was != nil {
		close(was.over)
		if why != slowAnswers {
			s.remote.Interrupt()
		}
	}
	s.outage = outage{begun: time.Now(), why: why}
	s.counts.trips++
	err := errors.New(why)
	if cause != nil {
		err = fmt.Errorf("%s: %w", why, cause)
	}
	s.log.LogAttrs(context.Background(), slog.LevelWarn, "shared state is away, this host goes on alone", slog.Any("err", err))
}

// closeBreaker begins an epoch.
func (s *Store) closeBreaker() {
	s.mu.Lock()
	s.breaker.close()
	now := time.Now()
	s.outage.ends = now
	away := now.Sub(s.outage.begun)
	s.near.Store(&epoch{over: make(chan struct{})})
	s.mu.Unlock()
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "shared state is back",
		slog.Duration("took", away), slog.Int("pending", s.pending()))
}

// broadcast tells all who wait.
type broadcast struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

// wait returns what is closed at the next tell.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
