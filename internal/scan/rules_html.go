package scan

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/message"
)

// minVisible is how many characters a reader sees of a message that says
// something.
const minVisible = 50

func htmlOnlyShort(f *facts) outcome {
	if len(f.text.HTML) == 0 || f.text.Partly || strings.TrimSpace(strings.Join(f.text.Text, "")) != "" {
		return outcome{}
	}
	n := utf8.RuneCountInString(f.text.Visible)
	if n >= minVisible || f.text.Images == 0 && len(f.text.Links) == 0 {
		return outcome{}
	}
	return yes(fmt.Sprintf("%d characters, %d images, %d links", n, f.text.Images, len(f.text.Links)))
}

// whiteOnWhite counts in full from a third of the text on. Some words in a
// colour that cannot be read are the spacer of an old newsletter.
func whiteOnWhite(f *facts) outcome {
	p := &f.text.Page
	n := p.Hidden[message.LowContrast]
	if n < 20 || n*10 < p.Shown {
		return outcome{}
	}
	share := float64(n) / float64(n+p.Shown)
	return part(0.2+2.4*share, fmt.Sprintf("%d letters", n))
}

func zeroFont(f *facts) outcome {
	p := &f.text.Page
	n, runs := p.Hidden[message.ZeroFont], p.Runs[message.ZeroFont]
	if n < 10 {
		return outcome{}
	}
	return part(0.3+float64(runs)/10, fmt.Sprintf("%d letters in %d places", n, runs))
}

// hiddenText leaves out a preheader, which package message does not count,
// and the second form of a page for small windows, which is as long as what is
// shown.
func hiddenText(f *facts) outcome {
	p := &f.text.Page
	n := p.Hidden[message.NotDisplayed] + p.Hidden[message.Transparent] + p.Hidden[message.OffScreen]
	if n < 200 || n < 2*p.Shown {
		return outcome{}
	}
	return part(float64(n)/float64(n+3*p.Shown+1), fmt.Sprintf("%d letters hidden, %d bytes shown", n, p.Shown))
}

func zeroWidth(f *facts) outcome {
	n := f.text.Words.Broken
	if n < 3 {
		return outcome{}
	}
	return part(float64(n)/10, fmt.Sprintf("%d places", n))
}

// letterArea is the room of one letter in pixels, about.
const letterArea = 60

func suspiciousImages(f *facts) outcome {
	im := &f.text.Page.Images
	text := letterArea * len(f.text.Visible)
	if im.LinkedArea < 60000 || im.LinkedArea < 4*text {
		return outcome{}
	}
	return part(float64(im.LinkedArea)/float64(im.LinkedArea+6*text), fmt.Sprintf("%d pixels, %d bytes of text", im.LinkedArea, len(f.text.Visible)))
}

func emptyImage(f *facts) outcome {
	if len(f.text.HTML) == 0 || f.text.Partly || f.text.Words.Count > 8 {
		return outcome{}
	}
	p := &f.text.Page
	if f.text.Images == p.Images.Tiny || len(f.text.Visible) >= minVisible {
		return outcome{}
	}
	return yes(fmt.Sprintf("%d images", f.text.Images-p.Images.Tiny))
}

// shortLinkedImage is full below 1 KB, half below 1.5, a quarter below 2.
func shortLinkedImage(f *facts) outcome {
	n := 0
	for _, h := range f.text.HTML {
		n += len(h)
	}
	if n == 0 || n > 2048 || f.text.Page.Images.Linked == 0 || f.text.Words.Count > 40 {
		return outcome{}
	}
	share := 1.0
	switch {
	case n > 1536:
		share = 0.25
	case n > 1024:
		share = 0.5
	}
	return part(share, fmt.Sprintf("%d bytes", n))
}

func metaRefresh(f *facts) outcome {
	to := f.text.Page.Refresh
	if to == "" {
		return outcome{}
	}
	return yes(to)
}

func dataPages(f *facts) outcome { return when(f.text.Page.DataPages > 0) }

func externalStyle(f *facts) outcome { return when(f.text.Page.Stylesheets > 0) }

func htmlForm(f *facts) outcome { return when(f.text.Page.Forms > 0) }

func htmlPassword(f *facts) outcome { return when(f.text.Page.Passwords > 0) }

func htmlScript(f *facts) outcome { return when(f.text.Page.Scripts > 0) }
