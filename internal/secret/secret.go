// Package secret holds bytes that must not be printed: passwords, hashes,
// keys, tokens. A secret is a Value from the moment it is decoded.
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Value prints as "[secret]" under every verb and encodes so. fmt calls no
// method on an unexported field, so the bytes sit behind two pointers: through
// one, "%s" of a struct with an unexported Value prints them (it follows a
// pointer to a slice for a verb that does not fit). The zero Value is empty.
// A Value is immutable.
type Value struct{ p **[]byte }

// New returns a Value with a copy of b.
func New(b []byte) Value {
	x := &box{}
	x.b = append(x.room[:0], b...)
	x.p = &x.b
	return Value{p: &x.p}
}

// String returns a Value with the bytes of s.
func String(s string) Value { return New([]byte(s)) }

// Reveal returns the bytes; the caller must not change or log them.
func (v Value) Reveal() []byte {
	if v.p == nil {
		return nil
	}
	return **v.p
}

// IsEmpty reports whether v has no bytes.
func (v Value) IsEmpty() bool { return len(v.Reveal()) == 0 }

// Equal compares in time that depends on the lengths only.
func (v Value) Equal(w Value) bool {
	return subtle.ConstantTimeCompare(v.Reveal(), w.Reveal()) == 1
}

const shown = "[secret]"

// Format writes "[secret]".
func (v Value) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, shown) }

// LogValue returns "[secret]".
func (v Value) LogValue() slog.Value { return slog.StringValue(shown) }

// MarshalText returns "[secret]".
func (v Value) MarshalText() ([]byte, error) { return []byte(shown), nil }

// box is what a Value points to, in one piece: most passwords are short, and so
// is a login in base64.
type box struct {
	b    []byte
	p    *[]byte
	room [64]byte
}
