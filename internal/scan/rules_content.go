package scan

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

// RFC 2045 §4: a message that follows MIME has the field. Plain ASCII text with
// a Content-Type is what old programs and many scripts send.
func missingMIMEVersion(f *facts) outcome {
	if _, ok := f.Raw.First("MIME-Version"); ok {
		return outcome{}
	}
	root := f.Raw.Root
	return when(root.Typed && !root.Is("text", "plain") || root.Encoding == "base64" || root.Encoding == "quoted-printable")
}

func outOfBounds(f *facts) outcome {
	if f.Raw.Inside() {
		return outcome{}
	}
	var what []string
	for _, l := range f.Raw.Hit {
		what = append(what, l.String())
	}
	return yes(what...)
}

// minVisible is how many characters a reader sees of a message that says
// something.
const minVisible = 50

func htmlOnlyShort(f *facts) outcome {
	if len(f.text.HTML) == 0 || f.text.Partly || strings.TrimSpace(strings.Join(f.text.Text, "")) != "" {
		return outcome{}
	}
	n := utf8.RuneCountInString(f.text.Visible)
	if n >= minVisible || f.text.Images == 0 && len(f.text.Links) == 0 {
		return outcome{}
	}
	return yes(fmt.Sprintf("%d characters, %d images, %d links", n, f.text.Images, len(f.text.Links)))
}

// linkMismatch looks at links whose text is itself a host or a URL. The owner
// of the host that is shown may lead readers over a service that counts them,
// so a right signature of that owner ends the question.
func linkMismatch(f *facts) outcome {
	for _, l := range f.text.Links {
		shown := shownHost(l.Text)
		to := hostOf(l.URL)
		if shown == "" || to == "" || sameOrganization(shown, to) || f.signedBy(shown) {
			continue
		}
		return yes(shown + " leads to " + to)
	}
	return outcome{}
}

// signedBy reports whether a right DKIM signature is of host's organization.
func (f *facts) signedBy(host string) bool {
	return slices.ContainsFunc(f.Auth.DKIM, func(d mailauth.DKIM) bool {
		return d.Result == authres.Pass && sameOrganization(d.Domain, host)
	})
}

func urlNumeric(f *facts) outcome {
	for _, l := range f.text.Links {
		if h := hostOf(l.URL); isNumericHost(h) {
			return yes(h)
		}
	}
	return outcome{}
}

// programs are the extensions that Windows runs, opens as a script or mounts
// with a click, and that nobody has to mail.
var programs = map[string]bool{
	"ade": true, "adp": true, "app": true, "appx": true, "bat": true, "chm": true, "cmd": true, "com": true,
	"cpl": true, "dll": true, "exe": true, "gadget": true, "hta": true, "img": true, "ins": true, "iso": true,
	"isp": true, "jar": true, "jnlp": true, "js": true, "jse": true, "lnk": true, "mde": true, "msc": true,
	"msi": true, "msix": true, "msp": true, "mst": true, "ocx": true, "one": true, "pif": true, "ps1": true,
	"reg": true, "scr": true, "sct": true, "settingcontent-ms": true, "shb": true, "shs": true, "sys": true,
	"url": true, "vb": true, "vbe": true, "vbs": true, "vhd": true, "vhdx": true, "vxd": true, "wsc": true,
	"wsf": true, "wsh": true, "xll": true,
}

// documents are extensions that a reader trusts.
var documents = map[string]bool{
	"avi": true, "csv": true, "doc": true, "docx": true, "eml": true, "gif": true, "htm": true, "html": true,
	"jpeg": true, "jpg": true, "mov": true, "mp3": true, "mp4": true, "odt": true, "pdf": true, "png": true,
	"ppt": true, "pptx": true, "rtf": true, "tif": true, "txt": true, "wav": true, "xls": true, "xlsx": true,
	"xml": true, "zip": true,
}

// cutExtension splits a file name at its last dot. Blanks and dots at the end
// count for nothing, as Windows has it.
func cutExtension(name string) (base, ext string) {
	name = strings.ToLower(strings.TrimRight(name, " ."))
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return name, ""
	}
	return strings.TrimRight(name[:i], " "), strings.TrimSpace(name[i+1:])
}

func executable(f *facts) outcome {
	for _, a := range f.text.Attachments {
		if _, ext := cutExtension(a.Name); programs[ext] {
			return yes(a.Name)
		}
	}
	return outcome{}
}

// doubleExtension also hits where the name turns the direction of writing, so
// that "annexe\u202efdp.exe" reads as "annexeexe.pdf".
func doubleExtension(f *facts) outcome {
	for _, a := range f.text.Attachments {
		base, ext := cutExtension(a.Name)
		if !programs[ext] {
			continue
		}
		_, inner := cutExtension(base)
		if documents[inner] || strings.ContainsAny(a.Name, "\u202a\u202b\u202d\u202e\u2066\u2067\u2068") {
			return yes(a.Name)
		}
	}
	return outcome{}
}

func partlyScanned(f *facts) outcome {
	if !f.partly() {
		return outcome{}
	}
	why := f.text.Reasons
	if f.Size > int64(len(f.Raw.Raw)) {
		why = append([]string{"the message is longer than what was kept for rules"}, why...)
	}
	return yes(why...)
}
