package scan

import (
	"strings"
	"time"
	"unicode"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// gtubePattern is the string that SpamAssassin defined and every filter knows.
const gtubePattern = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

func gtube(f *facts) outcome {
	if strings.Contains(f.text.Subject, gtubePattern) || strings.Contains(f.text.Visible, gtubePattern) {
		return yes()
	}
	for _, t := range f.text.Text {
		if strings.Contains(t, gtubePattern) {
			return yes()
		}
	}
	return outcome{}
}

// missing returns a rule that hits when there is no field of that name.
func missing(name string) func(*facts) outcome {
	return func(f *facts) outcome {
		_, ok := f.Raw.First(name)
		return when(!ok)
	}
}

// RFC 5322 §3.6.2 wants a mailbox; one without a domain is none that a
// stranger has.
func fromInvalid(f *facts) outcome {
	if _, ok := f.Raw.First("From"); !ok {
		return outcome{}
	}
	for _, b := range f.text.From {
		if b.Addr.Domain != "" {
			return outcome{}
		}
	}
	return yes()
}

// RFC 5322 §3.6 allows one From field. It allows several mailboxes with a
// Sender field (§3.6.2), which DMARC gives no meaning: no program writes that.
func multipleFrom(f *facts) outcome {
	n := 0
	for i := range f.Raw.Fields {
		if f.Raw.Fields[i].Is("From") {
			n++
		}
	}
	if n < 2 && len(f.text.From) < 2 {
		return outcome{}
	}
	var who []string
	for _, b := range f.text.From {
		who = append(who, b.Addr.String())
	}
	return yes(who...)
}

func fromNameAddress(f *facts) outcome {
	for _, b := range f.text.From {
		shown := addressIn(b.Name)
		if shown == "" || sameOrganization(shown, b.Addr.Domain) {
			continue
		}
		// Mailing lists write "alice@example.org via list" for an author whose
		// domain forbids others to use it.
		if _, list := f.Raw.First("List-Id"); list && strings.Contains(strings.ToLower(b.Name), " via ") {
			continue
		}
		return yes(shown, b.Addr.Domain)
	}
	return outcome{}
}

// addressIn returns the domain of the first thing in s that looks like an
// address, "" for none.
func addressIn(s string) string {
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune(`"'<>()[],;:`, r)
	}) {
		a, err := mailaddr.Parse(strings.TrimRight(word, ".!?"))
		if err == nil && strings.Contains(a.Domain, ".") && hasPublicSuffix(a.Domain) {
			return a.Domain
		}
	}
	return ""
}

// onceOnly are the fields that RFC 5322 §3.6 allows once, without From, which
// has a rule of its own.
var onceOnly = []string{"Date", "Sender", "Reply-To", "To", "Cc", "Message-ID", "In-Reply-To", "References", "Subject"}

func repeatedHeaders(f *facts) outcome {
	var again []string
	for _, name := range onceOnly {
		n := 0
		for i := range f.Raw.Fields {
			if f.Raw.Fields[i].Is(name) {
				n++
			}
		}
		if n > 1 {
			again = append(again, name)
		}
	}
	if again == nil {
		return outcome{}
	}
	return yes(again...)
}

// date returns the Date field as a time; ok is false when there is none, and
// the time zero when it cannot be read.
func (f *facts) date() (t time.Time, ok bool) {
	v, ok := f.Raw.First("Date")
	if !ok {
		return time.Time{}, false
	}
	t, _ = header.ParseDate(v)
	return t, true
}

func invalidDate(f *facts) outcome {
	t, ok := f.date()
	return when(ok && t.IsZero())
}

func dateInFuture(f *facts) outcome {
	t, ok := f.date()
	return when(ok && !t.IsZero() && t.After(f.now.Add(2*time.Hour)))
}

func dateInPast(f *facts) outcome {
	t, ok := f.date()
	return when(ok && !t.IsZero() && t.Before(f.now.Add(-7*24*time.Hour)))
}

// RFC 5322 §3.6.4 msg-id, laxly: angle brackets, one "@" with something on both
// sides, no white space.
func invalidMessageID(f *facts) outcome {
	v, ok := f.Raw.First("Message-ID")
	if !ok {
		return outcome{}
	}
	left, right, at := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(v, "<"), ">"), "@")
	good := at && left != "" && right != "" && v[0] == '<' && v[len(v)-1] == '>' && !strings.ContainsAny(v, " \t\r\n")
	return when(!good)
}

func missingTo(f *facts) outcome {
	_, to := f.Raw.First("To")
	_, cc := f.Raw.First("Cc")
	return when(!to && !cc)
}

func missingSubject(f *facts) outcome {
	return when(strings.TrimSpace(f.text.Subject) == "")
}

// A subject counts as shouted from ten letters on that have a case: "URGENT"
// and abbreviations are not.
func subjectAllCaps(f *facts) outcome {
	upper, lower := 0, 0
	for _, r := range bareSubject(f.text.Subject) {
		switch {
		case unicode.IsUpper(r):
			upper++
		case unicode.IsLower(r):
			lower++
		}
	}
	return when(upper >= 10 && lower*10 <= upper)
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

// An answer names what it answers (RFC 5322 §3.6.4).
func fakeReply(f *facts) outcome {
	if _, ok := cutPrefix(f.text.Subject, replyPrefixes); !ok {
		return outcome{}
	}
	_, inReplyTo := f.Raw.First("In-Reply-To")
	_, references := f.Raw.First("References")
	// Exchange threads by fields of its own.
	_, topic := f.Raw.First("Thread-Index")
	return when(!inReplyTo && !references && !topic)
}

// RFC 5321 §4.4 trace fields are US-ASCII, with RFC 6531 §3.7.3 UTF-8 in "for"
// and after "by" and "from": so bytes that are not UTF-8, and controls.
func receivedIllegal(f *facts) outcome {
	for i := range f.Raw.Fields {
		fd := &f.Raw.Fields[i]
		if fd.Is("Received") && illegal(header.Unfold(fd.Value)) {
			return yes()
		}
	}
	return outcome{}
}

func illegal(s string) bool {
	for _, r := range s {
		if r == unicode.ReplacementChar || r != '\t' && unicode.IsControl(r) {
			return true
		}
	}
	return false
}
