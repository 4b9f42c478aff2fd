package stated

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// Remote is a State for a process that goes on alone while the other one is away:
// the remote of a shared.Store.
type Remote struct {
	*State

	mu sync.Mutex // guards the fields below
	// inHand ends the calls that nobody has answered yet.
	inHand map[uint64]context.CancelCauseFunc
	last   uint64
}

// Remote returns s for a shared.Store.
func (s *State) Remote() *Remote {
	return &Remote{State: s, inHand: map[uint64]context.CancelCauseFunc{}}
}

// errInterrupted ends a call in hand. Nobody knows whether it was done.
var errInterrupted = fmt.Errorf("not waited for: %w", io.ErrUnexpectedEOF)

// Interrupt ends the calls in hand at once.
func (r *Remote) Interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, end := range r.inHand {
		end(errInterrupted)
	}
}

// Close implements state.Store. It ends the calls in hand.
func (r *Remote) Close() error {
	err := r.State.Close()
	r.Interrupt()
	return err
}

// until makes a call that Interrupt ends.
func until[T any](ctx context.Context, r *Remote, f func(context.Context) (T, error)) (T, error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	r.mu.Lock()
	r.last++
	id := r.last
	r.inHand[id] = end
	r.mu.Unlock()
	v, err := f(ctx)
	r.mu.Lock()
	delete(r.inHand, id)
	r.mu.Unlock()
	switch {
	case err == nil:
	case answered(err) && errors.Is(err, state.ErrAway):
		err = farAway{err}
	case !answered(err) && errors.Is(context.Cause(ctx), errInterrupted):
		err = errInterrupted
	}
	return v, err
}

// farAway is the answer that the other process's Redis is away, which is no sign
// that it is away itself. A shared.Store takes ErrInvalid for an answer.
type farAway struct{ error }

func (f farAway) Unwrap() error        { return f.error }
func (f farAway) Is(target error) bool { return target == state.ErrInvalid }

// tell is until for a call without a value.
func (r *Remote) tell(ctx context.Context, f func(context.Context) error) error {
	_, err := until(ctx, r, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

// Probe asks for a sign of life. While there is none nobody waits for another answer
// either: who has a Remote tries without end.
func (r *Remote) Probe(ctx context.Context) error {
	err := r.tell(ctx, func(ctx context.Context) error {
		return r.c.ask(ctx, question{name: "ping", again: true, in: struct{}{}, probe: true}, nil)
	})
	if err == nil || answered(err) {
		r.c.silent.Store(0)
	} else {
		r.c.silent.Add(1)
	}
	return err
}

// Merge adds what this process counted alone, state.MaxMerged counters at most. An
// id that was merged within the last day adds nothing.
func (r *Remote) Merge(ctx context.Context, id string, counts []state.Merged) error {
	in := merging{ID: id, Counters: make([]mergedCounter, len(counts))}
	for i, m := range counts {
		in.Counters[i] = mergedCounter{Key: []byte(m.Key), Max: m.Max, Window: m.Window, Grants: m.Grants}
	}
	return r.tell(ctx, func(ctx context.Context) error {
		return r.call(ctx, question{name: "state/merge", in: in, again: true}, nil)
	})
}

// TakeAll implements state.Store. A process that hung and goes on counts nothing
// for who has not waited for it: that was counted here.
func (r *Remote) TakeAll(ctx context.Context, all []state.Claim, ask bool) ([]state.Usage, error) {
	end, _ := ctx.Deadline()
	return until(ctx, r, func(ctx context.Context) ([]state.Usage, error) { return r.takeAll(ctx, all, ask, end) })
}

// Take implements state.Store.
func (r *Remote) Take(ctx context.Context, key string, n, max int64, window time.Duration) (state.Usage, error) {
	return until(ctx, r, func(ctx context.Context) (state.Usage, error) { return r.State.Take(ctx, key, n, max, window) })
}

// Counters implements state.Store.
func (r *Remote) Counters(ctx context.Context, prefix string) ([]state.Counter, error) {
	return until(ctx, r, func(ctx context.Context) ([]state.Counter, error) { return r.State.Counters(ctx, prefix) })
}

// Give implements state.Store.
func (r *Remote) Give(ctx context.Context, key string, n int64, at time.Time) error {
	return r.tell(ctx, func(ctx context.Context) error { return r.State.Give(ctx, key, n, at) })
}

// Reset implements state.Store.
func (r *Remote) Reset(ctx context.Context, key string) error {
	return r.tell(ctx, func(ctx context.Context) error { return r.State.Reset(ctx, key) })
}

// Get implements state.Store.
func (r *Remote) Get(ctx context.Context, t state.Table, key string) (state.Entry, error) {
	return until(ctx, r, func(ctx context.Context) (state.Entry, error) { return r.State.Get(ctx, t, key) })
}

// Put implements state.Store.
func (r *Remote) Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error {
	return r.tell(ctx, func(ctx context.Context) error { return r.State.Put(ctx, t, e, sync) })
}

// Delete implements state.Store.
func (r *Remote) Delete(ctx context.Context, t state.Table, key string) error {
	return r.tell(ctx, func(ctx context.Context) error { return r.State.Delete(ctx, t, key) })
}

// List implements state.Store.
func (r *Remote) List(ctx context.Context, t state.Table, prefix string) ([]state.Entry, error) {
	return until(ctx, r, func(ctx context.Context) ([]state.Entry, error) { return r.State.List(ctx, t, prefix) })
}

var errNoStreams = fmt.Errorf("%w: the state process alone has streams", state.ErrInvalid)

// Append is not for daemons.
func (*Remote) Append(context.Context, string, []byte) (string, error) { return "", errNoStreams }

// Read is not for daemons.
func (*Remote) Read(context.Context, string, string, int, time.Duration) ([]state.Item, error) {
	return nil, errNoStreams
}

// Ends is not for daemons.
func (*Remote) Ends(context.Context, string) (first, last string, err error) {
	return "", "", errNoStreams
}
