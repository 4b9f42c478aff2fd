package message

import (
	"bytes"
	"strconv"
)

// property is a set of the properties of CSS that can hide text.
type property uint16

const (
	display property = 1 << iota
	visibility
	fontSize
	opacity
	offScreen
	noHeight
	noWidth
	overflow
	ink   // color
	paper // background
)

// declared is what a block of declarations says: set has the properties that
// it names, hides those whose value hides text.
type declared struct {
	set, hides property
	ink, paper colour
}

// over returns d with what later says put over it.
func (d declared) over(later declared) declared {
	d.hides = d.hides&^later.set | later.hides
	d.set |= later.set
	if later.set&ink != 0 {
		d.ink = later.ink
	}
	if later.set&paper != 0 {
		d.paper = later.paper
	}
	return d
}

// maxDeclarations bounds one style attribute or block, in bytes.
const maxDeclarations = 8 << 10

// parseDeclarations reads "name: value; …" (CSS Syntax §5), as much of it as
// hiding needs.
func parseDeclarations(s []byte) declared {
	var d declared
	s = s[:min(len(s), maxDeclarations)]
	for len(s) > 0 {
		var one []byte
		one, s, _ = bytes.Cut(s, []byte{';'})
		name, value, ok := bytes.Cut(one, []byte{':'})
		if !ok {
			continue
		}
		if name = trim(name); len(name) >= 3 {
			d.take(name, value)
		}
	}
	return d
}

func (d *declared) put(p property, hides bool) {
	d.set |= p
	d.hides &^= p
	if hides {
		d.hides |= p
	}
}

// take takes one declaration in.
func (d *declared) take(name, value []byte) {
	switch name[0] | 0x20 {
	case 'b':
		if is(name, "background-color") || is(name, "background") {
			d.set |= paper
			d.paper = backgroundColour(lowered(value))
		}
	case 'c':
		if is(name, "color") {
			if c, ok := parseColour(lowered(value)); ok {
				d.set |= ink
				d.ink = c
			}
		}
	case 'd':
		if is(name, "display") {
			d.put(display, starts(value, "none"))
		}
	case 'f':
		if is(name, "font-size") || is(name, "font") && bytes.HasPrefix(trim(value), []byte("0")) {
			n, unit, ok := length(value)
			d.put(fontSize, ok && (n == 0 || n <= 1 && (unit == "px" || unit == "pt")))
		}
	case 'h', 'w', 'm':
		d.size(name, value)
	case 'l', 't':
		if is(name, "left") || is(name, "top") || is(name, "text-indent") {
			d.put(offScreen, away(value))
		}
	case 'o':
		switch {
		case is(name, "opacity"):
			n, _, ok := length(value)
			d.put(opacity, ok && n <= 0.05)
		case is(name, "overflow"):
			d.put(overflow, starts(value, "hidden"))
		}
	case 'v':
		if is(name, "visibility") {
			d.put(visibility, starts(value, "hidden") || starts(value, "collapse"))
		}
	}
}

func (d *declared) size(name, value []byte) {
	switch {
	case is(name, "height"), is(name, "max-height"):
		n, _, ok := length(value)
		d.put(noHeight, ok && n == 0)
	case is(name, "width"), is(name, "max-width"):
		n, _, ok := length(value)
		d.put(noWidth, ok && n == 0)
	case is(name, "margin-left"), is(name, "margin-top"):
		d.put(offScreen, away(value))
	}
}

// away reports whether a distance leads out of every window.
func away(value []byte) bool {
	n, unit, ok := length(value)
	return ok && n <= -500 && unit != "%" || ok && n <= -100 && (unit == "em" || unit == "vw" || unit == "%")
}

// length reads a number and its unit.
func length(value []byte) (n float64, unit string, ok bool) {
	value = trim(value)
	i := 0
	for i < len(value) && (value[i] >= '0' && value[i] <= '9' || value[i] == '.' || value[i] == '-' || value[i] == '+') {
		i++
	}
	if i == 0 || i > 12 {
		return 0, "", false
	}
	if i == 1 { // the usual case, without an allocation
		n = float64(value[0]) - '0'
		ok = value[0] >= '0' && value[0] <= '9'
	} else {
		f, err := strconv.ParseFloat(string(value[:i]), 64)
		n, ok = f, err == nil
	}
	u := value[i:]
	for _, known := range [...]string{"px", "pt", "em", "vw", "%"} {
		if starts(u, known) {
			return n, known, ok
		}
	}
	return n, "", ok
}

func trim(b []byte) []byte {
	for len(b) > 0 && b[0] <= ' ' {
		b = b[1:]
	}
	for len(b) > 0 && b[len(b)-1] <= ' ' {
		b = b[:len(b)-1]
	}
	return b
}

// is reports whether b is the word w, which is in lower case.
func is(b []byte, w string) bool { return len(b) == len(w) && starts(b, w) }

// starts reports whether b begins with w, which is in lower case, after white
// space.
func starts(b []byte, w string) bool {
	if len(b) > 0 && b[0] <= ' ' {
		b = trim(b)
	}
	if len(b) < len(w) {
		return false
	}
	for i := range len(w) {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != w[i] {
			return false
		}
	}
	return true
}

// lowered returns a value in lower case and without white space around it. It
// changes b, which is a copy of the tokenizer's.
func lowered(b []byte) []byte {
	b = trim(b)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return b
}
