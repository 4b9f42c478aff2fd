package rawmsg

import (
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/internal/header"
)

// params reads "value; name=value; ..." (RFC 2045 §5.1) as lax as senders are:
// the value in lower case, parameters by name in lower case, the first of each
// name. Parameters of RFC 2231 are put together and decoded; they win against
// a plain one of the same name.
func (s *scanner) params(raw []byte) (value string, params map[string]string) {
	text := stripComments(header.Unfold(raw))
	value, rest, _ := strings.Cut(text, ";")
	value = strings.ToLower(strings.TrimSpace(value))
	var long extended
	for n := 0; rest != ""; n++ {
		if n >= s.lim.Params {
			s.m.hit(Params)
			break
		}
		var name, v string
		name, v, rest = nextParam(rest)
		if name == "" {
			continue
		}
		if params == nil {
			params = make(map[string]string, 2)
		}
		if strings.ContainsRune(name, '*') {
			long.add(name, v)
		} else if _, ok := params[name]; !ok {
			params[name] = v
		}
	}
	for name, segs := range long {
		if v, ok := joinSegments(segs); ok {
			params[name] = v
		}
	}
	return value, params
}

// nextParam cuts the first parameter off s. The name is "" for one that is
// empty or has no "=".
func nextParam(s string) (name, value, rest string) {
	i := strings.IndexAny(s, "=;")
	if i < 0 {
		return "", "", ""
	}
	if s[i] == ';' {
		return "", "", s[i+1:]
	}
	name = strings.ToLower(strings.TrimSpace(s[:i]))
	s = strings.TrimLeft(s[i+1:], " \t")
	if strings.HasPrefix(s, `"`) {
		value, s = unquote(s[1:])
		_, rest, _ = strings.Cut(s, ";")
		return name, value, rest
	}
	value, rest, _ = strings.Cut(s, ";")
	return name, strings.TrimSpace(value), rest
}

// unquote reads a quoted string behind its first quote and returns what is
// behind the last. A string that nobody ends ends with s.
func unquote(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}

// segment is one name*N or name*N* or name* of RFC 2231.
type segment struct {
	value   string
	encoded bool
	at      int
}

// extended holds segments by name. Their number is bounded by Limits.Params.
type extended map[string][]segment

func (e *extended) add(name, v string) {
	base, tail, _ := strings.Cut(name, "*")
	g := segment{value: v}
	if num, ok := strings.CutSuffix(tail, "*"); ok || tail == "" {
		g.encoded, tail = true, num
	}
	if tail != "" {
		n, err := strconv.ParseUint(tail, 10, 16)
		if err != nil {
			return
		}
		g.at = int(n)
	}
	if *e == nil {
		*e = make(extended, 1)
	}
	(*e)[base] = append((*e)[base], g)
}

// joinSegments joins segments 0, 1, 2 … as far as they go (RFC 2231 §3, §4.1).
func joinSegments(segs []segment) (string, bool) {
	byNumber := make(map[int]segment, len(segs))
	for _, g := range segs {
		if _, ok := byNumber[g.at]; !ok {
			byNumber[g.at] = g
		}
	}
	first, ok := byNumber[0]
	if !ok {
		return "", false
	}
	charset := ""
	if first.encoded {
		if p := strings.SplitN(first.value, "'", 3); len(p) == 3 {
			charset, first.value = p[0], p[2]
			byNumber[0] = first
		}
	}
	var b []byte
	for i := 0; ; i++ {
		g, ok := byNumber[i]
		if !ok {
			break
		}
		if g.encoded {
			b = appendPercent(b, g.value)
		} else {
			b = append(b, g.value...)
		}
	}
	return header.DecodeCharset(charset, b), true
}

// appendPercent appends s with %XX decoded; a broken one stays as it is.
func appendPercent(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(c))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return b
}

// stripComments returns s without comments (RFC 5322 §3.2.2) outside quoted
// strings. One that nobody ends is text: "(" is not rare in a file name that
// should have been quoted.
func stripComments(s string) string {
	if !strings.Contains(s, "(") || strings.Count(s, "(") != strings.Count(s, ")") {
		return s
	}
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && (quoted || depth > 0):
			if i++; depth == 0 && i < len(s) {
				b.WriteString(s[i-1 : i+1])
			}
			continue
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
			continue
		case c == ')' && depth > 0:
			depth--
			continue
		}
		if depth == 0 {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// isToken reports whether s is a token of RFC 2045 §5.1.
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, s[i]) >= 0 {
			return false
		}
	}
	return true
}
