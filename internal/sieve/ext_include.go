package sieve

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// includeDefs are those of RFC 6609.
func includeDefs() []*def {
	tags := [][]tagDef{{
		{name: "personal", ext: "include", group: "location"},
		{name: "global", ext: "include", group: "location"},
		{name: "once", ext: "include"}, {name: "optional", ext: "include"},
	}}
	return []*def{
		{name: "include", ext: "include", min: 1, pos: []position{{what: "script name", kind: argString, constant: true}}, tags: tags, build: buildInclude},
		{name: "return", ext: "include", build: func(*compiler, *call) any { return returnCommand{} }},
		{name: "global", ext: "include", min: 1, pos: []position{list("variable names")}, build: buildGlobal},
	}
}

type returnCommand struct{}

func (returnCommand) exec(*machine) error { return errReturn }

type includeCommand struct {
	prog int
	once bool
}

func buildInclude(c *compiler, cl *call) any {
	a := cl.pos[0]
	name := c.text(a.text, a.at).lit
	if !ValidName(name) {
		c.faults.add(a.at, "%s is no name of a script", quoteShort(name))
		return nil
	}
	u := cl.tags["location"]
	key := includeKey{name: name, global: u != nil && u.def.name == "global"}
	i := &includeCommand{once: cl.has("once")}
	if i.prog = c.include(key, a.at, cl.has("optional"), i.once, c.depth+1); i.prog < 0 {
		return nil
	}
	return i
}

// ValidName reports whether s can name a script: RFC 5804 §1.6 without a slash
// and without a dot in front, because a name is a file's.
func ValidName(s string) bool {
	if s == "" || len(s) > 512 || !utf8.ValidString(s) || s[0] == '.' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r == '/' || r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029
	})
}

func (i *includeCommand) exec(m *machine) error {
	if i.once && m.ran[i.prog] || m.depth > 2*m.env.Limits.IncludeDepth {
		return nil
	}
	m.ran[i.prog] = true
	outer, matched, p := m.frame, m.matched, m.unit.progs[i.prog]
	m.matched = nil // each script has its own (RFC 6609 §3)
	m.depth++
	m.spend(1 + p.locals)
	m.enter(p)
	err := m.run(p.body)
	m.frame, m.matched = outer, matched
	m.depth--
	if errors.Is(err, errReturn) {
		return nil
	}
	return err
}

// buildGlobal makes names of a script those that all scripts of a run share.
func buildGlobal(c *compiler, cl *call) any {
	a := cl.pos[0]
	if !c.has("variables") {
		c.faults.add(cl.n.at, "global needs require \"variables\"")
		return nil
	}
	for _, name := range a.strings() {
		name = lowerASCII(name)
		if !isVariableName(name) || isDigit(name[0]) || strings.Contains(name, ".") {
			c.faults.add(a.at, "%s is not a name of a variable", quoteShort(name))
			continue
		}
		if v := c.names[name]; v != nil && v.scope == scopeLocal {
			c.faults.add(a.at, "variable %s was used as a local one before", name)
			continue
		}
		if v := c.global(name, a.at); v != nil {
			c.names[name] = v
		}
	}
	return nil
}
