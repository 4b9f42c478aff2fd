package sieve

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// text is a string of a script: constant, or with variables in it.
type text struct {
	lit   string
	parts []textPart // nil for a constant
}

// textPart is literal text, or a variable when ref is not nil.
type textPart struct {
	lit string
	ref *variable
}

func (t text) constant() bool { return t.parts == nil }

// eval returns the string with the values that its variables have now.
func (t text) eval(m *machine) string {
	if t.parts == nil {
		return t.lit
	}
	var b strings.Builder
	for _, p := range t.parts {
		v := p.lit
		if p.ref != nil {
			v = p.ref.value(m)
		}
		if b.Len()+len(v) > maxScript {
			break // variables are bounded, so this takes a very long string
		}
		b.WriteString(v)
	}
	m.spend(b.Len()>>6 + len(t.parts)>>2)
	return b.String()
}

// evalAll returns the strings of a list.
func evalAll(ts []text, m *machine) []string {
	out := make([]string, len(ts))
	for i, t := range ts {
		out[i] = t.eval(m)
	}
	return out
}

// text compiles the string s: encoded characters first (RFC 5228 §2.4.2.4),
// then variables (RFC 5229 §3), so that what the first made is seen by the
// second.
func (c *compiler) text(s string, at Pos) text {
	if strings.Contains(s, "${") {
		if c.has("encoded-character") {
			s = c.decodeCharacters(s, at)
		}
		if c.has("variables") {
			return c.variables(s, at)
		}
	}
	return text{lit: s}
}

func (c *compiler) texts(list []string, at Pos) []text {
	out := make([]text, len(list))
	for i, s := range list {
		out[i] = c.text(s, at)
	}
	return out
}

// decodeCharacters replaces ${hex:…} and ${unicode:…}. What does not follow
// the grammar stays as it is; a code point that does not exist is an error.
func (c *compiler) decodeCharacters(s string, at Pos) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		s = s[i:]
		end := strings.IndexByte(s, '}')
		if end < 0 {
			b.WriteString(s)
			return b.String()
		}
		kind, digits, ok := strings.Cut(s[2:end], ":")
		var out string
		switch {
		case ok && strings.EqualFold(kind, "hex"):
			out, ok = hexCharacters(digits)
		case ok && strings.EqualFold(kind, "unicode"):
			out, ok = c.unicodeCharacters(digits, at)
		default:
			ok = false
		}
		if ok {
			b.WriteString(out)
			s = s[end+1:]
			continue
		}
		b.WriteString("${")
		s = s[2:]
	}
}

func hexCharacters(s string) (string, bool) {
	words := strings.FieldsFunc(s, isEncodedBlank)
	out := make([]byte, 0, len(words))
	for _, w := range words {
		n, err := strconv.ParseUint(w, 16, 8)
		if err != nil || len(w) > 2 || w[0] == '+' {
			return "", false
		}
		out = append(out, byte(n))
	}
	return string(out), len(out) > 0
}

func (c *compiler) unicodeCharacters(s string, at Pos) (string, bool) {
	words := strings.FieldsFunc(s, isEncodedBlank)
	var out []byte
	for _, w := range words {
		if strings.Trim(w, "0123456789abcdefABCDEF") != "" {
			return "", false
		}
		n, err := strconv.ParseUint(w, 16, 32)
		if err != nil || n > utf8.MaxRune || n >= 0xd800 && n < 0xe000 {
			c.faults.add(at, "${unicode:%s} is no Unicode character", quoteShort(w))
			return "", true
		}
		out = utf8.AppendRune(out, rune(n))
	}
	return string(out), len(words) > 0
}

func isEncodedBlank(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }
