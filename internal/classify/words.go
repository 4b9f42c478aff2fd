package classify

import (
	"strings"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Bounds of the words view.
const (
	maxWords    = 1500 // of the text
	maxWord     = 40   // characters that count of one
	maxLinks    = 150
	maxURL      = 500 // bytes of one
	maxURLWords = 20
	maxTags     = 600
	maxTag      = 400 // bytes of one
	maxTagWords = 12
	maxParts    = 50
)

// words takes in the words of texts as if they were one.
type words struct {
	m        *marks
	base     uint64 // the hash of a word begins with it
	pairs    bool   // neighbours count too
	previous uint64
	left     int // words that may still come
	// of the word that is read
	h uint64
	n int
}

// split takes in the words of s: letters and digits of any script with $, ' and
// - between. A character of a script that writes no blanks is a word.
func split[T string | []byte](w *words, s T) {
	for i := 0; i < len(s) && w.left > 0; {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
			r, size := decodeRune(s, i)
			i += size
			w.wide(r)
			continue
		case c >= 'A' && c <= 'Z':
			w.letter(uint64(c) + 'a' - 'A')
		case wordByte[c]:
			w.letter(uint64(c))
		default:
			w.end()
		}
		i++
	}
	w.end()
}

func decodeRune[T string | []byte](s T, i int) (rune, int) {
	var b [utf8.UTFMax]byte
	n := 0
	for n < len(b) && i+n < len(s) {
		b[n] = s[i+n]
		n++
	}
	return utf8.DecodeRune(b[:n])
}

// wordByte says which bytes of ASCII belong to words, besides capitals.
var wordByte = func() (t [utf8.RuneSelf]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyz0123456789$'-") {
		t[c] = true
	}
	return t
}()

// wide takes in a character that is not ASCII.
func (w *words) wide(r rune) {
	switch {
	case r >= 0x2e80 && r < 0xfb00: // CJK, Hangul, Kana
		w.end()
		w.letter(uint64(r))
		w.end()
	case r == 0xa0 || r >= 0x2000 && r < 0x2070: // blanks, dashes, quotes
		w.end()
	default:
		w.letter(uint64(r))
	}
}

func (w *words) letter(c uint64) {
	if w.n == 0 {
		w.h = w.base
	}
	if w.n++; w.n <= maxWord {
		w.h = (w.h ^ c) * fnvPrime
	}
}

// end ends the word that is read, if one is.
func (w *words) end() {
	if w.n == 0 || w.left == 0 {
		return
	}
	w.n = 0
	w.left--
	w.m.add(w.h)
	if w.pairs {
		w.m.add(neighbours(w.h, w.previous))
	}
	w.previous = w.h
}

// wordFeatures takes in what stands in the body.
func wordFeatures(m *marks, raw *rawmsg.Message, text *message.Message) {
	w := words{m: m, pairs: true, base: hash(seedWord), previous: 9, left: maxWords}
	// Half is for what readers show: nobody looks at the text beside it.
	shown := min(len(text.Visible)/8, maxWords/2)
	w.left -= shown
	for _, t := range text.Text {
		split(&w, t)
	}
	w.left += shown
	split(&w, text.Visible)
	for _, l := range text.Links[:min(len(text.Links), maxLinks)] {
		link(m, l.URL)
	}
	left := maxTags
	for _, h := range text.HTML {
		left = tags(m, h, left)
	}
	shape(m, raw)
	m.add(about(seedWords, maxWords-w.left))
	m.add(about(seedLinks, len(text.Links)))
	m.add(about(seedImages, text.Images))
	m.add(about(seedFields, len(raw.Fields)))
}

// link takes in the host of a URL, each domain above it, and the words of its
// path.
func link(m *marks, url string) {
	url = url[:min(len(url), maxURL)]
	if i := strings.Index(url, "://"); i >= 0 {
		url = url[i+3:]
	}
	host, path, _ := strings.Cut(url, "/")
	m.add(lower(hash(seedHost), host))
	for {
		i := strings.IndexByte(host, '.')
		if i < 0 {
			break
		}
		host = host[i+1:]
		m.add(lower(hash(seedDomain), host))
	}
	split(&words{m: m, base: hash(seedPath), left: maxURLWords}, path)
}

// tags takes in the tags of HTML with the words of their attributes, up to left
// tags, and returns how many may still come.
func tags(m *marks, html string, left int) int {
	for left > 0 {
		i := strings.IndexByte(html, '<')
		if i < 0 {
			return left
		}
		html = html[i+1:]
		tag := html[:min(len(html), maxTag)]
		if i := strings.IndexByte(tag, '>'); i >= 0 {
			tag = tag[:i]
		}
		html = html[len(tag):]
		left--
		name := 0
		for name < len(tag) && wordByte[tag[name]&0x7f|0x20] {
			name++
		}
		h := lower(hash(seedTag), tag[:name])
		m.add(h)
		split(&words{m: m, base: h * 5, left: maxTagWords}, tag[name:])
	}
	return left
}

// shape takes in the types of the parts, how they are nested and encoded, and
// the words of file names.
func shape(m *marks, raw *rawmsg.Message) {
	path, parts := uint64(3), 0
	raw.Walk(func(p *rawmsg.Part) bool {
		if parts++; parts > maxParts {
			return false
		}
		typ := more(more(hash(seedType), p.Type), p.Subtype)
		m.add(typ)
		m.add(typ*7 + path)
		m.add(lower(hash(seedEncoding), p.Encoding)*3 + typ)
		m.add(lower(hash(seedCharset), p.Params["charset"])*3 + typ)
		m.add(lower(hash(seedDisposition), p.Disposition))
		path = typ + path*31
		split(&words{m: m, base: hash(seedFilename), left: 10}, p.Filename)
		return true
	})
}
