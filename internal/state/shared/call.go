package shared

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/gatepost/gatepost/internal/deadline"
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

// do asks the common store, in the caller's goroutine. The error is ErrAway if
// it is away, errUnknown if there was no answer in time, errFailed for what else
// is wrong with it, or the answer to the caller. It costs no timer and no
// goroutine: a store that keeps within the deadline of its context needs none.
func do[T any](s *Store, ctx context.Context, f func(context.Context) (T, error)) (v T, err error) {
	near, err := s.enter(ctx)
	if err != nil {
		return v, err
	}
	defer s.ended.Done()
	began := time.Now()
	limited := deadline.New(ctx, began.Add(s.cfg.Wait))
	defer limited.Stop()
	v, err = guarded(limited, f)
	return v, s.judge(ctx, near, err, time.Since(began), true)
}

// bulk is do for what takes as long as a table is large. Its time says nothing,
// so a probe finds out whether to wait.
func bulk[T any](s *Store, ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	t := time.AfterFunc(s.cfg.Poke, s.poked)
	defer t.Stop()
	return long(s, ctx, s.cfg.Bulk, f)
}

// long is do for what may take long: it is given up when the store goes away
// meanwhile or ctx ends, and goes on until its own deadline then, because
// go-redis notices no cancelled context while it reads.
func long[T any](s *Store, ctx context.Context, wait time.Duration, f func(context.Context) (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	var none T
	near, err := s.enter(ctx)
	if err != nil {
		return none, err
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	done := make(chan answer, 1)
	began := time.Now()
	go func() {
		defer s.ended.Done()
		defer cancel()
		v, err := guarded(limited, f)
		done <- answer{v, err}
	}()
	select {
	case a := <-done:
		return a.v, s.judge(ctx, near, a.err, time.Since(began), false)
	case <-near.over:
		return none, errUnknown
	case <-ctx.Done():
		cancel()
		return none, ctx.Err()
	}
}

// enter begins a call, which ends with s.ended.Done, and returns the epoch that it
// is part of.
func (s *Store) enter(ctx context.Context) (*epoch, error) {
	if err := deadline.Passed(ctx); err != nil {
		return nil, err
	}
	near := s.near.Load()
	if near == nil {
		return nil, state.ErrAway
	}
	if !s.begin() {
		return nil, state.ErrClosed
	}
	return near, nil
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
	case deadline.Passed(ctx) != nil:
		return deadline.Passed(ctx)
	case late(err):
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

// late reports whether a request found no answer in its time, or in that of one
// of its steps.
func late(err error) bool {
	var step net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &step) && step.Timeout()
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
