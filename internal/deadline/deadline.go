// Package deadline has a context that ends at a time, for requests that are
// nearly always answered before anybody waits: it makes its timer when Done is
// first called, and none before.
package deadline

import (
	"context"
	"sync"
	"time"
)

// Context is a context that ends at a time, if somebody waits for it. A timer
// and a clock for each step would cost as much as a request that is answered
// from memory. Who never waits asks Passed.
type Context struct {
	context.Context
	at time.Time

	mu    sync.Mutex // guards the fields below
	timed context.Context
	end   context.CancelFunc
}

// New returns a child of parent that ends at a time. Its user calls Stop when
// the request is over.
func New(parent context.Context, at time.Time) *Context { return &Context{Context: parent, at: at} }

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) {
	if at, ok := c.Context.Deadline(); ok && at.Before(c.at) {
		return at, true
	}
	return c.at, true
}

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.end = context.WithDeadline(c.Context, c.at)
	}
	return c.timed.Done()
}

// Err implements context.Context. Until somebody waits it is nil at the deadline
// too: see Passed.
func (c *Context) Err() error {
	c.mu.Lock()
	timed := c.timed
	c.mu.Unlock()
	if timed != nil {
		return timed.Err()
	}
	return c.Context.Err()
}

// Stop ends what waits, after the request.
func (c *Context) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end != nil {
		c.end()
	}
}

// Passed returns why ctx has ended, also when its time is over and nobody waited
// for it. It costs a look at the clock.
func Passed(ctx context.Context) error {
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}
