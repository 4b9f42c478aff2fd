package policyd

import "bytes"

// requestReader reads the requests of one connection. Postfix sends them with
// the same attributes in the same order, and few values change from one to the
// next: what is as before is not copied and parsed again. What looks otherwise is
// read by ParseRequest.
type requestReader struct {
	raw  [len(attributes)]string
	set  uint64 // one bit for each of raw that last has
	last Request
}

// read is ParseRequest.
func (r *requestReader) read(b []byte, out *Request) error {
	if r.again(b) {
		*out = r.last
		return nil
	}
	*r = requestReader{}
	return parseRequest(b, out)
}

// again brings r.last up to date with b, if b has all attributes in order. What
// it has changed when it gives up is of no use.
func (r *requestReader) again(b []byte) bool {
	if len(b) > MaxRequestBytes || !bytes.HasSuffix(b, []byte("\n\n")) || bytes.IndexByte(b, 0) >= 0 || bytes.IndexByte(b, '\r') >= 0 {
		return false
	}
	p := requestParser{out: &r.last}
	for i := range attributes {
		name := attributes[i].name
		end := bytes.IndexByte(b, '\n')
		if end > MaxLineBytes || end <= len(name) || b[len(name)] != '=' || string(b[:len(name)]) != name {
			return false
		}
		value := b[len(name)+1 : end]
		b = b[end+1:]
		if r.set&(1<<i) != 0 && string(value) == r.raw[i] {
			continue
		}
		r.raw[i] = string(value)
		r.set |= 1 << i
		reset(&r.last, i)
		if attributes[i].parse(&p, r.raw[i]) != nil {
			return false
		}
	}
	return r.raw[0] == requestName && unknownLines(b)
}

// unknownLines reports whether b has only attributes of newer Postfix, and its
// end.
func unknownLines(b []byte) bool {
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
