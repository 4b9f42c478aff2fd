package classify

import (
	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Bounds of the text view, in bytes without CR.
const (
	// maxGrams is what is looked at of subject and text.
	maxGrams = 3000
	// fewText is how little text makes the raw body count too: a message that
	// could not be decoded, or one of a picture alone.
	fewText = 200
)

// textGrams takes in the runs of four bytes of subject, text and visible HTML.
func textGrams(m *marks, raw *rawmsg.Message, text *message.Message) {
	g := grams{m: m, left: maxGrams}
	run(&g, text.Subject)
	run(&g, "\n")
	// Half is for what readers show: nobody looks at the text beside it.
	shown := min(len(text.Visible), maxGrams/2)
	g.left -= shown
	for _, t := range text.Text {
		run(&g, t)
	}
	g.left += shown
	run(&g, text.Visible)
	if maxGrams-g.left < fewText {
		run(&g, "\n")
		run(&g, raw.Raw[min(raw.HeaderEnd, len(raw.Raw)):])
	}
}

// grams is a window of four bytes that moves over texts as if they were one.
type grams struct {
	m      *marks
	window uint32
	seen   int
	left   int // bytes that may still come
}

// run moves the window over s. CR is passed over.
func run[T string | []byte](g *grams, s T) {
	for i := 0; i < len(s) && g.left > 0; i++ {
		c := s[i]
		if c == '\r' {
			continue
		}
		g.window = g.window<<8 | uint32(c)
		g.left--
		if g.seen++; g.seen >= 4 {
			g.m.add((uint64(g.window) + 1) * 0xff51afd7ed558ccd)
		}
	}
}
