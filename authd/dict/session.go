package dict

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// session is one connection of Dovecot.
type session struct {
	srv     *Server
	conn    net.Conn
	in      *bufio.Reader
	out     []byte
	stopped <-chan struct{} // the daemon ends

	mu sync.Mutex // guards the order of read deadlines and interrupt
}

func newSession(s *Server, c net.Conn, stopped <-chan struct{}) *session {
	return &session{srv: s, conn: c, in: bufio.NewReaderSize(c, maxLine), stopped: stopped}
}

// interrupt ends the wait for a line, now and later.
func (ss *session) interrupt() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	_ = ss.conn.SetReadDeadline(time.Unix(1, 0)) // a closed connection ends next too
}

// next waits so long for a line, and returns it without its LF. The end of the
// stream is io.EOF, also in the middle of a line.
func (ss *session) next(wait time.Duration) ([]byte, error) {
	if err := ss.patience(wait); err != nil {
		return nil, err
	}
	b, err := ss.in.ReadSlice('\n')
	switch {
	case err == nil:
		return b[:len(b)-1], nil
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, broken("a line of more than %d bytes", maxLine)
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	}
	return nil, fmt.Errorf("read: %w", err)
}

// patience sets the time to wait for the peer. After interrupt it changes
// nothing.
func (ss *session) patience(wait time.Duration) error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	select {
	case <-ss.stopped:
		return nil
	default:
		return ss.conn.SetReadDeadline(time.Now().Add(wait))
	}
}

// run speaks until the peer or we are done. It returns nil when the peer
// closed.
func (ss *session) run(ctx context.Context) error {
	wait, greeted := handshakeTime, false
	for {
		b, err := ss.next(wait)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r, err := parseRequest(b)
		if err != nil {
			return err
		}
		if greeted == (r.verb == verbHello) {
			return broken("the greeting belongs at the beginning, once")
		}
		greeted, wait = true, idleTime
		switch r.verb {
		case verbLookup:
			err = ss.lookup(ctx, r)
		case verbIterate:
			err = ss.iterate(ctx, r)
		}
		if err != nil {
			return err
		}
	}
}

// lookup answers one key.
func (ss *session) lookup(ctx context.Context, r request) error {
	a := ss.srv.answer(ctx, r.key)
	var err error
	if ss.out, err = appendAnswer(ss.out[:0], a); err != nil {
		return err
	}
	defer clear(ss.out) // it may hold a hash
	return ss.flush()
}

// maxOut is when rows are sent: memory does not grow with them.
const maxOut = 32 << 10

// iterate answers with a row a user.
func (ss *session) iterate(ctx context.Context, r request) error {
	names, found := ss.srv.names(ctx, r)
	ss.out = ss.out[:0]
	if !found {
		ss.out, _ = appendAnswer(ss.out, answer{verdict: verdictTemp})
		return ss.flush()
	}
	for _, name := range names {
		value := name
		if r.flags&iterateNoValue != 0 {
			value = ""
		}
		ss.out = appendRow(ss.out, userdbPrefix+name, value)
		if len(ss.out) < maxOut {
			continue
		}
		if err := ss.flush(); err != nil {
			return err
		}
		ss.out = ss.out[:0]
	}
	ss.out = append(ss.out, '\n')
	return ss.flush()
}

// flush sends what is in out.
func (ss *session) flush() error {
	if err := ss.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	if _, err := ss.conn.Write(ss.out); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
