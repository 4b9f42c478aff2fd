package sieve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/header"
)

// headerDefs are those of RFC 5293.
func headerDefs() []*def {
	return []*def{
		{name: "addheader", ext: "editheader", min: 2, pos: []position{str("field name"), str("value")}, build: buildAddHeader,
			tags: [][]tagDef{{{name: "last", ext: "editheader"}}}},
		{name: "deleteheader", ext: "editheader", min: 1, pos: []position{str("field name"), list("value patterns")}, build: buildDeleteHeader,
			tags: [][]tagDef{matchTags, {{name: "index", ext: "editheader", param: argNumber}, {name: "last", ext: "editheader"}}}},
	}
}

// protected reports whether a field stays as it is. Subject can always be
// changed (RFC 5293 §6); Received and Auto-Submitted are never deleted, and what
// ends a loop is neither that nor added.
func protected(set map[string]bool, name string, deleting bool) bool {
	switch name = lowerASCII(name); name {
	case "subject":
		return false
	case "received", "auto-submitted":
		return deleting
	case redirectMarkName:
		return true
	}
	return set[name]
}

// checkValue refuses what no header field can hold. Line ends become folding.
func checkValue(v string) error {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f {
			return fmt.Errorf("value %s of a field is invalid: it holds a control character", quoteShort(v))
		}
	}
	return nil
}

type addHeader struct {
	name, value text
	last        bool
}

func buildAddHeader(c *compiler, cl *call) any {
	a := &addHeader{name: c.text(cl.pos[0].text, cl.pos[0].at), value: c.text(cl.pos[1].text, cl.pos[1].at), last: cl.has("last")}
	if a.name.constant() {
		if err := validHeaderName(a.name.lit); err != nil {
			c.faults.add(cl.pos[0].at, "addheader: %s", err)
			return nil
		}
	}
	if !a.value.constant() {
		return a
	}
	err := checkValue(a.value.lit)
	if err == nil && len(a.value.lit) > c.opts.Limits.HeaderBytes {
		err = fmt.Errorf("value is longer than %d bytes", c.opts.Limits.HeaderBytes)
	}
	if err != nil {
		c.faults.add(cl.pos[1].at, "addheader: %s", err)
		return nil
	}
	return a
}

func (a *addHeader) exec(m *machine) error {
	name, value := a.name.eval(m), a.value.eval(m)
	err := validHeaderName(name)
	if err == nil {
		err = checkValue(value)
	}
	if err != nil {
		return fmt.Errorf("%w: addheader: %w", ErrScript, err)
	}
	if n := m.env.Limits.HeaderBytes; len(value) > n {
		return scriptError("addheader: value is longer than %d bytes", n)
	}
	if protected(m.env.Settings.NoAdd, name, false) {
		m.warn("addheader: field %s cannot be added: the administrator protects it", name)
		return nil
	}
	if len(m.msg.head.list) > 2*maxListItems {
		return fmt.Errorf("%w: message has too many header fields", ErrBudget)
	}
	if m.msg.scan.HeaderCut {
		m.warn("addheader: the header of the message is too large to be changed")
		return nil
	}
	m.spend(len(m.msg.head.list))
	words := foldWords(value)
	folded, err := header.Fold(name, words)
	if err != nil {
		return fmt.Errorf("%w: addheader: %w", ErrScript, err)
	}
	f := makeField(name, folded, m.msg.lineEnd())
	m.msg = m.msg.edit(func(list []field) []field {
		if a.last {
			return append(list, f)
		}
		return slices.Insert(list, 0, f)
	})
	return nil
}

// foldWords makes one line of a value; header.Fold breaks it anew. Text that is
// not ASCII becomes encoded words, which any mail program reads.
func foldWords(v string) string {
	lines := strings.FieldsFunc(v, func(r rune) bool { return r == '\r' || r == '\n' })
	for i := range lines {
		lines[i] = strings.Trim(lines[i], " \t")
	}
	return encodeText(strings.Join(lines, " "))
}

type deleteHeader struct {
	name   text
	match  *match
	values bool
	index  index
}

func buildDeleteHeader(c *compiler, cl *call) any {
	d := &deleteHeader{values: cl.pos[1] != nil}
	if !c.index(cl, &d.index) {
		return nil
	}
	d.name = c.text(cl.pos[0].text, cl.pos[0].at)
	if d.name.constant() {
		if err := validHeaderName(d.name.lit); err != nil {
			c.faults.add(cl.pos[0].at, "deleteheader: %s", err)
			return nil
		}
	}
	if d.match = c.match(cl, cl.pos[1]); d.match == nil {
		return nil
	}
	d.match.capture = false
	return d
}

func (d *deleteHeader) exec(m *machine) error {
	name := d.name.eval(m)
	if err := validHeaderName(name); err != nil {
		return fmt.Errorf("%w: deleteheader: %w", ErrScript, err)
	}
	if protected(m.env.Settings.NoDelete, name, true) {
		m.warn("deleteheader: field %s cannot be deleted: it is protected", name)
		return nil
	}
	if m.msg.scan.HeaderCut {
		m.warn("deleteheader: the header of the message is too large to be changed")
		return nil
	}
	name = lowerASCII(name)
	var at []int
	for i := range m.msg.head.list {
		if m.msg.head.list[i].name == name {
			at = append(at, i)
		}
	}
	m.spend(len(m.msg.head.list) >> 2)
	drop := map[int]bool{}
	for _, i := range pickOne(d.index, at) {
		found := true
		if d.values {
			var err error
			if found, err = d.match.each(m, []string{decodeValue(m.msg.head.list[i].value)}); err != nil {
				return err
			}
		}
		if found {
			drop[i] = true
		}
	}
	if len(drop) == 0 {
		return nil
	}
	m.msg = m.msg.edit(func(list []field) []field {
		out := list[:0]
		for i, f := range list {
			if !drop[i] {
				out = append(out, f)
			}
		}
		return out
	})
	return nil
}
