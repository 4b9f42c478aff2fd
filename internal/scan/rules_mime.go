package scan

import (
	"fmt"

	"github.com/gatepost/gatepost/internal/rawmsg"
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

func htmlOnly(f *facts) outcome { return when(len(f.text.HTML) > 0 && len(f.text.Text) == 0) }

// alternative returns the first multipart/alternative with something in it.
func (f *facts) alternative() *rawmsg.Part {
	var found *rawmsg.Part
	f.Raw.Walk(func(p *rawmsg.Part) bool {
		if found == nil && p.Is("multipart", "alternative") && len(p.Children) > 0 {
			found = p
		}
		return found == nil && !p.Is("message", "rfc822")
	})
	return found
}

// hasType reports whether p or a part of it is of that type.
func hasType(p *rawmsg.Part, typ, subtype string) bool {
	if p.Is(typ, subtype) {
		return true
	}
	for _, c := range p.Children {
		if hasType(c, typ, subtype) {
			return true
		}
	}
	return false
}

// RFC 2046 §5.1.4: the parts of an alternative are forms of one thing, the
// plainest first. A calendar or AMP form counts for neither.
func alternativeWithoutText(f *facts) outcome {
	p := f.alternative()
	return when(p != nil && hasType(p, "text", "html") && !hasType(p, "text", "plain"))
}

func alternativeWithoutHTML(f *facts) outcome {
	p := f.alternative()
	if p == nil || !hasType(p, "text", "plain") || hasType(p, "text", "html") {
		return outcome{}
	}
	return when(len(p.Children) == 1 || !hasType(p, "text", "calendar") && !hasType(p, "text", "enriched"))
}

// Text made from HTML leaves out and adds some words: links, captions of
// pictures.
func partsDiffer(f *facts) outcome {
	w := f.text.Words
	if !w.Compared || w.Differ < 0.5 {
		return outcome{}
	}
	return part((w.Differ-0.3)/0.7, fmt.Sprintf("%.0f %% of the words differ", 100*w.Differ))
}

// RFC 2183 §2.8: programs show a part without a disposition inline, if they
// can. Bytes of no known type without a name are shown as nothing.
func missingDisposition(f *facts) outcome {
	hit := false
	f.Raw.Walk(func(p *rawmsg.Part) bool {
		hit = hit || p.Is("application", "octet-stream") && p.Disposition == "" && p.Filename == "" && p.Body.Len() > 0
		return !p.Is("message", "rfc822") && !p.Is("multipart", "encrypted")
	})
	return when(hit)
}

// A short text is put into base64 by programs that never look.
const enoughText = 200

func needlessBase64(f *facts) outcome {
	for _, p := range f.text.Parts {
		if p.Part.Encoding == "base64" && p.ASCII && p.Part.Body.Len() > enoughText {
			return yes(p.Part.Type + "/" + p.Part.Subtype)
		}
	}
	return outcome{}
}

// RFC 2045 §6.2: 7bit, which is also what is not said, means no byte above
// 127. UTF-8 is what careless but honest programs send.
func badSevenBit(f *facts) outcome {
	for _, p := range f.text.Parts {
		if p.Bytes8 == 0 || p.Part.Encoding != "" && p.Part.Encoding != "7bit" {
			continue
		}
		if cs := p.Part.Params["charset"]; cs == "utf-8" || cs == "UTF-8" {
			return part(0.3, "UTF-8")
		}
		return yes()
	}
	return outcome{}
}

// RFC 2046 §4.1.2: without a charset text is US-ASCII.
func missingCharset(f *facts) outcome {
	for _, p := range f.text.Parts {
		if !p.ASCII && p.Part.Params["charset"] == "" && p.Part.Typed {
			return yes()
		}
	}
	return outcome{}
}

func brokenContentType(f *facts) outcome {
	v, ok := f.Raw.First("Content-Type")
	if !ok || f.Raw.Root.Typed {
		return outcome{}
	}
	return yes(v)
}

// RFC 2046 §5.1.1: a multipart has at least one part.
func boundaryUnseen(f *facts) outcome {
	if !f.Raw.Inside() {
		return outcome{}
	}
	hit := ""
	f.Raw.Walk(func(p *rawmsg.Part) bool {
		if hit == "" && p.Type == "multipart" && len(p.Children) == 0 {
			hit = p.Type + "/" + p.Subtype
		}
		return !p.Is("message", "rfc822") && p.Subtype != "report"
	})
	if hit == "" {
		return outcome{}
	}
	return yes(hit)
}

// A stray character happens on the way, and some lists add a footer in clear
// text behind the padding.
func badBase64(f *facts) outcome {
	for _, b := range f.text.Facts.BadBase64 {
		if b.Percent() > 2 && b.Bad > 20 {
			return part(0.5+float64(b.Percent())/20, fmt.Sprintf("%d %% of %s/%s", b.Percent(), b.Part.Type, b.Part.Subtype))
		}
	}
	return outcome{}
}

// RFC 5322 §4 forbids NUL.
func nulBytes(f *facts) outcome {
	n := f.text.Facts.NUL
	if n == 0 || f.binary() {
		return outcome{}
	}
	return yes(fmt.Sprintf("%d", n))
}

// binary reports whether a part says that it is not made of lines (RFC 3030).
func (f *facts) binary() bool {
	found := false
	f.Raw.Walk(func(p *rawmsg.Part) bool {
		found = found || p.Encoding == "binary"
		return true
	})
	return found
}

// What is called EFAIL: HTML before an encrypted part leaves an attribute open
// that swallows the decrypted text and sends it away.
func encryptedAndText(f *facts) outcome {
	hit := false
	f.Raw.Walk(func(p *rawmsg.Part) bool {
		if p.Type != "multipart" || p.Subtype == "encrypted" || p.Subtype == "signed" {
			return true
		}
		page, secret := 0, 0
		for _, c := range p.Children {
			switch {
			case c.Is("text", "html"):
				page++
			case c.Is("application", "pkcs7-mime") || c.Is("application", "x-pkcs7-mime") || c.Is("multipart", "encrypted"):
				secret++
			}
		}
		hit = hit || page > 0 && secret > 0
		return true
	})
	return when(hit)
}
