// Package message gives rules the decoded text of a message: subject, author,
// text and HTML, links, the names of attachments.
//
// What the raw scanner (package rawmsg) found decides what is decoded. Only of
// a message inside its limits do text parts go to enmime for their transfer
// encoding, one by one, behind a header that we write, cut to MaxText in all
// and with everything that is not base64 taken out of base64: so no input
// makes the library slow or large. Of any other message there is what needs no
// decoding, and the result says so.
//
// Limits: text inside an attached message (message/rfc822) is not decoded, and
// attachments are told by name, type and size only.
package message

import (
	"strings"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Bounds of what Decode gives.
const (
	// MaxText bounds the raw bytes of all text parts together.
	MaxText = 1 << 20
	// MaxLinks bounds the links of a message.
	MaxLinks = 500
	// maxLinkText bounds the text of one link.
	maxLinkText = 500
)

// Message is the decoded text of a message. All strings are UTF-8.
type Message struct {
	// Subject is the first Subject, decoded, "" for none.
	Subject string
	// From holds the mailboxes of all From fields, their names decoded.
	From []mailaddr.Mailbox
	// Text has the text parts that are not HTML, HTML the source of those that
	// are. Attachments are in neither.
	Text, HTML []string
	// Visible is what a reader sees of HTML: its text without tags, style and
	// script, white space made single blanks.
	Visible string
	// Images counts the images of HTML.
	Images int
	// Links are those of HTML and those that stand in Text.
	Links []Link
	// Attachments are the parts with a file name, or marked as an attachment,
	// or of a type that is neither text nor a container.
	Attachments []Attachment
	// Partly says that some text was not decoded, Reasons why.
	Partly  bool
	Reasons []string
	// Decoded counts the bytes that were given to the MIME library.
	Decoded int
}

// Link is a reference to somewhere else.
type Link struct {
	// URL is as typed, without white space around it.
	URL string
	// Text is what a reader sees of it, "" in plain text.
	Text string
}

// Attachment is what there is to know of an attachment without decoding it.
type Attachment struct {
	// Name is the file name, decoded, "" for none.
	Name string
	// Type is "type/subtype" in lower case.
	Type string
	// Size is that of the decoded content, about.
	Size int64
}

// Decode returns what m holds for rules. It takes time and memory linear in
// the header block and MaxText.
func Decode(m *rawmsg.Message) *Message {
	d := &Message{}
	d.header(m)
	for _, l := range m.Hit {
		d.partly(l.String())
	}
	t := texts{m: m, budget: MaxText}
	d.parts(&t, m.Root, false)
	var visible []string
	for _, h := range d.HTML {
		visible = append(visible, d.html(h))
	}
	d.Visible = strings.Join(visible, " ")
	for _, t := range d.Text {
		d.plainLinks(t)
	}
	return d
}

func (d *Message) partly(reason string) {
	d.Partly = true
	for _, r := range d.Reasons {
		if r == reason {
			return
		}
	}
	d.Reasons = append(d.Reasons, reason)
}

func (d *Message) header(m *rawmsg.Message) {
	if s, ok := m.First("Subject"); ok {
		d.Subject = header.DecodeText(s)
	}
	for i := range m.Fields {
		f := &m.Fields[i]
		if !f.Is("From") || len(d.From) >= mailaddr.MaxMailboxes {
			continue
		}
		boxes, err := mailaddr.ParseMailboxes(f.Value)
		if err != nil && len(boxes) == 0 {
			continue
		}
		for _, b := range boxes {
			b.Name = header.DecodeText(b.Name)
			d.From = append(d.From, b)
		}
	}
}

// isText reports whether a reader sees p as text of the message.
func isText(p *rawmsg.Part) bool {
	return p.Type == "text" && p.Disposition != "attachment" && len(p.Children) == 0
}

// parts takes in p and its children, whose depth the scanner bounds. Of an
// attached message only the attachments count.
func (d *Message) parts(t *texts, p *rawmsg.Part, attached bool) {
	nested := p.Is("message", "rfc822")
	switch {
	case isText(p):
		if !attached {
			d.text(t, p)
		}
	case nested || len(p.Children) == 0:
		d.attachment(p)
	}
	for _, c := range p.Children {
		d.parts(t, c, attached || nested)
	}
}

func (d *Message) attachment(p *rawmsg.Part) {
	if p.Type == "multipart" && p.Filename == "" {
		return
	}
	size := int64(p.Body.Len())
	if p.Encoding == "base64" {
		size = size / 4 * 3
	}
	d.Attachments = append(d.Attachments, Attachment{Name: p.Filename, Type: p.Type + "/" + p.Subtype, Size: size})
}

// collapse returns s with each run of white space made one blank.
func collapse(s string) string { return strings.Join(strings.Fields(s), " ") }
