package authd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// line reads the lines of one connection. Its buffer grows with what arrives:
// Postfix and Dovecot keep connections for hours, and few lines are long.
type line struct {
	conn    net.Conn
	ctxDone <-chan struct{}

	most int // the longest line, its end included
	buf  []byte
	r, w int // what is not read yet is buf[r:w]

	mu sync.Mutex // guards the order of deadlines and interrupt
}

// lastWords is how long lines are still read when the daemon ends. What has
// arrived is answered, and so is who has just connected and is about to ask: else
// a right password would fail. A login process takes some milliseconds from the
// one to the other.
const lastWords = 250 * time.Millisecond

// smallBuffer is what a connection has while its lines are short.
const smallBuffer = 1 << 10

// limit sets the length of the longest line, its end included.
func (l *line) limit(n int) { l.most = n }

// interrupt ends next, after lastWords and later.
func (l *line) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.conn.SetReadDeadline(time.Now().Add(lastWords)) // a closed connection ends next too
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
	for scanned := 0; ; {
		if i := bytes.IndexByte(l.buf[l.r+scanned:l.w], '\n'); i >= 0 {
			from := l.r
			l.r += scanned + i + 1
			return l.buf[from : l.r-1], nil
		}
		if scanned = l.w - l.r; scanned >= l.most {
			return nil, broken("a line of more than %d bytes", l.most)
		}
		l.room()
		n, err := l.conn.Read(l.buf[l.w:])
		l.w += n
		switch {
		case n > 0 || err == nil:
		case errors.Is(err, io.EOF):
			return nil, io.EOF
		default:
			return nil, fmt.Errorf("read: %w", err)
		}
	}
}

// room makes room for more of a line that is not whole: it moves what is there
// to the front, and doubles a buffer that is full. One that was large and is
// empty is given back.
func (l *line) room() {
	if l.r == l.w && len(l.buf) != smallBuffer {
		l.buf, l.r, l.w = make([]byte, min(smallBuffer, l.most)), 0, 0
		return
	}
	if l.r > 0 {
		l.r, l.w = 0, copy(l.buf, l.buf[l.r:l.w])
	}
	if l.w == len(l.buf) {
		l.buf = append(l.buf, make([]byte, min(len(l.buf), l.most-len(l.buf)))...)
	}
}

// waiting says that the next line has arrived already, so that replies may wait
// for that of it.
func (l *line) waiting() bool { return bytes.IndexByte(l.buf[l.r:l.w], '\n') >= 0 }

// interrupted says that the daemon ends.
func (l *line) interrupted() bool {
	select {
	case <-l.ctxDone:
		return true
	default:
		return false
	}
}
