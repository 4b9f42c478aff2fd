package scan

import (
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/link"
	"github.com/gatepost/gatepost/internal/message"
)

// documents are extensions that a reader trusts.
var documents = words("avi csv doc docx eml gif htm html jpeg jpg mov mp3 mp4 odt pdf png ppt pptx rtf tif txt wav xls xlsx xml zip")

// macros are extensions of documents that can hold programs.
var macros = words("docm dotm xlsm xltm xlam xlsb pptm potm ppam ppsm sldm slk iqy mht mhtml pub accdb mdb csh ksh wiz")

// words returns the words of s as a set.
func words(s string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}

func extension(a *message.Attachment) string {
	_, ext := message.CutExtension(a.Name)
	return ext
}

// firstAttachment hits where ok is true, and tells the name.
func (f *facts) firstAttachment(ok func(a *message.Attachment) bool) outcome {
	for i := range f.text.Attachments {
		if a := &f.text.Attachments[i]; ok(a) {
			return yes(name(a))
		}
	}
	return outcome{}
}

func name(a *message.Attachment) string {
	if a.Name == "" {
		return a.Type
	}
	return a.Name
}

// mild are programs that people do send one another: a click on them asks first,
// or does nothing on most machines.
var mild = words("url apk dmg pkg xpi theme jar com")

// executable looks at the name, which is what a click goes by, and at the
// first bytes of what has none. Where all are mild it counts a quarter.
func executable(f *facts) outcome {
	worst := f.firstAttachment(func(a *message.Attachment) bool {
		ext := extension(a)
		return message.IsProgram(ext) && !mild[ext] || a.Name == "" && a.Kind == message.Program
	})
	if worst.hit {
		return worst
	}
	o := f.firstAttachment(func(a *message.Attachment) bool { return message.IsProgram(extension(a)) })
	o.times *= 0.25
	return o
}

// doubleExtension also hits where the name turns the direction of writing, so
// that "annexe\u202efdp.exe" reads as "annexeexe.pdf".
func doubleExtension(f *facts) outcome {
	return f.firstAttachment(func(a *message.Attachment) bool {
		base, ext := message.CutExtension(a.Name)
		if !message.IsProgram(ext) {
			return false
		}
		_, inner := message.CutExtension(base)
		return documents[inner] || strings.ContainsFunc(a.Name, link.IsTurning)
	})
}

func macroExtension(f *facts) outcome {
	return f.firstAttachment(func(a *message.Attachment) bool { return macros[extension(a)] })
}

// marked returns a rule that hits where an attachment of one of the kinds has
// the mark. Mail that forwards another one as an attachment speaks of it.
func marked(m message.Mark, kinds ...message.Kind) func(*facts) outcome {
	return func(f *facts) outcome {
		return f.firstAttachment(func(a *message.Attachment) bool {
			return a.Marks.Has(m) && slices.Contains(kinds, a.Kind)
		})
	}
}

// pictures, and the kinds that a name or a type of theirs may not hide.
var dangerous = []message.Kind{message.Program, message.Shortcut, message.OneNote, message.DiskImage, message.HTML, message.SVG, message.Script}

// badAttachment: what a filter or reader takes for a picture or a document is
// none. An extension of a program is another rule's.
func badAttachment(f *facts) outcome {
	for i := range f.text.Attachments {
		a := &f.text.Attachments[i]
		ext := extension(a)
		if !slices.Contains(dangerous, a.Kind) || message.IsProgram(ext) {
			continue
		}
		page := a.Kind == message.HTML || a.Kind == message.SVG
		byName := documents[ext] && !(page && (ext == "htm" || ext == "html" || ext == "xml" || ext == "txt" || ext == "doc" || ext == "xls" || ext == "eml"))
		byType := strings.HasPrefix(a.Type, "image/") && !(a.Kind == message.SVG) || a.Type == "application/pdf"
		if ext == "" && a.Kind == message.HTML || a.Kind == message.Script {
			byType = false
		}
		if a.Kind == message.Script && ext == "txt" {
			byName = false
		}
		if byName || byType {
			return yes(name(a), a.Type)
		}
	}
	return outcome{}
}

func badUnicode(f *facts) outcome {
	return f.firstAttachment(func(a *message.Attachment) bool {
		return strings.ContainsFunc(a.Name, func(r rune) bool {
			return link.IsTurning(r) || link.IsInvisible(r) && r != 0xad && r != 0x200d && r != 0x200c && r != 0x200e
		})
	})
}

// bait are words that make people open a file.
var bait = []string{"invoice", "payment", "remittance", "receipt", "order", "quotation", "statement", "swift", "bank", "document",
	"scan", "fax", "shipment", "delivery", "tracking", "dhl", "fedex", "contract", "resume", "voice", "rechnung", "mahnung", "zahlung",
	"bestellung", "lieferung", "facture", "paiement", "commande", "factura", "pago", "pedido", "fattura"}

func clickbait(f *facts) outcome {
	subject := strings.ToLower(f.text.Subject)
	return f.firstAttachment(func(a *message.Attachment) bool {
		if !a.Marks.Has(message.ArchivedProgram) {
			return false
		}
		file := strings.ToLower(a.Name)
		return slices.ContainsFunc(bait, func(w string) bool {
			return strings.Contains(file, w) || strings.Contains(subject, w)
		})
	})
}

// archiveNames are the extensions that files of a kind bear.
var archiveNames = map[message.Kind]map[string]bool{
	message.RAR:      words("rar r00 r01 cbr rev part1"),
	message.SevenZip: words("7z 001 cb7"),
}

// misidentified: programs for archives go by the first bytes, filters by the
// name. Zip is the form of many kinds of files.
func misidentified(f *facts) outcome {
	return f.firstAttachment(func(a *message.Attachment) bool {
		names, ok := archiveNames[a.Kind]
		ext := extension(a)
		return ok && ext != "" && !names[ext] && (documents[ext] || ext == "rar" || ext == "7z" || ext == "gz" || ext == "iso" || ext == "arj" || ext == "cab" || ext == "z") ||
			a.Kind == message.Zip && (ext == "rar" || ext == "7z" || ext == "pdf" || ext == "jpg" || ext == "txt" || ext == "gz")
	})
}

func svgScript(f *facts) outcome {
	return f.firstAttachment(func(a *message.Attachment) bool {
		svg := a.Kind == message.SVG || extension(a) == "svg"
		return svg && (a.Marks.Has(message.ActiveHTML) || a.Marks.Has(message.HTMLForm))
	})
}

func pdfActive(f *facts) outcome {
	return f.firstAttachment(func(a *message.Attachment) bool {
		return a.Kind == message.PDF && (a.Marks.Has(message.PDFLaunch) || a.Marks.Has(message.PDFScript|message.PDFOpen))
	})
}
