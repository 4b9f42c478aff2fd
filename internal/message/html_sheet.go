package message

import (
	"bytes"

	"golang.org/x/net/html/atom"
)

// Bounds of what is read of style elements.
const (
	maxSheet = 64 << 10
	maxRules = 400
)

// sheet holds the rules of style elements with a simple selector: ".class",
// "tag", "tag.class", "#id". A class whose look differs by the size of the
// window (@media) hides nothing: one of two variants is always shown.
type sheet struct {
	class, id map[string]declared
	tag       map[atom.Atom]declared
	varies    map[string]bool
	// backgrounds says that some rule which is not understood sets one, so that
	// the colour behind a text is not known.
	backgrounds bool
	left, rules int
}

func newSheet() sheet { return sheet{left: maxSheet} }

// add reads the text of one style element.
func (s *sheet) add(src []byte) {
	src = src[:min(len(src), s.left)]
	s.left -= len(src)
	for len(src) > 0 && s.rules < maxRules {
		src = skipSpace(src)
		if bytes.HasPrefix(src, []byte("@")) {
			src = s.at(src)
			continue
		}
		selector, rest, ok := bytes.Cut(src, []byte{'{'})
		if !ok {
			return
		}
		body, rest, _ := bytes.Cut(rest, []byte{'}'})
		s.rule(selector, body, false)
		src = rest
	}
}

// skipSpace drops white space, comments and the marks of SGML comments.
func skipSpace(b []byte) []byte {
	for len(b) > 0 {
		switch {
		case b[0] <= ' ' || b[0] == '}' || b[0] == ';':
			b = b[1:]
		case bytes.HasPrefix(b, []byte("<!--")):
			b = b[4:]
		case bytes.HasPrefix(b, []byte("-->")):
			b = b[3:]
		case bytes.HasPrefix(b, []byte("/*")):
			_, after, ok := bytes.Cut(b[2:], []byte("*/"))
			if !ok {
				return nil
			}
			b = after
		default:
			return b
		}
	}
	return b
}

// at reads a rule that begins with "@" and returns what follows.
func (s *sheet) at(src []byte) []byte {
	end := bytes.IndexAny(src, "{;")
	if end < 0 {
		return nil
	}
	if src[end] == ';' {
		return src[end+1:]
	}
	media := starts(src, "@media")
	src = src[end+1:]
	for s.rules < maxRules {
		src = bytes.TrimLeft(src, " \t\r\n;")
		if len(src) == 0 {
			return nil
		}
		if src[0] == '}' {
			return src[1:]
		}
		selector, rest, ok := bytes.Cut(src, []byte{'{'})
		if !ok {
			return nil
		}
		body, rest, _ := bytes.Cut(rest, []byte{'}'})
		if media {
			s.rule(selector, body, true)
		}
		src = rest
	}
	return src
}

// rule takes in the declarations of body for each selector.
func (s *sheet) rule(selectors, body []byte, media bool) {
	s.rules++
	d := parseDeclarations(bytes.Clone(body))
	if d.set == 0 && !media {
		return
	}
	for range 20 {
		var one []byte
		var more bool
		one, selectors, more = bytes.Cut(selectors, []byte{','})
		s.selector(trim(one), d, media)
		if !more {
			return
		}
	}
}

func (s *sheet) selector(sel []byte, d declared, media bool) {
	name := sel
	if i := bytes.LastIndexAny(sel, " >+~"); i >= 0 {
		name = sel[i+1:]
	}
	dot := bytes.IndexByte(name, '.')
	if media {
		if dot >= 0 && d.set != 0 {
			s.vary(string(name[dot+1:]))
		}
		return
	}
	if len(name) != len(sel) || len(name) == 0 || len(name) > 64 || bytes.ContainsAny(name, ":[*>+~") {
		s.backgrounds = s.backgrounds || d.set&paper != 0
		return
	}
	switch {
	case name[0] == '#':
		s.id = put(s.id, string(name[1:]), d)
	case dot >= 0:
		s.class = put(s.class, string(name[dot+1:]), d)
	default:
		if t := atom.Lookup(bytes.ToLower(name)); t != 0 {
			s.tag = put(s.tag, t, d)
		}
	}
}

func (s *sheet) vary(class string) {
	if s.varies == nil {
		s.varies = map[string]bool{}
	}
	s.varies[class] = true
}

func put[K comparable](m map[K]declared, key K, d declared) map[K]declared {
	if m == nil {
		m = map[K]declared{}
	}
	m[key] = m[key].over(d)
	return m
}

// hiding are the properties that a variant for another window may undo.
const hiding = display | visibility | fontSize | opacity | offScreen | noHeight | noWidth | overflow

// of returns what the rules say of an element.
func (s *sheet) of(tag atom.Atom, class, id []byte) declared {
	var d declared
	if s.rules == 0 {
		return d
	}
	if t, ok := s.tag[tag]; ok {
		d = t
	}
	for n := 0; len(class) > 0 && n < 16; n++ {
		var one []byte
		class = trim(class)
		if i := bytes.IndexByte(class, ' '); i >= 0 {
			one, class = class[:i], class[i+1:]
		} else {
			one, class = class, nil
		}
		if c, ok := s.class[string(one)]; ok {
			if s.varies[string(one)] {
				c.hides &^= hiding
			}
			d = d.over(c)
		}
	}
	if len(id) > 0 {
		if c, ok := s.id[string(id)]; ok {
			d = d.over(c)
		}
	}
	return d
}
