package scan

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/header"
)

func missingSubject(f *facts) outcome {
	return when(strings.TrimSpace(f.text.Subject) == "")
}

// A subject counts as shouted from ten letters on that have a case: "URGENT"
// and abbreviations are not. It counts in full from 30 letters on.
func subjectAllCaps(f *facts) outcome {
	upper, lower := 0, 0
	for _, r := range f.subject() {
		switch {
		case unicode.IsUpper(r):
			upper++
		case unicode.IsLower(r):
			lower++
		}
	}
	if upper < 10 || lower*10 > upper {
		return outcome{}
	}
	return part(0.4 + float64(upper)/50)
}

// replyPrefixes begin the subject of an answer in common languages.
var replyPrefixes = []string{"re:", "aw:", "sv:", "antw:", "odp:", "rif:", "res:", "vs:"}

// otherPrefixes begin the subject of what is passed on.
var otherPrefixes = []string{"fwd:", "fw:", "wg:", "tr:"}

// cutPrefix returns s without the first of prefixes that begins it in any case.
func cutPrefix(s string, prefixes []string) (rest string, ok bool) {
	s = strings.TrimSpace(s)
	for _, p := range prefixes {
		if len(s) >= len(p) && strings.EqualFold(s[:len(p)], p) {
			return s[len(p):], true
		}
	}
	return s, false
}

// bareSubject returns s without prefixes of answering and forwarding.
func bareSubject(s string) string {
	for range 10 {
		a, answer := cutPrefix(s, replyPrefixes)
		b, other := cutPrefix(a, otherPrefixes)
		s = b
		if !answer && !other {
			break
		}
	}
	return s
}

// subject returns the subject without prefixes and without the "[name]" that a
// list puts in front.
func (f *facts) subject() string {
	s := strings.TrimSpace(bareSubject(f.text.Subject))
	if strings.HasPrefix(s, "[") {
		if i := strings.IndexByte(s, ']'); i > 0 && i < 40 {
			s = strings.TrimSpace(bareSubject(s[i+1:]))
		}
	}
	return s
}

// An answer names what it answers (RFC 5322 §3.6.4).
func fakeReply(f *facts) outcome {
	if _, ok := cutPrefix(f.text.Subject, replyPrefixes); !ok {
		return outcome{}
	}
	// Exchange threads by fields of its own.
	return when(!f.has("In-Reply-To") && !f.has("References") && !f.has("Thread-Index"))
}

// subjectLong: from 200 characters on, in full from 400 on.
func subjectLong(f *facts) outcome {
	n := utf8.RuneCountInString(f.subject())
	if n <= 200 {
		return outcome{}
	}
	return part(float64(n) / 400)
}

// subjectURL counts in full where the subject is nothing but the link.
func subjectURL(f *facts) outcome {
	s := f.subject()
	at := indexFold(s, "http://")
	if at < 0 {
		at = indexFold(s, "https://")
	}
	if at < 0 || f.isReply() || f.head().list {
		return outcome{}
	}
	link := s[at:]
	if i := strings.IndexFunc(link, unicode.IsSpace); i >= 0 {
		link = link[:i]
	}
	if len(link) < len("https://a.b") {
		return outcome{}
	}
	if len(link) == len(s) {
		return yes(link)
	}
	return part(0.4, link)
}

// indexFold is strings.Index for an ASCII needle in lower case, in any case.
func indexFold(s, needle string) int {
	for i := 0; i+len(needle) <= len(s); i++ {
		if s[i]|0x20 == needle[0] && strings.EqualFold(s[i:i+len(needle)], needle) {
			return i
		}
	}
	return -1
}

// subjectCurrency looks for a sign of currency next to a digit.
func subjectCurrency(f *facts) outcome {
	var before rune
	for _, r := range f.subject() {
		sign, digit := unicode.Is(unicode.Sc, r), unicode.IsDigit(r)
		if sign && unicode.IsDigit(before) || digit && unicode.Is(unicode.Sc, before) {
			return yes()
		}
		if r != ' ' {
			before = r
		}
	}
	return outcome{}
}

// encodedNeedlessly reports whether v holds an encoded-word (RFC 2047) in
// base64 though all of its text is ASCII. Services for bulk mail that honest
// senders use encode whatever they send in quoted-printable, and some in
// base64: so it says little.
func encodedNeedlessly(v string) bool {
	i := strings.Index(v, "=?")
	if i < 0 || indexFold(v, "?b?") < 0 {
		return false
	}
	for _, r := range header.DecodeText(v) {
		if r >= 0x80 {
			return false
		}
	}
	return true
}

func subjectEncoded(f *facts) outcome {
	v, _ := f.Raw.First("Subject")
	return when(encodedNeedlessly(v))
}

func fromEncoded(f *facts) outcome {
	v, _ := f.Raw.First("From")
	return when(encodedNeedlessly(v))
}

// subjectSpaces: blanks at the end, in front of the line end, more than one as
// programs that fold leave.
func subjectSpaces(f *facts) outcome {
	for i := range f.Raw.Fields {
		if fd := &f.Raw.Fields[i]; fd.Is("Subject") {
			v := strings.TrimRight(string(fd.Value), "\r\n")
			return when(strings.HasSuffix(v, "  ") && strings.TrimSpace(v) != "")
		}
	}
	return outcome{}
}

// subjectTag: a random word behind a gap, by which each copy differs.
func subjectTag(f *facts) outcome {
	s := f.subject()
	gap := strings.LastIndex(s, "     ")
	if gap <= 0 {
		return outcome{}
	}
	tag := strings.Trim(s[gap:], " []()#")
	if tag == "" || len(tag) > 24 || strings.ContainsAny(tag, " \t") {
		return outcome{}
	}
	return yes(tag)
}

// subjectRecipient: a stranger who has nothing but the address to call a
// reader by.
func subjectRecipient(f *facts) outcome {
	h := f.head()
	s := strings.ToLower(f.text.Subject)
	if !strings.Contains(s, "@") {
		return outcome{}
	}
	for _, b := range h.to[:min(len(h.to), 3)] {
		if b.Addr.Domain != "" && strings.Contains(s, strings.ToLower(b.Addr.String())) {
			return yes(b.Addr.String())
		}
	}
	for _, a := range f.RcptTo[:min(len(f.RcptTo), 3)] {
		if strings.Contains(s, strings.ToLower(a.String())) {
			return yes(a.String())
		}
	}
	return outcome{}
}

// subjectPicture: pictures among the letters.
func subjectPicture(f *facts) outcome {
	for _, r := range f.text.Subject {
		if isPicture(r) {
			return yes()
		}
	}
	return outcome{}
}

// isPicture reports whether r is a pictograph.
func isPicture(r rune) bool { return r >= 0x1F300 && r <= 0x1FAFF || r >= 0x2600 && r <= 0x27BF }

// subjectSpaced: words with a blank or a dot after each letter, which a reader
// sees through and a filter does not.
func subjectSpaced(f *facts) outcome {
	run := 0
	for word := range strings.FieldsFuncSeq(f.subject(), func(r rune) bool { return r == ' ' || r == '.' || r == '_' || r == '-' || r == '*' }) {
		if r, n := utf8.DecodeRuneInString(word); n != len(word) || !unicode.IsLetter(r) || r >= 0x2E80 {
			run = 0
			continue
		}
		if run++; run >= 5 {
			return yes()
		}
	}
	return outcome{}
}

func subjectMarks(f *facts) outcome {
	return when(strings.Contains(f.text.Subject, "!!") || strings.Contains(f.text.Subject, "$$") || strings.Contains(f.text.Subject, "??"))
}

// hidden are characters that take no room or turn the writing; the first ones
// join letters of other scripts and parts of pictures, and say nothing.
func hidden(s string) bool {
	for _, r := range s {
		switch {
		case r == 0x200B, r == 0x2060, r == 0x00AD, r == 0x180E, r == 0xFEFF, r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
			return true
		}
	}
	return false
}

func headerHidden(f *facts) outcome {
	if hidden(f.text.Subject) {
		return yes("Subject")
	}
	if hidden(f.head().from.Name) {
		return yes("From")
	}
	return outcome{}
}

// mixedScripts returns the first word of s in which letters of Latin stand
// beside such of Cyrillic or Greek that look like Latin ones. Letters with
// marks are Latin, and Greek letters that nobody mistakes (mu, omega) count for
// nothing.
func mixedScripts(s string) string {
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return !unicode.IsLetter(r) }) {
		latin, other := 0, 0
		for _, r := range word {
			switch {
			case unicode.Is(unicode.Latin, r):
				latin++
			case strings.ContainsRune(lookLatin, r):
				other++
			}
		}
		if latin > 0 && other > 0 && latin+other > 2 {
			return word
		}
	}
	return ""
}

// lookLatin are the letters of Cyrillic and Greek that look like Latin ones.
const lookLatin = "авекмнорстухіјѕԁɡһоАВЕКМНОРСТУХІЈЅαικνορτυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"

func headerMixed(f *facts) outcome {
	for _, s := range []string{f.head().from.Name, f.text.Subject} {
		if w := mixedScripts(s); w != "" {
			return yes(w)
		}
	}
	return outcome{}
}
