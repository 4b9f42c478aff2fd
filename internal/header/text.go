package header

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"

	"github.com/gatepost/gatepost/internal/ascii"
)

// MaxText bounds what DecodeText reads, in bytes; the rest is left out.
const MaxText = 64 << 10

// DecodeText returns s, an unfolded field value, as text to show or to match:
// encoded-words decoded (RFC 2047), bytes that are not UTF-8 taken as
// windows-1252, control characters made blanks. An encoded-word that is broken
// or of an unknown character set stays as typed. The result is UTF-8.
//
// It is laxer than RFC 2047 §5 in two ways, as mail programs are: a word may
// stand inside a quoted string or next to other text, and a character may be
// cut in two at the border of adjacent words.
func DecodeText(s string) string {
	if len(s) > MaxText {
		s = s[:MaxText]
	}
	if !strings.Contains(s, "=?") {
		return clean(toUTF8(s))
	}
	var d decoder
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 {
			i = len(s)
		}
		w, n, ok := cutWord(s[i:])
		if !ok {
			n = min(2, len(s)-i)
			d.plain(s[:i+n])
		} else {
			d.plain(s[:i])
			d.word(w, s[i:i+n])
		}
		s = s[i+n:]
	}
	d.flush()
	return clean(d.out.String())
}

// encodedWord is one =?charset?encoding?text?=, the text decoded to bytes.
type encodedWord struct {
	charset string
	text    []byte
}

// decoder joins adjacent words of one charset before it converts them.
type decoder struct {
	out     strings.Builder
	charset string
	pending []byte
	typed   strings.Builder // the pending words as typed
	words   bool            // the last thing read was a word
	gap     string          // white space since then
}

func (d *decoder) plain(s string) {
	switch {
	case s == "":
	case d.words && strings.Trim(s, " \t\r\n") == "":
		d.gap += s // dropped between two words (RFC 2047 §6.2)
	default:
		d.flush()
		d.out.WriteString(toUTF8(s))
	}
}

func (d *decoder) word(w encodedWord, typed string) {
	if d.words && w.charset != d.charset {
		d.gap = ""
		d.flush()
	}
	d.charset, d.words, d.gap = w.charset, true, ""
	d.pending = append(d.pending, w.text...)
	d.typed.WriteString(typed)
}

func (d *decoder) flush() {
	if d.words {
		if s, ok := convert(d.charset, d.pending); ok {
			d.out.WriteString(s)
		} else {
			d.out.WriteString(toUTF8(d.typed.String()))
		}
		d.out.WriteString(d.gap)
	}
	d.pending, d.words, d.gap = d.pending[:0], false, ""
	d.typed.Reset()
}

// cutWord reads the encoded-word at the start of s, which may not hold white
// space but in a Q text, where many senders leave blanks.
func cutWord(s string) (w encodedWord, n int, ok bool) {
	if len(s) < len("=?a?q??=") {
		return w, 0, false
	}
	charset, rest, ok := strings.Cut(s[2:min(len(s), 2+80)], "?")
	if !ok || charset == "" || strings.ContainsAny(charset, " \t=") {
		return w, 0, false
	}
	at := 2 + len(charset) + 1
	if len(rest) < 2 || rest[1] != '?' {
		return w, 0, false
	}
	enc := rest[0]
	text, _, ok := strings.Cut(s[at+2:min(len(s), at+2+maxWord)], "?=")
	if !ok {
		return w, 0, false
	}
	// RFC 2231 §5: "*" and a language may follow the character set.
	charset, _, _ = strings.Cut(charset, "*")
	w.charset = strings.ToLower(charset)
	switch enc {
	case 'q', 'Q':
		w.text, ok = decodeQ(text)
	case 'b', 'B':
		w.text, ok = decodeB(text)
	default:
		ok = false
	}
	return w, at + 2 + len(text) + 2, ok
}

// maxWord bounds one encoded text. RFC 2047 §2 says 75 for the whole word, and
// senders put whole subjects into one. It also keeps a row of "=?" that no
// "?=" ends from costing the square of its length.
const maxWord = 2000

func decodeQ(s string) ([]byte, bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '_':
			b = append(b, ' ')
		case '=':
			if i+2 >= len(s) {
				return nil, false
			}
			hi, lo := ascii.Unhex(s[i+1]), ascii.Unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return nil, false
			}
			b = append(b, byte(hi<<4|lo))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return b, true
}

func decodeB(s string) ([]byte, bool) {
	s = strings.TrimRight(s, "= \t")
	b, err := base64.RawStdEncoding.DecodeString(s)
	return b, err == nil
}

// DecodeCharset returns b, text in the named character set (WHATWG's labels),
// as UTF-8. For a name that is empty or unknown it is UTF-8 if it reads as
// that, else windows-1252.
func DecodeCharset(charset string, b []byte) string {
	if s, ok := convert(strings.ToLower(charset), b); ok {
		return s
	}
	return toUTF8(string(b))
}

// convert returns false for a character set that it does not know.
func convert(charset string, b []byte) (string, bool) {
	switch charset {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return toUTF8(string(b)), true
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		return "", false
	}
	if c, ok := e.(*charmap.Charmap); ok {
		return singleByte(c, string(b)), true
	}
	out, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return "", false
	}
	return string(out), true
}

// singleByte returns what a decoder of c would, in a quarter of its memory.
// WHATWG's character sets of one byte all contain ASCII.
func singleByte(c *charmap.Charmap, s string) string {
	n := 0
	for i := range len(s) {
		if n++; s[i] >= utf8.RuneSelf {
			n += utf8.RuneLen(c.DecodeByte(s[i])) - 1
		}
	}
	if n == len(s) {
		return s
	}
	var out strings.Builder
	out.Grow(n)
	for i := 0; i < len(s); i++ {
		start := i
		for i < len(s) && s[i] < utf8.RuneSelf {
			i++
		}
		out.WriteString(s[start:i])
		if i < len(s) {
			out.WriteRune(c.DecodeByte(s[i]))
		}
	}
	return out.String()
}

// toUTF8 returns s if it is UTF-8, else read as windows-1252, in which every
// byte has a meaning or is replaced.
func toUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return singleByte(charmap.Windows1252, s)
}

// clean makes control characters blanks.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
