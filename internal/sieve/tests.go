package sieve

import (
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// testDefs are the tests of RFC 5228 §5.
func testDefs() []*def {
	headers := []position{list("header names"), list("key list")}
	return []*def{
		{name: "header", test: true, min: 2, pos: headers, tags: [][]tagDef{matchTags, indexTags, mimeTags, mimeOptions}, build: buildHeader},
		{name: "address", test: true, min: 2, pos: []position{list("header list"), list("key list")},
			tags: [][]tagDef{matchTags, indexTags, addressTags, mimeTags}, build: buildAddress},
		{name: "envelope", ext: "envelope", test: true, min: 2, pos: []position{list("envelope part"), list("key list")},
			tags: [][]tagDef{matchTags, addressTags}, build: buildEnvelope},
		{name: "exists", test: true, min: 1, pos: []position{list("header names")}, tags: [][]tagDef{mimeTags}, build: buildExists},
		{name: "size", test: true, min: 1, pos: []position{{what: "limit", kind: argNumber}},
			tags: [][]tagDef{{{name: "over", group: "size"}, {name: "under", group: "size"}}}, build: buildSize},
	}
}

// headerNames compiles names of fields. Constant ones are lowered here.
func (c *compiler) headerNames(a *arg) []text {
	ts := c.texts(a.strings(), a.at)
	for i := range ts {
		if ts[i].constant() {
			ts[i].lit = lowerASCII(ts[i].lit)
		}
	}
	return ts
}

type headerTest struct {
	match *match
	names []text
	index index
	mime  mimeScope
}

func buildHeader(c *compiler, cl *call) any {
	t := &headerTest{match: c.match(cl, cl.pos[1]), names: c.headerNames(cl.pos[0])}
	ok := t.match != nil && c.index(cl, &t.index)
	if !c.mime(cl, &t.mime) || !ok {
		return nil
	}
	return t
}

func (t *headerTest) eval(m *machine) (bool, error) {
	if t.mime.on || t.match.kind == matchCount {
		return t.match.each(m, t.all(m))
	}
	for i := range t.names {
		vs := t.index.pick(m.values(m.msg.head, t.names[i].lower(m)))
		if found, err := t.match.each(m, vs); found || err != nil {
			return found, err
		}
	}
	return false, m.over()
}

// all returns the values of all header blocks that are looked at.
func (t *headerTest) all(m *machine) []string {
	var out []string
	blocks := t.mime.blocks(m)
	for i := range t.names {
		name := t.names[i].lower(m)
		for _, block := range blocks {
			for _, v := range t.index.pick(m.values(block, name)) {
				out = append(out, t.mime.values(m, name, v)...)
			}
		}
	}
	return out
}

// lower returns the name of a field; a constant one is in lower case already.
func (t *text) lower(m *machine) string {
	if t.parts == nil {
		return t.lit
	}
	return lowerASCII(t.eval(m))
}

type envelopeTest struct {
	match *match
	parts []text
	part  string
}

func buildEnvelope(c *compiler, cl *call) any {
	t := &envelopeTest{match: c.match(cl, cl.pos[1]), parts: c.headerNames(cl.pos[0]), part: addressPart(cl)}
	for _, p := range t.parts {
		if !p.constant() {
			continue
		}
		switch p.lit {
		case "from", "to", "orig_to":
		case "auth":
			if t.part != "" {
				c.faults.add(cl.n.at, "envelope part \"auth\" is no address: :%s has no meaning with it", t.part)
				return nil
			}
		default:
			c.faults.add(cl.n.at, "unknown envelope part %s", quoteShort(p.lit))
			return nil
		}
	}
	if t.match == nil {
		return nil
	}
	return t
}

func (t *envelopeTest) eval(m *machine) (bool, error) {
	e := &m.env.Envelope
	return t.match.run(m, func(yield func(string) bool) {
		for _, p := range t.parts {
			var s string
			var ok bool
			switch lowerASCII(p.eval(m)) {
			case "from":
				s, ok = m.envelopeValue(e.From, t.part)
				ok = ok && !(t.match.kind == matchCount && e.From == "")
			case "to":
				s, ok = m.envelopeValue(e.To, t.part)
			case "orig_to":
				s, ok = m.envelopeValue(e.OrigTo, t.part)
				ok = ok && e.OrigTo != ""
			case "auth":
				s, ok = e.Auth, e.Auth != "" && t.part == ""
			}
			if ok && !yield(s) {
				return
			}
		}
	})
}

func (m *machine) envelopeValue(path, part string) (string, bool) {
	if path == "" {
		return "", part != "detail"
	}
	a, err := mailaddr.ParsePath(path)
	if err != nil || !isPath(path) {
		return "", false
	}
	return address{Address: a, whole: a.String()}.cut(part, m.delimiter())
}

// isPath is stricter than mailaddr, which takes what Postfix passes: what is no
// path by its grammar matches nothing (RFC 5228 §5.4).
func isPath(path string) bool {
	if strings.HasPrefix(path, "<") != strings.HasSuffix(path, ">") {
		return false
	}
	path = strings.TrimSuffix(strings.TrimPrefix(path, "<"), ">")
	if strings.HasPrefix(path, "@") {
		route, rest, ok := strings.Cut(path, ":")
		for hop := range strings.SplitSeq(route, ",") {
			domain, at := strings.CutPrefix(hop, "@")
			_, err := mailaddr.ParseDomain(domain)
			ok = ok && at && err == nil
		}
		if !ok {
			return false
		}
		path = rest
	}
	local, _, _ := cutLast(path, '@')
	return strings.HasPrefix(local, "\"") || !strings.ContainsAny(local, "<>()[]:;@\\,\" ")
}

type existsTest struct {
	names []text
	mime  mimeScope
}

func buildExists(c *compiler, cl *call) any {
	t := &existsTest{names: c.headerNames(cl.pos[0])}
	if !c.mime(cl, &t.mime) {
		return nil
	}
	return t
}

func (t *existsTest) eval(m *machine) (bool, error) {
	for _, n := range t.names {
		name, found := n.lower(m), false
		for _, block := range t.mime.blocks(m) {
			m.spend(1 + len(block.list)>>4)
			if found = block.exists(name); found {
				break
			}
		}
		if !found {
			return false, m.over()
		}
	}
	return true, m.over()
}

type sizeTest struct {
	over  bool
	limit uint64
}

func buildSize(c *compiler, cl *call) any {
	u := cl.tags["size"]
	if u == nil {
		c.faults.add(cl.n.at, "the size test needs one of the tags :over and :under")
		return nil
	}
	return &sizeTest{over: u.def.name == "over", limit: cl.pos[0].num}
}

func (t *sizeTest) eval(m *machine) (bool, error) {
	m.spend(len(m.msg.head.list) >> 6)
	size := uint64(m.msg.Size())
	if t.over {
		return size > t.limit, nil
	}
	return size < t.limit, nil
}

// validHeaderName is the check of names that scripts make.
func validHeaderName(name string) error {
	if !header.ValidName(name) {
		return fmt.Errorf("field name %s is invalid", quoteShort(name))
	}
	return nil
}
