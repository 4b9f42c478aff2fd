package rawmsg

import "bytes"

// Facts are what only a look at every byte tells. Scan does not take it: most
// of its callers need none of them, and it would take twice the time.
type Facts struct {
	// Lines counts the line ends of the whole message.
	Lines LineEnds
	// NUL counts NUL bytes, in the header and the body.
	NUL int
	// Header8Bit counts bytes above 127 in the message's own header block,
	// where RFC 6532 allows them and RFC 5322 does not.
	Header8Bit int
	// BadBase64 has each leaf that says base64 and has something else in it,
	// in the order of the message.
	BadBase64 []BadPart
	// Hit are the limits that Scan hit, and BadBase64.
	Hit []Limit
	// Work counts bytes looked at.
	Work int
}

// LineEnds counts line ends by kind. RFC 5322 §2.3 knows CRLF alone; what
// another program takes for a line end can make it see another message.
type LineEnds struct {
	CRLF int
	LF   int // without a CR before it
	CR   int // without a LF behind it
}

// Mixed reports whether there is more than one kind.
func (l LineEnds) Mixed() bool {
	return min(l.CRLF, l.LF) > 0 || l.CR > 0 && l.CRLF+l.LF > 0
}

// BadPart is a leaf with bytes that base64 does not know.
type BadPart struct {
	Part *Part
	// Bad counts bytes of Part.Body that are neither of the alphabet (RFC 2045
	// §6.8) nor padding nor white space.
	Bad int
}

// Percent returns the share of bad bytes in the body, rounded up.
func (b BadPart) Percent() int { return (100*b.Bad + b.Part.Body.Len() - 1) / b.Part.Body.Len() }

// Facts looks at every byte of m, three times at most. It does not change m.
func (m *Message) Facts(lim Limits) Facts {
	f := Facts{Hit: append([]Limit(nil), m.Hit...)}
	f.Lines = lineEnds(m.Raw)
	f.NUL = bytes.Count(m.Raw, []byte{0})
	for _, c := range m.Raw[:m.HeaderEnd] {
		f.Header8Bit += int(c >> 7)
	}
	f.Work = 2*len(m.Raw) + m.HeaderEnd
	over := false
	m.Walk(func(p *Part) bool {
		if p.Encoding != "base64" || len(p.Children) > 0 {
			return true
		}
		body := m.Bytes(p.Body)
		f.Work += len(body)
		if n := notBase64(body); n > 0 {
			b := BadPart{Part: p, Bad: n}
			f.BadBase64 = append(f.BadBase64, b)
			over = over || b.Percent() > lim.BadBase64
		}
		return true
	})
	if over {
		f.Hit = append(f.Hit, BadBase64)
	}
	return f
}

func lineEnds(raw []byte) LineEnds {
	var l LineEnds
	for {
		n := bytes.IndexByte(raw, '\n')
		if n < 0 {
			break
		}
		l.CR += bytes.Count(raw[:n], []byte{'\r'})
		if n > 0 && raw[n-1] == '\r' {
			l.CR--
			l.CRLF++
		} else {
			l.LF++
		}
		raw = raw[n+1:]
	}
	l.CR += bytes.Count(raw, []byte{'\r'})
	return l
}

// base64Bad is 1 for each byte that has no place in base64.
var base64Bad = func() (t [256]uint8) {
	for i := range t {
		t[i] = 1
	}
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n \t") {
		t[c] = 0
	}
	return t
}()

func notBase64(body []byte) int {
	n := 0
	for _, c := range body {
		n += int(base64Bad[c])
	}
	return n
}
