package sieve

import (
	"errors"
	"fmt"
	"slices"
)

// What ends a list of commands early. These never leave Run.
var (
	errStop   = errors.New("stop")
	errReturn = errors.New("return")
)

// controlDefs are the control commands of RFC 5228 §3 and RFC 5463, and the
// tests that hold tests.
func controlDefs() []*def {
	return []*def{
		{name: "if", tests: oneTest, block: true},
		{name: "elsif", tests: oneTest, block: true},
		{name: "else", block: true},
		{name: "require", min: 1, pos: []position{list("extensions")}},
		{name: "stop", build: func(*compiler, *call) any { return stopCommand{} }},
		{name: "true", test: true, build: func(*compiler, *call) any { return constTest(true) }},
		{name: "false", test: true, build: func(*compiler, *call) any { return constTest(false) }},
		{name: "not", test: true, tests: oneTest, build: buildNot},
		{name: "allof", test: true, tests: testList, build: buildAllOf},
		{name: "anyof", test: true, tests: testList, build: func(_ *compiler, cl *call) any { return anyOf(cl.tests) }},
		{name: "ihave", ext: "ihave", test: true, min: 1, pos: []position{list("extensions")}, build: buildIhave},
		{name: "error", ext: "ihave", min: 1, pos: []position{str("message")}, build: func(c *compiler, cl *call) any {
			return &errorCommand{text: c.text(cl.pos[0].text, cl.pos[0].at)}
		}},
	}
}

type stopCommand struct{}

func (stopCommand) exec(*machine) error { return errStop }

type constTest bool

func (t constTest) eval(*machine) (bool, error) { return bool(t), nil }

type notTest struct{ t test }

func (t notTest) eval(m *machine) (bool, error) {
	ok, err := m.test(t.t)
	return !ok && err == nil, err
}

func buildNot(_ *compiler, cl *call) any {
	if k, is := cl.tests[0].(*ihaveTest); is {
		return &ihaveTest{have: !k.have}
	}
	return notTest{cl.tests[0]}
}

type allOf []test

func (ts allOf) eval(m *machine) (bool, error) {
	for _, t := range ts {
		if ok, err := m.test(t); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func buildAllOf(_ *compiler, cl *call) any {
	for _, t := range cl.tests {
		if k, is := t.(*ihaveTest); is && !k.have {
			return k
		}
	}
	return allOf(cl.tests)
}

type anyOf []test

func (ts anyOf) eval(m *machine) (bool, error) {
	for _, t := range ts {
		if ok, err := m.test(t); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// ihaveTest is ihave of RFC 5463, whose result is known when the script is
// compiled: blocks that it closes are not looked into.
type ihaveTest struct{ have bool }

func (t *ihaveTest) eval(*machine) (bool, error) { return t.have, nil }

func buildIhave(c *compiler, cl *call) any {
	names := cl.pos[0].strings()
	for _, name := range names {
		// These two change how strings are read, before any test runs.
		if name == "variables" || name == "encoded-character" || !c.unit.allowed(name) {
			return &ihaveTest{}
		}
	}
	for _, name := range names {
		c.enable(name)
	}
	return &ihaveTest{have: true}
}

type errorCommand struct{ text text }

func (e *errorCommand) exec(m *machine) error {
	return fmt.Errorf("%w: %s", ErrScript, quoteShort(e.text.eval(m)))
}

// ifCommand is if with what follows it. A branch without a test is the last.
type ifCommand struct{ branches []branch }

type branch struct {
	test  test
	block []step
}

func (i *ifCommand) exec(m *machine) error {
	for _, b := range i.branches {
		if b.test != nil {
			ok, err := m.test(b.test)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
		}
		return m.run(b.block)
	}
	return nil
}

// chain is the if that an elsif or else belongs to.
type chain struct {
	cmd  *ifCommand
	done bool // what follows never runs
}

func isBranch(name string) bool { return name == "if" || name == "elsif" || name == "else" }

// branch compiles one of if, elsif and else; before names the command in front
// of it. The command is returned with its first branch.
func (c *compiler) branch(ch *chain, n *node, before string) command {
	call, ok := c.call(n, false)
	if n.name != "if" && before != "if" && before != "elsif" {
		if ok {
			c.faults.add(n.at, "%s must follow if or elsif", n.name)
		}
		ok = false
	}
	first := n.name == "if"
	if first {
		*ch = chain{cmd: &ifCommand{}}
	} else if ch.cmd == nil {
		ch.cmd = &ifCommand{} // an error was told: its elsif goes nowhere
	}
	if ch.done {
		return nil
	}
	var cond test
	for _, t := range n.tests {
		ct, _ := c.compileTest(n, call.def, t)
		cond = ct
	}
	if k, is := cond.(*ihaveTest); is && len(n.tests) == 1 {
		if !k.have {
			return c.first(first, ch)
		}
		ch.done = true
	}
	block := c.block(n.block)
	if ok {
		ch.cmd.branches = append(ch.cmd.branches, branch{test: cond, block: block})
	}
	return c.first(first, ch)
}

func (c *compiler) first(first bool, ch *chain) command {
	if first {
		return ch.cmd
	}
	return nil
}

// require enables extensions (RFC 5228 §3.2).
func (c *compiler) require(n *node, before string) {
	if c.nested > 1 || before != "" && before != "require" {
		c.faults.add(n.at, "require must come before all other commands")
		return
	}
	cl, ok := c.call(n, false)
	if !ok {
		return
	}
	for _, name := range cl.pos[0].strings() {
		if !c.unit.allowed(name) {
			c.faults.add(n.at, "unknown or disabled extension %s", quoteShort(name))
			continue
		}
		c.enable(name)
	}
}

// enable turns an extension on with what it includes.
func (c *compiler) enable(name string) {
	c.exts[name] = true
	for _, also := range implied[name] {
		c.exts[also] = true
	}
	if !slices.Contains(c.prog.exts, name) {
		c.prog.exts = append(c.prog.exts, name)
	}
}
