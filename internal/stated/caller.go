package stated

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/listen"
)

// What one user may have at a time, so that a daemon that somebody took over does
// not keep the others out. A Client has maxPooled connections at most.
const (
	maxUserConns   = 3 * maxPooled
	maxStrange     = 8 // connections of who may do nothing
	maxUserStreams = 16
	maxUserLarge   = 16 // calls with a message, or that may be answered with a table
	maxUserHuge    = 4  // calls of maxLarge, or whose values take far more memory
	refusedEvery   = time.Minute
)

// caller is a user who is connected.
type caller struct {
	uid     int
	conns   int // guarded by callers.mu
	streams chan struct{}
	large   chan struct{}
	huge    chan struct{}
}

func newCaller(uid int) *caller {
	return &caller{uid: uid, streams: make(chan struct{}, maxUserStreams),
		large: make(chan struct{}, maxUserLarge), huge: make(chan struct{}, maxUserHuge)}
}

// enter waits for a place among calls of one kind, which is left with done.
func enter(ctx context.Context, places chan struct{}) (done func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// callers are all of them.
type callers struct {
	mu     sync.Mutex // guards the fields below
	of     map[int]*caller
	warned time.Time
}

// come counts a connection of a user, unless that has most already.
func (a *callers) come(uid, most int) (*caller, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.of[uid]
	if c == nil {
		c = newCaller(uid)
	}
	if c.conns >= most {
		return nil, false
	}
	c.conns++
	if a.of == nil {
		a.of = map[int]*caller{}
	}
	a.of[uid] = c
	return c, true
}

func (a *callers) leave(c *caller) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.conns--; c.conns == 0 {
		delete(a.of, c.uid)
	}
}

// warn reports whether it is time to tell of a refusal again.
func (a *callers) warn() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.warned) < refusedEvery {
		return false
	}
	a.warned = time.Now()
	return true
}

// perCaller closes at once what a user has too much of.
type perCaller struct {
	net.Listener
	s *Server
}

// Accept returns the next connection with the user whose it is.
func (l *perCaller) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		cred, err := listen.PeerCred(conn)
		if err != nil {
			_ = conn.Close()
			continue
		}
		most, g := maxUserConns, l.s.grant(cred.UID)
		if g.nothing() {
			most = maxStrange
		}
		if c, ok := l.s.callers.come(cred.UID, most); ok {
			return &knownConn{Conn: conn, caller: c, leave: sync.OnceFunc(func() { l.s.callers.leave(c) })}, nil
		}
		_ = conn.Close()
		if l.s.callers.warn() {
			l.s.log.LogAttrs(context.Background(), slog.LevelWarn, "connections refused, a user has too many", slog.Int("uid", cred.UID), slog.Int("most", most))
		}
	}
}

// knownConn is a connection of a caller.
type knownConn struct {
	net.Conn
	caller *caller
	leave  func()
}

// Close counts it no more.
func (c *knownConn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}
