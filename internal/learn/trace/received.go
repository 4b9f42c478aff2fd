package trace

import (
	"strings"
	"time"
)

// maxReceivedBytes bounds the Received field that is read. Postfix takes 2 KB of
// HELO and as much of a recipient (line_length_limit).
const maxReceivedBytes = 16 << 10

// received is what a Received field of the Postfix here tells.
type received struct {
	QueueID string
	Date    time.Time
}

// parseReceived reads the unfolded value of a Received field. Ok says that the
// host itself wrote it as an SMTP server: "by HOST", with an id and a date, and
// not by LMTP, which is a delivery. The name that the client gave stands in
// front of a comment; one with a blank in it would have to bring its own, and
// is refused.
func parseReceived(value, host string) (r received, ok bool) {
	if len(value) > maxReceivedBytes || host == "" {
		return r, false
	}
	w := words{rest: value}
	word := w.next()
	if word == "from" {
		w.next()
		if w.comments() == 0 {
			return r, false
		}
		word = w.next()
	}
	if word != "by" || !strings.EqualFold(w.next(), host) {
		return r, false
	}
	w.comments()
	if word = w.next(); word == "with" {
		if len(w.rest) > 0 && strings.HasPrefix(strings.ToUpper(w.next()), "LMTP") {
			return r, false
		}
		w.comments()
		word = w.next()
	}
	if word != "id" {
		return r, false
	}
	r.QueueID = w.next()
	w.comments()
	if word = w.next(); word == "for" {
		w.next()
		w.comments()
		word = w.next()
	}
	if word != ";" || w.bad || !validQueueID(r.QueueID) {
		return received{}, false
	}
	day, _, _ := strings.Cut(w.rest, "(")
	date, err := time.Parse("Mon, 2 Jan 2006 15:04:05 -0700", strings.Join(strings.Fields(day), " "))
	if err != nil || date.Year() < 1970 || date.Year() > 9999 {
		return received{}, false
	}
	r.Date = date
	return r, true
}

// validQueueID reports whether s has the form of a queue id of Postfix.
func validQueueID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// words takes a structured field apart.
type words struct {
	rest string
	bad  bool
}

// next returns the next word: ";", a path in angle brackets, or what reaches to
// the next blank, "(" or ";". At the end, and at a comment, it is "".
func (w *words) next() string {
	w.space()
	s := w.rest
	if s == "" || s[0] == '(' {
		return ""
	}
	n := 1
	switch s[0] {
	case ';':
	case '<':
		n = w.path()
	default:
		for n < len(s) && strings.IndexByte(" \t\r\n(;", s[n]) < 0 {
			n++
		}
	}
	w.rest = s[n:]
	return s[:n]
}

// path returns the length of the path at the start. A ">" within quotes, which a
// stranger may put into a recipient, does not end it: a field of ours that
// cannot be read would let a forged one below it speak.
func (w *words) path() int {
	quoted := false
	for i := 1; i < len(w.rest); i++ {
		switch c := w.rest[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i + 1
		}
	}
	w.bad = true
	return len(w.rest)
}

// comments passes over comments, nested ones too, and returns their number.
func (w *words) comments() int {
	count, depth := 0, 0
	for w.space(); strings.HasPrefix(w.rest, "("); w.space() {
		i := 0
		for ; i < len(w.rest); i++ {
			switch w.rest[i] {
			case '\\':
				i++
			case '(':
				depth++
			case ')':
				depth--
			}
			if depth == 0 {
				break
			}
		}
		if i >= len(w.rest) {
			w.rest, w.bad = "", true
			break
		}
		w.rest = w.rest[i+1:]
		count++
	}
	return count
}

func (w *words) space() { w.rest = strings.TrimLeft(w.rest, " \t\r\n") }
