package policyd

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that ends at a time, if somebody waits for it: nearly
// every request is answered from memory, and a timer and clock for each step
// would cost as much as the answer. Who never waits looks at passed at the end.
type deadline struct {
	context.Context
	at time.Time

	mu    sync.Mutex // guards the fields below
	timed context.Context
	end   context.CancelFunc
}

// Deadline implements context.Context.
func (d *deadline) Deadline() (time.Time, bool) {
	if at, ok := d.Context.Deadline(); ok && at.Before(d.at) {
		return at, true
	}
	return d.at, true
}

// Done implements context.Context.
func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed == nil {
		d.timed, d.end = context.WithDeadline(d.Context, d.at)
	}
	return d.timed.Done()
}

// Err implements context.Context.
func (d *deadline) Err() error {
	d.mu.Lock()
	timed := d.timed
	d.mu.Unlock()
	if timed != nil {
		return timed.Err()
	}
	return d.Context.Err()
}

// passed returns why ctx has ended, also when its time is over and nobody waited
// for it.
func passed(ctx context.Context) error {
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// stop ends what waits, after the request.
func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.end != nil {
		d.end()
	}
}
