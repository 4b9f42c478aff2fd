package sieve

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// Bounds of a regular expression. The size is that of the program it compiles
// to, roughly one for each character and repetition; matching takes at most
// that many steps for each byte.
const (
	maxRegexBytes = 4 << 10
	maxRegexSize  = 4000
	maxRegexes    = 200_000 // the sizes of all constant ones of a unit
	unicodeClass  = 300     // the size of one
)

// compileRegex compiles a POSIX extended expression as RE2: leftmost-longest,
// linear time, no back references. tooBig tells an expression that exceeds the
// bounds from one that is none.
func compileRegex(expr string, c comparator) (re *regexp.Regexp, size int, tooBig bool, err error) {
	if len(expr) > maxRegexBytes {
		return nil, 0, true, fmt.Errorf("regular expression is longer than %d bytes", maxRegexBytes)
	}
	// As POSIX has it, a dot matches a line end too, and ^ and $ only the ends of
	// the value.
	if expr = "(?s)" + expr; c != octet {
		expr = "(?i)" + expr
	}
	size = len(expr) + classSize(expr) // without counted repetition no program is longer
	if size <= maxRegexSize && strings.Contains(expr, "{") {
		tree, err := syntax.Parse(expr, syntax.Perl)
		if err != nil {
			return nil, 0, false, fmt.Errorf("invalid regular expression: %s", quoteShort(err.Error()))
		}
		size = max(size, regexSize(tree))
	}
	if size > maxRegexSize {
		return nil, 0, true, fmt.Errorf("regular expression is too large: its size is %d, %d is allowed", size, maxRegexSize)
	}
	if re, err = regexp.Compile(expr); err != nil {
		return nil, 0, false, fmt.Errorf("invalid regular expression: %s", quoteShort(err.Error()))
	}
	re.Longest()
	return re, size, false, nil
}

// classSize estimates what the character classes of an expression cost beside
// its length: the case of each character in a range is folded, one by one, and a
// class of Unicode has hundreds of ranges.
func classSize(expr string) (n int) {
	for i := 0; i+1 < len(expr); i++ {
		switch c, rest := expr[i], expr[i+1:]; {
		case c == '\\' && rest[0]|0x20 == 'p':
			n += unicodeClass
		case c == '-' && strings.HasPrefix(rest, `\x{`):
			n += utf8.MaxRune >> 9
		case c == '-' && rest[0] >= utf8.RuneSelf:
			r, _ := utf8.DecodeRuneInString(rest)
			n += int(r) >> 6
		}
	}
	return n
}

// regexSize estimates the program of a tree from above, without making it.
func regexSize(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n += regexSize(sub)
		if n > maxRegexSize*4 {
			return n
		}
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return n
}
