package message

import (
	"bytes"
	"encoding/base64"
	"slices"

	"github.com/jhillyerd/enmime/v2"

	"github.com/gatepost/gatepost/internal/ascii"
	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// texts is what is left of the budget while the text parts of m are decoded.
type texts struct {
	m      *rawmsg.Message
	budget int
	// each bounds what one text part has of the budget.
	each   int
	looked int // bytes of attachments that were decoded
	parser *enmime.Parser
}

// TextPart tells about one text part.
type TextPart struct {
	Part *rawmsg.Part
	// HTML says that it is in Message.HTML, else it is in Message.Text.
	HTML bool
	// Bytes8 counts bytes above 127 in its raw body.
	Bytes8 int
	// ASCII says that its decoded content needs no encoding at all.
	ASCII bool
}

// share returns how much of each part may be read so that all together are at
// most budget: a large one, which readers of an alternative do not even see,
// leaves the others what they need.
func share(sizes []int, budget int) int {
	slices.Sort(sizes)
	for i, n := range sizes {
		if even := budget / (len(sizes) - i); n > even {
			return even
		}
		budget -= n
	}
	return MaxText
}

// textSizes appends the sizes of the text parts from p on.
func textSizes(sizes []int, p *rawmsg.Part) []int {
	if isText(p) {
		sizes = append(sizes, p.Body.Len())
	}
	if p.Is("message", "rfc822") {
		return sizes
	}
	for _, c := range p.Children {
		sizes = textSizes(sizes, c)
	}
	return sizes
}

// text takes in one text part.
func (d *Message) text(t *texts, p *rawmsg.Part) {
	raw := t.m.Bytes(p.Body)
	if most := min(t.budget, t.each); len(raw) > most {
		raw = raw[:most]
		d.partly("more than 1 MB of text")
	}
	t.budget -= len(raw)
	if len(raw) == 0 {
		return
	}
	body, ok := d.decode(t, p.Encoding, raw)
	if !ok {
		return
	}
	s := header.DecodeCharset(p.Params["charset"], body)
	tp := TextPart{Part: p, Bytes8: count8(raw), ASCII: isPlain(body)}
	if isHTML(p) {
		tp.HTML = true
		d.HTML = append(d.HTML, s)
	} else {
		d.Text = append(d.Text, s)
	}
	d.Parts = append(d.Parts, tp)
}

func isHTML(p *rawmsg.Part) bool {
	return len(p.Subtype) >= 4 && p.Subtype[:4] == "html" || p.Subtype == "xhtml"
}

// count8 counts bytes above 127.
func count8(b []byte) int {
	n := 0
	for _, c := range b {
		n += int(c >> 7)
	}
	return n
}

// isPlain reports whether b could have been sent as 7bit (RFC 2045 §2.7).
func isPlain(b []byte) bool {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			i = len(b) - 1
		}
		if i > 998 {
			return false
		}
		for _, c := range b[:i+1] {
			if c >= 0x80 || c == 0 {
				return false
			}
		}
		b = b[i+1:]
	}
	return true
}

// decode undoes the transfer encoding of raw. It reports false when it cannot
// or may not.
func (d *Message) decode(t *texts, encoding string, raw []byte) ([]byte, bool) {
	switch encoding {
	case "base64", "quoted-printable":
	case "", "7bit", "8bit", "binary":
		return raw, true
	default:
		d.partly("a text part of unknown encoding")
		return raw, true
	}
	if !t.m.Inside() {
		return nil, false // the reason is the limit
	}
	d.Decoded += len(raw)
	if encoding == "base64" {
		if out, ok := strictBase64(raw); ok {
			return out, true
		}
		clean, ok := cleanBase64(raw)
		if !ok {
			d.Decoded -= len(raw)
			d.partly("a text part that says base64 and is not")
			return nil, false
		}
		raw = clean
	} else if out, ok := strictQuoted(raw); ok {
		return out, true
	}
	return d.forgiving(t, encoding, raw)
}

// forgiving gives what breaks its encoding to enmime, which knows how mail
// programs read it.
func (d *Message) forgiving(t *texts, encoding string, raw []byte) ([]byte, bool) {
	if t.parser == nil {
		t.parser = enmime.NewParser(
			enmime.DisableCharacterDetection(true),
			enmime.DisableTextConversion(true),
			enmime.MaxStoredPartErrors(20),
		)
	}
	root, err := t.parser.ReadParts(reassemble(encoding, raw))
	if err != nil || root == nil {
		d.partly("a text part that cannot be decoded")
		return nil, false
	}
	return root.Content, true
}

// reassemble returns a message of one text part. Its character set is one that
// makes the library pass bytes on as they are: package header converts them,
// from the same table as it does for header fields, and without a stated
// character set the library would guess at one, which costs more than all else.
func reassemble(encoding string, raw []byte) *bytes.Buffer {
	const head = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
	b := bytes.NewBuffer(make([]byte, 0, len(head)+len(encoding)+4+len(raw)))
	b.WriteString(head + encoding + "\r\n\r\n")
	b.Write(raw)
	return b
}

// strictBase64 decodes what follows RFC 2045 §6.8; false for anything else.
func strictBase64(raw []byte) ([]byte, bool) {
	raw = bytes.TrimRight(raw, " \t\r\n")
	out := make([]byte, base64.StdEncoding.DecodedLen(len(raw)))
	n, err := base64.StdEncoding.Decode(out, raw)
	return out[:n], err == nil
}

// strictQuoted decodes what follows RFC 2045 §6.7; false for an escape that is
// none. Blanks at the end of a line are the transport's and go; a line end
// alone is what the part has.
func strictQuoted(raw []byte) ([]byte, bool) {
	out := make([]byte, 0, len(raw))
	for {
		i := bytes.IndexByte(raw, '=')
		if i < 0 {
			return trimLines(append(out, raw...)), true
		}
		out = append(out, raw[:i]...)
		raw = raw[i+1:]
		if len(raw) >= 2 {
			if hi, lo := ascii.Unhex(raw[0]), ascii.Unhex(raw[1]); hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				raw = raw[2:]
				continue
			}
		}
		n := 0
		for n < len(raw) && (raw[n] == ' ' || raw[n] == '\t') {
			n++
		}
		if n < len(raw) && raw[n] == '\r' {
			n++
		}
		switch {
		case n < len(raw) && raw[n] == '\n':
			raw = raw[n+1:]
		case n == len(raw):
			raw = nil
		default:
			return nil, false
		}
	}
}

// trimLines drops blanks before line ends, in place. An encoded blank there
// goes with them, which no rule minds.
func trimLines(b []byte) []byte {
	if !bytes.Contains(b, []byte(" \r\n")) && !bytes.Contains(b, []byte(" \n")) && !bytes.Contains(b, []byte("\t\n")) && !bytes.Contains(b, []byte("\t\r\n")) {
		return b
	}
	out := b[:0]
	for _, c := range b {
		if c == '\n' {
			end := len(out)
			cr := end > 0 && out[end-1] == '\r'
			if cr {
				end--
			}
			for end > 0 && (out[end-1] == ' ' || out[end-1] == '\t') {
				end--
			}
			out = out[:end]
			if cr {
				out = append(out, '\r')
			}
		}
		out = append(out, c)
	}
	return out
}

// cleanBase64 returns the base64 characters of raw up to its padding; the
// library keeps an error for each other byte, and would use a hundred times the
// memory. It reports false when more than a tenth of raw is something else.
func cleanBase64(raw []byte) ([]byte, bool) {
	out := make([]byte, 0, len(raw))
	bad := 0
	for _, c := range raw {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '+', c == '/':
			out = append(out, c)
		case c == '\n', c == '\r', c == ' ', c == '\t', c == '=':
		default:
			bad++
		}
	}
	// One character over a group of four holds no byte.
	if len(out)%4 == 1 {
		out = out[:len(out)-1]
	}
	return slices.Clip(out), bad*10 <= len(raw)
}
