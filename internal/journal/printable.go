package journal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable returns s as it may go to a terminal, cut to some limit bytes. What
// is not UTF-8, no graphic character or blank, becomes \xNN or \u{N}, so also
// what turns text around or hides it (U+202E, U+200B).
func printable(s string, limit int) string {
	if isShort(s, limit) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if b.Len() >= limit {
			b.WriteString("...")
			break
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1, r < ' ', r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
		i += n
	}
	return b.String()
}

// isShort reports whether printable would return s as it is.
func isShort(s string, limit int) bool { return len(s) <= limit && isPlain(s) }

// isPlain reports whether s is printable ASCII.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// isVerbatim reports whether s stands in JSON as it is: printable ASCII without
// a quote or a backslash. It looks at eight bytes at once, because nearly each
// text of each record comes here, and the last eight overlap those before.
func isVerbatim(s string) bool {
	if len(s) < 8 {
		for i := range len(s) {
			if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
				return false
			}
		}
		return true
	}
	last := s[len(s)-8:]
	for ; len(s) > 8; s = s[8:] {
		if !areVerbatim(s) {
			return false
		}
	}
	return areVerbatim(last)
}

// areVerbatim is isVerbatim for the first eight bytes of s.
func areVerbatim(s string) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	_ = s[7]
	x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	// A byte from 0x7f on has its high bit set or gets it by adding one; one below
	// the blank gets it by taking a blank away; a quote or a backslash becomes 0
	// and gets it by taking one away. A carry comes only from such a byte.
	quote, backslash := x^'"'*each, x^'\\'*each
	return (x|(x+each)|(x-' '*each)|(quote-each)|(backslash-each))&high == 0
}
