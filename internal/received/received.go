// Package received reads the Received field that the Postfix of this host puts on
// top of a message: the delivery daemon finds the verdict of a message by it, and
// what is learned from a stored message begins below it.
package received

import (
	"strings"
	"time"
)

// Bounds of what is read.
const (
	maxBytes   = 16 << 10
	maxQueueID = 64
)

// Field is what a Received field of this host tells.
type Field struct {
	QueueID string
	// With is the protocol by which the message came, as written: ESMTPS, LMTP;
	// "" for mail that was made here.
	With string
	// Date is when the host was given the message.
	Date time.Time
}

// Parse reads the value of a Received field, unfolded, as Postfix on
// hostname writes it (smtpd(8), cleanup(8), pickup(8)):
//
//	[from HELO (client [address]) (comments)] by HOSTNAME (Postfix) [with PROTO]
//	    id QUEUEID [for <recipient>]; date
//
// Each word has its place: what a stranger chose, HELO and comments, cannot
// stand where the queue id does. Anything else is not ours, and ok is false.
func Parse(value, hostname string) (f Field, ok bool) {
	if len(value) > maxBytes || hostname == "" {
		return Field{}, false
	}
	w := words{rest: value}
	word := w.next()
	if word == "from" {
		w.next()
		if w.comments() == 0 {
			return Field{}, false // HELO with a blank in it
		}
		word = w.next()
	}
	if word != "by" || !strings.EqualFold(w.next(), hostname) || w.comments() == 0 {
		return Field{}, false
	}
	if word = w.next(); word == "with" {
		f.With = w.next()
		w.comments()
		word = w.next()
	}
	if word != "id" {
		return Field{}, false
	}
	f.QueueID = w.next()
	w.comments()
	if word = w.next(); word == "for" {
		w.next()
		w.comments()
		word = w.next()
	}
	if word != ";" || w.bad || !ValidQueueID(f.QueueID) {
		return Field{}, false
	}
	f.Date, ok = parseDate(w.rest)
	if !ok {
		return Field{}, false
	}
	return f, true
}

// ByLMTP reports whether value is a Received field, unfolded, of a delivery by
// LMTP on hostname, as our delivery daemon and Dovecot write it:
//
//	from HELO (comments) by HOSTNAME (comments) with LMTP id ...
func ByLMTP(value, hostname string) bool {
	if len(value) > maxBytes || hostname == "" {
		return false
	}
	w := words{rest: value}
	if w.next() != "from" {
		return false
	}
	w.next()
	w.comments()
	if w.next() != "by" || !strings.EqualFold(w.next(), hostname) {
		return false
	}
	w.comments()
	return w.next() == "with" && strings.HasPrefix(strings.ToUpper(w.next()), "LMTP") && !w.bad
}

// parseDate reads "Fri, 20 Nov 2026 06:55:35 +0000 (UTC)" and nothing more.
func parseDate(s string) (time.Time, bool) {
	s, zone, found := strings.Cut(s, "(")
	if w := (words{rest: "(" + zone}); found && (w.comments() != 1 || w.bad || w.rest != "") {
		return time.Time{}, false
	}
	t, err := time.Parse("Mon, 2 Jan 2006 15:04:05 -0700", strings.Join(strings.Fields(s), " "))
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, false
	}
	return t, true
}

// words takes a structured field apart.
type words struct {
	rest string
	bad  bool
}

// next returns the next word: ";", a path in angle brackets, or what reaches to
// the next white space, "(" or ";". At the end, and at a comment, it is "".
func (w *words) next() string {
	w.skipSpace()
	s := w.rest
	if s == "" || s[0] == '(' {
		return ""
	}
	n := 1
	switch s[0] {
	case ';':
	case '<':
		n = w.quotedUntil('>')
	default:
		for n < len(s) && strings.IndexByte(" \t\r\n(;", s[n]) < 0 {
			n++
		}
	}
	w.rest = s[n:]
	return s[:n]
}

// quotedUntil returns the length up to the byte end outside of quotes.
func (w *words) quotedUntil(end byte) int {
	quoted := false
	for i := 1; i < len(w.rest); i++ {
		switch c := w.rest[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == end && !quoted:
			return i + 1
		}
	}
	w.bad = true
	return len(w.rest)
}

// comments passes over comments and returns their number.
func (w *words) comments() int {
	count := 0
	for w.skipSpace(); strings.HasPrefix(w.rest, "("); w.skipSpace() {
		w.comment()
		count++
	}
	return count
}

// comment passes over one comment, nested ones with it (RFC 5322 §3.2.2).
func (w *words) comment() {
	depth := 0
	for i := 0; i < len(w.rest); i++ {
		switch w.rest[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				w.rest = w.rest[i+1:]
				return
			}
		}
	}
	w.rest, w.bad = "", true
}

func (w *words) skipSpace() { w.rest = strings.TrimLeft(w.rest, " \t\r\n") }

// ValidQueueID reports whether s has the form of a queue id of Postfix, short
// or long (enable_long_queue_ids): 1 to 64 letters and digits.
func ValidQueueID(s string) bool {
	if s == "" || len(s) > maxQueueID {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
