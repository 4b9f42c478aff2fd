package spf

import (
	"strings"
)

// MacroString is text with macros (RFC 7208 §7.1) that keeps to the grammar.
type MacroString string

// place is where a macro string stands. It decides what the string may hold.
type place int

const (
	inRecord      place = iota
	inExplanation       // spaces, and the macros c, r and t
)

// token is one piece of a macro string: literal text, or a macro.
type token struct {
	text  string
	macro bool // text came of "%": %%, %_, %- or, with a letter, %{…}
	// letter is in lower case, 0 for text.
	letter  byte
	escape  bool // the letter was in upper case: URL escaping
	parts   int  // the right-hand parts to keep, 0 for all
	reverse bool
	delims  string
}

// maxParts is as many parts as a value can have.
const maxParts = 1 << 16

// next cuts the first token off s, which is not empty.
func next(s string) (t token, rest string, err error) {
	if i := strings.IndexByte(s, '%'); i != 0 {
		if i < 0 {
			i = len(s)
		}
		return token{text: s[:i]}, s[i:], nil
	}
	if len(s) < 2 {
		return t, "", fault("text ends in %")
	}
	switch s[1] {
	case '%':
		return token{text: "%", macro: true}, s[2:], nil
	case '_':
		return token{text: " ", macro: true}, s[2:], nil
	case '-':
		return token{text: "%20", macro: true}, s[2:], nil
	case '{':
	default:
		return t, "", fault("% without a macro")
	}
	end := strings.IndexByte(s, '}')
	if end < 0 || end == 2 || !isAlpha(s[2]) {
		return t, "", fault("macro without a letter or without an end")
	}
	t = token{macro: true, letter: s[2] | 0x20, escape: s[2]&0x20 == 0}
	return t, s[end+1:], t.transform(s[3:end])
}

// transform reads what follows the letter: *DIGIT [ "r" ] *delimiter.
func (t *token) transform(s string) error {
	i := 0
	for ; i < len(s) && isDigit(s[i]); i++ {
		t.parts = min(t.parts*10+int(s[i]-'0'), maxParts)
	}
	if i > 0 && t.parts == 0 {
		return fault("macro that keeps no part") // RFC 7208 §7.3
	}
	s = s[i:]
	if s != "" && s[0]|0x20 == 'r' {
		t.reverse, s = true, s[1:]
	}
	for i := range len(s) {
		if strings.IndexByte(".-+,/_=", s[i]) < 0 {
			return fault("bad delimiter in a macro")
		}
	}
	t.delims = s
	return nil
}

// checkMacros reports the first fault of s.
func checkMacros(s string, p place) error {
	_, err := lastToken(s, p)
	return err
}

// lastToken returns the last token of s, which it checks.
func lastToken(s string, p place) (t token, err error) {
	for s != "" && err == nil {
		if t, s, err = next(s); err == nil {
			err = t.check(p)
		}
	}
	return t, err
}

func (t token) check(p place) error {
	switch {
	case t.letter != 0 && strings.IndexByte("slodipvh", t.letter) >= 0, t.macro && t.letter == 0:
		return nil
	case t.letter != 0 && strings.IndexByte("crt", t.letter) >= 0:
		if p != inExplanation {
			return fault("macro for explanations only") // RFC 7208 §7.2
		}
		return nil
	case t.letter != 0:
		return fault("unknown macro letter")
	}
	for i := range len(t.text) {
		c := t.text[i]
		if c < ' ' || c > '~' || c == ' ' && p != inExplanation {
			return fault("octet that a record cannot hold")
		}
	}
	return nil
}

// checkDomainSpec reports the first fault of s as a domain-spec: it ends in a
// macro, or in a dot and a top label.
func checkDomainSpec(s string) error {
	last, err := lastToken(s, inRecord)
	if err != nil || last.macro {
		return err
	}
	text := strings.TrimSuffix(last.text, ".")
	dot := strings.LastIndexByte(text, '.')
	if dot < 0 || !isTopLabel(text[dot+1:]) {
		return fault("not a domain name")
	}
	return nil
}

// isTopLabel reports whether s is a toplabel: letters, digits and "-", not all
// digits, no "-" at either end.
func isTopLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	digits := true
	for i := range len(s) {
		c := s[i]
		if !isAlpha(c) && !isDigit(c) && c != '-' {
			return false
		}
		digits = digits && isDigit(c)
	}
	return !digits
}

// expand appends s to b, with each macro replaced by what value says. It ends
// with value's first error.
func (s MacroString) expand(b []byte, value func(letter byte) (string, error)) ([]byte, error) {
	rest := string(s)
	for rest != "" {
		t, r, err := next(rest)
		if err != nil {
			return b, err
		}
		rest = r
		if t.letter == 0 {
			b = append(b, t.text...)
			continue
		}
		v, err := value(t.letter)
		if err != nil {
			return b, err
		}
		b = t.append(b, v)
	}
	return b, nil
}

// append appends v, transformed (RFC 7208 §7.3).
func (t token) append(b []byte, v string) []byte {
	if t.parts > 0 || t.reverse || t.delims != "" {
		v = t.transformed(v)
	}
	if !t.escape {
		return append(b, v...)
	}
	const hex = "0123456789ABCDEF"
	for i := range len(v) {
		c := v[i]
		if isAlpha(c) || isDigit(c) || strings.IndexByte("-._~", c) >= 0 {
			b = append(b, c)
			continue
		}
		b = append(b, '%', hex[c>>4], hex[c&15])
	}
	return b
}

func (t token) transformed(v string) string {
	delims := t.delims
	if delims == "" {
		delims = "."
	}
	var parts []string
	for {
		i := strings.IndexAny(v, delims)
		if i < 0 {
			break
		}
		parts = append(parts, v[:i])
		v = v[i+1:]
	}
	parts = append(parts, v)
	if t.reverse {
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
	}
	if t.parts > 0 && t.parts < len(parts) {
		parts = parts[len(parts)-t.parts:]
	}
	return strings.Join(parts, ".")
}
