package scan

import (
	"fmt"

	"github.com/gatepost/gatepost/internal/message"
)

// talk returns a rule that hits from least different phrases of a topic on and
// counts in full from full on.
func talk(t message.Topic, least, full int) func(*facts) outcome {
	return func(f *facts) outcome {
		n := f.text.Words.Topics[t]
		if n < least {
			return outcome{}
		}
		return part(float64(n)/float64(full), fmt.Sprintf("%d phrases", n))
	}
}

// advanceFee also counts a stranger's introduction.
func advanceFee(f *facts) outcome {
	w := &f.text.Words
	n := w.Topics[message.AdvanceFee]
	if n < 3 {
		return outcome{}
	}
	n += min(w.Topics[message.Introduction], 2)
	return part(float64(n)/7, w.Said...)
}

func extortionCoin(f *facts) outcome {
	w := &f.text.Words
	n := w.Topics[message.Extortion]
	if n < 3 || w.Coin == "" {
		return outcome{}
	}
	return part(float64(n)/5, w.Coin)
}

// extortion without an address that can be read: it is in a picture or cut up.
func extortion(f *facts) outcome {
	w := &f.text.Words
	n := w.Topics[message.Extortion]
	if n < 5 || w.Coin != "" {
		return outcome{}
	}
	return part(float64(n)/8, w.Said...)
}

func bitcoin(f *facts) outcome {
	if f.text.Words.Coin == "" {
		return outcome{}
	}
	return yes(f.text.Words.Coin)
}

// giftCard: such mail is short, has no link, and goes on by answers.
func giftCard(f *facts) outcome {
	w := &f.text.Words
	n := w.Topics[message.GiftCard]
	if n < 2 || w.Count > 150 || len(f.text.Links) > 2 {
		return outcome{}
	}
	return part(float64(n)/4, w.Said...)
}

// callback: such mail has a telephone number and hardly a link. A real bill
// leads to the shop that it comes from.
func callback(f *facts) outcome {
	w := &f.text.Words
	n := w.Topics[message.Callback]
	if n < 4 || w.Phones == 0 || w.Count > 500 || len(f.text.Links) > 3 || f.leadsHome() {
		return outcome{}
	}
	return part(float64(n)/7, w.Said...)
}

// leadsHome reports whether a link leads to the author's own organization.
func (f *facts) leadsHome() bool {
	for i := range f.text.Links {
		if u := &f.text.Links[i].To; u.Web() && f.authorOf(u.Host) {
			return true
		}
	}
	return false
}

func pitch(f *facts) outcome {
	if _, list := f.Raw.First("In-Reply-To"); list {
		return outcome{}
	}
	return talk(message.Pitch, 3, 6)(f)
}

func introduction(f *facts) outcome {
	w := &f.text.Words
	if w.Topics[message.Introduction] < 2 {
		return outcome{}
	}
	return yes(w.Said...)
}

// mixedWords: letters with marks are of their script, so that names of any
// country count for nothing.
func mixedWords(f *facts) outcome {
	n := f.text.Words.Mixed
	if n < 3 {
		return outcome{}
	}
	return part(float64(n)/10, fmt.Sprintf("%d words", n))
}
