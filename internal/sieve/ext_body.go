package sieve

import (
	"bytes"
	"encoding/base64"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/gatepost/gatepost/internal/ascii"
	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// maxBody bounds the bytes of one part that scripts see decoded, maxBodies those
// of all parts; the rest is not looked at.
const (
	maxBody   = 1 << 20
	maxBodies = 8 << 20
)

// bodyDefs is body of RFC 5173.
func bodyDefs() []*def {
	return []*def{{name: "body", ext: "body", test: true, min: 1, pos: []position{list("key list")}, build: buildBody,
		tags: [][]tagDef{matchTags, {
			{name: "raw", ext: "body", group: "body transform"},
			{name: "text", ext: "body", group: "body transform"},
			{name: "content", ext: "body", group: "body transform", param: argList},
		}}}}
}

type bodyTest struct {
	match     *match
	transform string
	types     []text
}

func buildBody(c *compiler, cl *call) any {
	t := &bodyTest{match: c.match(cl, cl.pos[0]), transform: "text"}
	if t.match == nil {
		return nil
	}
	t.match.capture = false // RFC 5173 §6
	if u := cl.tags["body transform"]; u != nil {
		t.transform = u.def.name
		if u.arg != nil {
			t.types = c.texts(u.arg.strings(), u.arg.at)
		}
	}
	return t
}

func (t *bodyTest) eval(m *machine) (bool, error) {
	scan := m.msg.scan
	if !hasBody(scan) {
		return false, nil
	}
	switch t.transform {
	case "raw":
		raw := scan.Raw[scan.HeaderEnd:]
		m.spend(len(raw) >> 6)
		return t.match.each(m, []string{string(raw[:min(len(raw), maxBody)])})
	case "text":
		return t.match.run(m, func(yield func(string) bool) { textParts(m, scan.Root, yield) })
	}
	types := evalAll(t.types, m)
	return t.match.run(m, func(yield func(string) bool) { contentParts(m, scan.Root, "", types, yield) })
}

// hasBody reports whether an empty line ends the header (RFC 5173 §4).
func hasBody(m *rawmsg.Message) bool {
	if m.HeaderEnd < len(m.Raw) {
		return true
	}
	head := bytes.ReplaceAll(m.Raw[:m.HeaderEnd], []byte("\r"), nil)
	return bytes.HasSuffix(head, []byte("\n\n")) || len(head) == 1
}

// textParts yields the text of each part that a reader would read.
func textParts(m *machine, p *rawmsg.Part, yield func(string) bool) bool {
	for _, c := range p.Children {
		if !textParts(m, c, yield) {
			return false
		}
	}
	if len(p.Children) > 0 || !m.typed(p) || p.Type != "text" && !p.Is("application", "xhtml+xml") {
		return true
	}
	return yield(m.readable(p))
}

// typed reports whether the type of p is what its header says: a Content-Type
// that cannot be read is no text.
func (m *machine) typed(p *rawmsg.Part) bool {
	return p.Typed || !m.msg.partFields(p).exists("content-type")
}

// contentParts yields the parts of the types (RFC 5173 §5.2): of a multipart
// what stands before and behind its parts, of an attached message its header.
// around is the boundary of the multipart that p is in.
func contentParts(m *machine, p *rawmsg.Part, around string, types []string, yield func(string) bool) bool {
	m.spend(1)
	if m.typed(p) && wantsType(types, p.Type, p.Subtype) {
		for _, s := range m.content(p, around) {
			if !yield(s) {
				return false
			}
		}
	}
	for _, c := range p.Children {
		if !contentParts(m, c, p.Params["boundary"], types, yield) {
			return false
		}
	}
	return true
}

func wantsType(types []string, typ, subtype string) bool {
	for _, t := range types {
		t = lowerASCII(t)
		major, minor, slash := strings.Cut(t, "/")
		switch {
		case t == "", !slash && major == typ, slash && minor != "" && major == typ && minor == subtype:
			return true
		}
	}
	return false
}

// content returns what stands in p itself, decoded.
func (m *machine) content(p *rawmsg.Part, around string) []string {
	scan := m.msg.scan
	switch {
	case p.Type == "multipart" && len(p.Children) > 0:
		first, last := p.Children[0], p.Children[len(p.Children)-1]
		pre := scan.Raw[p.Body.Start:max(p.Body.Start, first.Header.Start)]
		post := scan.Raw[min(last.Body.End, p.Body.End):p.Body.End]
		// A multipart that was closed goes on, for rawmsg, to the end of the one
		// around it.
		if i := bytes.Index(post, []byte("\n--"+around)); i > 0 && around != "" {
			post = post[:i]
		}
		m.spend((len(pre) + len(post)) >> 6)
		return []string{string(cutBoundary(pre, true)), string(cutBoundary(post, false))}
	case p.Is("message", "rfc822") && len(p.Children) > 0:
		head := trimBlankLine(scan.Bytes(p.Children[0].Header))
		m.spend(len(head) >> 6)
		return []string{string(head)}
	}
	return []string{m.decoded(p)}
}

// trimBlankLine drops the empty line that ends a header.
func trimBlankLine(b []byte) []byte {
	for _, end := range []string{"\r\n\r\n", "\n\n"} {
		if bytes.HasSuffix(b, []byte(end)) {
			return b[:len(b)-len(end)/2]
		}
	}
	return b
}

// cutBoundary drops the boundary line at the end of a prologue or the start of
// an epilogue.
func cutBoundary(b []byte, atEnd bool) []byte {
	if atEnd {
		b = bytes.TrimRight(b, "\r\n")
		return b[:bytes.LastIndexByte(b, '\n')+1]
	}
	b = bytes.TrimLeft(b, "\r\n")
	_, after, _ := bytes.Cut(b, []byte("\n"))
	return after
}

type bodyKey struct {
	part     *rawmsg.Part
	readable bool
}

// decoded returns the body of a leaf as UTF-8, without its transfer encoding;
// "" when that is one nobody knows.
func (m *machine) decoded(p *rawmsg.Part) string {
	key := bodyKey{part: p}
	if s, ok := m.msg.plain[key]; ok {
		return s
	}
	raw := m.msg.scan.Bytes(p.Body)
	raw = raw[:min(len(raw), maxBody, max(maxBodies-*m.msg.decodedBytes, 0))]
	*m.msg.decodedBytes += len(raw)
	m.spend(len(raw) >> 4)
	body, ok := undo(p.Encoding, raw)
	s := ""
	switch {
	case !ok:
	case p.Type == "text" || p.Params["charset"] != "":
		s = header.DecodeCharset(p.Params["charset"], body)
	default:
		s = string(body)
	}
	m.msg.plain[key] = s
	return s
}

// readable returns the text of a part, that of HTML without its markup. A part
// that is no text has none, but its bytes where they are UTF-8.
func (m *machine) readable(p *rawmsg.Part) string {
	if len(p.Children) > 0 {
		return ""
	}
	s := m.decoded(p)
	if !p.Is("text", "html") && !p.Is("application", "xhtml+xml") {
		m.spend(len(s) >> 6)
		return strings.ToValidUTF8(s, "")
	}
	key := bodyKey{part: p, readable: true}
	if t, ok := m.msg.plain[key]; ok {
		return t
	}
	m.spend(len(s) >> 3)
	t := htmlText(s)
	m.msg.plain[key] = t
	return t
}

// htmlText drops tags, comments, style and script, and undoes entities.
func htmlText(s string) string {
	z := html.NewTokenizer(strings.NewReader(s))
	var b strings.Builder
	hidden := atom.Atom(0)
	for {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
			if hidden == 0 {
				b.Write(z.Text())
			}
		case html.StartTagToken:
			name, _ := z.TagName()
			if a := atom.Lookup(name); a == atom.Script || a == atom.Style {
				hidden = a
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); atom.Lookup(name) == hidden {
				hidden = 0
			}
		}
	}
}

// undo takes a transfer encoding off. Bytes that have no place in it are
// passed over, as mail programs do.
func undo(encoding string, raw []byte) ([]byte, bool) {
	switch encoding {
	case "", "7bit", "8bit", "binary":
		return raw, true
	case "quoted-printable":
		return undoQuoted(raw), true
	case "base64":
		return undoBase64(raw), true
	}
	return nil, false
}

func undoBase64(raw []byte) []byte {
	clean := make([]byte, 0, len(raw))
	for _, c := range raw {
		if c != '_' && (isAlpha(c) || isDigit(c)) || c == '+' || c == '/' {
			clean = append(clean, c)
		}
		if c == '=' {
			break
		}
	}
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, _ := base64.RawStdEncoding.Decode(out, clean)
	return out[:n]
}

func undoQuoted(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for line := range bytes.Lines(raw) {
		body := bytes.TrimRight(line, "\r\n")
		end := line[len(body):]
		body = bytes.TrimRight(body, " \t")
		if soft, cut := bytes.CutSuffix(body, []byte("=")); cut {
			body, end = soft, nil
		}
		out = append(appendQuoted(out, body), end...)
	}
	return out
}

// appendQuoted undoes the escapes of one line; what is none stays as typed.
func appendQuoted(out, line []byte) []byte {
	for {
		before, after, found := bytes.Cut(line, []byte("="))
		out = append(out, before...)
		if !found {
			return out
		}
		line = after
		hi, lo := -1, -1
		if len(line) >= 2 {
			hi, lo = ascii.Unhex(line[0]), ascii.Unhex(line[1])
		}
		if hi < 0 || lo < 0 {
			out = append(out, '=')
			continue
		}
		out = append(out, byte(hi<<4|lo))
		line = line[2:]
	}
}
