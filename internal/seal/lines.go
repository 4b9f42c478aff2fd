package seal

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// Field is the name of the field.
const Field = "X-Gatepost-Verdict"

// lineBytes is how much of a header is looked at at a time. A longer line comes
// in pieces.
const lineBytes = 4 << 10

// part says what a piece of a header is.
type part int

const (
	begins part = iota // a field, or a line that is none
	goesOn             // what came before
	ends               // the empty line
)

// lines walks through the header of a message in pieces. The header ends at the
// first empty line: a line that is no field does not end it, so that no reader of
// the message, whichever line it takes for the end, finds a field behind that.
type lines struct {
	from   io.Reader
	src    *bufio.Reader // of from
	within bool          // a line
}

func newLines(r io.Reader) *lines { return &lines{from: r, src: bufio.NewReaderSize(r, lineBytes)} }

// rest returns what follows. Large messages are not read in pieces of lineBytes
// then, and one in memory writes itself.
func (l *lines) rest() io.Reader {
	read, _ := l.src.Peek(l.src.Buffered())
	return io.MultiReader(bytes.NewReader(read), l.from)
}

// next returns the next piece, which is good until the next call. Of a line that
// begins it has the whole, or lineBytes. The rest behind the piece that ends the
// header is the body; a message that is header only ends with io.EOF.
func (l *lines) next() ([]byte, part, error) {
	within := l.within
	p, err := l.src.ReadSlice('\n')
	l.within = err != nil
	switch {
	case errors.Is(err, bufio.ErrBufferFull), errors.Is(err, io.EOF) && len(p) > 0:
	case err != nil:
		return nil, ends, err
	}
	switch {
	case within, p[0] == ' ', p[0] == '\t':
		return p, goesOn, nil
	case string(p) == "\n", string(p) == "\r\n":
		return p, ends, nil
	}
	return p, begins, nil
}

// named reports whether a line begins with that name in whatever case. What
// follows must only not be a part of a longer name: a colon, or white space that
// somebody may fold away.
func named(line []byte, name string) bool {
	n := len(name)
	return len(line) > n && strings.EqualFold(string(line[:n]), name) && (line[n] == ':' || line[n] <= ' ')
}

// Clean reports whether the message that begins with top has no such field,
// which needs a top with the whole header.
func Clean(top []byte) bool {
	for pos := 0; pos < len(top); {
		line := top[pos:]
		n := bytes.IndexByte(line, '\n')
		if n < 0 {
			return false
		}
		if n == 0 || n == 1 && line[0] == '\r' {
			return true
		}
		if named(line, Field) {
			return false
		}
		pos += n + 1
	}
	return false
}

// Strip returns a reader of the message in r without the fields of that name.
// It holds a few kilobytes, whatever the message is.
func Strip(r io.Reader) io.Reader { return &stripper{lines: newLines(r)} }

type stripper struct {
	lines *lines
	body  io.Reader // nil within the header
	drop  bool      // the field in hand
	left  []byte
}

// Read implements io.Reader.
func (s *stripper) Read(p []byte) (int, error) {
	if err := s.fill(); err != nil {
		return 0, err
	}
	if len(s.left) == 0 {
		return s.body.Read(p)
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

// WriteTo implements io.WriterTo: a body in memory is written without a copy.
func (s *stripper) WriteTo(w io.Writer) (n int64, err error) {
	for {
		err := s.fill()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if len(s.left) == 0 {
			k, err := io.Copy(w, s.body)
			return n + k, err
		}
		k, err := w.Write(s.left)
		n += int64(k)
		if s.left = s.left[k:]; err != nil {
			return n, err
		}
	}
}

// fill gets the next piece of the header that stays; behind the header there is
// none.
func (s *stripper) fill() error {
	for s.body == nil && len(s.left) == 0 {
		p, what, err := s.lines.next()
		if err != nil {
			return err
		}
		switch what {
		case begins:
			s.drop = named(p, Field)
		case ends:
			s.body, s.drop = s.lines.rest(), false
		}
		if !s.drop {
			s.left = p
		}
	}
	return nil
}
