// Package brand knows well-known brands: the name that mail of theirs shows
// and the domains that it comes from, so that a name without its domain can be
// told from the real one.
//
// A name is looked for as a row of whole words, with case, marks, letters that
// look alike, digits written for letters and characters that nobody sees
// undone. A name that is also a common word or a family name counts only where
// nothing else stands beside it but words of business ("Apple Support").
//
// Limits: the table holds some 150 brands that phishing uses, with the domains
// that they are known to send from; a new one of theirs is taken for a
// stranger's until it stands here. "brand.*" in the table means the label below
// any suffix of a country: brands do not own all of these, and whoever gets
// one of the rest passes for the brand.
package brand

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/link"
)

// Brand is one of the table.
type Brand struct {
	// Name is as the brand writes it.
	Name string
	// words are the names by which it is known, normalized.
	names []name
	// domains are registered domains; "label.*" for all countries.
	domains []string
}

// name is one name of a brand as a row of normalized words.
type name struct {
	words []string
	// common says that it counts only alone or among words of business.
	common bool
}

// Match is what Find found.
type Match struct {
	*Brand
	// Alone says that the text is the name and words of business at most.
	Alone bool
}

// maxText bounds what Find reads of a display name, in bytes.
const maxText = 200

// Find returns the first brand that is named in text, a display name.
func Find(text string) (Match, bool) {
	words := split(text)
	for i := range words {
		for _, c := range index[words[i]] {
			if n, ok := c.at(words, i); ok {
				alone := onlyBusiness(words[:i]) && onlyBusiness(words[i+n:])
				if c.name.common && !alone {
					continue
				}
				return Match{c.brand, alone}, true
			}
		}
	}
	return Match{}, false
}

// candidate is a name by its first word.
type candidate struct {
	brand *Brand
	name  *name
}

// at reports whether the name stands at words[i], and how many of them it is.
func (c candidate) at(words []string, i int) (n int, ok bool) {
	n = len(c.name.words)
	if i+n > len(words) {
		return 0, false
	}
	for j, w := range c.name.words {
		if words[i+j] != w {
			return 0, false
		}
	}
	return n, true
}

// Owns reports whether registered, a registered domain in lower case, is the
// brand's.
func (b *Brand) Owns(registered string) bool {
	label, suffix, _ := strings.Cut(registered, ".")
	for _, d := range b.domains {
		if d == registered {
			return true
		}
		if l, ok := strings.CutSuffix(d, ".*"); ok && l == label && ofCountry(suffix) {
			return true
		}
	}
	return false
}

// ofCountry reports whether suffix is one of a country where names are not
// given away.
func ofCountry(suffix string) bool {
	country := suffix[strings.LastIndexByte(suffix, '.')+1:]
	switch country {
	case "tk", "ml", "ga", "cf", "gq", "cc", "tv", "ws", "to", "pw", "su":
		return false
	}
	return len(country) == 2
}

// business are the words that stand beside a brand's name in its own mail.
var business = set(`account accounts admin administrator alert alerts america asia auto bank banking billing
biz bot business canada card cards care center centre checkout club co com company confirm confirmation contact corp
corporation credit customer customers de delivery department dept desk deutschland digital direct do email europe express
fraud gmbh group help helpdesk id inc info information international invoice jp kundenservice kundendienst limited llc
login logistics ltd mail mailer member membership message messages news newsletter no noreply not notice notification
notifications notify office official online order orders package parcel pay payment payments personal portal
prime protection recovery refund reminder renewal reply reset rewards safety sales secure security service services
servicio shipment shipping shop sicherheit sign signin soporte staff statement store subscription subscriptions support
survey system team tracking uk update updates us usa user validation verification verify wallet web winner your the
アカウント サポート お客様 カード 株式会社 事務局 センター`)

func onlyBusiness(words []string) bool {
	for _, w := range words {
		if !business[w] && !isNumber(w) {
			return false
		}
	}
	return true
}

func isNumber(w string) bool {
	return strings.IndexFunc(w, func(r rune) bool { return !unicode.IsDigit(r) && r != 'o' && r != 'l' }) < 0
}

func set(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range split(s) {
		m[w] = true
	}
	for w := range strings.FieldsSeq(s) {
		m[fold(w)] = true
	}
	return m
}

// split returns the words of text, folded. Dots, "&", apostrophes and signs of
// trade marks in a word go; other signs end it.
func split(text string) []string {
	if len(text) > maxText {
		text = text[:maxText]
		for !utf8.ValidString(text) && text != "" {
			text = text[:len(text)-1]
		}
	}
	var words []string
	for w := range strings.FieldsFuncSeq(text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r) && !link.IsInvisible(r) && !strings.ContainsRune(inWord+"$", r)
	}) {
		if f := fold(w); f != "" {
			words = append(words, f)
		}
	}
	return words
}

// inWord are signs that stand within a name and count for nothing.
const inWord = "&'’®™"

// fold returns w as what it looks like: letters that look alike are one, marks
// and characters that nobody sees go, and digits are letters but in a number.
func fold(w string) string {
	letters := strings.ContainsFunc(w, unicode.IsLetter)
	return strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(inWord, r):
			return -1
		case letters:
			return digitLetter(r)
		}
		return r
	}, link.Skeleton(w))
}

// digitLetter returns the letter that r is read as within a word. "l" and "i"
// are one, because a capital I looks like an l.
func digitLetter(r rune) rune {
	switch r {
	case '0':
		return 'o'
	case '1', 'i', '|':
		return 'l'
	case '3':
		return 'e'
	case '5', '$':
		return 's'
	}
	return r
}

// index has the names by their first word.
var index = func() map[string][]candidate {
	m := map[string][]candidate{}
	for i := range table {
		b := &table[i]
		for j := range b.names {
			n := &b.names[j]
			m[n.words[0]] = append(m[n.words[0]], candidate{b, n})
		}
	}
	return m
}()
