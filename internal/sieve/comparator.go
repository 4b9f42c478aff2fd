package sieve

import (
	"cmp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// comparator is one of RFC 4790 and RFC 5051. The zero value is the default of
// Sieve, i;ascii-casemap.
type comparator uint8

const (
	asciiCasemap comparator = iota
	octet
	asciiNumeric
	unicodeCasemap
)

// comparators maps names to what they mean.
var comparators = map[string]comparator{
	"i;ascii-casemap":   asciiCasemap,
	"i;octet":           octet,
	"i;ascii-numeric":   asciiNumeric,
	"i;unicode-casemap": unicodeCasemap,
}

// substrings reports whether the comparator can look for parts of strings.
func (c comparator) substrings() bool { return c != asciiNumeric }

// fold returns what is compared byte by byte.
func (c comparator) fold(s string) string {
	switch c {
	case asciiCasemap:
		return lowerASCII(s)
	case unicodeCasemap:
		return norm.NFKD.String(cases.Fold().String(s))
	}
	return s
}

// foldShift is how many bytes fold folds in a step, as a power of two.
func (c comparator) foldShift() int {
	if c == unicodeCasemap {
		return 2
	}
	return 5
}

// compare takes both folded.
func (c comparator) compare(value, key string) int {
	if c == asciiNumeric {
		return compareNumbers(value, key)
	}
	return strings.Compare(value, key)
}

// compareNumbers compares the digits that a and b begin with; a string without
// any is more than every number (RFC 4790 §9.1.1).
func compareNumbers(a, b string) int {
	x, xok := leadingDigits(a)
	y, yok := leadingDigits(b)
	switch {
	case !xok && !yok:
		return 0
	case !xok:
		return 1
	case !yok:
		return -1
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y))
}

// leadingDigits returns them without zeros in front.
func leadingDigits(s string) (string, bool) {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return strings.TrimLeft(s[:n], "0"), n > 0
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// lowerASCII leaves everything but A to Z alone.
func lowerASCII(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			return mapASCII(s, i, 'A', 0x20)
		}
	}
	return s
}

func upperASCII(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'a' && c <= 'z' {
			return mapASCII(s, i, 'a', 0x20)
		}
	}
	return s
}

// mapASCII flips the bit of the letters that begin at first, from offset i on.
func mapASCII(s string, i int, first, bit byte) string {
	b := []byte(s)
	for ; i < len(b); i++ {
		if b[i]-first < 26 {
			b[i] ^= bit
		}
	}
	return string(b)
}

// hasFoldedPrefix reports whether s begins with key, which is in lower case.
func hasFoldedPrefix(s, key string) bool {
	if len(s) < len(key) {
		return false
	}
	for i := range len(key) {
		if lowerByte(s[i]) != key[i] {
			return false
		}
	}
	return true
}

// indexFolded returns where s has key, which is in lower case, or -1.
func indexFolded(s, key string) int {
	if key == "" {
		return 0
	}
	low := key[0]
	for i := 0; i+len(key) <= len(s); i++ {
		if lowerByte(s[i]) == low && hasFoldedPrefix(s[i+1:], key[1:]) {
			return i
		}
	}
	return -1
}

// runeSize returns the bytes of the first character of s.
func runeSize(s string) int {
	if s[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}
