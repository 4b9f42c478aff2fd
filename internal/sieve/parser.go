package sieve

// Bounds of the grammar. Nesting is that of blocks and, by itself, of tests.
const (
	maxScript    = 1 << 20 // bytes of source
	maxUnit      = 4 << 20 // bytes of all that one script includes
	maxNesting   = 32
	maxArguments = 32
	maxListItems = 10000
)

type argKind uint8

const (
	argNumber argKind = iota + 1
	argString
	argList
	argTag
)

func (k argKind) String() string {
	return [...]string{"nothing", "a number", "a string", "a string list", "a tag"}[k]
}

// arg is one argument. text is the string, or the tag without its colon.
type arg struct {
	kind argKind
	at   Pos
	num  uint64
	text string
	list []string
}

// strings returns the value of a string or a string list.
func (a *arg) strings() []string {
	if a.kind == argString {
		return []string{a.text}
	}
	return a.list
}

// node is a command or a test as it was written.
type node struct {
	name     string
	at       Pos
	args     []arg
	tests    []*node
	list     bool // the tests stand in parentheses
	block    []*node
	hasBlock bool
}

// parser reads the grammar of RFC 5228 §8.2. Behind a fault it goes on at the
// next command, so that one run tells all of them.
type parser struct {
	lex   lexer
	tok   token
	depth int // of blocks
}

// parse returns the commands of src; faults tells whether there were errors.
func parse(src string, f *faults) []*node {
	p := parser{lex: lexer{src: src, line: 1, faults: f}}
	p.advance()
	var list []*node
	for p.tok.kind != tokEOF && !f.full {
		if p.tok.kind == tokRBrace {
			p.unexpected("a command")
			p.advance()
			continue
		}
		list = append(list, p.command())
	}
	return list
}

func (p *parser) advance() { p.tok = p.lex.next() }

func (p *parser) unexpected(want string) {
	p.lex.faults.add(p.tok.at, "expected %s, but found %s", want, p.tok.kind)
}

// command reads one command with its semicolon or block.
func (p *parser) command() *node {
	n := &node{name: p.tok.text, at: p.tok.at}
	if p.tok.kind != tokIdent {
		p.unexpected("a command")
		p.recover()
		return n
	}
	p.advance()
	if !p.arguments(n, 0) {
		p.recover()
		return n
	}
	switch p.tok.kind {
	case tokSemicolon:
		p.advance()
	case tokLBrace:
		p.block(n)
	default:
		p.unexpected("';' or a block '{' behind " + n.name)
		p.recover()
	}
	return n
}

// block reads the commands between braces.
func (p *parser) block(n *node) {
	n.hasBlock = true
	if p.depth >= maxNesting {
		p.lex.faults.add(p.tok.at, "blocks are nested deeper than %d", maxNesting)
		p.recover()
		return
	}
	p.depth++
	p.advance()
	for p.tok.kind != tokRBrace {
		if p.tok.kind == tokEOF || p.lex.faults.full {
			p.unexpected("'}' that ends the block of " + n.name)
			p.depth--
			return
		}
		n.block = append(n.block, p.command())
	}
	p.depth--
	p.advance()
}

// recover passes over the rest of a command: up to its semicolon or block, or
// to the end of the block around it.
func (p *parser) recover() {
	braces := 0
	for {
		switch p.tok.kind {
		case tokEOF:
			return
		case tokSemicolon:
			if braces == 0 {
				p.advance()
				return
			}
		case tokLBrace:
			braces++
		case tokRBrace:
			if braces == 0 {
				return
			}
			if braces--; braces == 0 {
				p.advance()
				return
			}
		}
		p.skip()
	}
}

// skip is advance without a word about what is wrong in a part that is passed
// over anyway.
func (p *parser) skip() {
	quiet := *p.lex.faults
	p.advance()
	*p.lex.faults = quiet
}

// arguments reads the arguments of n and the tests behind them. It reports
// whether all of that could be read.
func (p *parser) arguments(n *node, depth int) bool {
	for {
		a := arg{at: p.tok.at, num: p.tok.num, text: p.tok.text}
		switch p.tok.kind {
		case tokNumber:
			a.kind = argNumber
		case tokString:
			a.kind = argString
		case tokTag:
			a.kind = argTag
		case tokLBracket:
			a.kind = argList
			if !p.stringList(&a) {
				return false
			}
		case tokIdent:
			t, ok := p.test(depth + 1)
			n.tests = []*node{t}
			return ok
		case tokLParen:
			return p.testList(n, depth+1)
		case tokGarbage:
			p.unexpected("an argument, a test or the end of " + n.name)
			return false
		default:
			return true
		}
		if len(n.args) >= maxArguments {
			p.lex.faults.add(a.at, "%s has more than %d arguments", n.name, maxArguments)
			return false
		}
		n.args = append(n.args, a)
		p.advance()
	}
}

// stringList reads the strings of a list up to its bracket, which is then the
// token in hand.
func (p *parser) stringList(a *arg) bool {
	for {
		p.advance()
		if p.tok.kind != tokString {
			p.unexpected("a string in a list")
			return false
		}
		if len(a.list) >= maxListItems {
			p.lex.faults.add(p.tok.at, "a list has more than %d strings", maxListItems)
			return false
		}
		a.list = append(a.list, p.tok.text)
		p.advance()
		switch p.tok.kind {
		case tokComma:
		case tokRBracket:
			return true
		default:
			p.unexpected("',' or ']' in a list")
			return false
		}
	}
}

func (p *parser) test(depth int) (*node, bool) {
	n := &node{name: p.tok.text, at: p.tok.at}
	if p.tok.kind != tokIdent {
		p.unexpected("a test")
		return n, false
	}
	if depth > maxNesting {
		p.lex.faults.add(p.tok.at, "tests are nested deeper than %d", maxNesting)
		return n, false
	}
	p.advance()
	return n, p.arguments(n, depth)
}

func (p *parser) testList(n *node, depth int) bool {
	n.list = true
	for {
		p.advance()
		t, ok := p.test(depth)
		n.tests = append(n.tests, t)
		if !ok {
			return false
		}
		switch p.tok.kind {
		case tokComma:
		case tokRParen:
			p.advance()
			return true
		default:
			p.unexpected("',' or ')' in a list of tests")
			return false
		}
	}
}
