package message

import "bytes"

// lookAtPDF looks for the names that make a PDF do something (ISO 32000
// §12.6). Names in compressed streams are not seen.
func lookAtPDF(a *Attachment, b []byte) {
	for rest := b; ; {
		i := bytes.IndexByte(rest, '/')
		if i < 0 {
			return
		}
		rest = rest[i+1:]
		n := 0
		for n < len(rest) && n < 16 && (rest[n]|0x20 >= 'a' && rest[n]|0x20 <= 'z') {
			n++
		}
		switch string(rest[:n]) {
		case "JS", "JavaScript":
			a.Marks |= PDFScript
		case "Launch":
			a.Marks |= PDFLaunch
		case "OpenAction", "AA":
			a.Marks |= PDFOpen
		case "URI":
			a.Marks |= PDFLink
		case "Encrypt":
			a.Marks |= PDFEncrypted
		case "EmbeddedFile":
			a.Marks |= EmbeddedObject
		}
	}
}

// wide returns s as UTF-16LE, as OLE names streams ([MS-CFB] §2.6.1).
func wide(s string) []byte {
	b := make([]byte, 0, 2*len(s))
	for i := range len(s) {
		b = append(b, s[i], 0)
	}
	return b
}

// oleMarks are names of streams and storages, and what they mean.
var oleMarks = []struct {
	name []byte
	mark Mark
}{
	{wide("_VBA_PROJECT"), Macro}, {wide("Macros\x00"), Macro}, {wide("VBA\x00"), Macro},
	{wide("\x01Ole10Native"), EmbeddedObject}, {wide("EncryptedPackage"), EncryptedArchive},
	{wide("Equation Native"), EmbeddedObject},
}

func lookAtOLE(a *Attachment, b []byte) {
	for _, m := range oleMarks {
		if !a.Marks.Has(m.mark) && bytes.Contains(b, m.name) {
			a.Marks |= m.mark
		}
	}
}

// lookAtRTF knows embedded objects, which start programs when clicked.
func lookAtRTF(a *Attachment, b []byte) {
	if bytes.Contains(b, []byte(`\objdata`)) || bytes.Contains(b, []byte(`\objupdate`)) {
		a.Marks |= EmbeddedObject
	}
}

// lookAtHTML knows a page that does something on the reader's own disk, where
// no warning of a browser's stands before it.
func lookAtHTML(a *Attachment, b []byte) {
	b = bytes.ToLower(b)
	if bytes.Contains(b, []byte("<script")) || bytes.Contains(b, []byte("javascript:")) || bytes.Contains(b, []byte(" onload=")) ||
		bytes.Contains(b, []byte(" onerror=")) || bytes.Contains(b, []byte("http-equiv=\"refresh")) {
		a.Marks |= ActiveHTML
	}
	if bytes.Contains(b, []byte("<form")) {
		a.Marks |= HTMLForm
	}
	if bytes.Contains(b, []byte("type=\"password")) || bytes.Contains(b, []byte("type='password")) || bytes.Contains(b, []byte("type=password")) {
		a.Marks |= HTMLPassword
	}
}
