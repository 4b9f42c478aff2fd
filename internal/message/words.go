package message

import (
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/gatepost/gatepost/internal/link"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Words tells about the words that a reader sees, whatever their language.
type Words struct {
	// Count is the number of words, of Text where there is some, else of
	// Visible, up to MaxWords bytes.
	Count int
	// Differ is the share, 0 to 1, of words that are only in one of Text and
	// Visible; Compared says that there is enough of both.
	Differ   float64
	Compared bool
	// Topics count the different phrases of each topic; Said has some of them.
	Topics [Topics]int
	Said   []string
	// Mixed counts words with letters of scripts that no language mixes;
	// Broken those with characters inside that take no room.
	Mixed, Broken int
	// Coin is an address of a crypto currency with a right checksum, "" for
	// none.
	Coin string
	// Phones counts what reads as a telephone number with its country or area.
	Phones int
}

// MaxWords bounds what is read of Text, and what of Visible.
const MaxWords = 24 << 10

// maxSaid bounds Words.Said.
const maxSaid = 6

// reader walks over the words of texts.
type reader struct {
	w *Words
	// n is the length and hash the hash of the word that is read, in lower case
	// and in plain letters.
	n     int
	hash  uint32
	bits  *[128]uint64
	count int
	// at are the nodes that the last words led to.
	at   []*node
	next []*node
	seen [1024 / 64]uint64
	work int
}

// words reads subject, text and HTML.
func (d *Message) words(m *rawmsg.Message) {
	var text, page [128]uint64
	r := reader{w: &d.Words, bits: &text}
	r.read(d.Subject)
	text, r.count = [128]uint64{}, 0
	left := MaxWords
	for _, t := range d.Text {
		t = link.Clip(t, left)
		r.read(t)
		d.numbers(t)
		left -= len(t)
	}
	inText := r.count
	r.bits, r.count = &page, 0
	if d.Visible != "" {
		v := link.Clip(d.Visible, MaxWords)
		r.read(v)
		d.numbers(v)
	}
	d.Words.Count = inText
	if inText == 0 {
		d.Words.Count = r.count
	}
	d.Work += r.work
	if alternatives(m.Root) && inText >= 5 && r.count >= 5 {
		d.Words.Compared = true
		d.Words.Differ = differ(&text, &page)
	}
}

// alternatives reports whether the text and the HTML are two forms of one
// thing.
func alternatives(p *rawmsg.Part) bool {
	if p.Is("multipart", "alternative") {
		return true
	}
	for _, c := range p.Children {
		if c.Type == "multipart" && alternatives(c) {
			return true
		}
	}
	return false
}

// differ returns the share of bits that are not in both.
func differ(a, b *[128]uint64) float64 {
	both, any := 0, 0
	for i := range a {
		both += bits.OnesCount64(a[i] & b[i])
		any += bits.OnesCount64(a[i] | b[i])
	}
	if any == 0 {
		return 0
	}
	return 1 - float64(both)/float64(any)
}

// plain is a letter or digit of ASCII in lower case, 0 for any other byte.
var plain = func() (t [256]byte) {
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = c, c
	}
	for c := byte('0'); c <= '9'; c++ {
		t[c] = c
	}
	return t
}()

// read takes in s, in one pass.
func (r *reader) read(s string) {
	r.work += len(s)
	r.start()
	for i := 0; i < len(s); {
		c := s[i]
		if p := plain[c]; p != 0 {
			r.n++
			r.hash = (r.hash ^ uint32(p)) * hashPrime
			i++
			continue
		}
		switch {
		case c < utf8.RuneSelf:
			if c != '\'' || r.n == 0 {
				r.end()
			}
			i++
		default:
			i += r.other(s, i)
		}
	}
	r.end()
	r.at = r.at[:0]
}

func (r *reader) start() { r.n, r.hash = 0, hashStart }

// other reads a character that is not ASCII and returns its size. A word with
// foreign letters in it is read to its end.
func (r *reader) other(s string, i int) int {
	c, size := utf8.DecodeRuneInString(s[i:])
	switch {
	case c == '’' && r.n > 0:
	case link.IsInvisible(c):
		if c != 0xad && r.n > 0 && i+size < len(s) && plain[s[i+size]] != 0 {
			r.w.Broken++
		}
	case unicode.IsLetter(c):
		if c >= 0x370 {
			r.foreign(s, i, size)
		}
		for _, p := range fold(c) {
			r.n++
			r.hash = (r.hash ^ uint32(p)) * hashPrime
		}
	default:
		r.end()
	}
	return size
}

// foreign counts the word once that has a letter of another script next to
// plain ones.
func (r *reader) foreign(s string, i, size int) {
	before := i > 0 && plain[s[i-1]] >= 'a'
	after := i+size < len(s) && plain[s[i+size]] >= 'a'
	if !before && !after {
		return
	}
	from, to := i, i+size
	if before {
		from = i - 1
	}
	if after {
		to++
	}
	if link.MixedWord(s[from:to]) {
		r.w.Mixed++
	}
}

// fold returns c as the plain letters that phrases are written with: what
// looks like one, or what it is without its marks; "?" for any other letter.
func fold(c rune) string {
	switch unicode.ToLower(c) {
	case 'ä', 'æ':
		return "ae"
	case 'ö', 'œ':
		return "oe"
	case 'ü':
		return "ue"
	case 'ß':
		return "ss"
	}
	if c < 0x250 {
		var b [utf8.UTFMax]byte
		d := norm.NFD.Bytes(b[:utf8.EncodeRune(b[:], unicode.ToLower(c))])
		if d[0] < utf8.RuneSelf {
			return string(d[:1])
		}
	}
	if l, ok := link.Latin(unicode.ToLower(c)); ok {
		return string(rune(l))
	}
	return "?"
}

// end takes the word in.
func (r *reader) end() {
	if r.n == 0 {
		return
	}
	h := r.hash
	h ^= h >> 15
	r.bits[h>>6&127] |= 1 << (h & 63)
	r.count++
	if id := saying.id(r.hash); id != 0 {
		r.step(id)
	} else {
		r.at = r.at[:0]
	}
	r.start()
}

// step follows every phrase that the word may go on or begin. No phrase is
// longer than a few words, so at is short.
func (r *reader) step(id uint16) {
	r.next = r.next[:0]
	for _, n := range r.at {
		r.reach(n.step(id))
	}
	r.reach(saying.first[id])
	r.at, r.next = r.next, r.at
}

// reach takes in a node that the last words lead to.
func (r *reader) reach(to *node) {
	r.work++
	if to == nil {
		return
	}
	if to.next != nil {
		r.next = append(r.next, to)
	}
	if to.topics == 0 || r.seen[to.id>>6&15]&(1<<(to.id&63)) != 0 {
		return
	}
	r.seen[to.id>>6&15] |= 1 << (to.id & 63)
	for t := range Topics {
		if to.topics&(1<<t) != 0 {
			r.w.Topics[t]++
		}
	}
	if len(r.w.Said) < maxSaid {
		r.w.Said = append(r.w.Said, to.text)
	}
}

// First returns the first n bytes of what a reader sees.
func (d *Message) First(n int) string {
	for _, t := range d.Text {
		if t = strings.TrimSpace(t); t != "" {
			return link.Clip(t, n)
		}
	}
	return link.Clip(d.Visible, n)
}
