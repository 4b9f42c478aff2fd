package dkim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// errShort is a message that ends before its header does.
var errShort = errors.New("message is shorter than its header")

// Message is a message with what the signatures in it share. It is not safe
// for concurrent use.
type Message struct {
	raw    *rawmsg.Message
	byName map[string][]int
	bodies [2]*sums // by Canon
	// read says that ReadBody has come to its end, err how it ended.
	read bool
	err  error
	text []byte // canonical header, reused
	// Work counts steps over the header and the body (octets, names), so that
	// a test can tell linear time without a watch.
	Work int64
}

// NewMessage returns a Message for what rawmsg.Scan read: all of a message, or
// its first part with the whole header.
func NewMessage(raw *rawmsg.Message) *Message {
	m := &Message{raw: raw, byName: make(map[string][]int, len(raw.Fields))}
	for i := range raw.Fields {
		name := strings.ToLower(raw.Fields[i].Name)
		m.byName[name] = append(m.byName[name], i)
	}
	return m
}

// Raw returns the scanned message.
func (m *Message) Raw() *rawmsg.Message { return m.raw }

// Named returns the places of all fields of that name, which is in lower case,
// in their order.
func (m *Message) Named(name string) []int { return m.byName[name] }

// Body asks for a hash of the body, before ReadBody. Equal questions share one
// hash.
func (m *Message) Body(c Canon, length int64) *BodyHash {
	if m.bodies[c] == nil {
		m.bodies[c] = &sums{}
	}
	return m.bodies[c].want(length)
}

// ReadBody reads the message from its first byte, and hashes the body for all
// that asked. It reads nothing when nobody did. Without it, or after an error,
// every signature is temperror.
func (m *Message) ReadBody(ctx context.Context, r io.Reader) error {
	w := bodyWriter{ctx: ctx}
	for c, s := range m.bodies {
		if s != nil {
			w.to = append(w.to, NewBody(s, Canon(c)))
		}
	}
	if len(w.to) == 0 {
		return nil
	}
	_, m.err = io.CopyN(io.Discard, r, int64(m.raw.HeaderEnd))
	if m.err == io.EOF {
		m.err = errShort
	}
	if m.err == nil {
		_, m.err = io.Copy(w, r)
	}
	for _, b := range w.to {
		if err := b.Close(); m.err == nil {
			m.err = err
		}
		m.Work += b.work
	}
	for _, s := range m.bodies {
		if s != nil {
			s.finish()
		}
	}
	m.read = true
	return m.err
}

// bodyWriter hands a body to each canonicalization.
type bodyWriter struct {
	ctx context.Context
	to  []*Body
}

func (w bodyWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	for _, b := range w.to {
		if _, err := b.Write(p); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// AppendField appends the canonical form of the field at i to dst.
func (m *Message) AppendField(dst []byte, c Canon, i int) []byte {
	f := &m.raw.Fields[i]
	m.Work += int64(len(f.Raw))
	return appendField(dst, c, f)
}

// AppendUnsigned appends the canonical form of the field that s stands in, with
// the value of b= deleted and without its last line end (RFC 6376 §3.7).
func (m *Message) AppendUnsigned(dst []byte, c Canon, s *Signature) []byte {
	raw := m.raw.Fields[s.Field].Raw
	m.Work += int64(len(raw))
	colon := bytes.IndexByte(raw, ':')
	blanked := make([]byte, 0, len(raw))
	blanked = append(blanked, raw[:colon+1+s.bStart]...)
	blanked = append(blanked, raw[colon+1+s.bEnd:]...)
	if c == Relaxed {
		return AppendRelaxed(dst, blanked)
	}
	return appendSimple(dst, blanked)
}

// AppendFields appends the canonical forms of the fields that names asks for,
// the last field of a name first (RFC 6376 §5.4.2); a name without a field adds
// nothing. The field at self is passed over: a signature was not there when it
// was made. -1 passes over none.
func (m *Message) AppendFields(dst []byte, c Canon, names []string, self int) []byte {
	taken := make(map[string]int, len(names))
	for _, name := range names {
		name = strings.ToLower(name)
		at := m.byName[name]
		m.Work++
		for taken[name] < len(at) {
			taken[name]++
			if i := at[len(at)-taken[name]]; i != self {
				dst = m.AppendField(dst, c, i)
				break
			}
		}
	}
	return dst
}

// SignedHeader returns the bytes of the header that s is a signature of: the
// fields in h=, then its own. They are good until the next call.
func (m *Message) SignedHeader(s *Signature) []byte {
	m.text = m.AppendFields(m.text[:0], s.Header, s.Names, s.Field)
	m.text = m.AppendUnsigned(m.text, s.Header, s)
	return m.text
}

// digest returns what the signer signed.
func (m *Message) digest(s *Signature) [sha256.Size]byte { return sha256.Sum256(m.SignedHeader(s)) }
