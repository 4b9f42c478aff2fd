package message

import (
	"bytes"
	"html"

	"golang.org/x/net/html/atom"

	"github.com/gatepost/gatepost/internal/ascii"
)

// attributes are those of one tag that matter. The tokenizer's own would be
// copies, which cost as much as all the rest of reading a page; these are
// slices of the tag as it stands, valid until the next one.
type attributes struct {
	class, id, style, href, src, typ, rel, equiv, content, colour, background []byte
	width, height                                                             []byte
	hidden, picture                                                           bool
}

// tagName returns the tag of raw, "<name …" or "</name …", and what follows.
func tagName(raw []byte) (tag atom.Atom, rest []byte) {
	raw = bytes.TrimPrefix(raw[1:], []byte{'/'})
	var name [24]byte
	n := 0
	for n < len(raw) && n < len(name) && !endsName(raw[n]) {
		c := raw[n]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		name[n] = c
		n++
	}
	if n == len(name) {
		return 0, raw[n:]
	}
	return atom.Lookup(name[:n]), raw[n:]
}

func endsName(c byte) bool { return c <= ' ' || c == '/' || c == '>' }

// read reads attributes as HTML §13.2.5.32 has them, the first of each name.
func (a *attributes) read(s []byte) {
	for {
		for len(s) > 0 && endsName(s[0]) {
			s = s[1:]
		}
		if len(s) == 0 {
			return
		}
		n := 1
		for n < len(s) && !endsName(s[n]) && s[n] != '=' {
			n++
		}
		to := a.field(s[:n])
		s = s[n:]
		for len(s) > 0 && s[0] <= ' ' {
			s = s[1:]
		}
		if len(s) == 0 || s[0] != '=' {
			continue
		}
		var value []byte
		value, s = attributeValue(s[1:])
		if to != nil && *to == nil {
			*to = value
		}
	}
}

// attributeValue cuts a value off, in quotes of either kind or bare.
func attributeValue(s []byte) (value, rest []byte) {
	for len(s) > 0 && s[0] <= ' ' {
		s = s[1:]
	}
	if len(s) == 0 {
		return []byte{}, nil
	}
	var end int
	if q := s[0]; q == '"' || q == '\'' {
		s = s[1:]
		if end = bytes.IndexByte(s, q); end < 0 {
			end = len(s)
		}
		value, rest = s[:end], s[min(end+1, len(s)):]
	} else {
		for end < len(s) && s[end] > ' ' && s[end] != '>' {
			end++
		}
		value, rest = s[:end], s[end:]
	}
	if bytes.IndexByte(value, '&') >= 0 {
		value = []byte(html.UnescapeString(string(value)))
	}
	return value, rest
}

// field returns where the value of that name goes, nil for one that does not
// matter.
func (a *attributes) field(name []byte) *[]byte {
	if len(name) < 2 || len(name) > 10 {
		return nil
	}
	var buf [10]byte
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		buf[i] = c
	}
	switch string(buf[:len(name)]) {
	case "class":
		return &a.class
	case "id":
		return &a.id
	case "style":
		return &a.style
	case "href", "action":
		return &a.href
	case "src", "data":
		return &a.src
	case "type":
		return &a.typ
	case "rel":
		return &a.rel
	case "http-equiv":
		return &a.equiv
	case "content":
		return &a.content
	case "color", "text":
		return &a.colour
	case "bgcolor":
		return &a.background
	case "width":
		return &a.width
	case "height":
		return &a.height
	case "hidden":
		a.hidden = true
	case "background":
		a.picture = true
	}
	return nil
}

// declared returns what the attributes say of the look, style winning over the
// old ones.
func (a *attributes) declared(tag atom.Atom) declared {
	var d declared
	if a.background != nil {
		d.set |= paper
		d.paper = backgroundColour(withHash(a.background))
	}
	if a.picture {
		d.set |= paper
		d.paper = colour{kind: picture}
	}
	if a.colour != nil && (tag == atom.Font || tag == atom.Body) {
		if c, ok := parseColour(withHash(a.colour)); ok {
			d.set |= ink
			d.ink = c
		}
	}
	if a.hidden {
		d.put(display, true)
	}
	if a.style != nil {
		d = d.over(parseDeclarations(a.style))
	}
	return d
}

// withHash gives a colour of six digits the mark that old attributes may leave
// out.
func withHash(b []byte) []byte {
	b = lowered(b)
	if len(b) == 6 && ascii.Unhex(b[0]) >= 0 && ascii.Unhex(b[5]) >= 0 && ascii.Unhex(b[2]) >= 0 {
		return append([]byte{'#'}, b...)
	}
	return b
}
