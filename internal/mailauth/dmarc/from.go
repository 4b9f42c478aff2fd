package dmarc

import (
	"bytes"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// MaxAuthors bounds the domains in From that are looked at (RFC 9989 §11.5).
const MaxAuthors = 5

// From is what the From field says about the authors.
type From struct {
	// Domains are the Author Domains, each once, as A-labels in lower case; at
	// most MaxAuthors.
	Domains []string
	// Literal says that an author's domain is an address.
	Literal bool
	// Doubt says why readers may differ about who the author is; such a message
	// never passes. Empty when there is none.
	Doubt string
}

// ReadFrom reads the values of all From fields of a message, folded or not.
//
// Mail programs take more than RFC 5322 §3.6.2 allows, and differ in what they
// take, so that a message can have one author for us and another for its
// reader. What mailaddr.ParseMailboxes reads is therefore held against the
// grammar again, and whatever is not plain is a doubt.
func ReadFrom(values ...[]byte) From {
	var f From
	if len(values) == 0 {
		f.Doubt = "there is no From"
	}
	if len(values) > 1 {
		f.Doubt = "there are several From fields"
	}
	for _, v := range values {
		f.add(v)
	}
	return f
}

// doubt keeps the first reason.
func (f *From) doubt(reason string) {
	if f.Doubt == "" {
		f.Doubt = reason
	}
}

// add takes in one field.
func (f *From) add(value []byte) {
	boxes, err := mailaddr.ParseMailboxes(value)
	if err != nil || !plain(value) {
		f.doubt("From cannot be read without doubt")
	}
	if len(boxes) == 0 {
		f.doubt("From names nobody")
	}
	for _, b := range boxes {
		if strings.HasPrefix(b.Addr.Domain, "[") {
			f.Literal = true
			continue
		}
		d, ok := canonical(b.Addr.Domain)
		switch {
		case !ok:
			f.doubt("an author in From has no domain")
		case slices.Contains(f.Domains, d):
		case len(f.Domains) == MaxAuthors:
			f.doubt("From has too many domains")
		default:
			f.Domains = append(f.Domains, d)
		}
	}
}

// plain reports whether value is a list of mailboxes and groups in which no
// reader finds another address than we do: no octet that ends a value for
// some, one "@" to an address, nothing behind an address in angle brackets, no
// comment, route, blank or encoded-word inside one, and no other domain in a
// name without quotes.
func plain(value []byte) bool {
	if !text(value) {
		return false
	}
	s := fromScanner{in: value}
	for s.pos < len(s.in) {
		if !s.next() {
			return false
		}
	}
	return s.end()
}

// text reports whether value holds no control character but tabs and line
// ends that are followed by a blank.
func text(value []byte) bool {
	value = bytes.TrimRight(value, "\r\n")
	for i, c := range value {
		switch {
		case c == '\r' && value[i+1] != '\n', c == '\n' && value[i+1] != ' ' && value[i+1] != '\t':
			return false
		case c < ' ' && c != '\t' && c != '\r' && c != '\n', c == 0x7f:
			return false
		}
	}
	return true
}

// fromScanner holds one entry of the list while it goes over it.
type fromScanner struct {
	in    []byte
	pos   int
	group bool

	bare   []byte // the text outside of brackets, quotes and comments
	quoted bool   // it has a quoted string
	apart  bool   // it has a blank or comment, and then more
	space  bool   // the last that came was a blank or comment
	angle  []byte // the text in brackets
	angled bool
}

// next passes over one token. It is false for what is not plain.
func (s *fromScanner) next() bool {
	switch c := s.in[s.pos]; c {
	case ' ', '\t', '\r', '\n':
		s.space = true
		s.pos++
	case '(':
		s.space = true
		return s.comment()
	case '<':
		return !s.angled && s.brackets()
	case ',', ';':
		s.pos++
		if c == ';' && !s.group || !s.end() {
			return false
		}
		s.group = s.group && c == ','
	case ':':
		if s.group || s.angled || bytes.IndexByte(s.bare, '@') >= 0 {
			return false
		}
		s.pos++
		s.reset()
		s.group = true
	case '"':
		n, ok := quotedEnd(s.in[s.pos:])
		s.pos += n
		s.quoted = true
		return ok && s.word(nil)
	case ')', '>', '\\':
		return false
	default:
		s.pos++
		return s.word([]byte{c})
	}
	return true
}

// word takes text outside of brackets in.
func (s *fromScanner) word(text []byte) bool {
	s.apart = s.apart || s.space && (len(s.bare) > 0 || s.quoted)
	if s.space && len(s.bare) > 0 {
		s.bare = append(s.bare, ' ')
	}
	s.space = false
	s.bare = append(s.bare, text...)
	return !s.angled
}

// end ends an entry.
func (s *fromScanner) end() bool {
	defer s.reset()
	ats := bytes.Count(s.bare, []byte("@"))
	if !s.angled {
		empty := len(s.bare) == 0 && !s.quoted
		return empty || ats == 1 && !s.apart && !bytes.Contains(s.bare, []byte("=?"))
	}
	if bytes.Count(s.angle, []byte("@")) != 1 || bytes.Contains(s.angle, []byte("=?")) {
		return false
	}
	// A name without quotes may repeat the address, as many do.
	_, domain, _ := bytes.Cut(s.angle, []byte("@"))
	for _, w := range bytes.Fields(s.bare) {
		if _, d, ok := bytes.Cut(w, []byte("@")); ok && !bytes.EqualFold(d, domain) {
			return false
		}
	}
	return true
}

func (s *fromScanner) reset() {
	s.bare, s.angle = s.bare[:0], s.angle[:0]
	s.quoted, s.apart, s.space, s.angled = false, false, false, false
}

// brackets passes over an address in angle brackets.
func (s *fromScanner) brackets() bool {
	s.angled = true
	blank := false
	for s.pos++; s.pos < len(s.in); s.pos++ {
		switch c := s.in[s.pos]; c {
		case '>':
			s.pos++
			s.space = false
			return true
		case '"':
			n, ok := quotedEnd(s.in[s.pos:])
			if !ok || len(s.angle) > 0 {
				return false
			}
			s.pos += n - 1
		case ' ', '\t', '\r', '\n':
			blank = len(s.angle) > 0
		case '(', '<', '\\', ',', ';', ')':
			return false
		default:
			if blank {
				return false
			}
			s.angle = append(s.angle, c)
		}
	}
	return false
}

// comment passes over a comment (RFC 5322 §3.2.2).
func (s *fromScanner) comment() bool {
	depth := 0
	for ; s.pos < len(s.in); s.pos++ {
		switch s.in[s.pos] {
		case '\\':
			s.pos++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				s.pos++
				return true
			}
		}
	}
	return false
}

// quotedEnd returns the length of the quoted string that b begins with; false
// when it does not end.
func quotedEnd(b []byte) (int, bool) {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1, true
		}
	}
	return len(b), false
}
