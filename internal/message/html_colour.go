package message

import (
	"bytes"
	"strconv"

	"github.com/gatepost/gatepost/internal/ascii"
)

// colour is one of sRGB. Nothing is known of the zero colour.
type colour struct {
	r, g, b uint8
	kind    colourKind
}

type colourKind uint8

const (
	unknownColour colourKind = iota
	solid
	clear // transparent
	picture
)

var (
	white = colour{255, 255, 255, solid}
	black = colour{0, 0, 0, solid}
)

// near reports whether letters of colour a on b cannot be read.
func near(a, b colour) bool {
	if a.kind != solid || b.kind != solid {
		return false
	}
	return diff(a.r, b.r)+diff(a.g, b.g)+diff(a.b, b.b) <= 18
}

func diff(a, b uint8) int {
	if a > b {
		return int(a) - int(b)
	}
	return int(b) - int(a)
}

// names are the colours by name that mail is seen with (CSS Color 4 §6.1).
var names = map[string]uint32{
	"black": 0, "white": 0xffffff, "red": 0xff0000, "green": 0x008000, "blue": 0x0000ff, "yellow": 0xffff00,
	"gray": 0x808080, "grey": 0x808080, "silver": 0xc0c0c0, "maroon": 0x800000, "navy": 0x000080, "purple": 0x800080,
	"teal": 0x008080, "olive": 0x808000, "lime": 0x00ff00, "aqua": 0x00ffff, "cyan": 0x00ffff, "fuchsia": 0xff00ff,
	"magenta": 0xff00ff, "orange": 0xffa500, "snow": 0xfffafa, "ivory": 0xfffff0, "ghostwhite": 0xf8f8ff,
	"whitesmoke": 0xf5f5f5, "floralwhite": 0xfffaf0, "azure": 0xf0ffff, "mintcream": 0xf5fffa, "honeydew": 0xf0fff0,
	"lightgray": 0xd3d3d3, "lightgrey": 0xd3d3d3, "gainsboro": 0xdcdcdc, "darkgray": 0xa9a9a9, "dimgray": 0x696969,
	"lightyellow": 0xffffe0, "beige": 0xf5f5dc, "linen": 0xfaf0e6, "seashell": 0xfff5ee, "aliceblue": 0xf0f8ff,
	"lavender": 0xe6e6fa, "darkblue": 0x00008b, "darkred": 0x8b0000, "darkgreen": 0x006400, "brown": 0xa52a2a,
	"pink": 0xffc0cb, "gold": 0xffd700, "lightblue": 0xadd8e6, "skyblue": 0x87ceeb,
}

// parseColour reads a colour in lower case. It reports false for what leaves
// the colour as it was: a word it does not know, "inherit".
func parseColour(b []byte) (colour, bool) {
	b = trim(b)
	switch {
	case len(b) == 0:
		return colour{}, false
	case b[0] == '#':
		return hexColour(b[1:])
	case bytes.HasPrefix(b, []byte("rgb")):
		return rgb(b)
	}
	word := b
	if i := bytes.IndexAny(word, " !,)\t\n"); i >= 0 {
		word = word[:i]
	}
	if len(word) > 20 {
		return colour{}, false
	}
	if string(word) == "transparent" {
		return colour{kind: clear}, true
	}
	if n, ok := names[string(word)]; ok {
		return colour{uint8(n >> 16), uint8(n >> 8), uint8(n), solid}, true
	}
	return colour{}, false
}

func hexColour(b []byte) (colour, bool) {
	n := 0
	for n < len(b) && n < 9 && ascii.Unhex(b[n]) >= 0 {
		n++
	}
	two := func(i int) uint8 { return uint8(ascii.Unhex(b[i])<<4 | ascii.Unhex(b[i+1])) }
	one := func(i int) uint8 { return uint8(ascii.Unhex(b[i]) * 17) }
	switch n {
	case 3:
		return colour{one(0), one(1), one(2), solid}, true
	case 4:
		return alpha(colour{one(0), one(1), one(2), solid}, float64(one(3))/255), true
	case 6:
		return colour{two(0), two(2), two(4), solid}, true
	case 8:
		return alpha(colour{two(0), two(2), two(4), solid}, float64(two(6))/255), true
	}
	return colour{}, false
}

// alpha makes a colour that is nearly transparent that, and one of which half
// shines through unknown.
func alpha(c colour, a float64) colour {
	switch {
	case a <= 0.05:
		return colour{kind: clear}
	case a < 0.9:
		return colour{kind: picture}
	}
	return c
}

// rgb reads rgb(1, 2, 3), rgb(1 2 3 / 0.5), rgba(1, 2, 3, 0) and percentages.
func rgb(b []byte) (colour, bool) {
	i := bytes.IndexByte(b, '(')
	if i < 0 || i > 4 {
		return colour{}, false
	}
	var v [4]float64
	n := 0
	for _, w := range bytes.FieldsFunc(b[i+1:min(len(b), i+64)], func(r rune) bool { return r == ',' || r == ' ' || r == '/' || r == ')' }) {
		if n == 4 {
			break
		}
		scale := 1.0
		if k := len(w) - 1; w[k] == '%' {
			w = w[:k]
			scale = 2.55
			if n == 3 {
				scale = 0.01
			}
		}
		f, err := strconv.ParseFloat(string(w), 64)
		if err != nil {
			break
		}
		v[n] = max(0, min(255, f*scale))
		n++
	}
	if n < 3 {
		return colour{}, false
	}
	c := colour{uint8(v[0]), uint8(v[1]), uint8(v[2]), solid}
	if n == 4 {
		return alpha(c, v[3]), true
	}
	return c, true
}

// backgroundColour reads the value of background or background-color: the
// first colour in it. A picture may have any colour.
func backgroundColour(b []byte) colour {
	if bytes.Contains(b, []byte("url(")) || bytes.Contains(b, []byte("gradient")) || bytes.Contains(b, []byte("var(")) {
		return colour{kind: picture}
	}
	for range 6 {
		if c, ok := parseColour(b); ok {
			return c
		}
		i := bytes.IndexByte(b, ' ')
		if i < 0 {
			break
		}
		b = b[i+1:]
	}
	return colour{kind: clear}
}
