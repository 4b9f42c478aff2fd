package message

import (
	"golang.org/x/net/html/atom"
)

// maxDepth bounds the elements that are followed; what is nested deeper looks
// like the element around it.
const maxDepth = 256

// look is how text looks within an element.
type look struct {
	// gone is set where text is not shown whatever a child says; why tells how.
	gone bool
	why  Why
	// unseen and tiny can be undone by a child.
	unseen, tiny bool
	ink, paper   colour
}

// with returns how text looks in a child that d is said of.
func (l look) with(d declared, mayHaveBackground bool) look {
	if d.set == 0 {
		return l
	}
	if d.set&visibility != 0 {
		l.unseen = d.hides&visibility != 0
	}
	if d.set&fontSize != 0 {
		l.tiny = d.hides&fontSize != 0
	}
	if d.set&ink != 0 {
		l.ink = d.ink
	}
	if d.set&paper != 0 && d.paper.kind != clear {
		l.paper = d.paper
	}
	if l.gone {
		return l
	}
	switch h := d.hides; {
	case h&display != 0:
		l.gone, l.why = true, NotDisplayed
	case h&opacity != 0:
		l.gone, l.why = true, Transparent
	case h&offScreen != 0, h&overflow != 0 && h&(noHeight|noWidth) != 0:
		l.gone, l.why = true, OffScreen
	}
	return l
}

// hidden tells whether and why no reader sees text that looks like l.
func (l *look) hidden() (Why, bool) {
	switch {
	case l.gone:
		return l.why, true
	case l.unseen:
		return NotDisplayed, true
	case l.tiny:
		return ZeroFont, true
	case l.ink.kind == clear:
		return Transparent, true
	case near(l.ink, l.paper):
		return LowContrast, true
	}
	return 0, false
}

// element is one that is open.
type element struct {
	tag  atom.Atom
	look look
}

// tree is the stack of open elements.
type tree struct {
	open []element
	// count has how many elements of each hash of a tag are open, so that an
	// end tag without a start costs no search.
	count [64]uint16
	// work counts steps of searches.
	work int
	deep bool
}

func slot(t atom.Atom) int { return int(uint32(t)>>8^uint32(t)) & 63 }

func (t *tree) top() *element { return &t.open[len(t.open)-1] }

func (t *tree) push(tag atom.Atom, l look) {
	if len(t.open) >= maxDepth {
		t.deep = true
		return
	}
	t.open = append(t.open, element{tag, l})
	t.count[slot(tag)]++
}

// cutTo closes all elements from i on.
func (t *tree) cutTo(i int) {
	for _, e := range t.open[i:] {
		t.count[slot(e.tag)]--
	}
	t.open = t.open[:i]
}

// close closes the innermost element of that tag. A cell or table around it is
// no border for its own end tag, and one for every other.
func (t *tree) close(tag atom.Atom) {
	if tag == 0 || t.count[slot(tag)] == 0 {
		return
	}
	border := tag != atom.Table && tag != atom.Tr && tag != atom.Td && tag != atom.Th && tag != atom.Tbody && tag != atom.Body && tag != atom.Html
	for i := len(t.open) - 1; i > 0; i-- {
		t.work++
		e := t.open[i].tag
		if e == tag {
			t.cutTo(i)
			return
		}
		if border && (e == atom.Td || e == atom.Th || e == atom.Table) || !border && e == atom.Table && tag != atom.Body && tag != atom.Html {
			return
		}
	}
}

// imply closes what the start tag ends without an end tag (HTML §13.1.2.4).
func (t *tree) imply(tag atom.Atom) {
	switch tag {
	case atom.P, atom.Div, atom.Table, atom.Ul, atom.Ol, atom.H1, atom.H2, atom.H3, atom.H4, atom.Hr, atom.Blockquote, atom.Center, atom.Form:
		if t.top().tag == atom.P {
			t.close(atom.P)
		}
	case atom.Li, atom.Option, atom.Dd, atom.Dt:
		if t.top().tag == tag {
			t.close(tag)
		}
	case atom.Td, atom.Th:
		t.closeCell()
	case atom.Tr:
		t.closeCell()
		if t.top().tag == atom.Tr {
			t.close(atom.Tr)
		}
	}
}

// closeCell closes a cell that is open in the innermost table.
func (t *tree) closeCell() {
	if t.count[slot(atom.Td)] == 0 && t.count[slot(atom.Th)] == 0 {
		return
	}
	for i := len(t.open) - 1; i > 0; i-- {
		t.work++
		switch t.open[i].tag {
		case atom.Td, atom.Th:
			t.cutTo(i)
			return
		case atom.Table, atom.Tr:
			return
		}
	}
}

// isVoid reports whether elements of that tag have no end (HTML §13.1.2).
func isVoid(tag atom.Atom) bool {
	switch tag {
	case atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta,
		atom.Param, atom.Source, atom.Track, atom.Wbr:
		return true
	}
	return false
}
