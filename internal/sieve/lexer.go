package sieve

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// maxIdentifier bounds an identifier and a tag, in bytes.
const maxIdentifier = 32

type tokenKind uint8

const (
	tokEOF tokenKind = iota
	tokIdent
	tokTag
	tokNumber
	tokString
	tokLParen
	tokRParen
	tokLBracket
	tokRBracket
	tokLBrace
	tokRBrace
	tokComma
	tokSemicolon
	tokGarbage
)

// names are for error messages.
func (k tokenKind) String() string {
	return [...]string{"end of script", "an identifier", "a tag", "a number", "a string", "'('", "')'", "'['", "']'",
		"'{'", "'}'", "','", "';'", "characters without a meaning"}[k]
}

// token is one token. text is the identifier in lower case, the tag in lower
// case without its colon, or the string with escapes undone and CRLF line ends.
type token struct {
	kind tokenKind
	at   Pos
	num  uint64
	text string
}

// lexer cuts a script into tokens (RFC 5228 §8.1). What it cannot read it
// reports once and passes over.
type lexer struct {
	src       string
	pos       int
	line      int
	lineStart int
	faults    *faults
}

func (l *lexer) here() Pos { return Pos{Line: l.line, Col: l.pos - l.lineStart + 1} }

func (l *lexer) newline() {
	l.line++
	l.lineStart = l.pos
}

// next returns the next token.
func (l *lexer) next() token {
	l.space()
	at := l.here()
	if l.pos >= len(l.src) {
		return token{kind: tokEOF, at: at}
	}
	c := l.src[l.pos]
	switch {
	case c == '"':
		l.pos++
		return token{kind: tokString, at: at, text: l.quoted(at)}
	case isAlpha(c):
		return l.word(at)
	case c == ':' && l.pos+1 < len(l.src) && isAlpha(l.src[l.pos+1]):
		l.pos++
		return token{kind: tokTag, at: at, text: l.identifier(at)}
	case isDigit(c):
		return l.number(at)
	}
	if i := strings.IndexByte("()[]{},;", c); i >= 0 {
		l.pos++
		return token{kind: tokLParen + tokenKind(i), at: at}
	}
	l.garbage(at)
	return token{kind: tokGarbage, at: at}
}

// space passes over white space and comments.
func (l *lexer) space() {
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case c == '\n':
			l.pos++
			l.newline()
		case c == ' ', c == '\t', c == '\r':
			l.pos++
		case c == '#':
			end := strings.IndexByte(l.src[l.pos:], '\n')
			if end < 0 {
				end = len(l.src) - l.pos
			}
			l.pos += end
		case c == '/' && strings.HasPrefix(l.src[l.pos:], "/*"):
			l.comment()
		default:
			return
		}
	}
}

func (l *lexer) comment() {
	at := l.here()
	end := strings.Index(l.src[l.pos+2:], "*/")
	stop := len(l.src)
	if end >= 0 {
		stop = l.pos + 2 + end + 2
	} else {
		l.faults.add(at, "a comment that begins with '/*' has no end: add '*/'")
	}
	for l.pos < stop {
		i := strings.IndexByte(l.src[l.pos:stop], '\n')
		if i < 0 {
			l.pos = stop
			return
		}
		l.pos += i + 1
		l.newline()
	}
}

// word reads an identifier, or a multi-line string behind "text:".
func (l *lexer) word(at Pos) token {
	id := l.identifier(at)
	if id == "text" && l.pos < len(l.src) && l.src[l.pos] == ':' {
		l.pos++
		return token{kind: tokString, at: at, text: l.multiline(at)}
	}
	return token{kind: tokIdent, at: at, text: id}
}

func (l *lexer) identifier(at Pos) string {
	start := l.pos
	for l.pos < len(l.src) && (isAlpha(l.src[l.pos]) || isDigit(l.src[l.pos])) {
		l.pos++
	}
	id := l.src[start:l.pos]
	if len(id) > maxIdentifier {
		l.faults.add(at, "identifier %s… is longer than %d characters", id[:maxIdentifier], maxIdentifier)
		id = id[:maxIdentifier]
	}
	return strings.ToLower(id)
}

func (l *lexer) number(at Pos) token {
	var n uint64
	over := false
	for ; l.pos < len(l.src) && isDigit(l.src[l.pos]); l.pos++ {
		hi, lo := bits.Mul64(n, 10)
		sum, carry := bits.Add64(lo, uint64(l.src[l.pos]-'0'), 0)
		over = over || hi != 0 || carry != 0
		n = sum
	}
	if l.pos < len(l.src) {
		shift := 0
		switch l.src[l.pos] | 0x20 {
		case 'k':
			shift = 10
		case 'm':
			shift = 20
		case 'g':
			shift = 30
		}
		if shift > 0 {
			l.pos++
			over = over || n > math.MaxUint64>>shift
			n <<= shift
		}
	}
	if over {
		l.faults.add(at, "number is larger than %d", uint64(math.MaxUint64))
		n = math.MaxUint64
	}
	return token{kind: tokNumber, at: at, num: n}
}

// quoted reads a quoted string behind its first quote. A backslash makes any
// character itself (RFC 5228 §2.4.2).
func (l *lexer) quoted(at Pos) string {
	start := l.pos
	if i := strings.IndexAny(l.src[l.pos:], "\"\\\n\r\x00"); i >= 0 && l.src[l.pos+i] == '"' {
		l.pos += i + 1
		return l.src[start : start+i]
	}
	var b strings.Builder
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		l.pos++
		switch {
		case c == '"':
			return b.String()
		case c == '\\' && l.pos < len(l.src):
			c = l.src[l.pos]
			l.pos++
			l.stringByte(&b, c, at)
		default:
			l.stringByte(&b, c, at)
		}
	}
	l.faults.add(at, "a string has no end: add a quote")
	return b.String()
}

// stringByte appends c, which was read, to a string: line ends become CRLF.
func (l *lexer) stringByte(b *strings.Builder, c byte, at Pos) {
	switch c {
	case '\n':
		l.newline()
		b.WriteString("\r\n")
	case '\r':
		if l.pos >= len(l.src) || l.src[l.pos] != '\n' {
			l.faults.add(at, "a string holds a carriage return without a line feed")
		}
	case 0:
		l.faults.add(at, "a string holds a NUL character")
	default:
		b.WriteByte(c)
	}
}

// multiline reads a string behind "text:" up to a line of one dot.
func (l *lexer) multiline(at Pos) string {
	for l.pos < len(l.src) && (l.src[l.pos] == ' ' || l.src[l.pos] == '\t') {
		l.pos++
	}
	first, ok := l.textLine()
	if rest := strings.TrimSuffix(first, "\r"); !ok || rest != "" && rest[0] != '#' {
		l.faults.add(at, "only a comment may stand behind \"text:\" on its line")
		return ""
	}
	var b strings.Builder
	for l.pos < len(l.src) {
		line, _ := l.textLine()
		line = strings.TrimSuffix(line, "\r")
		if line == "." {
			return b.String()
		}
		if strings.IndexByte(line, 0) >= 0 || strings.IndexByte(line, '\r') >= 0 {
			l.faults.add(at, "a string holds a NUL or a carriage return without a line feed")
		}
		if strings.HasPrefix(line, "..") {
			line = line[1:] // a single dot in front is what the user meant
		}
		b.WriteString(line)
		b.WriteString("\r\n")
	}
	l.faults.add(at, "a text: string has no end: add a line with one dot")
	return b.String()
}

// textLine returns the rest of the line without its line feed.
func (l *lexer) textLine() (string, bool) {
	i := strings.IndexByte(l.src[l.pos:], '\n')
	if i < 0 {
		s := l.src[l.pos:]
		l.pos = len(l.src)
		return s, false
	}
	s := l.src[l.pos : l.pos+i]
	l.pos += i + 1
	l.newline()
	return s, true
}

// garbage passes over bytes that begin no token.
func (l *lexer) garbage(at Pos) {
	start := l.pos
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		if isAlpha(c) || isDigit(c) || strings.IndexByte("()[]{},;\"# \t\r\n", c) >= 0 {
			break
		}
		l.pos++
	}
	if l.pos == start {
		l.pos++
	}
	l.faults.add(at, "unexpected characters that begin with %s", quoteShort(l.src[start:min(l.pos, start+8)]))
}

// quoteShort quotes what a stranger wrote for a message, cut to size.
func quoteShort(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return fmt.Sprintf("%q", s)
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
