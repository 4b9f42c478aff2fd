package mailaddr

import (
	"fmt"
	"strings"
)

// Limits of ParseMailboxes.
const (
	// MaxMailboxes bounds the mailboxes of one field.
	MaxMailboxes = 1000
	// MaxMailboxBytes bounds the value of one field.
	MaxMailboxBytes = 100 << 10
)

// Mailbox is one entry of a header field such as From or To.
type Mailbox struct {
	// Name is the display name without quotes, "" for none. Encoded-words
	// (RFC 2047) are as typed; header.DecodeText reads them. A comment behind a
	// bare address counts as its name, as it did before RFC 2822.
	Name string
	Addr Address
}

// ParseMailboxes reads the value of a From, To, Cc, Reply-To or like field
// (RFC 5322 §3.4): mailboxes and groups, comments and folding. An empty group
// ("undisclosed-recipients:;") and an empty value hold no mailbox.
//
// Senders write what the grammar does not allow, and a filter has to see it:
// dots, "@" and other characters in a display name without quotes are taken,
// empty list entries passed over, a route dropped. An entry that is no mailbox
// gives an error about the first such; the mailboxes that could be read are
// returned all the same.
func ParseMailboxes(value []byte) ([]Mailbox, error) {
	if len(value) > MaxMailboxBytes {
		return nil, fmt.Errorf("list of %d bytes: %w", len(value), ErrTooLong)
	}
	p := mailboxParser{in: value}
	p.list()
	return p.boxes, p.err
}

// mailboxParser reads the value once from left to right.
type mailboxParser struct {
	in    []byte
	pos   int
	boxes []Mailbox
	err   error

	// Of the entry in hand:
	words   strings.Builder // what may be a display name, unquoted
	addr    strings.Builder // the same as an addr-spec, in which quotes count
	comment string
	angle   string // the text between "<" and ">"
	angled  bool
	bad     bool // white space between two words: no addr-spec
	inGroup bool
}

func (p *mailboxParser) list() {
	for p.pos < len(p.in) && len(p.boxes) < MaxMailboxes {
		switch c := p.in[p.pos]; {
		case c == ',', c == ';':
			p.finish()
			p.inGroup = p.inGroup && c == ','
			p.pos++
		case c == ':' && !p.inGroup && !p.angled && !strings.Contains(p.addr.String(), "@"):
			p.inGroup = true // what stood before it is the group's name
			p.reset()
			p.pos++
		case c == '<' && !p.angled:
			p.pos++
			p.angle, p.angled = p.until('>'), true
		case c == '(':
			p.pos++
			p.comment = p.skipComment()
		case c == '"':
			p.pos++
			p.quoted()
		case isSpace(c):
			p.pos++
		default:
			p.atom()
		}
	}
	p.finish()
	if p.pos < len(p.in) && p.err == nil {
		p.err = fmt.Errorf("more than %d mailboxes: %w", MaxMailboxes, ErrTooLong)
	}
}

// finish makes a mailbox of the entry in hand.
func (p *mailboxParser) finish() {
	defer p.reset()
	spec, name := p.addr.String(), ""
	if p.angled {
		spec, name = p.angle, p.words.String()
	} else if spec == "" {
		return // an empty entry or a comment alone (RFC 5322 §4.4)
	}
	a, err := parseSpec(spec)
	if err == nil && p.bad && !p.angled {
		err = ErrSyntax
	}
	if err != nil {
		if p.err == nil {
			p.err = fmt.Errorf("mailbox %d: %w", len(p.boxes)+1, err)
		}
		return
	}
	if name == "" {
		name = p.comment
	}
	p.boxes = append(p.boxes, Mailbox{Name: name, Addr: a})
}

func (p *mailboxParser) reset() {
	p.words.Reset()
	p.addr.Reset()
	p.comment, p.angle, p.angled, p.bad = "", "", false, false
}

// parseSpec reads an addr-spec whose comments and white space are gone, maybe
// with a route in front. It is stricter than Parse, which takes blanks.
func parseSpec(s string) (Address, error) {
	if strings.HasPrefix(s, "@") {
		if _, after, ok := strings.Cut(s, ":"); ok {
			s = after
		}
	}
	if s == "" || s[0] != '"' && strings.ContainsAny(s, " \t") {
		return Address{}, ErrSyntax
	}
	return Parse(s)
}

// atom takes in a run of bytes up to white space or a character that list
// knows.
func (p *mailboxParser) atom() {
	start := p.pos
	for p.pos++; p.pos < len(p.in); p.pos++ {
		if c := p.in[p.pos]; isSpace(c) || strings.IndexByte(`,;:<("`, c) >= 0 {
			break
		}
	}
	s := string(p.in[start:p.pos])
	if s[0] == ':' || s[0] == '<' {
		p.bad = true
	}
	p.word(s, s)
}

// word appends one word. White space between words is one blank in a name; in
// an address it is right next to a dot or "@" only (RFC 5322 §4.4).
func (p *mailboxParser) word(name, spec string) {
	apart := p.pos > len(spec) && isSpace(p.in[max(p.pos-len(spec)-1, 0)])
	if p.words.Len() > 0 && apart {
		p.words.WriteByte(' ')
	}
	p.words.WriteString(name)
	if old := p.addr.String(); old != "" && !strings.HasPrefix(spec, ".") && !strings.HasPrefix(spec, "@") {
		p.bad = p.bad || old[len(old)-1] != '.' && old[len(old)-1] != '@'
	}
	p.addr.WriteString(spec)
}

// quoted takes in a quoted string behind its first quote. One that nobody ends
// is taken as far as it goes.
func (p *mailboxParser) quoted() {
	start := p.pos - 1
	var b strings.Builder
	for ; p.pos < len(p.in) && p.in[p.pos] != '"'; p.pos++ {
		if p.in[p.pos] == '\\' && p.pos+1 < len(p.in) {
			p.pos++
		}
		if c := p.in[p.pos]; c != '\r' && c != '\n' {
			b.WriteByte(c)
		}
	}
	p.pos = min(p.pos+1, len(p.in))
	p.word(b.String(), string(p.in[start:p.pos]))
}

// until returns the text up to the byte end, which it passes over, without
// comments and white space outside of quotes.
func (p *mailboxParser) until(end byte) string {
	var b strings.Builder
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		p.pos++
		switch {
		case c == end:
			return b.String()
		case c == '(':
			p.skipComment()
		case c == '"':
			from := p.pos - 1
			for ; p.pos < len(p.in) && p.in[p.pos] != '"'; p.pos++ {
				if p.in[p.pos] == '\\' {
					p.pos++
				}
			}
			p.pos = min(p.pos+1, len(p.in))
			b.Write(p.in[from:p.pos])
		case isSpace(c):
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// skipComment passes over a comment behind its first parenthesis (RFC 5322
// §3.2.2) and returns its text.
func (p *mailboxParser) skipComment() string {
	var b strings.Builder
	for depth := 1; p.pos < len(p.in); p.pos++ {
		c := p.in[p.pos]
		switch {
		case c == '\\' && p.pos+1 < len(p.in):
			p.pos++
			c = p.in[p.pos]
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				p.pos++
				return strings.TrimSpace(b.String())
			}
		}
		if c != '\r' && c != '\n' {
			b.WriteByte(c)
		}
	}
	return strings.TrimSpace(b.String())
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
