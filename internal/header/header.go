// Package header builds header fields that nothing can be injected into, and
// reads the text of fields for display (RFC 5322 §2.2, RFC 2047).
//
// Fold writes LF, not CRLF, before the white space that continues a field: this
// is how Postfix takes values from a milter (a CRLF there gives a double line
// end) and how it stores them. Who writes a field into an SMTP stream or a file
// with CRLF replaces each LF; there is none else.
package header

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a field that we write, in octets without the line end.
const (
	// MaxLine is the longest line (RFC 5322 §2.1.1).
	MaxLine = 998
	// WantLine is where Fold breaks if white space allows it.
	WantLine = 78
	// MaxValue bounds a whole value. Postfix cuts what it shows to a milter at
	// 60000, so anything longer would be lost to the next one.
	MaxValue = 50000
)

// Errors of Fold; the message of the one returned names the field.
var (
	ErrName    = errors.New("not a field name")
	ErrValue   = errors.New("field value holds a control character or is not UTF-8")
	ErrTooLong = errors.New("field too long")
)

// Field is one header field that was checked by New. Its value is folded as
// Fold does it.
type Field struct {
	Name  string
	Value string
}

// New returns the field name with the value Fold(name, value, more...).
func New(name, value string, more ...string) (Field, error) {
	v, err := Fold(name, value, more...)
	if err != nil {
		return Field{}, err
	}
	return Field{Name: name, Value: v}, nil
}

// String returns "Name: value" without a final line end.
func (f Field) String() string { return f.Name + ": " + f.Value }

// ValidName reports whether s is a field name: printable US-ASCII without the
// colon (RFC 5322 §2.2), at most 77 octets so that a line has room for it.
func ValidName(s string) bool {
	if s == "" || len(s) >= WantLine {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == ':' {
			return false
		}
	}
	return true
}

// Fold returns value folded for a field of the given name, without the name,
// colon and blank in front and without a final line end. Each string of more
// begins a line of its own, after LF and a tab. Lines end before white space
// of the value at 78 octets where it has some there, and are never longer than
// 998. Unfold gives the strings back, joined by tabs.
//
// An invalid name, a control character other than a tab within a value (a line
// end above all), bytes that are not UTF-8, and a word that no line can hold
// are errors: nothing is cleaned up in silence.
func Fold(name, value string, more ...string) (string, error) {
	if !ValidName(name) {
		return "", fmt.Errorf("%q: %w", name, ErrName)
	}
	var b strings.Builder
	if err := foldLine(&b, value, len(name)+len(": ")); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	for _, m := range more {
		if strings.Trim(m, " \t") == "" {
			return "", fmt.Errorf("%s: empty line: %w", name, ErrValue)
		}
		b.WriteString("\n\t")
		if err := foldLine(&b, m, 1); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	if b.Len() > MaxValue {
		return "", fmt.Errorf("%s: value of %d bytes: %w", name, b.Len(), ErrTooLong)
	}
	return b.String(), nil
}

// foldLine appends s to b; col octets already stand on the line.
func foldLine(b *strings.Builder, s string, col int) error {
	if !validValue(s) {
		return ErrValue
	}
	first := true
	for s != "" {
		n := wordEnd(s)
		// A line of white space alone would be an end of header to some.
		if col+n > WantLine && !first && n > 1 && strings.Trim(s[:n], " \t") != "" {
			b.WriteByte('\n')
			col = 0
		}
		if col+n > MaxLine {
			return ErrTooLong
		}
		b.WriteString(s[:n])
		col += n
		s = s[n:]
		first = false
	}
	return nil
}

// wordEnd returns the length of the white space at the start of s and of the
// word behind it.
func wordEnd(s string) int {
	n := 0
	for n < len(s) && isWSP(s[n]) {
		n++
	}
	for n < len(s) && !isWSP(s[n]) {
		n++
	}
	return n
}

func validValue(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r != '\t' && unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// Unfold returns value, the raw bytes after the colon of a field, without the
// line ends that folding put there (RFC 5322 §2.2.3) and without the white
// space around it. Other bytes stay as they are, in whatever character set.
func Unfold(value []byte) string {
	n := 0
	for _, c := range value {
		if c == '\n' {
			n++
		}
	}
	if n == 0 {
		return strings.Trim(string(value), " \t\r")
	}
	b := make([]byte, 0, len(value))
	for i, c := range value {
		if c == '\n' || c == '\r' && i+1 < len(value) && value[i+1] == '\n' {
			continue
		}
		b = append(b, c)
	}
	return strings.Trim(string(b), " \t\r")
}

func isWSP(c byte) bool { return c == ' ' || c == '\t' }
