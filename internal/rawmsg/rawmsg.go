// Package rawmsg reads a message (RFC 5322, MIME of RFC 2045 and 2046) in one
// bounded pass over its raw bytes: the header fields in order and the tree of
// MIME parts, all as offsets or slices of those bytes. Nothing is decoded but
// parameters and file names, and nothing fails: what a message breaks or
// exceeds is a fact that the result tells.
//
// Lines end in LF or CRLF; a bare CR is a character. A line that is neither a
// field nor a continuation ends the header block and is the first body line,
// as Postfix has it. An mbox "From " line in front is passed over.
//
// Limits: the encoding of a multipart or message part is not undone (RFC 2045
// §6.4 forbids one), and message/partial and message/external-body are leaves.
package rawmsg

import (
	"bytes"
	"strings"

	"github.com/gatepost/gatepost/internal/header"
)

// Limits bound what Scan takes from a message.
type Limits struct {
	// HeaderBytes bounds a header block, that of the message and that of each
	// part. Fields beyond it are not told.
	HeaderBytes int
	// FieldBytes bounds one field; a longer one is cut.
	FieldBytes int
	// Fields bounds the number of fields of the message.
	Fields int
	// Parts bounds the number of parts, the root included. The rest of the
	// message is then part of the last one.
	Parts int
	// Depth bounds nesting; the root has depth 1. A multipart at that depth is
	// a leaf.
	Depth int
	// Params bounds the parameters of one field.
	Params int
	// Decoded bounds the size of all leaves together once their transfer
	// encoding is undone, as Message.Decoded estimates it.
	Decoded int
	// BadBase64 bounds, in percent, what is no base64 in a part that says it
	// is. Scan does not look: a limit of Message.Facts.
	BadBase64 int
}

// Default returns the limits that Gatepost uses.
func Default() Limits {
	return Limits{HeaderBytes: 256 << 10, FieldBytes: 100 << 10, Fields: 4000, Parts: 500, Depth: 30, Params: 200,
		Decoded: 100 << 20, BadBase64: 10}
}

// Limit names a limit that was hit.
type Limit int

// The limits, named as in Limits.
const (
	HeaderBytes Limit = iota + 1
	FieldBytes
	Fields
	Parts
	Depth
	Params
	Decoded
	BadBase64
)

var limitNames = [...]string{"", "header too long", "header field too long", "too many header fields",
	"too many parts", "parts nested too deep", "too many parameters",
	"decoded content too large", "base64 that is none"}

// String says what the message has too much of.
func (l Limit) String() string {
	if l < 1 || int(l) >= len(limitNames) {
		return "unknown limit"
	}
	return limitNames[l]
}

// Field is one header field. Its slices are of the message's bytes.
type Field struct {
	// Name is as typed, without white space before the colon.
	Name string
	// Raw is the whole field with folding and line end.
	Raw []byte
	// Value is what stands after the colon, with folding, without the final
	// line end. header.Unfold makes text of it.
	Value []byte
	// Cut says that the field was longer than Limits.FieldBytes.
	Cut bool
}

// Is reports whether f's name is name, in whatever case.
func (f *Field) Is(name string) bool {
	return len(f.Name) == len(name) && strings.EqualFold(f.Name, name)
}

// Span is a range of the message's bytes.
type Span struct{ Start, End int }

// Len returns the number of bytes in s.
func (s Span) Len() int { return s.End - s.Start }

// Part is one node of the MIME tree.
type Part struct {
	// Type and Subtype are in lower case; where the field is missing or cannot
	// be read they are text and plain (RFC 2045 §5.2), in a digest message and
	// rfc822.
	Type, Subtype string
	// Typed says that there is a Content-Type field that could be read.
	Typed bool
	// Params are those of Content-Type, the names in lower case, RFC 2231
	// undone. It is nil without any.
	Params map[string]string
	// Encoding is the Content-Transfer-Encoding in lower case, "" for none.
	Encoding string
	// Disposition is the Content-Disposition in lower case, "" for none.
	Disposition string
	// Filename is decoded text, UTF-8: the file name of the disposition, else
	// the name of the type. A stranger chose it: it may hold any character.
	Filename string
	// Header is the header block with its blank line. Body is what follows,
	// without the line end that belongs to the next boundary (RFC 2046
	// §5.1.1).
	Header, Body Span
	// Children of a multipart, or the one message in a message/rfc822.
	Children []*Part
}

// Is reports whether p is of that type; both words are in lower case.
func (p *Part) Is(typ, subtype string) bool { return p.Type == typ && p.Subtype == subtype }

// Decoded estimates the size of p's body without its transfer encoding, in
// bytes and from above, children included. Preambles and epilogues do not
// count.
func (p *Part) Decoded() int {
	if len(p.Children) == 0 {
		if p.Encoding == "base64" {
			return p.Body.Len() * 3 / 4
		}
		return p.Body.Len()
	}
	n := 0
	for _, c := range p.Children {
		n += c.Decoded()
	}
	return n
}

// Message is what Scan read.
type Message struct {
	// Raw is the slice that Scan was given; it must not change.
	Raw []byte
	// Fields are those of the message's own header block, in order.
	Fields []Field
	// HeaderEnd is the offset of the first body byte.
	HeaderEnd int
	// HeaderCut says that Fields lacks a field, or a part of one.
	HeaderCut bool
	// Decoded estimates the size of all leaves without their transfer
	// encodings, in bytes and from above.
	Decoded int
	// Root is the message itself as a part; never nil.
	Root *Part
	// Hit lists the limits that were hit, each once: facts, not errors.
	Hit []Limit
	// Work counts steps (bytes looked at, boundaries compared), so that a test
	// can tell linear time without a watch.
	Work int
}

// Inside reports whether no limit was hit.
func (m *Message) Inside() bool { return len(m.Hit) == 0 }

// Values returns the unfolded values of all fields of that name, in order.
func (m *Message) Values(name string) []string {
	var vs []string
	for i := range m.Fields {
		if f := &m.Fields[i]; f.Is(name) {
			vs = append(vs, header.Unfold(f.Value))
		}
	}
	return vs
}

// First returns the unfolded value of the first field of that name.
func (m *Message) First(name string) (string, bool) {
	for i := range m.Fields {
		if f := &m.Fields[i]; f.Is(name) {
			return header.Unfold(f.Value), true
		}
	}
	return "", false
}

// Bytes returns the bytes of s.
func (m *Message) Bytes(s Span) []byte { return m.Raw[s.Start:s.End] }

// Walk visits every part, parents first, in the order of the message. A visit
// that returns false leaves out the part's children.
func (m *Message) Walk(visit func(p *Part) bool) { walk(m.Root, visit) }

func walk(p *Part, visit func(p *Part) bool) {
	if !visit(p) {
		return
	}
	for _, c := range p.Children {
		walk(c, visit)
	}
}

func (m *Message) hit(l Limit) {
	for _, h := range m.Hit {
		if h == l {
			return
		}
	}
	m.Hit = append(m.Hit, l)
}

// line returns the end of the line at pos, its line end included.
func (m *Message) line(pos int) int {
	n := bytes.IndexByte(m.Raw[pos:], '\n')
	end := pos + n + 1
	if n < 0 {
		end = len(m.Raw)
	}
	m.Work += end - pos
	return end
}
