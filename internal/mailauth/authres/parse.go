package authres

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Field is what another host wrote into an Authentication-Results field. It is
// worth what that host is worth: whoever reads it knows first that the host is
// trusted, and that no field of a stranger bears its name (RFC 8601 §5).
type Field struct {
	// AuthservID is the name that the field gives its author, without quotes;
	// empty where it gives none, as Microsoft's do. Such a field proves nothing.
	AuthservID string
	// Results are those of a version that is known here, 1, in their order.
	// Methods, results, ptypes and properties are in lower case, and may be ones
	// that are not in the registry. A value may be empty. Comments are dropped.
	Results []ResInfo
}

// Limits of Parse.
const (
	MaxField   = 64 << 10 // octets of the value
	MaxResults = 100
	MaxProps   = 100 // of one result
	// MaxInstance is the highest of a set of ARC (RFC 8617 §4.2.1).
	MaxInstance = 50
)

// Errors of Parse and ParseARC.
var (
	ErrSyntax  = errors.New("malformed Authentication-Results")
	ErrVersion = errors.New("unknown version of Authentication-Results")
)

// Parse reads the value of an Authentication-Results field, folded or not
// (RFC 8601 §2.2). It is strict: comments and quoted strings must end, nothing
// may be left over, and one error spoils the field, so that no part of a value
// is ever taken for a result. Beyond the grammar it takes what large hosts
// write: no authserv-id, or one alone between the results; values with "=", "/",
// ":" and the like without quotes; empty values before a ";"; properties without a ptype;
// the reason behind properties; a ";" at the end.
func Parse(value []byte) (Field, error) {
	p := fieldParser{in: string(value)}
	if len(value) > MaxField || !utf8.ValidString(p.in) {
		return Field{}, ErrSyntax
	}
	p.field()
	if p.err != nil {
		return Field{}, p.err
	}
	return p.f, nil
}

// ParseARC reads the value of an ARC-Authentication-Results field: an instance
// and what Parse reads (RFC 8617 §4.1.1).
func ParseARC(value []byte) (instance int, f Field, err error) {
	p := fieldParser{in: string(value)}
	if len(value) > MaxField || !utf8.ValidString(p.in) {
		return 0, Field{}, ErrSyntax
	}
	p.cfws()
	if p.keyword() != "i" {
		return 0, Field{}, ErrSyntax
	}
	p.want('=')
	instance = p.number()
	p.want(';')
	if instance < 1 || instance > MaxInstance {
		p.fail(ErrSyntax)
	}
	p.field()
	if p.err != nil {
		return 0, Field{}, p.err
	}
	return instance, p.f, nil
}

// fieldParser reads a value once from left to right. The first error stays, and
// puts the position at the end, so that every loop comes to its own.
type fieldParser struct {
	in  string
	pos int
	f   Field
	err error
	// n counts results and what stands in their place; none is one of them.
	n    int
	none bool
}

func (p *fieldParser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
	p.pos = len(p.in)
}

func (p *fieldParser) ended() bool { return p.pos == len(p.in) }

// peek returns the next octet, 0 at the end.
func (p *fieldParser) peek() byte {
	if p.ended() {
		return 0
	}
	return p.in[p.pos]
}

// want passes over c and the white space and comments around it.
func (p *fieldParser) want(c byte) {
	p.cfws()
	if p.peek() != c {
		p.fail(ErrSyntax)
		return
	}
	p.pos++
	p.cfws()
}

// field reads authserv-id, version and results.
func (p *fieldParser) field() {
	p.cfws()
	start := p.pos
	p.f.AuthservID = p.value()
	p.cfws()
	if c := p.peek(); p.err == nil && (c == '=' || c == '/') {
		// That was no name but a method.
		p.f.AuthservID, p.pos = "", start
		p.result()
	} else if c != ';' && p.number() != 1 {
		p.fail(ErrVersion)
	}
	for p.cfws(); !p.ended(); p.cfws() {
		if p.want(';'); !p.ended() {
			p.result()
		}
	}
	if p.n == 0 || p.none && p.n > 1 {
		p.fail(ErrSyntax)
	}
}

// result reads one resinfo, or "none", or a lone name.
func (p *fieldParser) result() {
	if p.n++; p.n > MaxResults {
		p.fail(ErrSyntax)
		return
	}
	word := p.run(isNameByte)
	p.cfws()
	if p.ended() || p.peek() == ';' {
		none := strings.EqualFold(word, "none")
		p.none = p.none || none
		if word == "" || !none && p.f.AuthservID != "" {
			p.fail(ErrSyntax)
		}
		return
	}
	r := ResInfo{Method: Method(strings.ToLower(word))}
	version := 1
	if p.peek() == '/' {
		p.want('/')
		version = p.number()
	}
	p.want('=')
	r.Result = Result(p.keyword())
	if !isKeyword(word) {
		p.fail(ErrSyntax)
	}
	for p.cfws(); !p.ended() && p.peek() != ';'; p.cfws() {
		p.property(&r)
	}
	if p.err == nil && version == 1 {
		p.f.Results = append(p.f.Results, r)
	}
}

// property reads a propspec or a reasonspec.
func (p *fieldParser) property(r *ResInfo) {
	name := p.keyword()
	p.cfws()
	dotted := p.peek() == '.'
	if dotted {
		p.want('.')
		name += "." + p.keyword()
	}
	p.want('=')
	apart := !p.ended() && p.in[p.pos-1] != '='
	if name == "reason" {
		if r.Reason != "" {
			p.fail(ErrSyntax)
		}
		r.Reason = p.value()
		return
	}
	if len(r.Props) == MaxProps {
		p.fail(ErrSyntax)
		return
	}
	quoted := p.peek() == '"'
	v := p.pvalue()
	if apart && !quoted && strings.Contains(v, "=") {
		// The value is missing, and that is the next property.
		p.fail(ErrSyntax)
	}
	r.Props = append(r.Props, Prop{Property(name), v})
}

// pvalue reads the value of a property: a quoted string, a run of octets, or
// a quoted local part with its domain, which keeps its quotes.
func (p *fieldParser) pvalue() string {
	if p.peek() != '"' {
		return p.loose()
	}
	start := p.pos
	v := p.quoted()
	if p.peek() == '@' {
		p.loose()
		return p.in[start:p.pos]
	}
	return v
}

// loose reads a run of what may stand in a value for which no quotes were
// thought needed. It may be empty.
func (p *fieldParser) loose() string {
	v := p.run(func(c byte) bool { return c > ' ' && c != 0x7f && strings.IndexByte(`;()"\`, c) < 0 })
	if c := p.peek(); c == '"' || c == '\\' || c == ')' {
		p.fail(ErrSyntax)
	}
	return v
}

// value reads a token or a quoted string (RFC 2045 §5.1).
func (p *fieldParser) value() string {
	if p.peek() == '"' {
		return p.quoted()
	}
	v := p.run(isNameByte)
	if v == "" {
		p.fail(ErrSyntax)
	}
	return v
}

// isNameByte reports whether c may stand in a token, or is UTF-8.
func isNameByte(c byte) bool {
	return c > ' ' && c != 0x7f && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

// keyword reads a Keyword in lower case.
func (p *fieldParser) keyword() string {
	v := strings.ToLower(p.run(isKeywordByte))
	if !isKeyword(v) {
		p.fail(ErrSyntax)
	}
	return v
}

func isKeywordByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// isKeyword reports whether s is a Keyword of RFC 5321 §4.1.2. "_" is not in
// it, but in what some hosts write.
func isKeyword(s string) bool {
	for i := range len(s) {
		if !isKeywordByte(s[i]) {
			return false
		}
	}
	return s != "" && s[0] != '-'
}

// number reads a version or an instance.
func (p *fieldParser) number() int {
	n := 0
	digits := p.run(func(c byte) bool { return c >= '0' && c <= '9' })
	if digits == "" || len(digits) > 4 {
		p.fail(ErrSyntax)
	}
	for i := range len(digits) {
		n = n*10 + int(digits[i]-'0')
	}
	return n
}

// run reads as many octets as are ok.
func (p *fieldParser) run(ok func(byte) bool) string {
	start := p.pos
	for p.pos < len(p.in) && ok(p.in[p.pos]) {
		p.pos++
	}
	return p.in[start:p.pos]
}

// quoted reads a quoted string and returns what it stands for. A fold in it is
// gone, as RFC 5322 §3.2.4 has it: the blank behind it stays.
func (p *fieldParser) quoted() string {
	var b strings.Builder
	for p.pos++; p.pos < len(p.in); {
		c := p.in[p.pos]
		if c == '"' {
			p.pos++
			return b.String()
		}
		if p.fold() {
			continue
		}
		if c == '\\' && p.pos+1 < len(p.in) {
			p.pos++
			c = p.in[p.pos]
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			break
		}
		b.WriteByte(c)
		p.pos++
	}
	p.fail(ErrSyntax)
	return ""
}

// fold passes over a line end that a blank follows. One at the very end counts
// too: it ends the field.
func (p *fieldParser) fold() bool {
	rest := p.in[p.pos:]
	n := 1
	if strings.HasPrefix(rest, "\r\n") {
		n = 2
	} else if !strings.HasPrefix(rest, "\n") {
		return false
	}
	if len(rest) > n && rest[n] != ' ' && rest[n] != '\t' {
		return false
	}
	p.pos += n
	return true
}

// cfws passes over white space and comments (RFC 5322 §3.2.2).
func (p *fieldParser) cfws() {
	for p.pos < len(p.in) {
		switch c := p.in[p.pos]; {
		case c == ' ', c == '\t':
			p.pos++
		case c == '(':
			p.comment()
		case !p.fold():
			return
		}
	}
}

func (p *fieldParser) comment() {
	depth := 0
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		if p.fold() {
			continue
		}
		p.pos++
		switch {
		case c == '\\' && !p.ended():
			c = p.in[p.pos]
			p.pos++
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return
			}
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			break
		}
	}
	p.fail(ErrSyntax)
}
