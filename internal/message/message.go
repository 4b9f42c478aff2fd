// Package message gives rules the decoded text of a message: subject, author,
// text and HTML, links, words, and what a look into attachments tells.
//
// What the raw scanner (package rawmsg) found decides what is decoded. Of a
// message outside its limits there is what needs no decoding, and the result
// says so. Text parts are cut to MaxText in all, the largest first, attachments to the first and
// last 48 KB of each and 512 KB together, so that no input makes this slow or
// large; Work counts steps for tests of that.
//
// Who does what: base64 and quoted-printable that keep to RFC 2045 are decoded
// here, with the standard library and in one pass; what breaks its encoding
// goes to enmime behind a header that we write, because enmime knows how mail
// programs forgive (and was four fifths of the time when all text went through
// it: a message of 36 KB took 0.27 ms with links and visible text alone, and
// takes 0.21 ms with hidden text, words, phrases and attachments). Character
// sets are package header's. HTML is cut into tokens by x/net/html; tags are
// read here from the token, whose own reader copies each attribute, and a stack
// of open elements with the style that hides text is kept beside it.
//
// Limits: text inside an attached message (message/rfc822) is not decoded. Of
// style sheets the rules with simple selectors count (a class, an element, an
// identifier), not those of @media, and not those that follow the text. Of
// archives names are read where a zip file's directory lies within the tail;
// of RAR and 7z the marks of encryption in the first bytes. Streams of PDF and
// Office are not inflated. Words are read up to MaxWords of text and of HTML.
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
	// Parts tells about the text parts, in the order of the message.
	Parts []TextPart
	// Visible is what a reader sees of HTML: its text without tags, style and
	// script, white space made single blanks.
	Visible string
	// Images counts the images of HTML.
	Images int
	// Page tells what HTML hides and asks for.
	Page Page
	// Links are those of HTML and those that stand in text.
	Links []Link
	// Addresses of mail stand in the text or in its links, each once, as
	// LocalPart@Domain with the domain in lower case.
	Addresses []string
	// Words tells about the words of subject and text.
	Words Words
	// Attachments are the parts with a file name, or marked as an attachment,
	// or of a type that is neither text nor a container.
	Attachments []Attachment
	// Partly says that some text was not decoded, Reasons why.
	Partly  bool
	Reasons []string
	// Decoded counts the raw bytes whose transfer encoding was undone.
	Decoded int
	// Facts are what a look at every byte tells of the raw message.
	Facts rawmsg.Facts
	// Work counts steps, so that a test can tell linear time without a watch.
	Work int
}

// Decode returns what m holds for rules. It takes time and memory linear in
// the header block and MaxText.
func Decode(m *rawmsg.Message) *Message {
	d := &Message{}
	d.header(m)
	for _, l := range m.Hit {
		d.partly(l.String())
	}
	t := texts{m: m, budget: MaxText, each: share(textSizes(nil, m.Root), MaxText)}
	d.parts(&t, m.Root, false)
	var visible []string
	for _, h := range d.HTML {
		visible = append(visible, d.html(h))
	}
	d.Visible = strings.Join(visible, " ")
	for _, t := range d.Text {
		d.findLinks(t)
	}
	d.words(m)
	d.Facts = m.Facts(rawmsg.Default())
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
		d.attachment(t, p, attached)
	}
	for _, c := range p.Children {
		d.parts(t, c, attached || nested)
	}
}
