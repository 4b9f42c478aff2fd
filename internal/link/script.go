package link

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/gatepost/gatepost/internal/ascii"
)

// IsInvisible reports whether r takes no room, so that it can hide in a word.
func IsInvisible(r rune) bool {
	switch {
	case r < 0xad:
		return false
	case r == 0xad, r == 0x34f, r == 0x61c, r == 0x115f, r == 0x1160, r == 0x17b4, r == 0x17b5, r == 0x180e,
		r >= 0x200b && r <= 0x200f, r >= 0x2060 && r <= 0x2064, r == 0x3164, r == 0xfeff, r == 0xffa0,
		r >= 0xe0000 && r <= 0xe007f:
		return true
	}
	return false
}

// IsTurning reports whether r turns the direction of writing for what follows.
func IsTurning(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// script is what the letters of a label are of.
type script uint8

const (
	latin script = 1 << iota
	cyrillic
	greek
	han
	kana
	hangul
	other
)

// scriptOf returns the script of a letter, 0 for what every script uses:
// digits, marks, hyphens.
func scriptOf(r rune) script {
	switch {
	case r < 0x80:
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return latin
		}
		return 0
	case !unicode.IsLetter(r):
		return 0
	case unicode.Is(unicode.Latin, r):
		return latin
	case unicode.Is(unicode.Cyrillic, r):
		return cyrillic
	case unicode.Is(unicode.Greek, r):
		return greek
	case unicode.Is(unicode.Han, r) || unicode.Is(unicode.Bopomofo, r):
		return han
	case unicode.Is(unicode.Hiragana, r) || unicode.Is(unicode.Katakana, r):
		return kana
	case unicode.Is(unicode.Hangul, r):
		return hangul
	case unicode.In(r, unicode.Common, unicode.Inherited):
		return 0
	}
	return other
}

// mixed reports whether letters of these scripts never stand in one word of any
// language. Latin goes with the scripts of East Asia (UTS #39 §5.2, highly
// restrictive); a letter with a mark is a letter of its script.
func mixed(s script) bool {
	switch s {
	case 0, latin, cyrillic, greek, han, kana, hangul, other:
		return false
	}
	asian := s &^ latin
	return asian != han|kana && asian != han && asian != kana && asian != hangul && asian != han|hangul
}

// Mixed reports whether a label of host, in A-labels or letters, has letters
// of scripts that no language mixes.
func Mixed(host string) bool {
	host = ToUnicode(host)
	if ascii.Only(host) {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if MixedWord(label) {
			return true
		}
	}
	return false
}

// MixedWord is Mixed for one word of a text.
func MixedWord(w string) bool {
	var s script
	for _, r := range w {
		s |= scriptOf(r)
	}
	return mixed(s)
}

// Skeleton returns what s looks like in plain Latin letters: letters of other
// scripts that look the same, marks taken off, digits that pass for letters,
// everything in lower case. Two names that a reader may take for each other
// have the same skeleton.
func Skeleton(s string) string {
	s = strings.ToLower(s)
	if !ascii.Only(s) {
		s = norm.NFKD.String(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		switch {
		case r == '0':
			b.WriteByte('o')
		case r == '1' || r == '|':
			b.WriteByte('l')
		case r < 0x80:
			b.WriteByte(byte(r))
		case IsInvisible(r) || IsTurning(r) || unicode.Is(unicode.Mn, r):
		default:
			if l, ok := Latin(r); ok {
				b.WriteByte(l)
			} else {
				b.WriteRune(r)
			}
		}
	}
	t := b.String()
	if strings.Contains(t, "rn") || strings.Contains(t, "vv") {
		t = strings.ReplaceAll(strings.ReplaceAll(t, "rn", "m"), "vv", "w")
	}
	return t
}

// Disguise returns the plain name that a host with other letters passes for,
// "" for one that passes for none: a label all of look-alikes, or one that
// mixes scripts and comes out as plain letters. Accents are none: "müller" is
// a name.
func Disguise(host string) string {
	host = ToUnicode(host)
	if ascii.Only(host) {
		return ""
	}
	hit := false
	for label := range strings.SplitSeq(host, ".") {
		hit = hit || disguised(label)
	}
	if !hit {
		return ""
	}
	return Skeleton(host)
}

func disguised(label string) bool {
	foreign := false
	for _, r := range label {
		switch s := scriptOf(r); {
		case s == 0 || s == latin && r < 0x250:
		case s == latin || s == cyrillic || s == greek || s == other:
			if _, ok := Latin(r); !ok {
				return false
			}
			foreign = true
		default:
			return false
		}
	}
	return foreign
}
