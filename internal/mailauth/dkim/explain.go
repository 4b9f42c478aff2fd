package dkim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Bounds of Explain: it is for a person who asks about one message, not for
// every message.
const (
	maxExplain = 10 << 20 // octets of the body
	maxAbove   = 50       // lines on top that may have been added
)

// Explanation is what happened to a body after it was signed.
type Explanation struct {
	// Cause is one sentence.
	Cause string
	// Lines and Octets of the canonical body make the difference; 0 where
	// they do not apply.
	Lines  int
	Octets int64
}

// Explain tells why the body hash of r does not match the body of m, which is
// the whole message. It undoes what is known to happen to mail on its way, one
// thing at a time, and looks whether the hash is then right; false when it
// finds nothing. Only a cause that makes the hash match is told, so that an
// explanation is never a guess.
func Explain(m *rawmsg.Message, r *Result) (Explanation, bool) {
	body := m.Raw[m.HeaderEnd:]
	if !r.BodyChanged || len(body) > maxExplain {
		return Explanation{}, false
	}
	want := r.bodyHash
	if e, ok := footer(body, r.Body, want); ok {
		return e, true
	}
	if e, ok := banner(body, r.Body, want); ok {
		return e, true
	}
	for _, u := range undo {
		if b := u.apply(m, body); b != nil && hashBody(b, r.Body, r.Length) == want {
			return Explanation{Cause: u.cause}, true
		}
	}
	for _, c := range []Canon{Simple, Relaxed} {
		if hashBody(body, c, Whole) == want {
			return Explanation{Cause: fmt.Sprintf("the signer hashed the body with %s canonicalization, not as c= and l= say", c)}, true
		}
	}
	return Explanation{}, false
}

// hashBody returns the body hash of body.
func hashBody(body []byte, c Canon, length int64) [sha256.Size]byte {
	var s sums
	h := s.want(length)
	w := NewBody(&s, c)
	_, _ = w.Write(body)
	_ = w.Close()
	s.finish()
	return h.Sum
}

// canonical returns the canonical form of body.
func canonical(body []byte, c Canon) []byte {
	var b bytes.Buffer
	w := NewBody(&b, c)
	_, _ = w.Write(body)
	_ = w.Close()
	return b.Bytes()
}

// footer looks for lines that were added at the end.
func footer(body []byte, c Canon, want [sha256.Size]byte) (Explanation, bool) {
	text := canonical(body, c)
	h := sha256.New()
	sum := func() (s [sha256.Size]byte) {
		h.Sum(s[:0])
		return s
	}
	if c == Relaxed && sum() == want && len(text) > 0 {
		return added("the body was empty when it was signed", text), true
	}
	if c == Simple && sha256.Sum256([]byte("\r\n")) == want && len(text) > 2 {
		return added("the body was empty when it was signed", text), true
	}
	for pos := 0; pos < len(text); {
		end := pos + bytes.IndexByte(text[pos:], '\n') + 1
		h.Write(text[pos:end])
		// No canonical body ends in an empty line.
		if end-pos > 2 && end < len(text) && sum() == want {
			return added("text was added at the end after signing", text[end:]), true
		}
		pos = end
	}
	return Explanation{}, false
}

// banner looks for lines that were added on top.
func banner(body []byte, c Canon, want [sha256.Size]byte) (Explanation, bool) {
	text := canonical(body, c)
	pos := 0
	for range maxAbove {
		i := bytes.IndexByte(text[pos:], '\n')
		if i < 0 {
			break
		}
		pos += i + 1
		if sha256.Sum256(text[pos:]) == want {
			return added("text was added at the top after signing", text[:pos]), true
		}
	}
	return Explanation{}, false
}

func added(cause string, text []byte) Explanation {
	return Explanation{Cause: cause, Lines: bytes.Count(text, []byte("\n")), Octets: int64(len(text))}
}

// undo are the changes that Explain knows how to take back. An apply that has
// nothing to take back returns nil.
var undo = []struct {
	cause string
	apply func(m *rawmsg.Message, body []byte) []byte
}{
	{"the body was encoded again on its way: it was 8bit when it was signed, and a transfer encoding was put on it", func(m *rawmsg.Message, body []byte) []byte {
		return decodeParts(m, body)
	}},
	{"blanks at line ends were lost or added on the way", func(_ *rawmsg.Message, body []byte) []byte {
		return eachLine(body, func(l []byte) []byte { return bytes.TrimRight(l, " \t") })
	}},
	{"a line that begins with a dot lost one on the way (SMTP dot stuffing)", func(_ *rawmsg.Message, body []byte) []byte {
		return eachLine(body, func(l []byte) []byte {
			if bytes.HasPrefix(l, []byte(".")) {
				return append([]byte("."), l...)
			}
			return l
		})
	}},
	{"a line that begins with a dot has one too many (SMTP dot stuffing)", func(_ *rawmsg.Message, body []byte) []byte {
		return eachLine(body, func(l []byte) []byte {
			if bytes.HasPrefix(l, []byte("..")) {
				return l[1:]
			}
			return l
		})
	}},
	{"a line that begins with \"From \" got a \">\" on the way (mbox)", func(_ *rawmsg.Message, body []byte) []byte {
		return eachLine(body, func(l []byte) []byte {
			if bytes.HasPrefix(l, []byte(">From ")) {
				return l[1:]
			}
			return l
		})
	}},
	{"lines of more than 998 octets were broken on the way", func(_ *rawmsg.Message, body []byte) []byte {
		return joinLong(body)
	}},
	{"a CR without LF was lost or became a line end on the way", func(_ *rawmsg.Message, body []byte) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), []byte("\r"), nil)
	}},
}

// eachLine returns body with every line changed, nil when no line was.
func eachLine(body []byte, change func(line []byte) []byte) []byte {
	out := make([]byte, 0, len(body)+len(body)/16)
	changed := false
	for len(body) > 0 {
		line, rest, found := bytes.Cut(body, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		n := change(line)
		changed = changed || len(n) != len(line)
		out = append(out, n...)
		if found {
			out = append(out, "\r\n"...)
		}
		body = rest
	}
	if !changed {
		return nil
	}
	return out
}

// joinLong takes back what Postfix does to long lines (smtp_line_length_limit):
// CR LF and a blank after 998 octets.
func joinLong(body []byte) []byte {
	out := make([]byte, 0, len(body))
	joined := false
	for len(body) > 0 {
		line, rest, found := bytes.Cut(body, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		out = append(out, line...)
		switch {
		case found && len(line) >= 990 && bytes.HasPrefix(rest, []byte(" ")):
			rest, joined = rest[1:], true
		case found:
			out = append(out, "\r\n"...)
		}
		body = rest
	}
	if !joined {
		return nil
	}
	return out
}

// decodeParts returns body with every part decoded that is quoted-printable or
// base64, nil when there is none.
func decodeParts(m *rawmsg.Message, body []byte) []byte {
	var out []byte
	at, changed := m.HeaderEnd, false
	m.Walk(func(p *rawmsg.Part) bool {
		if p.Children != nil || p.Encoding != "quoted-printable" && p.Encoding != "base64" || p.Body.Start < at {
			return true
		}
		text, err := decodePart(p.Encoding, m.Bytes(p.Body))
		if err != nil {
			return true
		}
		out = append(append(out, m.Raw[at:p.Body.Start]...), text...)
		at, changed = p.Body.End, true
		return true
	})
	if !changed {
		return nil
	}
	return append(out, m.Raw[min(at, m.HeaderEnd+len(body)):]...)
}

// errLong is a part that grows when it is decoded, which none does.
var errLong = errors.New("decoded part is too long")

func decodePart(encoding string, b []byte) ([]byte, error) {
	var r io.Reader = quotedprintable.NewReader(bytes.NewReader(b))
	if encoding == "base64" {
		r = base64.NewDecoder(base64.StdEncoding, bytes.NewReader(b))
	}
	text, err := io.ReadAll(io.LimitReader(r, int64(len(b))+1))
	if err == nil && len(text) > len(b) {
		err = errLong
	}
	return text, err
}
