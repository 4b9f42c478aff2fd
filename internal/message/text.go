package message

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/jhillyerd/enmime/v2"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// texts is what is left of the budget while the text parts of m are decoded.
type texts struct {
	m      *rawmsg.Message
	budget int
	parser *enmime.Parser
}

// text takes in one text part.
func (d *Message) text(t *texts, p *rawmsg.Part) {
	raw := t.m.Bytes(p.Body)
	if len(raw) > t.budget {
		raw = raw[:t.budget]
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
	if strings.HasPrefix(p.Subtype, "html") || p.Subtype == "xhtml" {
		d.HTML = append(d.HTML, s)
		return
	}
	d.Text = append(d.Text, s)
}

// decode undoes the transfer encoding of raw. It reports false when it cannot
// or may not.
func (d *Message) decode(t *texts, encoding string, raw []byte) ([]byte, bool) {
	switch encoding {
	case "base64":
		clean, ok := cleanBase64(raw)
		if !ok {
			d.partly("a text part that says base64 and is not")
			return nil, false
		}
		raw = clean
	case "quoted-printable":
	case "", "7bit", "8bit", "binary":
		encoding = "8bit"
	default:
		d.partly("a text part of unknown encoding")
		return raw, true
	}
	if !t.m.Inside() {
		if encoding == "8bit" {
			return raw, true
		}
		return nil, false // the reason is the limit
	}
	if t.parser == nil {
		t.parser = enmime.NewParser(
			enmime.DisableCharacterDetection(true),
			enmime.DisableTextConversion(true),
			enmime.MaxStoredPartErrors(20),
		)
	}
	d.Decoded += len(raw)
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
	return out, bad*10 <= len(raw)
}

// cut returns at most n bytes of s, whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
