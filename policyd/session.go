package policyd

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	// startBuffer holds a request of Postfix's in one read.
	startBuffer = 2 << 10
	// keepBuffer is the largest buffer that an idle connection keeps.
	keepBuffer = 4 << 10
)

// conversation is one protocol on one connection: strictly one request, then
// its answer.
type conversation interface {
	// length returns the length of the first whole request in b, 0 if more
	// bytes are needed, or an error if none can follow. It has seen b[:from].
	length(b []byte, from int) (int, error)
	// answer appends the answer to dst. An error closes the connection without
	// an answer.
	answer(ctx context.Context, request, dst []byte) ([]byte, error)
}

// ender is a conversation that has something to do when its connection ends.
type ender interface{ end() }

// timing are the times of one connection, read anew for each request.
type timing struct {
	idle, request time.Duration
}

// session is one connection.
type session struct {
	conn   net.Conn
	talk   conversation
	timing func() timing

	// idleSince is when the wait for a request began, in nanoseconds since
	// 1970, or 0 while one is in hand.
	idleSince atomic.Int64
	evicted   atomic.Bool

	// readEnds and writeEnds are the deadlines of conn, as far as the session has
	// set them. A deadline costs a timer, so it is moved only when an eighth of its
	// time has gone.
	readEnds, writeEnds time.Time
}

var (
	errEvicted   = errors.New("connection limit: closed after being idle for longest")
	errTruncated = errors.New("connection ended within a request")
	// past is a deadline that ends a read at once.
	past = time.Unix(1, 0)
)

// run answers requests until the peer leaves, the session is evicted or ctx
// ends, which lets a request in hand finish. Requests are decided under work.
// The error says why it ended; nil for an end that is nobody's fault.
func (s *session) run(ctx, work context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(past) })
	defer stop()
	buf, reply := make([]byte, 0, startBuffer), make([]byte, 0, 128)
	now := time.Now()
	for {
		n, err := s.read(ctx, &buf, now)
		if err != nil || n == 0 {
			return err
		}
		s.idleSince.Store(0)
		reply, err = s.talk.answer(work, buf[:n], reply[:0])
		if err != nil {
			return err
		}
		now = time.Now() // who takes the answer late has as much less time to go on
		if err := s.writeDeadline(now); err != nil {
			return err
		}
		if _, err := s.conn.Write(reply); err != nil {
			return err
		}
		buf = buf[:copy(buf, buf[n:])]
		if cap(buf) > keepBuffer && len(buf) <= startBuffer {
			buf = append(make([]byte, 0, startBuffer), buf...)
		}
		if cap(reply) > keepBuffer {
			reply = nil
		}
	}
}

// writeDeadline gives the answer its time, an eighth less at worst.
func (s *session) writeDeadline(now time.Time) error {
	limit := s.timing().request
	if s.writeEnds.Sub(now) >= limit-limit/8 && s.writeEnds.Sub(now) <= limit {
		return nil
	}
	s.writeEnds = now.Add(limit)
	return s.conn.SetWriteDeadline(s.writeEnds)
}

// readBy moves the deadline of reading to t, unless it is there already or not
// earlier than soon and not after t.
func (s *session) readBy(soon, t time.Time) error {
	if !s.readEnds.Before(soon) && !s.readEnds.After(t) {
		return nil
	}
	s.readEnds = t
	return s.conn.SetReadDeadline(t)
}

// read returns the length of the request at the start of *buf, and 0 when
// there is no more to come. now is when the last answer was ready. A peer may
// be idle for long, but not slow.
func (s *session) read(ctx context.Context, buf *[]byte, now time.Time) (int, error) {
	seen, started := 0, len(*buf) > 0
	times := s.timing()
	ends := now.Add(times.request)
	soon := ends
	if !started {
		s.idleSince.Store(now.UnixNano())
		ends = now.Add(times.idle)
		soon = ends.Add(-times.idle / 8)
	}
	if err := s.readBy(soon, ends); err != nil {
		return 0, err
	}
	for {
		n, err := s.talk.length(*buf, seen)
		if n > 0 || err != nil {
			return n, err
		}
		if !started && len(*buf) > 0 {
			started = true
			ends = time.Now().Add(times.request)
			if err := s.readBy(ends, ends); err != nil {
				return 0, err
			}
		}
		// Whoever ends the session moves the deadline after this, or did before.
		if ctx.Err() != nil || s.evicted.Load() {
			return 0, s.ended()
		}
		seen = len(*buf)
		err = s.fill(buf)
		if err != nil && !started && len(*buf) == 0 && s.tooSoon(ctx, err, ends) {
			err = s.readBy(ends, ends)
		}
		if err != nil {
			return 0, s.readError(ctx, err, len(*buf) > 0)
		}
	}
}

// tooSoon reports whether a read ended at a deadline that was not moved, before
// the idle time was over.
func (s *session) tooSoon(ctx context.Context, err error, ends time.Time) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil && !s.evicted.Load() && time.Now().Before(ends)
}

// fill reads once; the buffer doubles when it is full, so memory follows what
// has come. conversation.length bounds it.
func (s *session) fill(buf *[]byte) error {
	b := *buf
	if len(b) == cap(b) {
		b = append(make([]byte, 0, max(2*cap(b), startBuffer)), b...)
	}
	n, err := s.conn.Read(b[len(b):cap(b)])
	*buf = b[:len(b)+n]
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// readError tells an end that is nobody's fault from one that is.
func (s *session) readError(ctx context.Context, err error, inRequest bool) error {
	switch {
	case ctx.Err() != nil || s.evicted.Load():
		return s.ended()
	case inRequest:
		return errTruncated
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return nil
	}
	return err
}

func (s *session) ended() error {
	if s.evicted.Load() {
		return errEvicted
	}
	return nil
}

// evict ends the session unless a request is in hand.
func (s *session) evict() {
	s.evicted.Store(true)
	_ = s.conn.SetReadDeadline(past)
}
