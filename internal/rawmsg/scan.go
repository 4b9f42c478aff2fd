package rawmsg

import (
	"bytes"
	"strings"
)

// open is a part whose children are being read. The boundary is nil for a
// message/rfc822, which only a boundary around it ends.
type open struct {
	part     *Part
	boundary []byte
}

type scanner struct {
	m     *Message
	lim   Limits
	stack []open
	leaf  *Part // the part that body lines belong to
	parts int
}

// Scan reads raw. It never fails, and takes time and memory linear in len(raw)
// whatever it holds.
func Scan(raw []byte, lim Limits) *Message {
	m := &Message{Raw: raw}
	s := scanner{m: m, lim: lim}
	start := m.skipFrom()
	m.Root = &Part{}
	pos := s.enter(m.Root, start, false)
	m.HeaderEnd = m.Root.Header.End
	s.body(pos)
	if m.Decoded = m.Root.Decoded(); m.Decoded > lim.Decoded {
		m.hit(Decoded)
	}
	return m
}

// skipFrom returns the offset behind an mbox "From " line. "From : x" is the
// obsolete form of a field (RFC 5322 §4.5).
func (m *Message) skipFrom() int {
	const mbox = "From "
	if !bytes.HasPrefix(m.Raw, []byte(mbox)) {
		return 0
	}
	end := m.line(0)
	if bytes.HasPrefix(bytes.TrimLeft(m.Raw[len(mbox)-1:end], " \t"), []byte(":")) {
		return 0
	}
	return end
}

// enter reads the header block of p at pos, makes p the part that is open or
// the leaf, and returns the offset of its body. For a message/rfc822 it goes
// on into the message. The parts of a digest are messages where they do not
// say else (RFC 2046 §5.1.5).
func (s *scanner) enter(p *Part, pos int, digest bool) int {
	for {
		s.parts++
		p.Type, p.Subtype = "text", "plain"
		if digest {
			p.Type, p.Subtype = "message", "rfc822"
		}
		p.Header.Start = pos
		pos = s.headerBlock(p, pos)
		p.Header.End, p.Body = pos, Span{pos, len(s.m.Raw)}
		s.leaf = p
		o, ok := s.opens(p)
		if !ok {
			return pos
		}
		s.stack = append(s.stack, o)
		if o.boundary != nil {
			return pos
		}
		if s.parts >= s.lim.Parts {
			s.m.hit(Parts)
			return pos
		}
		child := &Part{}
		p.Children = append(p.Children, child)
		p, digest = child, false
	}
}

// opens reports whether p has children to read, and how they are told apart.
func (s *scanner) opens(p *Part) (open, bool) {
	o := open{part: p}
	switch {
	case p.Type == "multipart":
		o.boundary = []byte(strings.TrimRight(p.Params["boundary"], " \t"))
		if len(o.boundary) == 0 {
			return open{}, false
		}
	case p.Is("message", "rfc822") && p.Encoding != "base64" && p.Encoding != "quoted-printable":
	default:
		return open{}, false
	}
	if len(s.stack)+1 >= s.lim.Depth {
		s.m.hit(Depth)
		return open{}, false
	}
	return o, true
}

// body reads the lines from pos on for boundaries.
func (s *scanner) body(pos int) {
	for pos < len(s.m.Raw) && len(s.stack) > 0 {
		end := s.m.line(pos)
		i, last := s.match(s.m.Raw[pos:end])
		if i < 0 {
			pos = end
			continue
		}
		s.closeAbove(i, pos)
		parent := s.stack[i].part
		if last {
			s.stack = s.stack[:i]
			s.leaf = nil // an epilogue belongs to nobody
			pos = end
			continue
		}
		if s.parts >= s.lim.Parts {
			s.m.hit(Parts)
			return
		}
		child := &Part{}
		parent.Children = append(parent.Children, child)
		pos = s.enter(child, end, parent.Subtype == "digest")
	}
}

// closeAbove ends the leaf and every open part above stack[i] at the boundary
// line that begins at pos.
func (s *scanner) closeAbove(i, pos int) {
	raw := s.m.Raw
	end := pos
	if end > 0 && raw[end-1] == '\n' {
		end--
		if end > 0 && raw[end-1] == '\r' {
			end--
		}
	}
	if s.leaf != nil && s.leaf != s.stack[i].part {
		end = max(end, s.leaf.Body.Start) // the line end was its header's
		s.leaf.Body.End = end
	}
	for _, o := range s.stack[i+1:] {
		o.part.Body.End = end
	}
	s.stack = s.stack[:i+1]
}

// match returns the innermost open part whose boundary line is, and whether it
// is the last one; -1 for any other line.
func (s *scanner) match(line []byte) (i int, last bool) {
	if len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return -1, false
	}
	line = bytes.TrimRight(line[2:], " \t\r\n")
	for i := len(s.stack) - 1; i >= 0; i-- {
		b := s.stack[i].boundary
		s.m.Work += 1 + min(len(b), len(line))
		if b == nil || !bytes.HasPrefix(line, b) {
			continue
		}
		switch rest := line[len(b):]; {
		case len(rest) == 0:
			return i, false
		case string(rest) == "--":
			return i, true
		}
	}
	return -1, false
}
