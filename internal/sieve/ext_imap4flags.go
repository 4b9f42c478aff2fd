package sieve

import (
	"slices"
	"strings"
)

// maxFlags bounds the flags of one message.
const maxFlags = 128

// flagDefs are those of imap4flags (RFC 5232).
func flagDefs() []*def {
	pos := []position{str("variable name"), list("list of flags")}
	cmd := func(name string) *def {
		return &def{name: name, ext: "imap4flags", min: 1, pos: pos, build: func(c *compiler, cl *call) any {
			f := &flagCommand{name: name, flags: c.texts(cl.pos[1].strings(), cl.pos[1].at)}
			v, ok := c.flagVariable(cl.pos[0])
			f.to = v
			if !ok {
				return nil
			}
			return f
		}}
	}
	return []*def{cmd("setflag"), cmd("addflag"), cmd("removeflag"),
		{name: "hasflag", ext: "imap4flags", test: true, min: 1, tags: [][]tagDef{matchTags}, build: buildHasFlag,
			pos: []position{list("variable list"), list("list of flags")}},
	}
}

// flagVariable returns the variable of an optional first argument, nil for the
// internal one.
func (c *compiler) flagVariable(a *arg) (*variable, bool) {
	if a == nil {
		return nil, true
	}
	if !c.has("variables") {
		c.faults.add(a.at, "a variable for flags needs require \"variables\"")
		return nil, false
	}
	v := c.target(a)
	return v, v != nil
}

type flagCommand struct {
	name  string
	to    *variable
	flags []text
}

func (f *flagCommand) exec(m *machine) error {
	flags := m.flags(f.flags)
	var old []string
	if f.to != nil {
		old = splitFlags([]string{f.to.value(m)})
	} else {
		old = m.internalFlags()
	}
	switch f.name {
	case "setflag":
		old = addFlags(nil, flags)
	case "addflag":
		old = addFlags(slices.Clone(old), flags)
	case "removeflag":
		old = slices.DeleteFunc(slices.Clone(old), func(s string) bool { return indexFlag(flags, s) >= 0 })
	}
	m.spend(len(old) * len(flags) / 8)
	if f.to != nil {
		f.to.assign(m, strings.Join(old, " "))
		return nil
	}
	m.res.flags, m.res.setFlag = old, true
	m.res.KeepFlags = old
	return nil
}

// internalFlags returns the internal variable: that of scripts, else what the
// message has.
func (m *machine) internalFlags() []string {
	if m.res.setFlag {
		return m.res.flags
	}
	return m.orig.flags
}

// flags returns the flags in strings of a script.
func (m *machine) flags(list []text) []string {
	ss := evalAll(list, m)
	n := 0
	for _, s := range ss {
		n += 1 + len(s)>>2
	}
	m.spend(n)
	return splitFlags(ss)
}

// splitFlags reads lists of flags in strings. What is no flag is dropped
// (RFC 5232 §2).
func splitFlags(list []string) []string {
	var out []string
	for _, s := range list {
		for _, f := range strings.Fields(s) {
			if isFlag(f) && len(out) < maxFlags {
				out = append(out, f)
			}
		}
	}
	return out
}

// isFlag reports whether s is a system flag of a client, or a keyword
// (RFC 3501 §9).
func isFlag(s string) bool {
	if rest, system := strings.CutPrefix(s, `\`); system {
		switch lowerASCII(rest) {
		case "answered", "flagged", "deleted", "seen", "draft":
			return true
		}
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`(){%*"\]`, s[i]) >= 0 {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

func indexFlag(list []string, f string) int {
	return slices.IndexFunc(list, func(s string) bool { return strings.EqualFold(s, f) })
}

// addFlags appends those that list does not have.
func addFlags(list, more []string) []string {
	for _, f := range more {
		if indexFlag(list, f) < 0 && len(list) < maxFlags {
			list = append(list, f)
		}
	}
	return list
}

// flags compiles the tag :flags.
func (c *compiler) flags(cl *call) ([]text, bool) {
	a := cl.param("flags")
	if a == nil {
		return nil, false
	}
	return c.texts(a.strings(), a.at), true
}

// storeFlags returns the flags of an action: those of its tag, else the
// internal variable.
func (m *machine) storeFlags(flags []text, given bool) []string {
	if given {
		return addFlags(nil, m.flags(flags))
	}
	if m.res.setFlag {
		return slices.Clone(m.res.flags)
	}
	return nil
}

// hasFlag is the test hasflag. Each key is a list of flags, too.
type hasFlag struct {
	match *match
	vars  []*variable
}

func buildHasFlag(c *compiler, cl *call) any {
	h := &hasFlag{}
	if cl.pos[0] != nil {
		for _, name := range cl.pos[0].strings() {
			v, ok := c.flagVariable(&arg{kind: argString, at: cl.pos[0].at, text: name})
			if !ok {
				return nil
			}
			h.vars = append(h.vars, v)
		}
	}
	keys := *cl.pos[1]
	keys.kind, keys.list = argList, nil
	for _, s := range cl.pos[1].strings() {
		if c.varies(&arg{kind: argString, text: s}) {
			keys.list = append(keys.list, s)
		} else {
			keys.list = append(keys.list, strings.Fields(s)...)
		}
	}
	if h.match = c.match(cl, &keys); h.match == nil {
		return nil
	}
	return h
}

func (h *hasFlag) eval(m *machine) (bool, error) {
	return h.match.run(m, func(yield func(string) bool) {
		flags := m.internalFlags()
		if h.vars != nil {
			flags = nil
			for _, v := range h.vars {
				flags = addFlags(flags, splitFlags([]string{v.value(m)}))
			}
		}
		for _, f := range flags {
			if !yield(f) {
				return
			}
		}
	})
}
