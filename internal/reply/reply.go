// Package reply builds SMTP replies that cannot be wrong in form: the class
// digit of the enhanced status code always is that of the reply code
// (RFC 2034 §4), and the text is one line of printable UTF-8.
package reply

import (
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/mailerr"
)

// MaxTextBytes bounds the text of a reply, so that code, enhanced code and
// text fit the 512 octets of a reply line (RFC 5321 §4.5.3.1.5).
const MaxTextBytes = 480

// Reply is one SMTP reply. The zero Reply is none; see IsZero.
type Reply struct {
	code   int
	detail string
	text   string
}

// New returns the reply "code class.detail text", where class is the first
// digit of code: New(450, "7.1", "try later") is "450 4.7.1 try later". It
// refuses a code outside 200..599, 3yz, a detail that is not "subject.detail"
// (RFC 3463 §2) and a text that is empty, too long, not UTF-8 or that holds a
// control character.
func New(code int, detail, text string) (Reply, error) {
	if code < 200 || code > 599 || code/100 == 3 {
		return Reply{}, fmt.Errorf("reply code %d is not 2yz, 4yz or 5yz", code)
	}
	if !validDetail(detail) {
		return Reply{}, fmt.Errorf("enhanced status code detail %q is not subject.detail", detail)
	}
	if text == "" || len(text) > MaxTextBytes || !utf8.ValidString(text) {
		return Reply{}, fmt.Errorf("reply text of %d bytes is empty, longer than %d or not UTF-8", len(text), MaxTextBytes)
	}
	for _, r := range text {
		if unicode.IsControl(r) {
			return Reply{}, fmt.Errorf("reply text %q holds a control character", text)
		}
	}
	return Reply{code: code, detail: detail, text: text}, nil
}

// Must is New for constants: it panics where New returns an error.
func Must(code int, detail, text string) Reply {
	r, err := New(code, detail, text)
	if err != nil {
		panic("reply: " + err.Error())
	}
	return r
}

// validDetail reports whether s is 1*3digit "." 1*3digit (RFC 3463 §2).
func validDetail(s string) bool {
	dot := -1
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.' && dot < 0:
			dot = i
		case c < '0' || c > '9':
			return false
		}
	}
	return dot >= 1 && dot <= 3 && len(s)-dot-1 >= 1 && len(s)-dot-1 <= 3
}

// IsZero reports whether r is no reply at all.
func (r Reply) IsZero() bool { return r.code == 0 }

// Code returns the three-digit reply code.
func (r Reply) Code() int { return r.code }

// Enhanced returns the enhanced status code, for example "4.7.1".
func (r Reply) Enhanced() string { return strconv.Itoa(r.code/100) + "." + r.detail }

// EnhancedCode returns the enhanced status code as its three numbers.
func (r Reply) EnhancedCode() [3]int {
	n := [3]int{r.code / 100}
	at := 1
	for i := range len(r.detail) {
		if r.detail[i] == '.' {
			at++
			continue
		}
		n[at] = n[at]*10 + int(r.detail[i]-'0')
	}
	return n
}

// Text returns the text without codes.
func (r Reply) Text() string { return r.text }

// String returns the whole line without its end: "450 4.7.1 try later".
func (r Reply) String() string {
	if r.IsZero() {
		return ""
	}
	return strconv.Itoa(r.code) + " " + r.Enhanced() + " " + r.text
}

// Class returns the class of a refusal. It is Transient for a 2yz reply, which
// no caller has a reason to ask.
func (r Reply) Class() mailerr.Class {
	if r.code/100 == 5 {
		return mailerr.Permanent
	}
	return mailerr.Transient
}

// The replies that more than one daemon gives.
var (
	// Broken is what a peer hears of a fault of ours.
	Broken = Must(451, "3.0", "temporary fault here, please try again later")
	// Refused is what a peer hears of a permanent fault that has no better text.
	Refused = Must(554, "3.0", "transaction failed")
	// DiskFull is RFC 5321's "insufficient system storage".
	DiskFull = Must(452, "3.1", "not enough disk space here, please try again later")
)

// FromError returns the reply for err, which is not nil: a Reply that err
// carries (see Error), else Broken or Refused by its class. The text of err
// never reaches the peer.
func FromError(err error) Reply {
	if r, ok := carried(err); ok {
		return r
	}
	if mailerr.ClassOf(err) == mailerr.Permanent {
		return Refused
	}
	return Broken
}
