package authd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// line reads the lines of one connection.
type line struct {
	conn    net.Conn
	br      *bufio.Reader
	ctxDone <-chan struct{}

	mu sync.Mutex // guards the order of deadlines and interrupt
}

// limit sets the length of the longest line, its end included.
func (l *line) limit(n int) { l.br = bufio.NewReaderSize(l.conn, n) }

// interrupt ends next, now and later.
func (l *line) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.conn.SetReadDeadline(time.Unix(1, 0)) // a closed connection ends next too
}

// deadline bounds the following reads; the zero time means none. After
// interrupt it changes nothing.
func (l *line) deadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.interrupted() {
		return nil
	}
	return l.conn.SetReadDeadline(t)
}

// next returns the next line without its LF. It is good until the next call.
// The end of the stream is io.EOF, also in the middle of a line.
func (l *line) next() ([]byte, error) {
	b, err := l.br.ReadSlice('\n')
	switch {
	case err == nil:
		return b[:len(b)-1], nil
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, broken("a line of more than %d bytes", l.br.Size())
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	}
	return nil, fmt.Errorf("read: %w", err)
}

// waiting says that the next line has arrived already, so that replies may wait
// for that of it.
func (l *line) waiting() bool {
	b, err := l.br.Peek(l.br.Buffered())
	return err == nil && bytes.IndexByte(b, '\n') >= 0
}

// interrupted says that the daemon ends.
func (l *line) interrupted() bool {
	select {
	case <-l.ctxDone:
		return true
	default:
		return false
	}
}
