package policyd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"
)

// meter counts what the servers do; see metric.Set.
type meter interface {
	Request(daemon, verdict string, took time.Duration)
	Sessions(daemon string, delta int)
}

// noMeter counts nothing.
type noMeter struct{}

func (noMeter) Request(string, string, time.Duration) {}
func (noMeter) Sessions(string, int)                  {}

// bounds are the settings of a server that hold for all its connections.
type bounds struct {
	timing
	grace          time.Duration
	maxConnections int
}

func (c Config) bounds() bounds {
	return bounds{
		timing:         timing{idle: c.IdleTimeout.Std(), request: c.RequestTimeout.Std()},
		grace:          c.Grace.Std(),
		maxConnections: c.MaxConnections,
	}
}

// service serves one protocol on a listener.
type service struct {
	name   string // of the daemon, for metrics and log
	bounds func() bounds
	begin  func() conversation
	meter  meter
	log    *slog.Logger
}

// serve answers on ln until ctx ends. It then stops accepting, lets requests
// in hand finish for the grace, closes the rest and returns nil. It returns an
// error when ln fails. No goroutine outlives it; ln is closed.
func (s *service) serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	closed := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() { _ = ln.Close(); close(closed) })
	open := openSessions{list: map[*session]struct{}{}, freed: make(chan struct{}, 1)}
	err := s.accept(ctx, work, ln, &open)
	cancel()
	if !unhook() {
		<-closed
	}
	grace := time.AfterFunc(s.bounds().grace, func() { stopWork(); open.closeAll() })
	defer grace.Stop()
	open.wg.Wait()
	return err
}

// accept starts a session for each connection until ctx ends or ln fails.
func (s *service) accept(ctx, work context.Context, ln net.Listener, open *openSessions) error {
	var warned time.Time
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if !s.retryAccept(ctx, err) {
				return fmt.Errorf("%s: accept: %w", s.name, err)
			}
			continue
		}
		if full := open.makeRoom(ctx, s.bounds().maxConnections); full && time.Since(warned) > time.Minute {
			warned = time.Now()
			s.log.LogAttrs(ctx, slog.LevelWarn, "connection limit reached, idle connections are closed",
				slog.Int("max_connections", s.bounds().maxConnections))
		}
		c := &session{conn: conn, talk: s.begin(), timing: func() timing { return s.bounds().timing }}
		open.add(c)
		open.wg.Go(func() {
			defer open.remove(c)
			s.session(ctx, work, c)
		})
	}
}

// retryAccept waits a little when the process is out of files, and reports
// whether Accept can be called again.
func (s *service) retryAccept(ctx context.Context, err error) bool {
	var t interface{ Temporary() bool }
	if !errors.As(err, &t) || !t.Temporary() {
		return false
	}
	s.log.LogAttrs(ctx, slog.LevelError, "connection not accepted", slog.Any("err", err))
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
	return true
}

// session runs one connection. A panic costs the request in hand: Postfix asks
// once more and then takes its default action.
func (s *service) session(ctx, work context.Context, c *session) {
	s.meter.Sessions(s.name, 1)
	defer s.meter.Sessions(s.name, -1)
	defer func() {
		if p := recover(); p != nil {
			s.log.LogAttrs(work, slog.LevelError, "request failed by a fault of ours",
				slog.Any("err", fmt.Errorf("panic: %v", p)), slog.String("stack", string(debug.Stack())))
		}
		_ = c.conn.Close() // nothing was promised that a failed close would break
	}()
	err := c.run(ctx, work)
	if e, ok := c.talk.(ender); ok {
		e.end()
	}
	switch {
	case err == nil:
	case errors.Is(err, errEvicted), errors.Is(err, errTruncated):
		s.log.LogAttrs(work, slog.LevelDebug, "connection closed", slog.Any("err", err))
	default:
		s.log.LogAttrs(work, slog.LevelWarn, "connection closed without an answer", slog.Any("err", err))
	}
}

// openSessions are the connections of one serve.
type openSessions struct {
	wg    sync.WaitGroup
	mu    sync.Mutex // guards list
	list  map[*session]struct{}
	freed chan struct{} // has a value after a session ended
}

func (o *openSessions) add(c *session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list[c] = struct{}{}
}

func (o *openSessions) remove(c *session) {
	o.mu.Lock()
	delete(o.list, c)
	o.mu.Unlock()
	select {
	case o.freed <- struct{}{}:
	default:
	}
}

// roomInterval is how often a full server looks for an idle connection.
const roomInterval = 20 * time.Millisecond

// makeRoom waits until fewer than limit sessions are open, after telling the
// one that has been idle for longest to end. It reports whether it had to.
func (o *openSessions) makeRoom(ctx context.Context, limit int) bool {
	full := false
	for o.evictOne(limit) {
		full = true
		select {
		case <-o.freed:
		case <-time.After(roomInterval): // one may have become idle
		case <-ctx.Done():
			return full
		}
	}
	return full
}

// evictOne reports whether limit is reached; it then ends the session that has
// been idle for longest, if one is idle and none is ending already.
func (o *openSessions) evictOne(limit int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) < limit {
		return false
	}
	var oldest *session
	var since int64
	for c := range o.list {
		if c.evicted.Load() {
			return true
		}
		if t := c.idleSince.Load(); t != 0 && (oldest == nil || t < since) {
			oldest, since = c, t
		}
	}
	if oldest != nil {
		oldest.evict()
	}
	return true
}

func (o *openSessions) closeAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.list {
		_ = c.conn.Close()
	}
}
