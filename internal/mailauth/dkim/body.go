package dkim

import (
	"bytes"
	"encoding/binary"
	"io"
)

// bufSize is how much canonical text goes out at once.
const bufSize = 8 << 10

// emptyLines is what a run of empty lines is written from.
var emptyLines = bytes.Repeat([]byte("\r\n"), 1024)

var oneBlank = []byte(" ")

// Body writes the canonical form of a body (RFC 6376 §3.4.3, §3.4.4) to
// another writer. The body may come in pieces of any size; time and memory do
// not depend on how it is cut, and time is linear in its length. Close must be
// called at its end. It is not safe for concurrent use.
type Body struct {
	w     io.Writer
	canon Canon
	err   error
	buf   []byte
	// lines counts line ends that are kept back: at the end of a body they
	// count as one.
	lines int64
	blank bool // relaxed: white space that is kept back
	cr    bool // the last piece ended in CR
	text  bool // something but empty lines has been written
	// work counts steps, for tests of linear time.
	work int64
}

// NewBody returns a Body that writes to w.
func NewBody(w io.Writer, c Canon) *Body {
	return &Body{w: w, canon: c, buf: make([]byte, 0, bufSize)}
}

// Write takes the next piece of the body. Its error is that of the writer
// behind it.
func (b *Body) Write(p []byte) (int, error) {
	n := len(p)
	if n == 0 {
		return 0, b.err
	}
	if b.cr && p[0] != '\n' {
		b.line([]byte{'\r'})
	}
	b.cr = false
	for len(p) > 0 {
		b.work++
		if n := emptyRun(p); n > 0 {
			b.lines += int64(n / 2)
			b.blank = false
			p = p[n:]
			continue
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			if p[len(p)-1] == '\r' {
				b.cr = true
				p = p[:len(p)-1]
			}
			b.line(p)
			break
		}
		line := p[:i]
		if i > 0 && line[i-1] == '\r' {
			line = line[:i-1]
		}
		b.line(line)
		b.lines++
		b.blank = false
		p = p[i+1:]
	}
	if b.err != nil {
		return 0, b.err
	}
	return n, nil
}

// Close writes what is still kept back. It does not close the writer behind.
func (b *Body) Close() error {
	if b.cr {
		b.cr = false
		b.line([]byte{'\r'})
	}
	if b.text || b.canon == Simple {
		b.put([]byte("\r\n"))
	}
	b.flush()
	return b.err
}

// line takes a line or a part of one, without its line end.
func (b *Body) line(p []byte) {
	if b.canon == Relaxed {
		n := leadingBlanks(p)
		b.blank = b.blank || n > 0
		p = p[n:]
	}
	if len(p) == 0 {
		return
	}
	b.text = true
	b.ends()
	if b.canon == Simple {
		b.put(p)
		return
	}
	if b.blank {
		b.put(oneBlank)
		b.blank = false
	}
	n := verbatim(p)
	b.put(p[:n])
	b.squash(p[n:])
}

// squash writes p with one blank for each run of white space in it, and keeps
// back the one at its end.
func (b *Body) squash(p []byte) {
	b.work += int64(len(p))
	for len(p) > 0 {
		if len(b.buf) > cap(b.buf)/2 {
			b.flush()
		}
		n := min(len(p), cap(b.buf)/4)
		buf, blank := b.buf, b.blank
		for _, c := range p[:n] {
			if isBlank(c) {
				blank = true
				continue
			}
			if blank {
				buf = append(buf, ' ')
				blank = false
			}
			buf = append(buf, c)
		}
		b.buf, b.blank = buf, blank
		p = p[n:]
	}
}

// ends writes the line ends that were kept back.
func (b *Body) ends() {
	for b.lines > 0 {
		n := min(b.lines, int64(len(emptyLines)/2))
		b.put(emptyLines[:2*n])
		b.lines -= n
	}
}

func (b *Body) put(p []byte) {
	b.work += int64(len(p))
	if len(b.buf)+len(p) > cap(b.buf) {
		b.flush()
		if len(p) >= cap(b.buf) {
			b.send(p)
			return
		}
	}
	b.buf = append(b.buf, p...)
}

func (b *Body) flush() {
	b.send(b.buf)
	b.buf = b.buf[:0]
}

func (b *Body) send(p []byte) {
	if b.err == nil && len(p) > 0 {
		_, b.err = b.w.Write(p)
	}
}

// emptyRun returns the length of the CRLFs that p begins with.
func emptyRun(p []byte) int {
	n := 0
	for n+8 <= len(p) && binary.LittleEndian.Uint64(p[n:]) == fourLines {
		n += 8
	}
	for n+2 <= len(p) && p[n] == '\r' && p[n+1] == '\n' {
		n += 2
	}
	return n
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func leadingBlanks(p []byte) int {
	n := 0
	for n < len(p) && isBlank(p[n]) {
		n++
	}
	return n
}

// Eight octets at once.
const (
	ones      = 0x0101010101010101
	highs     = 0x8080808080808080
	blanks    = 0x2020202020202020
	tabs      = 0x0909090909090909
	fourLines = 0x0a0d0a0d0a0d0a0d
)

// verbatim returns the length of the longest beginning of p that relaxed
// canonicalization leaves as it is: no tab, no two blanks in a row, no blank at
// the end. p begins with something else than white space, so it is not 0. Of
// what is done here to a body it takes the most.
func verbatim(p []byte) int {
	i := 0
	for ; i+9 <= len(p); i += 8 {
		v, next := binary.LittleEndian.Uint64(p[i:]), binary.LittleEndian.Uint64(p[i+1:])
		// An octet of the second is 0 where both are blanks.
		if hasZero(v^tabs)|hasZero(v^blanks|next^blanks) != 0 {
			break
		}
	}
	for ; i < len(p); i++ {
		if p[i] == '\t' || p[i] == ' ' && (i+1 == len(p) || isBlank(p[i+1])) {
			break
		}
	}
	for isBlank(p[i-1]) {
		i--
	}
	return i
}

// hasZero is 0 unless an octet of v is 0. It does not tell which one is.
func hasZero(v uint64) uint64 { return (v - ones) & ^v & highs }
