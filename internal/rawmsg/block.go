package rawmsg

import (
	"bytes"
	"strings"

	"github.com/gatepost/gatepost/internal/header"
)

// headerBlock reads the header block of p at pos and returns the offset behind
// it. Fields go to the message when p is its root; of other parts only those
// that MIME needs are read, the first of each name.
func (s *scanner) headerBlock(p *Part, pos int) int {
	m, start := s.m, pos
	seen := contentFields{}
	for pos < len(m.Raw) {
		end := m.line(pos)
		line := m.Raw[pos:end]
		if isBlank(line) {
			return s.content(p, seen, end)
		}
		colon := nameEnd(line)
		if i, _ := s.match(line); colon < 0 || i >= 0 {
			break
		}
		for end < len(m.Raw) && isWSP(m.Raw[end]) {
			end = m.line(end)
		}
		s.field(p, &seen, m.Raw[pos:end], colon, pos-start)
		pos = end
	}
	return s.content(p, seen, pos)
}

// field takes one field in: raw, with its colon there, at the offset at of its
// block.
func (s *scanner) field(p *Part, seen *contentFields, raw []byte, colon, at int) {
	m, root := s.m, p == s.m.Root
	if at+len(raw) > s.lim.HeaderBytes {
		m.hit(HeaderBytes)
		m.HeaderCut = m.HeaderCut || root
		if at >= s.lim.HeaderBytes {
			return
		}
	}
	f := Field{Raw: raw}
	if len(raw) > s.lim.FieldBytes {
		m.hit(FieldBytes)
		m.HeaderCut = m.HeaderCut || root
		f.Raw, f.Cut = raw[:max(s.lim.FieldBytes, colon+1)], true
	}
	name := bytes.TrimRight(raw[:colon], " \t")
	name = name[:min(len(name), s.lim.FieldBytes)]
	f.Value = trimLineEnd(f.Raw[colon+1:])
	if len(name) > 8 && strings.EqualFold(string(name[:8]), "content-") {
		seen.take(string(name[8:]), f.Value)
	}
	if !root {
		return
	}
	if len(m.Fields) >= s.lim.Fields {
		m.hit(Fields)
		m.HeaderCut = true
		return
	}
	f.Name = string(name)
	m.Fields = append(m.Fields, f)
}

// contentFields are the values of a part's header that make its place in the
// tree; nil for none.
type contentFields struct{ typ, encoding, disposition []byte }

func (c *contentFields) take(name string, value []byte) {
	var to *[]byte
	switch strings.ToLower(name) {
	case "type":
		to = &c.typ
	case "transfer-encoding":
		to = &c.encoding
	case "disposition":
		to = &c.disposition
	default:
		return
	}
	if *to == nil {
		*to = value
	}
}

// content puts what c says into p, and returns pos.
func (s *scanner) content(p *Part, c contentFields, pos int) int {
	s.m.Work += len(c.typ) + len(c.encoding) + len(c.disposition)
	if c.typ != nil {
		v, params := s.params(c.typ)
		typ, sub, ok := strings.Cut(v, "/")
		typ, sub = strings.TrimSpace(typ), strings.TrimSpace(sub)
		if ok && isToken(typ) && isToken(sub) {
			p.Type, p.Subtype, p.Params, p.Typed = typ, sub, params, true
		}
		p.Filename = header.DecodeText(params["name"])
	}
	if c.encoding != nil {
		v, _, _ := strings.Cut(header.Unfold(c.encoding), ";")
		p.Encoding = strings.ToLower(strings.TrimSpace(stripComments(v)))
	}
	if c.disposition != nil {
		v, params := s.params(c.disposition)
		p.Disposition = v
		if f := params["filename"]; f != "" {
			p.Filename = header.DecodeText(f)
		}
	}
	return pos
}

// nameEnd returns the offset of the colon of a field's first line, -1 when the
// line is none: a name of printable US-ASCII (RFC 5322 §2.2), then white space
// at most (§4.5, obsolete), then the colon.
func nameEnd(line []byte) int {
	n := 0
	for n < len(line) && line[n] > ' ' && line[n] < 0x7f && line[n] != ':' {
		n++
	}
	colon := n
	for colon < len(line) && isWSP(line[colon]) {
		colon++
	}
	if n == 0 || colon == len(line) || line[colon] != ':' {
		return -1
	}
	return colon
}

func isBlank(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

func trimLineEnd(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}

func isWSP(c byte) bool { return c == ' ' || c == '\t' }
