package policyd

import (
	"bytes"
	"strings"
)

// requestReader reads the requests of one connection. Postfix sends them with
// the same attributes in the same order, and few values change from one to the
// next: what is as before is not copied and parsed again. What looks otherwise is
// read by ParseRequest.
type requestReader struct {
	raw  []byte               // the last request; empty for none
	ends [len(attributes)]int // where the line of each attribute ends in raw
	last Request
	// parser is for the request in hand: a local one would be allocated.
	parser requestParser
}

// read is ParseRequest, but for the recipient, which is always a text of its own:
// a transaction keeps it for longer than the request.
func (r *requestReader) read(b []byte, out *Request) error {
	if r.again(b) {
		*out = r.last
		return nil
	}
	*r = requestReader{raw: r.raw[:0]}
	err := parseRequest(b, out)
	out.RcptTo = strings.Clone(out.RcptTo)
	return err
}

// again brings r up to date with b, if b has all attributes in order. What it
// has changed when it gives up is of no use.
func (r *requestReader) again(b []byte) bool {
	if len(b) > MaxRequestBytes || !bytes.HasSuffix(b, []byte("\n\n")) {
		return false
	}
	p := &r.parser
	*p = requestParser{out: &r.last, request: requestName}
	rest, from, changed := b, 0, false
	for i := range attributes {
		old := r.raw[from:max(from, min(r.ends[i], len(r.raw)))]
		from += len(old)
		if len(old) > 0 && bytes.HasPrefix(rest, old) { // its line was looked at before
			rest = rest[len(old):]
		} else {
			n := r.line(i, rest)
			if n == 0 {
				return false
			}
			rest, changed = rest[n:], true
		}
		r.ends[i] = len(b) - len(rest)
	}
	if p.request != requestName || !unknownLines(rest) {
		return false
	}
	if cap(r.raw) > keepBuffer {
		r.raw = nil
		changed = true
	}
	if changed {
		r.raw = append(r.raw[:0], b[:r.ends[len(attributes)-1]]...)
	}
	return true
}

// line reads the line of attribute i at the start of b, and returns its length,
// or 0 if b has another line or a bad one.
func (r *requestReader) line(i int, b []byte) int {
	a := &attributes[i]
	name := a.name
	end := bytes.IndexByte(b, '\n')
	if end > MaxLineBytes || end <= len(name) || b[len(name)] != '=' || string(b[:len(name)]) != name {
		return 0
	}
	value := b[len(name)+1 : end]
	if hasControls(value) {
		return 0
	}
	reset(&r.last, i)
	if a.parse(&r.parser, a.text(value)) != nil {
		return 0
	}
	return end + 1
}

// hasControls reports whether b has what no request may hold anywhere.
func hasControls(b []byte) bool { return bytes.IndexByte(b, 0) >= 0 || bytes.IndexByte(b, '\r') >= 0 }

// unknownLines reports whether b has only attributes of newer Postfix, and its
// end.
func unknownLines(b []byte) bool {
	if len(b) > 1 && hasControls(b) {
		return false
	}
	for n := len(attributes); len(b) > 1; n++ {
		end := bytes.IndexByte(b, '\n')
		name, _, ok := bytes.Cut(b[:end], []byte("="))
		if n == MaxAttributes || end > MaxLineBytes || !ok || len(name) == 0 {
			return false
		}
		for i := range attributes {
			if string(name) == attributes[i].name {
				return false
			}
		}
		b = b[end+1:]
	}
	return len(b) == 1
}

// reset takes back the attributes whose parse leaves the field as it is for a
// value that means nothing.
func reset(r *Request, i int) {
	switch attributes[i].name {
	case "client_name":
		r.Client.Name = ""
	case "reverse_client_name":
		r.Client.ReverseName = ""
	case "recipient_count":
		r.RecipientCount = 0
	case "size":
		r.Size = 0
	case "encryption_keysize":
		r.TLS.KeyBits = 0
	}
}
