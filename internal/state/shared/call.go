package shared

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// errUnknown means that a call was given up: it may have been executed.
var errUnknown = errors.New("no answer in time, it may have been done")

// away reports whether an error means that the local store has to do.
func away(err error) bool {
	return errors.Is(err, state.ErrAway) || errors.Is(err, errUnknown) || errors.Is(err, errFailed)
}

// errFailed wraps what the common store failed with.
var errFailed = errors.New("shared state")

// do asks the common store. The error is ErrAway if it is away, errUnknown if
// the call was given up, errFailed for what else is wrong with it, or the
// answer to the caller. A call that is given up goes on until its deadline:
// go-redis notices no cancelled context while it reads. late is called with an
// answer that comes after all; it may be nil.
func do[T any](s *Store, ctx context.Context, f func(context.Context) (T, error), late func(T)) (T, error) {
	return ask(s, ctx, s.cfg.Wait, true, f, late)
}

// bulk is do for what takes as long as a table is large. Its time says nothing,
// so a probe finds out whether to wait.
func bulk[T any](s *Store, ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	t := time.AfterFunc(s.cfg.Poke, s.poked)
	defer t.Stop()
	return ask(s, ctx, s.cfg.Bulk, false, f, nil)
}

func ask[T any](s *Store, ctx context.Context, wait time.Duration, timed bool, f func(context.Context) (T, error), late func(T)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	near := s.near.Load()
	if near == nil {
		return none, state.ErrAway
	}
	if !s.begin() {
		return none, state.ErrClosed
	}
	// Not a child of ctx, which is of another package's making: that costs a
	// goroutine for each call, and the end of ctx is waited for below anyway.
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	done := make(chan answer, 1)
	var left atomic.Bool // the answer came, or nobody waits any more
	begin := time.Now()
	s.callers.do(func() {
		defer s.ended.Done()
		defer cancel()
		v, err := guarded(limited, f)
		if left.CompareAndSwap(false, true) {
			done <- answer{v, err}
		} else if err == nil && late != nil {
			late(v)
		}
	})
	var a answer
	select {
	case a = <-done:
	case <-near.over:
		if left.CompareAndSwap(false, true) {
			return none, errUnknown
		}
		a = <-done
	case <-ctx.Done():
		if left.CompareAndSwap(false, true) {
			cancel()
			return none, ctx.Err()
		}
		a = <-done
	case <-limited.Done():
		if left.CompareAndSwap(false, true) {
			if err := ctx.Err(); err != nil {
				return none, err
			}
			s.noted(near, timedOut, time.Since(begin), limited.Err())
			return none, errUnknown
		}
		a = <-done
	}
	return a.v, s.judge(ctx, near, a.err, time.Since(begin), timed)
}

// begin notes a goroutine that Close waits for, unless s is closed.
func (s *Store) begin() bool {
	s.life.RLock()
	defer s.life.RUnlock()
	if !s.closed {
		s.ended.Add(1)
	}
	return !s.closed
}

// judge tells the breaker how a call ended, and returns the error of do.
func (s *Store) judge(ctx context.Context, near *epoch, err error, took time.Duration, timed bool) error {
	how := answered
	switch {
	case err == nil, errors.Is(err, state.ErrNotFound), errors.Is(err, state.ErrInvalid):
		s.asked.Store(time.Now().UnixNano())
	case errors.Is(err, state.ErrClosed):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		how = timedOut
	default:
		how = failed
	}
	if !timed && how == answered {
		took = 0
	}
	s.noted(near, how, took, err)
	switch how {
	case timedOut:
		return errUnknown
	case failed:
		if !refusal(err) {
			return errUnknown
		}
		return fmt.Errorf("%w: %w", errFailed, err)
	}
	return err
}

// refusal reports whether a request that failed with err was not done for sure:
// the server said so, or was not reached. A connection that broke says neither.
func refusal(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op == "dial"
	}
	return !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// noted tells the breaker how a call of an epoch ended.
func (s *Store) noted(near *epoch, how outcome, took time.Duration, err error) {
	if how == answered && took < s.cfg.Slow && !s.troubled.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.near.Load() != near {
		return // it is known already
	}
	before := s.breaker.failures
	why := s.breaker.call(how, took)
	s.troubled.Store(s.breaker.failures > 0)
	switch {
	case why != "":
		s.opened(why, err)
	case how == failed:
		s.counts.failed++
		s.failure = err
	case before > 0:
		s.refused()
	}
}

// refused tells of failures that opened nothing, now that an answer came. It
// needs s.mu.
func (s *Store) refused() {
	if now := time.Now(); now.Sub(s.warned) >= time.Minute {
		s.warned = now
		s.log.LogAttrs(context.Background(), slog.LevelWarn, "shared state refused a request, this host answered alone", slog.Any("err", s.failure))
	}
}

// guarded calls f. A panic there is a fault of one request.
func guarded[T any](ctx context.Context, f func(context.Context) (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f(ctx)
}
