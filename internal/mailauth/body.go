package mailauth

import (
	"context"
	"errors"
	"io"
)

// Bounds of the message that the library reads.
const (
	// chunk is how much of the body is read at once.
	chunk = 32 << 10
	// maxRun bounds a run of line ends, in octets. No person writes one.
	maxRun = 128 << 10
)

// errShort is a message that ends before its header does.
var errShort = errors.New("message is shorter than its header")

// errRun is a body with more empty lines in a row than we look at.
var errRun = errors.New("too many empty lines in a row")

// message is a message as the library shall see it: Read gives the header
// block and then nothing; WriteTo, to which the library's buffered reader
// falls back for the rest, gives the body.
//
// The body's line ends are the point. The library's simple canonicalizer keeps
// back the line ends at the end of each Write and copies them again with the
// next, so that a long run of them in small pieces costs quadratic time. Here
// no Write ends in a line end, but for the last: a run is kept back, counted,
// until what follows is known.
type message struct {
	ctx    context.Context
	header []byte // what Read has yet to give
	open   func() (io.Reader, error)
	// err is why the body ended early, when it did: the library must not
	// mistake half a body for a whole one.
	err error
	// writes and written count what WriteTo handed on, for tests.
	writes  int
	written int64
}

func (m *message) Read(p []byte) (int, error) {
	if len(m.header) == 0 {
		return 0, io.EOF
	}
	n := copy(p, m.header)
	m.header = m.header[n:]
	return n, nil
}

// WriteTo writes the body to w. It returns no error, but keeps it in m.err: the
// library leaves goroutines behind when the copy fails in some of its paths.
func (m *message) WriteTo(w io.Writer) (int64, error) {
	var held run
	var body io.Reader
	body, m.err = m.open()
	for m.err == nil {
		n, err := m.read(body, held.room(chunk))
		text := held.take(n)
		if len(text) > 0 && held.dropped {
			m.err = errRun
			break
		}
		m.write(w, text)
		if err == io.EOF {
			m.write(w, held.tail(&m.err))
			break
		}
		if m.err == nil {
			m.err = err
		}
	}
	return m.written, nil
}

// run keeps back the line ends at the end of what was read.
type run struct {
	buf     []byte
	at, n   int  // the run is buf[at : at+n]
	dropped bool // it was longer than maxRun, and only its end is there
	bare    bool // what was dropped had a CR without LF
}

// room returns space for size octets behind the run.
func (r *run) room(size int) []byte {
	kept := r.buf[r.at : r.at+r.n]
	if cap(r.buf) < r.n+size {
		r.buf = make([]byte, 2*r.n+size)
	}
	r.buf, r.at = r.buf[:cap(r.buf)], 0
	copy(r.buf, kept)
	return r.buf[r.n : r.n+size]
}

// take adds the n octets that were read behind the run, and returns what may
// be written now: all but the line ends at the end. It is good until the next
// call of room.
func (r *run) take(n int) []byte {
	text := r.buf[:r.n+n]
	end := len(text)
	for end > r.n && (text[end-1] == '\r' || text[end-1] == '\n') {
		end--
	}
	if end == r.n {
		r.n += n
		r.shorten()
		return nil
	}
	r.at, r.n = end, len(text)-end
	return text[:end]
}

// shorten drops all of a run that is too long but its last octet.
func (r *run) shorten() {
	if r.n <= maxRun {
		return
	}
	r.bare = r.bare || bareCR(r.buf[:r.n])
	r.buf[0] = r.buf[r.n-1]
	r.n, r.dropped = 1, true
}

// tail returns the run at the end of the body. Both canonicalizations end a
// body in one line end (RFC 6376 §3.4.3, §3.4.4), so that what was dropped
// does not matter, unless it was no line end.
func (r *run) tail(err *error) []byte {
	t := r.buf[r.at : r.at+r.n]
	if r.dropped && *err == nil && (r.bare || bareCR(t) || r.n > 0 && t[r.n-1] == '\r') {
		*err = errRun
	}
	if r.dropped {
		return nil
	}
	return t
}

// read fills p as far as there is something, so that small pieces do not make
// many writes.
func (m *message) read(body io.Reader, p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(body, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

// write hands p to w, unless something is wrong already.
func (m *message) write(w io.Writer, p []byte) {
	if len(p) == 0 || m.err != nil {
		return
	}
	m.writes++
	n, err := w.Write(p)
	m.written += int64(n)
	m.err = err
}

// bareCR reports whether a CR in p is followed by something but LF.
func bareCR(p []byte) bool {
	for i := range len(p) - 1 {
		if p[i] == '\r' && p[i+1] != '\n' {
			return true
		}
	}
	return false
}
