package seal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
)

// bound are the names of the fields that a verdict may be bound to.
var bound = [...]string{"from", "date", "message-id", "subject"}

// subject is the one that is bound even where there is none.
const subject = 3

// maxBound is the longest field, in octets with its folding, that is bound: far
// below what Postfix cuts (header_size_limit, and 60000 octets for a milter).
const maxBound = 8000

// errHeader is a message whose header has lines that are no fields.
var errHeader = errors.New("the header has lines that are no fields")

// Sum are the hashes of a message, or of what a verdict is bound to in it.
type Sum struct {
	fields [len(bound)]fieldSum
	body   [sha256.Size]byte
	odd    bool // see errHeader
}

// fieldSum is about all fields of one name.
type fieldSum struct {
	sum     [sha256.Size]byte
	present bool
	// unstable says that another host may not see them as this one does.
	unstable bool
}

// Read returns the Sum of the message in r. It takes time in proportion to the
// message, and a few kilobytes.
func Read(r io.Reader) (Sum, error) {
	s := summer{field: -1}
	for i := range s.hashes {
		s.hashes[i] = sha256.New()
	}
	if err := s.header(newLines(r)); err != nil {
		return Sum{}, err
	}
	for i := range bound {
		s.hashes[i].Sum(s.sum.fields[i].sum[:0])
	}
	return s.sum, nil
}

// summer reads one message.
type summer struct {
	sum    Sum
	hashes [len(bound)]hash.Hash
	text   text

	field int // of bound that is in hand, -1 for another
	size  int // of it
	// cut says that it had a NUL: a milter is shown what stands before that.
	cut  bool
	name nameState
}

// header reads the whole message.
func (s *summer) header(l *lines) error {
	for {
		p, what, err := l.next()
		switch {
		case errors.Is(err, io.EOF):
			s.endField()
			return s.body(bytes.NewReader(nil))
		case err != nil:
			return err
		case what == ends:
			s.endField()
			return s.body(l.rest())
		case what == begins:
			s.endField()
			s.beginField(p)
		}
		s.more(p)
	}
}

func (s *summer) body(r io.Reader) error {
	h := sha256.New()
	s.text.to = h
	if _, err := io.Copy(&s.text, r); err != nil {
		return err
	}
	h.Sum(s.sum.body[:0])
	return nil
}

func (s *summer) beginField(line []byte) {
	s.field, s.size, s.cut, s.name = -1, 0, false, nameStarts
	for i, name := range bound {
		if named(line, name) {
			s.field = i
			s.sum.fields[i].present = true
			s.text.to = s.hashes[i]
		}
	}
}

// maxName bounds the name of a field, its colon too. Postfix's smtp(8) breaks a
// line at 998 octets, and a broken name ends the header at the next hop: the
// body would be another.
const maxName = 500

// more takes a piece of the field in hand.
func (s *summer) more(p []byte) {
	s.size += len(p)
	was := s.name
	value := s.name.pass(p)
	if was != nameOver && s.size-len(value) > maxName {
		s.name = nameBad
	}
	if s.field < 0 || s.cut {
		return
	}
	if n := bytes.IndexByte(value, 0); n >= 0 {
		value, s.cut = value[:n], true
	}
	f := &s.sum.fields[s.field]
	f.unstable = f.unstable || s.size > maxBound
	_, _ = s.text.Write(value)
}

// endField ends the field in hand, if there is one.
func (s *summer) endField() {
	s.sum.odd = s.sum.odd || s.name != nameNone && s.name != nameOver
	if s.field >= 0 {
		s.hashes[s.field].Write([]byte{'\n'})
	}
	s.field, s.name = -1, nameNone
}

// nameState is how far the name of a field has been read (RFC 5322 §2.2, and
// white space before the colon, §4.5).
type nameState int

const (
	nameNone nameState = iota // no field
	nameStarts
	nameWithin
	nameBehind // the name, before the colon
	nameOver
	nameBad
)

// pass takes a piece of a field and returns what stands behind the colon.
func (n *nameState) pass(p []byte) []byte {
	for i, c := range p {
		switch {
		case *n == nameOver:
			return p[i:]
		case *n == nameNone:
			*n = nameBad // white space before the first field
			return nil
		case *n == nameBad:
			return nil
		case c == ':' && *n != nameStarts:
			*n = nameOver
		case (c == ' ' || c == '\t') && *n != nameStarts:
			*n = nameBehind
		case c > ' ' && c < 0x7f && c != ':' && *n != nameBehind:
			*n = nameWithin
		default:
			*n = nameBad
		}
	}
	return nil
}

// text hands on what is no white space.
type text struct {
	to  hash.Hash
	buf [lineBytes]byte
}

// Write implements io.Writer.
func (t *text) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), lineBytes)
		k := 0
		for _, c := range p[:n] {
			t.buf[k] = c
			if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
				k++
			}
		}
		t.to.Write(t.buf[:k])
		p = p[n:]
	}
	return total, nil
}

// stable returns the numbers of the fields that a verdict on the message is
// bound to.
func (s *Sum) stable() []int {
	var out []int
	for i := range bound {
		if f := s.fields[i]; !f.unstable && (f.present || i == subject) {
			out = append(out, i)
		}
	}
	return out
}

// over returns the hash of the body and those fields.
func (s *Sum) over(fields []int) [sha256.Size]byte {
	h := sha256.New()
	for _, i := range fields {
		h.Write(s.fields[i].sum[:])
	}
	h.Write(s.body[:])
	var out [sha256.Size]byte
	h.Sum(out[:0])
	return out
}
