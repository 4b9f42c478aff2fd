package dkimimport

import (
	"fmt"
	"strings"
)

// Bounds of a UCL file.
const (
	maxUCLDepth = 8
	maxUCLNodes = 200000
)

// node is a value of UCL: an object, a list or a text.
type node struct {
	at     Place
	text   string
	list   []*node
	fields []field // of an object, in order
	kind   nodeKind
}

type field struct {
	name  string
	value *node
}

type nodeKind int

const (
	textNode nodeKind = iota
	listNode
	objectNode
)

// find returns the last field of that name, nil for none.
func (n *node) find(name string) *node {
	if n == nil {
		return nil
	}
	for i := len(n.fields) - 1; i >= 0; i-- {
		if strings.EqualFold(n.fields[i].name, name) {
			return n.fields[i].value
		}
	}
	return nil
}

// uclParser reads the part of UCL that rspamd's settings are written in: "key
// value" with "=", ":" or nothing between and ";", "," or a line's end behind,
// objects, lists, quoted and bare texts, comments. Macros such as .include are
// kept as fields with their name. Everything else is an error.
type uclParser struct {
	file  string
	s     string
	i     int
	line  int
	nodes int
}

// parseUCL reads a file as the inside of one object.
func parseUCL(file string, b []byte) (*node, error) {
	p := &uclParser{file: file, s: string(b), line: 1}
	n, err := p.object(0, true)
	if err != nil {
		return nil, err
	}
	if p.i < len(p.s) {
		return nil, p.fault("a } without a {")
	}
	return n, nil
}

func (p *uclParser) fault(text string) error {
	return fmt.Errorf("%s: %s", Place{p.file, p.line}, text)
}

func (p *uclParser) node(kind nodeKind) (*node, error) {
	if p.nodes++; p.nodes > maxUCLNodes {
		return nil, p.fault("the file is too large")
	}
	return &node{at: Place{p.file, p.line}, kind: kind}, nil
}

// skip passes blanks and comments, and ends of lines if they mean nothing here.
func (p *uclParser) skip(lines bool) error {
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '\n' && !lines:
			return nil
		case c == '\n':
			p.line++
			p.i++
		case c == ' ' || c == '\t' || c == '\r':
			p.i++
		case c == '#':
			for p.i < len(p.s) && p.s[p.i] != '\n' {
				p.i++
			}
		case strings.HasPrefix(p.s[p.i:], "/*"):
			end := strings.Index(p.s[p.i+2:], "*/")
			if end < 0 {
				return p.fault("a comment without an end")
			}
			p.line += strings.Count(p.s[p.i:p.i+2+end], "\n")
			p.i += end + 4
		default:
			return nil
		}
	}
	return nil
}

// peek returns the next octet, 0 at the end.
func (p *uclParser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

// object reads fields up to "}", or to the end of the file.
func (p *uclParser) object(depth int, top bool) (*node, error) {
	if depth > maxUCLDepth {
		return nil, p.fault("objects are nested too deep")
	}
	n, err := p.node(objectNode)
	if err != nil {
		return nil, err
	}
	for {
		if err := p.skip(true); err != nil {
			return nil, err
		}
		switch c := p.peek(); {
		case c == ';' || c == ',':
			p.i++
		case p.i == len(p.s) && top, c == '}' && !top:
			if !top {
				p.i++
			}
			return n, nil
		case p.i == len(p.s):
			return nil, p.fault("a { without a }")
		case c == '}':
			return n, nil // the caller says that it is one too many
		default:
			f, err := p.field(depth)
			if err != nil {
				return nil, err
			}
			n.fields = append(n.fields, f)
		}
	}
}

// field reads "key value". A word between a key and "{" is a key, too: "domain
// example.org { ... }" is an object in an object.
func (p *uclParser) field(depth int) (field, error) {
	at := Place{p.file, p.line}
	name, err := p.word(true)
	if err == nil && name == "" {
		err = p.fault("a name is empty")
	}
	if err != nil {
		return field{}, err
	}
	if err := p.skip(false); err != nil {
		return field{}, err
	}
	if c := p.peek(); c == '=' || c == ':' {
		p.i++
	}
	if err := p.skip(false); err != nil {
		return field{}, err
	}
	if p.peek() == '\n' { // the value may begin on the next line
		if err := p.skip(true); err != nil {
			return field{}, err
		}
		if c := p.peek(); c != '{' && c != '[' {
			return field{}, p.fault("the setting " + name + " has no value")
		}
	}
	v, err := p.value(depth)
	if err != nil {
		return field{}, err
	}
	if v.kind == textNode {
		if err := p.skip(false); err != nil {
			return field{}, err
		}
		if p.peek() == '{' && !strings.HasPrefix(name, ".") {
			inner, err := p.value(depth + 1)
			if err != nil {
				return field{}, err
			}
			v = &node{at: at, kind: objectNode, fields: []field{{v.text, inner}}}
		}
	}
	v.at = at
	return field{name, v}, nil
}

// value reads an object, a list or a text.
func (p *uclParser) value(depth int) (*node, error) {
	switch p.peek() {
	case '{':
		p.i++
		return p.object(depth+1, false)
	case '[':
		p.i++
		return p.array(depth + 1)
	}
	n, err := p.node(textNode)
	if err != nil {
		return nil, err
	}
	n.text, err = p.word(false)
	return n, err
}

// array reads values up to "]".
func (p *uclParser) array(depth int) (*node, error) {
	if depth > maxUCLDepth {
		return nil, p.fault("lists are nested too deep")
	}
	n, err := p.node(listNode)
	if err != nil {
		return nil, err
	}
	for {
		if err := p.skip(true); err != nil {
			return nil, err
		}
		switch p.peek() {
		case ',', ';':
			p.i++
			continue
		case ']':
			p.i++
			return n, nil
		case 0:
			return nil, p.fault("a [ without a ]")
		}
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		n.list = append(n.list, v)
	}
}

// word reads a quoted text, or a bare one: a key up to a blank, a value up to
// what ends it.
func (p *uclParser) word(key bool) (string, error) {
	switch c := p.peek(); {
	case c == '"' || c == '\'':
		return p.quoted(c)
	case strings.HasPrefix(p.s[p.i:], "<<"):
		return "", p.fault("a here-document is not read")
	}
	end := ";,{}[]\n#\"'"
	if key {
		end += " \t\r=:"
	}
	begin := p.i
	for p.i < len(p.s) && strings.IndexByte(end, p.s[p.i]) < 0 {
		p.i++
	}
	text := strings.TrimSpace(p.s[begin:p.i])
	if text == "" {
		return "", p.fault("a name or a value is missing")
	}
	return text, nil
}

// quoted reads a text in quotes: in double ones a backslash says that the next
// octet stands for itself, or n for a line end.
func (p *uclParser) quoted(quote byte) (string, error) {
	var b strings.Builder
	for p.i++; p.i < len(p.s); p.i++ {
		c := p.s[p.i]
		if c == quote {
			p.i++
			return b.String(), nil
		}
		if c == '\n' {
			p.line++
		}
		if c == '\\' && p.i+1 < len(p.s) && (quote == '"' || p.s[p.i+1] == quote) {
			p.i++
			if c = p.s[p.i]; c == 'n' {
				c = '\n'
			}
		}
		b.WriteByte(c)
	}
	return "", p.fault("a text in quotes without an end")
}
