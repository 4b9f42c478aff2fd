package message

import "github.com/gatepost/gatepost/internal/link"

// Page tells what the HTML of a message holds and hides.
type Page struct {
	// Shown counts the bytes of text that a reader sees.
	Shown int
	// Hidden has, by Why, how many letters and digits no reader sees, Runs in
	// how many stretches. A preheader is in neither.
	Hidden, Runs [Whys]int
	// Preheader counts the letters of a short hidden text in front of all
	// others, which mail programs show beside the subject.
	Preheader int
	// Forms, Passwords and Scripts count forms, inputs of type password, and
	// scripts; Stylesheets those that a program would have to fetch.
	Forms, Passwords, Scripts, Stylesheets int
	// DataPages counts references to pages and scripts inside a "data:" link.
	DataPages int
	// Refresh is where a meta refresh leads, "" for none.
	Refresh string
	// Base is the href of a base element.
	Base string
	// Images are the pictures.
	Images Images
	// Deep says that elements are nested deeper than is followed.
	Deep bool
}

// Why says how text is hidden.
type Why uint8

// The ways to hide text.
const (
	// NotDisplayed: display none, visibility hidden, the attribute hidden.
	NotDisplayed Why = iota
	// ZeroFont: letters of no size.
	ZeroFont
	// LowContrast: the colour is that of the background, or nearly so.
	LowContrast
	// Transparent: opacity of nothing.
	Transparent
	// OffScreen: outside the window, or in a box without room.
	OffScreen
	// Whys is how many there are.
	Whys
)

// HiddenLetters returns how many letters no reader sees.
func (p *Page) HiddenLetters() int {
	n := 0
	for _, h := range p.Hidden {
		n += h
	}
	return n
}

// Images counts pictures by what they are.
type Images struct {
	// Linked stand in a link, Remote are fetched, Inline are in the message
	// (cid, data), Tiny are at most 2 pixels in one direction: they count who
	// reads.
	Linked, Remote, Inline, Tiny int
	// LinkedArea is the area of those in a link, in pixels, as far as they say
	// their size.
	LinkedArea int
}

// LinkKind says where a link stands.
type LinkKind uint8

// The kinds of links.
const (
	// Anchor is one that a reader clicks.
	Anchor LinkKind = iota
	// Plain stands in text.
	Plain
	// Action is where a form sends what is typed.
	Action
)

// Link is a reference to somewhere else.
type Link struct {
	// URL is as typed, without white space around it.
	URL string
	// Text is what a reader sees of it, "" in plain text.
	Text string
	// To is URL read as a browser does. Of a link relative to nothing its
	// Scheme is "".
	To   link.URL
	Kind LinkKind
	// Hidden says that no reader sees it; Image, that there is a picture in it.
	Hidden, Image bool
}
