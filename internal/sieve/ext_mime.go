package sieve

import (
	"strings"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// maxLoops bounds foreverypart inside foreverypart, includes counted.
const maxLoops = 4

// mimeTags and mimeOptions are those of RFC 5703 §4.
var mimeTags = []tagDef{
	{name: "mime", ext: "mime"},
	{name: "anychild", ext: "mime"},
}

var mimeOptions = []tagDef{
	{name: "type", ext: "mime", group: "mime option"},
	{name: "subtype", ext: "mime", group: "mime option"},
	{name: "contenttype", ext: "mime", group: "mime option"},
	{name: "param", ext: "mime", group: "mime option", param: argList},
}

// mimeScope says which header blocks a test looks at, and what of their fields.
type mimeScope struct {
	on, anychild bool
	option       string
	params       []text
}

func (c *compiler) mime(cl *call, to *mimeScope) bool {
	to.on, to.anychild = cl.has("mime"), cl.has("anychild")
	if u := cl.tags["mime option"]; u != nil {
		to.option = u.def.name
		if u.arg != nil {
			to.params = c.texts(u.arg.strings(), u.arg.at)
		}
	}
	if !to.on && (to.anychild || to.option != "") {
		c.faults.add(cl.n.at, "the %s test has a tag that needs :mime", cl.def.name)
		return false
	}
	return true
}

// blocks returns the header blocks to look at: that of the message, with :mime
// that of the current part, with :anychild those of all parts below, too.
func (x *mimeScope) blocks(m *machine) []*fields {
	if !x.on {
		return []*fields{m.msg.head}
	}
	part := m.part()
	if !x.anychild {
		return []*fields{m.msg.partFields(part)}
	}
	var out []*fields
	walkParts(part, func(p *rawmsg.Part) {
		m.spend(1)
		out = append(out, m.msg.partFields(p))
	})
	return out
}

func walkParts(p *rawmsg.Part, visit func(p *rawmsg.Part)) {
	visit(p)
	for _, c := range p.Children {
		walkParts(c, visit)
	}
}

// values returns what the option asks of a field's value.
func (x *mimeScope) values(m *machine, name, value string) []string {
	if x.option == "" {
		return []string{value}
	}
	m.spend(40 + len(value)>>3)
	typ, subtype, params := contentValue(name, value)
	switch x.option {
	case "type":
		return []string{typ}
	case "subtype":
		return []string{subtype}
	case "contenttype":
		if subtype == "" {
			return []string{typ}
		}
		return []string{typ + "/" + subtype}
	}
	var out []string
	for _, p := range x.params {
		if v, ok := params[lowerASCII(p.eval(m))]; ok {
			out = append(out, v)
		}
	}
	return out
}

// contentValue reads the value of Content-Type, Content-Disposition or a field
// of their form. rawmsg reads them only under the name Content-Type, so it is
// given that, with a type in front of a value that has none.
func contentValue(name, value string) (typ, subtype string, params map[string]string) {
	word, _, _ := strings.Cut(value, ";")
	slash := strings.Contains(word, "/")
	if !slash {
		value = "x/" + strings.TrimLeft(value, " \t")
	}
	m := rawmsg.Scan([]byte("Content-Type: "+value+"\r\n\r\n"), rawmsg.Default())
	if !m.Root.Typed {
		return "", "", nil
	}
	if !slash {
		if name == "content-type" {
			return "", "", nil
		}
		return m.Root.Subtype, "", m.Root.Params
	}
	return m.Root.Type, m.Root.Subtype, m.Root.Params
}

// loop is a foreverypart that runs.
type loop struct {
	name string
	part *rawmsg.Part
}

// part returns the part that :mime looks at.
func (m *machine) part() *rawmsg.Part {
	if n := len(m.loops); n > 0 {
		return m.loops[n-1].part
	}
	return m.msg.scan.Root
}

// breakError ends the loop of that name; "" is the innermost.
type breakError struct{ name string }

func (breakError) Error() string { return "break" }

// mimeDefs are those of RFC 5703 §3 and §7.
func mimeDefs() []*def {
	name := []tagDef{{name: "name", ext: "foreverypart", param: argString, constant: true}}
	return []*def{
		{name: "foreverypart", ext: "foreverypart", block: true, tags: [][]tagDef{name}, open: openLoop, build: buildLoop},
		{name: "break", ext: "foreverypart", tags: [][]tagDef{name}, build: buildBreak},
		{name: "extracttext", ext: "extracttext", min: 1, pos: []position{{what: "variable", kind: argString}},
			tags: [][]tagDef{modifiers, {{name: "first", ext: "extracttext", param: argNumber}}}, build: buildExtract},
	}
}

func loopName(cl *call) string {
	if a := cl.param("name"); a != nil {
		return a.text
	}
	return ""
}

func openLoop(c *compiler, cl *call) func() {
	if len(c.loops) >= maxLoops {
		c.faults.add(cl.n.at, "foreverypart is nested deeper than %d", maxLoops)
	}
	c.loops = append(c.loops, loopName(cl))
	return func() { c.loops = c.loops[:len(c.loops)-1] }
}

type loopCommand struct {
	name string
	body []step
}

func buildLoop(_ *compiler, cl *call) any { return &loopCommand{name: loopName(cl), body: cl.block} }

func (l *loopCommand) exec(m *machine) error {
	if len(m.loops) >= maxLoops {
		return scriptError("foreverypart is nested deeper than %d", maxLoops)
	}
	var parts []*rawmsg.Part
	walkParts(m.part(), func(p *rawmsg.Part) { parts = append(parts, p) })
	depth := len(m.loops)
	defer func() { m.loops = m.loops[:depth] }()
	if depth > 0 {
		parts = parts[1:] // a loop inside another goes over what is below its part
	}
	for _, p := range parts {
		m.loops = append(m.loops[:depth], loop{name: l.name, part: p})
		m.spend(1)
		err := m.run(l.body)
		if b, is := err.(breakError); is && (b.name == "" || b.name == l.name) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type breakCommand struct{ name string }

func buildBreak(c *compiler, cl *call) any {
	name := loopName(cl)
	if len(c.loops) == 0 {
		c.faults.add(cl.n.at, "break stands outside of foreverypart")
		return nil
	}
	for _, l := range c.loops {
		if name == "" || l == name {
			return breakCommand{name}
		}
	}
	c.faults.add(cl.n.at, "there is no foreverypart of the name %s around break", quoteShort(name))
	return nil
}

func (b breakCommand) exec(*machine) error { return breakError(b) }

type extractCommand struct {
	to    *variable
	mods  []string
	first int
}

func buildExtract(c *compiler, cl *call) any {
	if len(c.loops) == 0 {
		c.faults.add(cl.n.at, "extracttext stands outside of foreverypart")
		return nil
	}
	e := &extractCommand{to: c.target(cl.pos[0]), mods: modifiersOf(cl), first: -1}
	if e.to == nil {
		return nil
	}
	if a := cl.param("first"); a != nil {
		e.first = int(min(a.num, maxScript))
	}
	return e
}

func (e *extractCommand) exec(m *machine) error {
	s := m.readable(m.part())
	if e.first >= 0 && len(s) > e.first {
		m.spend(min(len(s), 4*e.first) >> 4)
		n := 0
		for i := range s {
			if n == e.first {
				s = s[:i]
				break
			}
			n++
		}
	}
	e.to.assign(m, m.modify(s, e.mods))
	return nil
}
