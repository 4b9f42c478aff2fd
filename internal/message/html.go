package message

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/gatepost/gatepost/internal/link"
)

// page is the state while one HTML part is read.
type page struct {
	d *Message
	tree
	sheet sheet
	// shown is the text that a reader sees, white space made single blanks.
	shown []byte
	// raw is the element whose content is not markup: style, script, title.
	raw atom.Atom
	// foreign says that SVG or MathML was seen. Where it ends depends on more than
	// is followed here, so that it lasts.
	foreign bool
	// first and last are the links of this part whose text is still offsets
	// into shown; at is where the open one's text begins, -1 for none.
	texts []span
	at    int
	link  Link
	// ran is the way in which the last letters were hidden, -1 for shown.
	ran int
}

// span is a part of the shown text that is the text of link n.
type span struct{ n, start, end int }

// html takes in what the HTML source src holds, and returns the text that a
// reader sees. It takes time linear in len(src).
func (d *Message) html(src string) (visible string) {
	z := html.NewTokenizer(strings.NewReader(src))
	g := page{d: d, sheet: newSheet(), at: -1, ran: -1}
	g.shown = make([]byte, 0, len(src)/2+64)
	d.Links = slices.Grow(d.Links, min(strings.Count(src, "href"), MaxLinks-len(d.Links)))
	g.open = append(make([]element, 0, 32), element{look: look{ink: black, paper: white}})
	for {
		switch z.Next() {
		case html.ErrorToken:
			return g.finish()
		case html.TextToken:
			g.text(z.Text())
		case html.StartTagToken, html.SelfClosingTagToken:
			g.startTag(z.Raw())
			if g.foreign {
				z.NextIsNotRawText()
			}
		case html.CommentToken:
			if g.raw == atom.Style {
				g.sheet.add(z.Text())
			}
		case html.EndTagToken:
			tag, _ := tagName(z.Raw())
			g.endTag(tag)
		}
	}
}

// finish gives links their texts and returns the text.
func (g *page) finish() string {
	g.closeAnchor()
	g.d.Work += g.work
	g.d.Page.Deep = g.d.Page.Deep || g.deep
	visible := string(bytes.TrimSuffix(g.shown, []byte{' '}))
	g.d.Page.Shown += len(visible)
	for _, s := range g.texts {
		end := min(s.end, len(visible), s.start+maxLinkText)
		if s.start < end {
			g.d.Links[s.n].Text = strings.TrimSpace(strings.ToValidUTF8(visible[s.start:end], ""))
		}
	}
	return visible
}

// text takes in a stretch of text.
func (g *page) text(b []byte) {
	switch g.raw {
	case 0:
	case atom.Style:
		g.sheet.add(b)
		return
	default:
		return
	}
	if len(g.shown) == 0 && len(bytes.TrimSpace(b)) == 0 {
		return
	}
	l := &g.top().look
	why, hides := l.hidden()
	if !hides || why == LowContrast && g.sheet.backgrounds && l.paper == white {
		if g.appendText(b) {
			g.ran = -1
		}
		if g.at < 0 && mayLink(b) {
			g.d.findLinks(string(b))
		}
		return
	}
	n := letters(b)
	if n == 0 {
		return
	}
	p := &g.d.Page
	if len(g.shown) < minBefore && g.atWordStart() && p.Preheader+n <= maxPreheader && why != LowContrast {
		p.Preheader += n
		return
	}
	p.Hidden[why] += n
	if g.ran != int(why) {
		p.Runs[why]++
		g.ran = int(why)
	}
}

// mayLink reports whether a link may stand in b: a dot with something behind
// it, or "://".
func mayLink(b []byte) bool {
	for rest := b; ; {
		i := bytes.IndexByte(rest, '.')
		if i < 0 || i+1 >= len(rest) {
			break
		}
		if rest[i+1] > ' ' && rest[i+1] != '.' {
			return true
		}
		rest = rest[i+1:]
	}
	return bytes.Contains(b, []byte("://"))
}

// atWordStart reports whether what comes next is no part of a word.
func (g *page) atWordStart() bool {
	return len(g.shown) == 0 || g.shown[len(g.shown)-1] == ' '
}

// A preheader stands before minBefore bytes of shown text and has at most
// maxPreheader letters.
const (
	minBefore    = 40
	maxPreheader = 400
)

// appendText appends b to the shown text with each run of white space made one
// blank. It reports whether there was anything else.
func (g *page) appendText(b []byte) (any bool) {
	out := g.shown
	blank := len(out) == 0 || out[len(out)-1] == ' '
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c <= ' ' || c == 0xc2 && i+1 < len(b) && b[i+1] == 0xa0 {
			if c == 0xc2 {
				i++
			}
			if !blank {
				out, blank = append(out, ' '), true
			}
			continue
		}
		out, blank, any = append(out, c), false, true
	}
	g.shown = out
	return any
}

// letters counts letters and digits.
func letters(b []byte) int {
	n := 0
	for i := 0; i < len(b); {
		c := b[i]
		if c < utf8.RuneSelf {
			if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' {
				n++
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		if unicode.IsLetter(r) && !link.IsInvisible(r) {
			n++
		}
		i += size
	}
	return n
}

func (g *page) endTag(tag atom.Atom) {
	if g.foreign {
		g.raw = 0
	}
	switch tag {
	case atom.Style, atom.Script, atom.Title, atom.Iframe, atom.Noembed, atom.Noframes:
		g.raw = 0
		return
	case atom.A:
		g.closeAnchor()
	case atom.P, atom.Div, atom.Td, atom.Tr, atom.Li, atom.Table:
		g.blank()
	}
	g.close(tag)
}

// blank ends a word.
func (g *page) blank() {
	if n := len(g.shown); n > 0 && g.shown[n-1] != ' ' {
		g.shown = append(g.shown, ' ')
	}
}

func (g *page) closeAnchor() {
	if g.at < 0 {
		return
	}
	n := len(g.d.Links)
	if g.d.link(g.link) {
		g.texts = append(g.texts, span{n, g.at, len(g.shown)})
	}
	g.at, g.link = -1, Link{}
}

func (g *page) startTag(raw []byte) {
	tag, rest := tagName(raw)
	var a attributes
	a.read(rest)
	if g.foreign = g.foreign || tag == atom.Svg || tag == atom.Math; g.foreign {
		g.raw = 0 // there it holds markup, and ends with any tag
	}
	g.imply(tag)
	said := g.sheet.of(tag, a.class, a.id).over(a.declared(tag))
	l := g.top().look.with(said, g.sheet.backgrounds)
	g.element(tag, &a, l)
	switch {
	case isVoid(tag), tag == atom.Style, tag == atom.Script, tag == atom.Title,
		tag == atom.Iframe, tag == atom.Noembed, tag == atom.Noframes:
	case tag == 0 && said.set == 0:
	case tag == atom.Body || tag == atom.Html:
		g.top().look = l
	default:
		g.push(tag, l)
	}
}

// element takes in what a start tag means besides its look.
func (g *page) element(tag atom.Atom, a *attributes, l look) {
	p := &g.d.Page
	switch tag {
	case atom.Style, atom.Title, atom.Iframe, atom.Noembed, atom.Noframes:
		g.raw = tag
	case atom.Script:
		g.raw = tag
		p.Scripts++
	case atom.Img:
		g.image(a)
	case atom.A, atom.Area:
		g.anchor(tag, a, l)
	case atom.Form:
		p.Forms++
		if href := bytes.TrimSpace(a.href); len(href) > 0 {
			g.d.link(Link{URL: string(href), Kind: Action})
		}
	case atom.Input:
		if is(trim(a.typ), "password") {
			p.Passwords++
		}
	case atom.Link:
		if is(trim(a.rel), "stylesheet") && isRemote(a.href) {
			p.Stylesheets++
		}
	case atom.Meta:
		if is(trim(a.equiv), "refresh") {
			g.refresh(a.content)
		}
	case atom.Base:
		if p.Base == "" && len(a.href) > 0 {
			p.Base = link.Clip(string(bytes.TrimSpace(a.href)), link.MaxURL)
		}
	case atom.Object, atom.Embed, atom.Frame:
		if isDataPage(a.src) {
			p.DataPages++
		}
	case atom.P, atom.Br, atom.Div, atom.Td, atom.Tr, atom.Li, atom.H1, atom.H2, atom.H3, atom.Th, atom.Hr, atom.Table:
		g.blank()
	}
	if tag == atom.Iframe && isDataPage(a.src) {
		p.DataPages++
	}
}

func (g *page) anchor(tag atom.Atom, a *attributes, l look) {
	g.closeAnchor()
	if a.href == nil {
		return
	}
	href := bytes.TrimSpace(a.href)
	if isDataPage(href) {
		g.d.Page.DataPages++
	}
	_, hidden := l.hidden()
	g.at = len(g.shown)
	g.link = Link{URL: link.Clip(string(href), link.MaxURL), Hidden: hidden}
	if tag == atom.Area {
		g.link.Image = true
		g.closeAnchor()
	}
}

// refresh reads the content of a meta refresh: "5; url=https://…".
func (g *page) refresh(content []byte) {
	i := bytes.IndexByte(content, '=')
	if i < 0 || g.d.Page.Refresh != "" {
		return
	}
	g.d.Page.Refresh = link.Clip(string(bytes.Trim(content[i+1:], " \t\r\n'\"")), link.MaxURL)
}

// maxPixels bounds one side of a picture.
const maxPixels = 4000

func (g *page) image(a *attributes) {
	im := &g.d.Page.Images
	g.d.Images++
	if isRemote(a.src) {
		im.Remote++
	} else {
		im.Inline++
	}
	w, wide := pixels(a.width)
	h, high := pixels(a.height)
	if wide && w <= 2 || high && h <= 2 {
		im.Tiny++
		return
	}
	if g.at < 0 {
		return
	}
	g.link.Image = true
	im.Linked++
	if wide && high {
		im.LinkedArea += w * h
	}
}

func pixels(b []byte) (int, bool) {
	b = bytes.TrimSuffix(trim(b), []byte("px"))
	if len(b) == 0 || len(b) > 4 {
		return 0, false
	}
	n, err := strconv.Atoi(string(b))
	return min(max(n, 0), maxPixels), err == nil
}

func isRemote(src []byte) bool {
	return starts(src, "http:") || starts(src, "https:") || starts(src, "//")
}

// isDataPage reports whether a link holds the page that it leads to.
func isDataPage(href []byte) bool {
	if !starts(href, "data:") {
		return false
	}
	href = trim(href)[5:]
	return starts(href, "text/html") || starts(href, "application/xhtml") || starts(href, "image/svg") || starts(href, "text/javascript")
}
