package sieve

import "strings"

// compiler checks one script, the root or an included one, and makes commands
// of it.
type compiler struct {
	unit   *unit
	opts   *Options
	prog   *program
	faults *faults
	exts   map[string]bool
	names  map[string]*variable
	// unknown holds what was told to be unknown: once each.
	unknown map[string]bool
	tooMany bool     // of variables was told
	loops   []string // names of the foreverypart blocks that are open
	nested  int      // blocks that are open
	depth   int      // of includes around the script
}

func (c *compiler) has(ext string) bool { return c.exts[ext] }

// lookupDef returns the def of name when its extension is required.
func (c *compiler) lookupDef(name string) *def {
	d := c.unit.defs[name]
	if d == nil || d.ext != "" && !c.has(d.ext) {
		return nil
	}
	return d
}

// once reports whether something unknown has not been told yet.
func (c *compiler) once(what string) bool {
	if c.unknown[what] {
		return false
	}
	c.unknown[what] = true
	return true
}

// block compiles a list of commands.
func (c *compiler) block(nodes []*node) []step {
	c.nested++
	defer func() { c.nested-- }()
	var out []step
	chain := chain{}
	for i, n := range nodes {
		var before string
		if i > 0 {
			before = nodes[i-1].name
		}
		if isBranch(n.name) {
			if cmd := c.branch(&chain, n, before); cmd != nil {
				out = append(out, step{n.at, cmd})
			}
			continue
		}
		chain.cmd, chain.done = nil, false
		if n.name == "require" {
			c.require(n, before)
			continue
		}
		if cmd, ok := c.compile(n, false).(command); ok && cmd != nil {
			out = append(out, step{n.at, cmd})
		}
	}
	return out
}

// compile checks one command or, with isTest, one test. It returns nil behind
// an error.
func (c *compiler) compile(n *node, isTest bool) any {
	call, ok := c.call(n, isTest)
	if call == nil {
		return nil
	}
	var end func()
	if ok && call.def.open != nil {
		end = call.def.open(c, call)
	}
	for _, t := range n.tests {
		ct, is := c.compileTest(n, call.def, t)
		ok = ok && is
		call.tests = append(call.tests, ct)
		if k, isKnown := ct.(*ihaveTest); isKnown && n.name == "allof" && !k.have {
			break // what follows may be of an extension that we lack (RFC 5463 §4)
		}
	}
	if n.hasBlock {
		call.block = c.block(n.block)
	}
	if end != nil {
		end()
	}
	if !ok {
		return nil
	}
	return call.def.build(c, call)
}

// compileTest compiles the test t of the command n.
func (c *compiler) compileTest(n *node, d *def, t *node) (test, bool) {
	if known := c.lookupDef(t.name); known == nil {
		switch {
		case d != nil && d.tag(t.name) != nil:
			c.faults.add(t.at, "missing colon ':' in front of %s, a tag of the %s %s", t.name, d.name, d.kind())
			return nil, false
		case d != nil && !d.test && d.tests == noTests:
			c.faults.add(t.at, "missing semicolon ';' behind the %s %s", d.name, d.kind())
			return nil, false
		}
	} else if !known.test && d != nil && d.tests == noTests {
		c.faults.add(t.at, "missing semicolon ';' behind the %s %s", d.name, d.kind())
		return nil, false
	}
	ct, ok := c.compile(t, true).(test)
	if _, known := ct.(*ihaveTest); ok && !known {
		ct = &placed{test: ct, name: t.name, at: t.at}
	}
	return ct, ok
}

// call checks n against its def, without what is nested in it. The call is nil
// when there is nothing to compile; ok tells whether it may be built.
func (c *compiler) call(n *node, isTest bool) (_ *call, ok bool) {
	what := "command"
	if isTest {
		what = "test"
	}
	d := c.lookupDef(n.name)
	if d == nil {
		if c.once(what + " " + n.name) {
			hint := ""
			if full := c.unit.defs[n.name]; full != nil {
				hint = "; it needs require \"" + full.ext + "\""
			}
			c.faults.add(n.at, "unknown %s '%s' (reported only once at its first occurrence)%s", what, n.name, hint)
		}
		c.nestedOnly(n)
		return nil, false
	}
	if d.test != isTest && !d.either {
		c.faults.add(n.at, "attempted to use %s '%s' as %s", d.kind(), n.name, what)
		return nil, false
	}
	cl := &call{n: n, def: d}
	ok = c.arguments(cl) && c.subtests(cl)
	if !isTest {
		switch {
		case d.block && !n.hasBlock:
			c.faults.add(n.at, "the %s command needs a block '{ … }'", d.name)
			ok = false
		case !d.block && n.hasBlock:
			c.faults.add(n.at, "the %s command takes no block", d.name)
			ok = false
		}
	}
	return cl, ok
}

// nestedOnly checks what stands inside an unknown command.
func (c *compiler) nestedOnly(n *node) {
	for _, t := range n.tests {
		c.compileTest(n, nil, t)
	}
	if n.hasBlock {
		c.block(n.block)
	}
}

func (c *compiler) subtests(cl *call) bool {
	n, d := cl.n, cl.def
	switch d.tests {
	case noTests:
		if len(n.tests) == 0 {
			return true
		}
		if t := n.tests[0]; !n.list && !d.test {
			if known := c.lookupDef(t.name); known == nil || !known.test {
				return false // told with the test: a semicolon is missing
			}
		}
		if t := n.tests[0]; c.lookupDef(t.name) == nil && d.tag(t.name) != nil {
			return false
		}
		c.faults.add(n.at, "the %s %s accepts no sub-tests, but there are tests specified", d.name, d.kind())
	case oneTest:
		if len(n.tests) == 1 && !n.list {
			return true
		}
		if len(n.tests) == 0 {
			c.faults.add(n.at, "the %s %s requires one test, but none is specified", d.name, d.kind())
		} else {
			c.faults.add(n.at, "the %s %s requires one test, but a list of tests is specified", d.name, d.kind())
		}
	case testList:
		if len(n.tests) > 0 && n.list {
			return true
		}
		c.faults.add(n.at, "the %s %s requires a list of tests in parentheses", d.name, d.kind())
	}
	return false
}

// arguments sorts the arguments of a call into tags and positions.
func (c *compiler) arguments(cl *call) bool {
	args := cl.n.args
	for i := 0; i < len(args); i++ {
		a := &args[i]
		if a.kind != argTag {
			cl.pos = append(cl.pos, a)
			continue
		}
		used, ok := c.tag(cl, args, i)
		if !ok {
			return false
		}
		i += used
	}
	return c.positions(cl)
}

// tag takes the tag args[i] and tells how many arguments behind it are its.
func (c *compiler) tag(cl *call, args []arg, i int) (used int, ok bool) {
	a, d := &args[i], cl.def
	t := d.tag(a.text)
	if t == nil || t.ext != "" && !c.has(t.ext) {
		if len(cl.pos) > 0 && c.unknown["tag "+d.name+" "+a.text] {
			c.faults.add(a.at, "unexpected tagged argument ':%s' behind a positional one", cutText(a.text, 40))
		} else if c.once("tag " + d.name + " " + a.text) {
			hint := ""
			if t != nil {
				hint = "; it needs require \"" + t.ext + "\""
			}
			c.faults.add(a.at, "unknown tagged argument ':%s' for the %s %s (reported only once at its first occurrence)%s",
				cutText(a.text, 40), d.name, d.kind(), hint)
		}
		return 0, false
	}
	if len(cl.pos) > 0 {
		c.faults.add(a.at, "unexpected tagged argument ':%s' behind a positional one of the %s %s: tags come first", a.text, d.name, d.kind())
		return 0, false
	}
	if old := cl.tags[t.key()]; old != nil {
		c.faults.add(a.at, "tagged argument ':%s' of the %s %s cannot be given beside ':%s'", a.text, d.name, d.kind(), old.def.name)
		return 0, false
	}
	u := &tagUse{def: t, at: a.at}
	if cl.tags == nil {
		cl.tags = map[string]*tagUse{}
	}
	cl.tags[t.key()] = u
	if t.param == 0 {
		return 0, true
	}
	if i+1 >= len(args) {
		c.faults.add(a.at, "the tag ':%s' of the %s %s needs %s behind it", a.text, d.name, d.kind(), t.param)
		return 0, false
	}
	u.arg = &args[i+1]
	if !fits(u.arg.kind, t.param) {
		c.faults.add(a.at, "the tag ':%s' of the %s %s needs %s behind it, but %s was found", a.text, d.name, d.kind(), t.param, u.arg.kind)
		return 0, false
	}
	if t.constant && c.varies(u.arg) {
		c.faults.add(a.at, "the tag ':%s' of the %s %s needs a string without variables", a.text, d.name, d.kind())
		return 0, false
	}
	return 1, true
}

func fits(have, want argKind) bool {
	return have == want || have == argString && want == argList
}

// varies reports whether a string of a holds variables.
func (c *compiler) varies(a *arg) bool {
	if !c.has("variables") {
		return false
	}
	for _, s := range a.strings() {
		for rest := s; ; {
			i := strings.Index(rest, "${")
			if i < 0 {
				break
			}
			rest = rest[i+2:]
			if end := strings.IndexByte(rest, '}'); end >= 0 && isVariableName(rest[:end]) {
				return true
			}
		}
	}
	return false
}

// positions checks number and kinds of the positional arguments. Optional ones
// come first: what is missing is nil at the front of cl.pos.
func (c *compiler) positions(cl *call) bool {
	d, have := cl.def, len(cl.pos)
	verb := "are"
	if have == 1 {
		verb = "is"
	}
	switch {
	case have > 0 && len(d.pos) == 0:
		c.faults.add(cl.n.at, "the %s %s accepts no positional arguments, but %d %s specified", d.name, d.kind(), have, verb)
		return false
	case have < d.min || have > len(d.pos):
		c.faults.add(cl.n.at, "the %s %s requires %d positional arguments, but %d is specified", d.name, d.kind(), d.min, have)
		return false
	}
	skip := 0
	if d.optionalFirst() {
		skip = len(d.pos) - have
	}
	pos := make([]*arg, len(d.pos))
	for i, a := range cl.pos {
		p := d.pos[skip+i]
		pos[skip+i] = a
		if !fits(a.kind, p.kind) {
			c.faults.add(a.at, "the %s %s expects %s as argument %d (%s), but %s was found", d.name, d.kind(), p.kind, i+1, p.what, a.kind)
			return false
		}
		if p.constant && c.varies(a) {
			c.faults.add(a.at, "argument %d (%s) of the %s %s must be without variables", i+1, p.what, d.name, d.kind())
			return false
		}
	}
	cl.pos = pos
	return true
}

// optionalFirst: all commands with an optional positional argument have it in
// front, but deleteheader.
func (d *def) optionalFirst() bool { return d.name != "deleteheader" }
