package message

import (
	"strings"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Attachment is what there is to know of an attachment: its name and type, and
// what a look at its first and last bytes tells.
type Attachment struct {
	// Name is the file name, decoded, "" for none.
	Name string
	// Type is "type/subtype" in lower case.
	Type string
	// Size is that of the decoded content, about.
	Size int64
	// Kind is what the first bytes say it is.
	Kind Kind
	// Marks are what was found in it.
	Marks Mark
	// Files are the names in an archive, at most maxFiles.
	Files []string
	// Marked says that its disposition is attachment.
	Marked bool
	// Attached says that it is in an attached message.
	Attached bool
}

// Kind is what a file is by its first bytes.
type Kind uint8

// The kinds of files.
const (
	// Other is any that is not known, or was not looked at.
	Other Kind = iota
	Program
	Script
	Zip
	RAR
	SevenZip
	Gzip
	OtherArchive // CAB, ARJ, ACE, bzip2, xz, tar
	OLE          // old Office, MSI
	PDF
	RTF
	HTML
	SVG
	Picture
	Shortcut // Windows .lnk
	OneNote
	DiskImage
	Calendar // and vCard
)

// Mark is a set of what was found in a file.
type Mark uint32

// The marks.
const (
	// EncryptedArchive needs a password.
	EncryptedArchive Mark = 1 << iota
	// NestedArchive holds another archive.
	NestedArchive
	// ArchivedProgram holds a program or a script; OnlyProgram nothing else.
	ArchivedProgram
	OnlyProgram
	// Macro holds code of Office.
	Macro
	// PDFScript, PDFLaunch, PDFOpen and PDFLink: a PDF with JavaScript, one that
	// starts a program, one that does something when opened, one with links.
	PDFScript
	PDFLaunch
	PDFOpen
	PDFLink
	// PDFEncrypted needs a password.
	PDFEncrypted
	// ActiveHTML has a script, HTMLForm a form, HTMLPassword asks for a
	// password.
	ActiveHTML
	HTMLForm
	HTMLPassword
	// EmbeddedObject is a RTF or Office file with an embedded program.
	EmbeddedObject
	// OddArchive has headers that contradict one another.
	OddArchive
	// BadBase64 was not the base64 that it says it is.
	BadBase64
)

// Has reports whether m has all of x.
func (m Mark) Has(x Mark) bool { return m&x == x }

// maxFiles bounds the names of an archive that are told.
const maxFiles = 100

func (d *Message) attachment(t *texts, p *rawmsg.Part, attached bool) {
	if p.Type == "multipart" && p.Filename == "" {
		return
	}
	size := int64(p.Body.Len())
	if p.Encoding == "base64" {
		size = size / 4 * 3
	}
	a := Attachment{Name: p.Filename, Type: p.Type + "/" + p.Subtype, Size: size,
		Marked: p.Disposition == "attachment", Attached: attached}
	if t.m.Inside() && len(p.Children) == 0 {
		d.look(t, p, &a)
	}
	d.Attachments = append(d.Attachments, a)
}

// Bounds of what is decoded of attachments, in bytes of the decoded content.
const (
	maxHead   = 48 << 10
	maxTail   = 48 << 10
	maxLooked = 512 << 10 // of all attachments together
	firstLook = 1 << 10
)

// look decodes the first and last bytes of p as far as its kind needs.
func (d *Message) look(t *texts, p *rawmsg.Part, a *Attachment) {
	raw := t.m.Bytes(p.Body)
	h := d.head(t, p.Encoding, raw, firstLook)
	a.Kind = kindOf(h)
	switch a.Kind {
	case Zip:
		looksAtZip(a, d.head(t, p.Encoding, raw, 4<<10), d.tail(t, p.Encoding, raw))
	case PDF:
		lookAtPDF(a, d.head(t, p.Encoding, raw, maxHead))
		if len(raw) > maxHead {
			lookAtPDF(a, d.tail(t, p.Encoding, raw))
		}
	case OLE:
		lookAtOLE(a, d.head(t, p.Encoding, raw, maxHead))
		lookAtOLE(a, d.tail(t, p.Encoding, raw))
	case RTF:
		lookAtRTF(a, d.head(t, p.Encoding, raw, maxHead))
	case HTML, SVG:
		lookAtHTML(a, d.head(t, p.Encoding, raw, maxHead))
	case RAR, SevenZip:
		lookAtArchive(a, h)
	case Other, Script:
		if named(a, ".htm", ".html", ".xhtml", ".shtml", ".svg") || strings.HasSuffix(a.Type, "/html") {
			lookAtHTML(a, d.head(t, p.Encoding, raw, maxHead))
		}
	}
}

// named reports whether a's name has one of the extensions.
func named(a *Attachment, ext ...string) bool {
	name := strings.ToLower(strings.TrimRight(a.Name, " ."))
	for _, e := range ext {
		if strings.HasSuffix(name, e) {
			return true
		}
	}
	return false
}

// head returns the first n bytes of the content, or what the budget has.
func (d *Message) head(t *texts, encoding string, raw []byte, n int) []byte {
	switch encoding {
	case "base64":
		raw = raw[:min(len(raw), n/3*4+n/40)]
		if raw = d.spend(t, raw); raw == nil {
			return nil
		}
		return partBase64(raw)
	case "quoted-printable":
		raw = d.spend(t, raw[:min(len(raw), n)])
		out, _ := strictQuoted(raw)
		return out
	}
	return d.spend(t, raw[:min(len(raw), n)])
}

// tail returns the last maxTail bytes. Groups of base64 are counted from the
// end, where padding makes the last one whole.
func (d *Message) tail(t *texts, encoding string, raw []byte) []byte {
	n := maxTail
	if encoding == "base64" {
		n = n/3*4 + n/40
	}
	short := len(raw) <= n
	raw = d.spend(t, raw[max(0, len(raw)-n):])
	switch {
	case encoding == "quoted-printable":
		return nil
	case encoding != "base64":
		return raw
	case short:
		return partBase64(raw)
	}
	chars := 0
	for _, c := range raw {
		if c > ' ' {
			chars++
		}
	}
	for drop := chars % 4; len(raw) > 0 && drop > 0; raw = raw[1:] {
		if raw[0] > ' ' {
			drop--
		}
	}
	return partBase64(raw)
}

// spend takes raw from the budget, nil when that is used up.
func (d *Message) spend(t *texts, raw []byte) []byte {
	if t.looked+len(raw) > maxLooked {
		d.partly("more attachments than are looked at")
		return nil
	}
	t.looked += len(raw)
	d.Work += len(raw)
	return raw
}

// partBase64 decodes a piece of base64 that begins with a whole group, as far
// as it is base64.
func partBase64(raw []byte) []byte {
	clean := make([]byte, 0, len(raw))
	for _, c := range raw {
		if c > ' ' {
			clean = append(clean, c)
		}
	}
	return decodeGroups(clean)
}
