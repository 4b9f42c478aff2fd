package lmtpd

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

const (
	// maxCommandBytes bounds a command line with its end. RFC 5321 §4.5.3.1.4
	// asks for 512; SMTPUTF8 and long addresses that Postfix takes need more.
	maxCommandBytes = 8 << 10
	// maxAddressBytes bounds an envelope address. Postfix has no bound of its
	// own, and VERP and SRS pass the 256 of RFC 5321 §4.5.3.1.3.
	maxAddressBytes = 1000
)

var errAddress = errors.New("not an address that can be carried")

// parseAddress makes an address of what go-smtp gives: the local part without
// its quotes, "@", the domain. The last "@" divides; a domain holds none.
func parseAddress(s string) (mailaddr.Address, error) {
	if s == "" {
		return mailaddr.Address{}, nil
	}
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at == len(s)-1 || len(s) > maxAddressBytes || !cleanText(s) {
		return mailaddr.Address{}, errAddress
	}
	return mailaddr.Address{LocalPart: s[:at], Domain: strings.ToLower(strings.TrimSuffix(s[at+1:], "."))}, nil
}

// cleanText reports whether s holds no control character.
func cleanText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// badCommand stands in for a command line that the library must not see; it
// answers it with 500 5.5.2, and hangs up after a few.
var badCommand = []byte("\r\n")

// command returns line, or badCommand where the line does not end in CRLF,
// holds another control character, or is BDAT, which is not offered.
func command(line []byte) []byte {
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || !cleanText(string(text)) {
		return badCommand
	}
	if verb, _, _ := bytes.Cut(text, []byte(" ")); bytes.EqualFold(verb, []byte("BDAT")) {
		return badCommand
	}
	return line
}

// libraryReplies are replies of go-smtp with the code that the standards have
// for them.
var libraryReplies = map[string]string{
	// RFC 2033 §4.2 and RFC 5321 §4.2.2: bad sequence of commands.
	"502 5.5.1 Missing RCPT TO command.\r\n":         "503 5.5.1 no valid recipients\r\n",
	"502 5.5.1 Missing MAIL FROM command.\r\n":       "503 5.5.1 MAIL has to come first\r\n",
	"502 5.5.1 Please introduce yourself first.\r\n": "503 5.5.1 LHLO has to come first\r\n",
	// RFC 5321 §4.1.1.11: parameters not recognized or not implemented.
	"500 5.5.4 Unknown MAIL FROM argument\r\n": "555 5.5.4 unsupported parameter\r\n",
	"500 5.5.4 Unknown RCPT TO argument\r\n":   "555 5.5.4 unsupported parameter\r\n",
	// CHUNKING is not offered.
	"250-CHUNKING\r\n": "",
}

// replyLine returns what is sent for one line of a reply of the library, ""
// for nothing. SIZE gets its number (RFC 1870 §4).
func replyLine(line string, sizeLimit int64) string {
	if line == "250-SIZE\r\n" || line == "250 SIZE\r\n" {
		return strings.TrimSuffix(line, "\r\n") + " " + strconv.FormatInt(sizeLimit, 10) + "\r\n"
	}
	if ours, ok := libraryReplies[line]; ok {
		return ours
	}
	return line
}

// trace is what the fields that we put on top of a copy tell.
type trace struct {
	// With says which fields there are.
	With                 HeaderConfig
	MailFrom, ReturnPath mailaddr.Address
	// RcptTo is nil where the message has several recipients: a copy does not
	// tell who else got it.
	RcptTo *mailaddr.Address
	// Helo is the argument of LHLO.
	Helo     string
	Hostname string
	ID       string
	Date     time.Time
}

// fields returns the fields of t as a header block with LF line ends: the form
// is that of Dovecot's LMTP. A field that cannot be carried, for an address
// that is not UTF-8, is left out, and the error says which.
func (t trace) fields() ([]byte, error) {
	var b []byte
	var errs []error
	add := func(name, value string, more ...string) {
		f, err := header.New(name, value, more...)
		if err != nil {
			errs = append(errs, err)
			return
		}
		b = append(append(b, f.String()...), '\n')
	}
	if t.With.ReturnPath {
		add("Return-Path", t.ReturnPath.Path())
	}
	lines := []string{"by " + t.Hostname + " with LMTP", "id " + t.ID}
	date := t.Date.Format("Mon, 02 Jan 2006 15:04:05 -0700")
	envelope := "(envelope-from " + t.MailFrom.Path() + ")"
	if t.RcptTo == nil {
		lines = append(lines, envelope+"; "+date)
	} else {
		if t.With.DeliveredTo {
			add("Delivered-To", t.RcptTo.String())
		}
		lines = append(lines, envelope, "for "+t.RcptTo.Path()+"; "+date)
	}
	if t.With.Received {
		add("Received", "from "+heloName(t.Helo), lines...)
	}
	return b, errors.Join(errs...)
}

// heloName returns s, or "unknown" where it is neither a host name nor an
// address literal.
func heloName(s string) string {
	if s == "" || len(s) > 255 {
		return "unknown"
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && strings.IndexByte("-._:[]", c) < 0 {
			return "unknown"
		}
	}
	return s
}
