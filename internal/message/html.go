package message

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxToken bounds one token of HTML in bytes; what follows a longer one is not
// read.
const maxToken = 256 << 10

// page is the state while one HTML part is read.
type page struct {
	visible strings.Builder
	hidden  int    // inside this many of style, script, head's title, template
	href    string // of the anchor that is open
	anchor  strings.Builder
	open    bool
}

// html takes in links and images of the HTML source src, and returns the text
// that a reader sees.
func (d *Message) html(src string) (visible string) {
	z := html.NewTokenizer(strings.NewReader(src))
	z.SetMaxBuf(maxToken)
	var g page
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() == html.ErrBufferExceeded {
				d.partly("an HTML tag of more than 256 KB")
			}
			d.closeAnchor(&g)
			return collapse(g.visible.String())
		case html.TextToken:
			if g.hidden == 0 {
				g.text(z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			d.startTag(&g, z)
		case html.EndTagToken:
			name, _ := z.TagName()
			d.endTag(&g, atom.Lookup(name))
		}
	}
}

// text takes in text that is shown.
func (g *page) text(raw []byte) {
	s := string(raw)
	g.visible.WriteString(s)
	if g.open && g.anchor.Len() < maxLinkText {
		g.anchor.WriteString(cut(s, maxLinkText))
	}
}

func (d *Message) startTag(g *page, z *html.Tokenizer) {
	name, more := z.TagName()
	switch tag := atom.Lookup(name); tag {
	case atom.Style, atom.Script, atom.Title, atom.Template:
		g.hidden++
	case atom.Img:
		d.Images++
	case atom.A, atom.Area:
		d.closeAnchor(g)
		if href, ok := attribute(z, more, "href"); ok {
			g.href, g.open = strings.TrimSpace(href), true
		}
		if tag == atom.Area {
			d.closeAnchor(g)
		}
	case atom.P, atom.Br, atom.Div, atom.Td, atom.Tr, atom.Li, atom.H1, atom.H2, atom.H3:
		g.visible.WriteByte(' ')
		if g.open {
			g.anchor.WriteByte(' ')
		}
	}
}

func (d *Message) endTag(g *page, tag atom.Atom) {
	switch tag {
	case atom.Style, atom.Script, atom.Title, atom.Template:
		g.hidden = max(g.hidden-1, 0)
	case atom.A:
		d.closeAnchor(g)
	}
}

func (d *Message) closeAnchor(g *page) {
	if g.open {
		d.link(Link{URL: g.href, Text: collapse(g.anchor.String())})
	}
	g.href, g.open = "", false
	g.anchor.Reset()
}

func (d *Message) link(l Link) {
	switch {
	case l.URL == "":
	case len(d.Links) == MaxLinks:
		d.partly("more than 500 links")
	default:
		d.Links = append(d.Links, l)
	}
}

// attribute returns the value of the first attribute of that name.
func attribute(z *html.Tokenizer, more bool, name string) (value string, ok bool) {
	for more {
		var k, v []byte
		k, v, more = z.TagAttr()
		if !ok && bytes.EqualFold(k, []byte(name)) {
			value, ok = string(v), true
		}
	}
	return value, ok
}

// plainLinks takes in the http and https URLs that stand in s.
func (d *Message) plainLinks(s string) {
	for {
		i := strings.Index(s, "://")
		if i < 0 {
			return
		}
		scheme := strings.ToLower(s[max(i-5, 0):i])
		end := i + 3
		for end < len(s) && s[end] > ' ' && strings.IndexByte("<>\"'`", s[end]) < 0 {
			end++
		}
		rest := strings.TrimRight(s[i+3:end], ".,;:!?)]}")
		switch {
		case rest == "":
		case strings.HasSuffix(scheme, "https"):
			d.link(Link{URL: s[i-5:i+3] + rest})
		case strings.HasSuffix(scheme, "http"):
			d.link(Link{URL: s[i-4:i+3] + rest})
		}
		s = s[end:]
	}
}
