package sieve

import (
	"bytes"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Message is a message as scripts see it. addheader and deleteheader make a new
// one that shares the body; a Message that was handed out does not change, so
// each action of a result has the message as it was then. One goroutine at a
// time may use a Message and those made of it.
type Message struct {
	scan *rawmsg.Message
	// flags are those that the message has in a mailbox already.
	flags []string
	head  *fields
	// edited is the header block in place of that of scan, when not nil.
	edited bool
	// prefix stands in front of a message whose header rawmsg did not read
	// whole: its fields cannot be put together anew.
	prefix []byte
	parts  map[*rawmsg.Part]*fields
	plain  map[bodyKey]string
	// decodedBytes counts what plain was made of.
	decodedBytes *int
}

// NewMessage returns the message that rawmsg.Scan read.
func NewMessage(m *rawmsg.Message) *Message {
	return &Message{scan: m, head: newFields(m.Fields), parts: map[*rawmsg.Part]*fields{}, plain: map[bodyKey]string{}, decodedBytes: new(int)}
}

// Size returns the size of the message with its edits, in bytes.
func (m *Message) Size() int {
	if !m.edited {
		return len(m.scan.Raw)
	}
	if m.scan.HeaderCut {
		return len(m.prefix) + len(m.scan.Raw)
	}
	n := len(m.lineEnd()) + len(m.scan.Raw) - m.scan.HeaderEnd
	for i := range m.head.list {
		n += len(m.head.list[i].raw)
	}
	return n
}

// Edited reports whether a script changed the header.
func (m *Message) Edited() bool { return m.edited }

// Bytes returns the message with its edits. Without any it is the slice that
// was scanned.
func (m *Message) Bytes() []byte {
	if !m.edited {
		return m.scan.Raw
	}
	b := bytes.NewBuffer(make([]byte, 0, m.Size()))
	b.Write(m.prefix)
	if m.scan.HeaderCut {
		b.Write(m.scan.Raw)
		return b.Bytes()
	}
	for i := range m.head.list {
		b.Write(m.head.list[i].raw)
	}
	b.WriteString(m.lineEnd())
	b.Write(m.scan.Raw[m.scan.HeaderEnd:])
	return b.Bytes()
}

// lineEnd returns the line end of the header.
func (m *Message) lineEnd() string {
	i := bytes.IndexByte(m.scan.Raw, '\n')
	if i > 0 && m.scan.Raw[i-1] == '\r' || i < 0 {
		return "\r\n"
	}
	return "\n"
}

// Header returns the decoded values of the fields of that name.
func (m *Message) Header(name string) []string { return m.head.decoded(lowerASCII(name)) }

// came returns the values of the fields of that name as the message came, without
// the edits of scripts, encoded words as typed.
func (m *Message) came(name string) []string {
	var out []string
	for i := range m.scan.Fields {
		if f := &m.scan.Fields[i]; f.Is(name) {
			out = append(out, strings.TrimSpace(header.Unfold(f.Value)))
		}
	}
	return out
}

// maxCached bounds the names whose values are kept.
const maxCached = 200

// field is one header field.
type field struct {
	name  string // lower case
	raw   []byte // with its line end
	value string // unfolded, as typed
}

// fields is a header block. Decoded values are kept, because rules ask for the
// same few fields again and again.
type fields struct {
	list  []field
	cache map[string][]string
	addrs map[string][][]address
}

func newFields(list []rawmsg.Field) *fields {
	f := &fields{list: make([]field, len(list))}
	for i := range list {
		f.list[i] = field{name: lowerASCII(list[i].Name), raw: list[i].Raw, value: header.Unfold(list[i].Value)}
	}
	return f
}

// exists reports whether there is a field of that name, in lower case.
func (f *fields) exists(name string) bool {
	for i := range f.list {
		if f.list[i].name == name {
			return true
		}
	}
	return false
}

// raws returns the values of the fields of that name, encoded words as typed.
func (f *fields) raws(name string) []string {
	var out []string
	for i := range f.list {
		if f.list[i].name == name {
			out = append(out, f.list[i].value)
		}
	}
	return out
}

// decoded returns the values of the fields of that name as UTF-8.
func (f *fields) decoded(name string) []string {
	if vs, ok := f.cache[name]; ok {
		return vs
	}
	vs := f.raws(name)
	for i, v := range vs {
		vs[i] = decodeValue(v)
	}
	if f.cache == nil {
		f.cache = map[string][]string{}
	}
	if len(f.cache) < maxCached {
		f.cache[name] = vs
	}
	return vs
}

// values is decoded, and counts the work where it is done anew.
func (m *machine) values(f *fields, name string) []string {
	if vs, ok := f.cache[name]; ok {
		m.spend(1)
		return vs
	}
	n := 0
	for i := range f.list {
		if f.list[i].name == name {
			n += len(f.list[i].value)
		}
	}
	m.spend(1 + len(f.list)>>4 + n>>3)
	return f.decoded(name)
}

// addresses returns those of each field of that name.
func (f *fields) addresses(m *machine, name string) [][]address {
	if as, ok := f.addrs[name]; ok {
		return as
	}
	var as [][]address
	for i := range f.list {
		if f.list[i].name == name {
			m.spend(1 + len(f.list[i].value)>>3)
			as = append(as, readAddresses(f.list[i].value))
		}
	}
	if f.addrs == nil {
		f.addrs = map[string][][]address{}
	}
	if len(f.addrs) < maxCached {
		f.addrs[name] = as
	}
	return as
}

func decodeValue(s string) string { return strings.Trim(header.DecodeText(s), " \t") }

// partFields returns the header block of a part, that of the message itself
// with its edits.
func (m *Message) partFields(p *rawmsg.Part) *fields {
	if p == nil || p == m.scan.Root {
		return m.head
	}
	f := m.parts[p]
	if f == nil {
		block := rawmsg.Scan(m.scan.Bytes(p.Header), rawmsg.Default())
		f = newFields(block.Fields)
		m.parts[p] = f
	}
	return f
}

// edit returns a copy of m with the fields that change returns.
func (m *Message) edit(change func(list []field) []field) *Message {
	out := *m
	out.edited = true
	list := slices.Clone(m.head.list)
	for i := range list {
		if raw := list[i].raw; len(raw) == 0 || raw[len(raw)-1] != '\n' {
			list[i].raw = slices.Concat(raw, []byte(m.lineEnd())) // the message ends in it
		}
	}
	out.head = &fields{list: change(list)}
	return &out
}

// WithField returns m with a field in front of all others. The value is folded
// text, as header.Fold makes it.
func (m *Message) WithField(f header.Field) *Message {
	made := makeField(f.Name, f.Value, m.lineEnd())
	if m.scan.HeaderCut {
		out := *m
		out.edited, out.prefix = true, slices.Concat(made.raw, m.prefix)
		return &out
	}
	return m.edit(func(list []field) []field { return slices.Insert(list, 0, made) })
}

// makeField makes a field of a value with LF line ends.
func makeField(name, value, eol string) field {
	raw := name + ": " + strings.ReplaceAll(value, "\n", eol) + eol
	return field{name: lowerASCII(name), raw: []byte(raw), value: header.Unfold([]byte(value))}
}
