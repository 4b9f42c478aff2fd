package sieve

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// modifiers are the tags of set with their precedence (RFC 5229 §4.1); the
// higher one is applied first. encodeurl is that of RFC 5435 §6, quoteregex
// that of Pigeonhole's regex.
var modifiers = []tagDef{
	{name: "lower", ext: "variables", group: "modifier 40"},
	{name: "upper", ext: "variables", group: "modifier 40"},
	{name: "lowerfirst", ext: "variables", group: "modifier 30"},
	{name: "upperfirst", ext: "variables", group: "modifier 30"},
	{name: "quotewildcard", ext: "variables", group: "modifier 20"},
	{name: "quoteregex", ext: "regex", group: "modifier 20"},
	{name: "encodeurl", ext: "enotify", group: "modifier 15"},
	{name: "length", ext: "variables", group: "modifier 10"},
}

// modifiersOf returns the modifiers of a call in the order of application.
func modifiersOf(call *call) []string {
	var groups []string
	for g := range call.tags {
		if strings.HasPrefix(g, "modifier ") {
			groups = append(groups, g)
		}
	}
	slices.Sort(groups)
	slices.Reverse(groups)
	out := make([]string, len(groups))
	for i, g := range groups {
		out[i] = call.tags[g].def.name
	}
	return out
}

// modify applies modifiers to s; most bounds the bytes of the result, and no
// escape is cut in two.
func modify(s string, mods []string, most int) string {
	for _, mod := range mods {
		switch mod {
		case "lower":
			s = lowerASCII(s)
		case "upper":
			s = upperASCII(s)
		case "lowerfirst":
			if s != "" {
				s = lowerASCII(s[:1]) + s[1:]
			}
		case "upperfirst":
			if s != "" {
				s = upperASCII(s[:1]) + s[1:]
			}
		case "quotewildcard":
			s = escape(s, `*?\`, most)
		case "quoteregex":
			s = escape(s, `.\+*?[^]$(){}|`, most)
		case "encodeurl":
			s = encodeURL(s, most)
		case "length":
			s = strconv.Itoa(utf8.RuneCountInString(s))
		}
	}
	return s
}

// modify cuts a value to size, and applies modifiers to it.
func (m *machine) modify(s string, mods []string) string {
	most := m.env.Limits.VariableBytes
	s = cutText(s, most)
	m.spend(len(mods) * len(s) >> 2)
	return modify(s, mods, most)
}

// escape puts a backslash in front of each byte of set.
func escape(s, set string, most int) string {
	var b strings.Builder
	for _, r := range s {
		n := utf8.RuneLen(r)
		if n < 0 {
			n = 1
		}
		quoted := strings.ContainsRune(set, r)
		if quoted {
			n++
		}
		if b.Len()+n > most {
			break
		}
		if quoted {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// encodeURL leaves the unreserved characters of RFC 3986 §2.3 alone. It takes
// whole characters only.
func encodeURL(s string, most int) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); {
		_, size := utf8.DecodeRuneInString(s[i:])
		plain := size == 1 && (isAlpha(s[i]) || isDigit(s[i]) || strings.IndexByte("-.~", s[i]) >= 0)
		n := 3 * size
		if plain {
			n = 1
		}
		if b.Len()+n > most {
			break
		}
		if plain {
			b.WriteByte(s[i])
		} else {
			for _, c := range []byte(s[i : i+size]) {
				b.WriteByte('%')
				b.WriteByte(hex[c>>4])
				b.WriteByte(hex[c&15])
			}
		}
		i += size
	}
	return b.String()
}

// setCommand is set of RFC 5229 §4.
type setCommand struct {
	to    *variable
	value text
	mods  []string
}

func buildSet(c *compiler, call *call) any {
	to := c.target(call.pos[0])
	if to == nil {
		return nil
	}
	return &setCommand{to: to, value: c.text(call.pos[1].text, call.pos[1].at), mods: modifiersOf(call)}
}

func (s *setCommand) exec(m *machine) error {
	s.to.assign(m, m.modify(s.value.eval(m), s.mods))
	return nil
}

// stringTest is string of RFC 5229 §5. It counts strings that are not empty.
type stringTest struct {
	match  *match
	values []text
}

func buildStringTest(c *compiler, call *call) any {
	mt := c.match(call, call.pos[1])
	if mt == nil {
		return nil
	}
	return &stringTest{match: mt, values: c.texts(call.pos[0].strings(), call.pos[0].at)}
}

func (t *stringTest) eval(m *machine) (bool, error) {
	return t.match.run(m, func(yield func(string) bool) {
		for _, v := range t.values {
			s := v.eval(m)
			if s == "" && t.match.kind == matchCount {
				continue
			}
			if !yield(s) {
				return
			}
		}
	})
}
