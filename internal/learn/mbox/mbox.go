// Package mbox reads the messages of an mbox file, one after the other, with
// bounded memory and in linear time.
//
// A message begins with a "From " line that has a time of day and a year in it,
// at the start of the file or behind an empty line. Of a line that begins with
// ">From ", after any number of ">", one ">" is taken away (mboxrd; what mboxo
// lost does not come back). Content-Length is ignored: it lies too often.
//
// Limits: a message is cut to the bound that New is given. A file of the kind
// that quotes nothing (mboxcl2) is cut where a line of its text looks like a
// beginning.
package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// ErrFormat means that the input does not begin with a "From " line.
var ErrFormat = errors.New("not an mbox: it does not begin with a From line")

// lineBytes is how much of a line is looked at in one piece.
const lineBytes = 64 << 10

// Reader reads messages.
type Reader struct {
	r     *bufio.Reader
	most  int
	begun bool
	// next says that the From line of a message was read.
	next bool
}

// New returns a Reader of messages of at most that many bytes.
func New(r io.Reader, most int) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, lineBytes), most: most}
}

// Is reports whether what begins with head is an mbox.
func Is(head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	return separator(line)
}

// Next returns the next message, which is the caller's, without its From line
// and the empty line behind it. At the end the error is io.EOF.
func (r *Reader) Next() ([]byte, error) {
	if !r.begun {
		r.begun = true
		line, whole, err := r.piece()
		if err != nil && len(line) == 0 {
			return nil, err
		}
		if !separator(line) {
			return nil, ErrFormat
		}
		for !whole && err == nil {
			_, whole, err = r.piece()
		}
		r.next = true
	}
	if !r.next {
		return nil, io.EOF
	}
	r.next = false
	return r.message()
}

func (r *Reader) message() (msg []byte, err error) {
	msg = []byte{}
	start, empty := true, true // at the start of a line; the line before was empty
	for {
		line, whole, err := r.piece()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if start && empty && separator(line) {
			for !whole && err == nil {
				_, whole, err = r.piece()
			}
			r.next = true
			return cutBlank(msg), nil
		}
		if start {
			empty = len(bytes.TrimRight(line, "\r\n")) == 0
			line = unquote(line)
		}
		msg = append(msg, line[:min(len(line), r.most-len(msg))]...)
		start = whole
		if err != nil {
			return cutBlank(msg), nil
		}
	}
}

// piece returns the next line, or what of it fits, and whether it ends there.
func (r *Reader) piece() (line []byte, whole bool, err error) {
	line, err = r.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return line, false, nil
	}
	return line, true, err
}

// unquote takes one ">" off a quoted From line.
func unquote(line []byte) []byte {
	if len(line) > 0 && line[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
		return line[1:]
	}
	return line
}

// cutBlank takes off the empty line that ends each message of an mbox.
func cutBlank(msg []byte) []byte {
	for _, end := range []string{"\r\n", "\n"} {
		if bytes.HasSuffix(msg, []byte("\n"+end)) || string(msg) == end {
			return msg[:len(msg)-len(end)]
		}
	}
	return msg
}

// separator reports whether line begins a message.
func separator(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("From "))
	if !ok {
		return false
	}
	clock, year := false, false
	for _, w := range bytes.Fields(rest[:min(len(rest), 500)]) {
		clock = clock || len(w) >= 5 && digits(w[:2]) && w[2] == ':' && digits(w[3:5])
		year = year || len(w) == 4 && digits(w)
	}
	return clock && year
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
