package dkim

import (
	"bytes"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Canon is a canonicalization (RFC 6376 §3.4).
type Canon uint8

// The canonicalizations. Simple is what a signature without c= means.
const (
	Simple Canon = iota
	Relaxed
)

// String returns the word of c=.
func (c Canon) String() string {
	if c == Relaxed {
		return "relaxed"
	}
	return "simple"
}

// parseCanon reads the value of c=, "" for none.
func parseCanon(v string) (header, body Canon, ok bool) {
	word := func(s []byte) (Canon, bool) {
		switch {
		case bytes.EqualFold(s, []byte("simple")):
			return Simple, true
		case bytes.EqualFold(s, []byte("relaxed")):
			return Relaxed, true
		}
		return Simple, false
	}
	if v == "" {
		return Simple, Simple, true
	}
	h, b, both := bytes.Cut([]byte(v), []byte("/"))
	header, ok = word(h)
	if ok && both {
		body, ok = word(b)
	}
	return header, body, ok
}

// appendField appends the canonical form of f (RFC 6376 §3.4.1, §3.4.2) to dst,
// CRLF at its end included.
func appendField(dst []byte, c Canon, f *rawmsg.Field) []byte {
	if c == Relaxed {
		dst = AppendRelaxed(dst, f.Raw)
	} else {
		dst = appendSimple(dst, f.Raw)
	}
	return append(dst, "\r\n"...)
}

// appendSimple appends a field without its last line end; bare LF becomes CRLF.
func appendSimple(dst, raw []byte) []byte {
	raw = bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
	for {
		i := bytes.IndexByte(raw, '\n')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, bytes.TrimSuffix(raw[:i], []byte("\r"))...)
		dst = append(dst, "\r\n"...)
		raw = raw[i+1:]
	}
}

// AppendRelaxed appends a whole field, without its last line end: the name in lower
// case, no white space around the colon or at the end, one blank for each run
// of white space inside.
func AppendRelaxed(dst, raw []byte) []byte {
	name, value, _ := bytes.Cut(raw, []byte(":"))
	for _, c := range bytes.TrimRight(name, " \t") {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	dst = append(dst, ':')
	begin := len(dst)
	blank := false
	for _, c := range value {
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			blank = true
			continue
		}
		if blank && len(dst) > begin {
			dst = append(dst, ' ')
		}
		blank = false
		dst = append(dst, c)
	}
	return dst
}
