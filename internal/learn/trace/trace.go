// Package trace makes of a stored message what the milter saw of it, and finds
// out which message of ours it was.
//
// A file in a mailbox has more on top than the milter was shown: what lmtpd or
// Dovecot wrote at delivery, Postfix's own Received, and what the milter itself
// put below that. Learning from the file as it lies there would teach the
// filter its own verdicts. Cut takes all of that away, and brings back the line
// ends of the wire.
//
// Limits: a message that Postfix or another filter changed behind our milter
// (a body converted to 7 bit, a footer) does not become again what it was; for
// 30 days its features are found by its trace instead.
package trace

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/received"
)

// Trace names a message that came through the Postfix here. The zero Trace is
// that of a message that did not.
type Trace struct {
	// QueueID is Postfix's; short ones come back after a while.
	QueueID string `json:"queue_id,omitempty"`
	// Arrived is when Postfix was given it.
	Arrived time.Time `json:"arrived,omitzero"`
	// MessageID is the header field's, as Canonical has it, "" for none.
	MessageID string `json:"message_id,omitempty"`
}

// Config says which fields are our own.
type Config struct {
	// Hostname is Postfix's myhostname, which stands in its Received.
	Hostname string
	// AuthservID is ours in Authentication-Results.
	AuthservID string
	// ScanBytes is how much of a message the milter looks at; 0 means all.
	ScanBytes int
}

// maxID bounds a Message-ID.
const maxID = 500

// Canonical returns a Message-ID without blanks and angle brackets, cut to 500
// bytes.
func Canonical(id string) string {
	id = strings.TrimSpace(id)
	if i := strings.IndexByte(id, '<'); i >= 0 {
		if j := strings.IndexByte(id[i:], '>'); j > 1 {
			id = id[i+1 : i+j]
		}
	}
	return id[:min(len(id), maxID)]
}

// Cut returns what the milter saw of file, with CRLF, and its trace. Everything
// above and with the first Received of the Postfix here goes, and below it the
// fields that only this host writes. Where there is none the message came
// another way: of the top then only the fields of a delivery go. The result
// shares nothing with file. The time is linear.
func Cut(file []byte, cfg Config) (msg []byte, t Trace) {
	file = bytes.TrimPrefix(file, []byte("\xef\xbb\xbf"))
	m := rawmsg.Scan(file[:headerEnd(file)], rawmsg.Default())
	first := len(m.Fields)
	for i := range m.Fields {
		f := &m.Fields[i]
		if !f.Is("Received") || f.Cut {
			continue
		}
		// By LMTP it was a delivery, of ours or from quarantine.
		r, ok := received.Parse(header.Unfold(f.Value), cfg.Hostname)
		if ok && !strings.HasPrefix(strings.ToUpper(r.With), "LMTP") {
			first, t.QueueID, t.Arrived = i, r.QueueID, r.Date
			break
		}
	}
	top := 0 // the fields above it go
	if first < len(m.Fields) {
		top = first + 1
	}
	if m.HeaderCut { // the scanner does not tell every field: leave it whole
		top, t = 0, Trace{}
		m.Fields = nil
	}
	if id, ok := m.First("Message-ID"); ok {
		t.MessageID = Canonical(id)
	}
	out := make([]byte, 0, len(file)+len(file)/32)
	seal := ownSeal(m.Fields[top:], cfg.AuthservID)
	delivery := top == 0
	for i := top; i < len(m.Fields); i++ {
		f := &m.Fields[i]
		if delivery && ofDelivery(f.Name) {
			continue
		}
		delivery = delivery && !f.Is("Received")
		if !own(f, cfg.AuthservID) && !(seal != "" && isSeal(f) && instance(f.Value) == seal) {
			out = appendCRLF(out, f.Raw)
		}
	}
	rest := file
	if len(m.Fields) > 0 {
		rest = file[m.HeaderEnd-blank(m):]
	}
	if limit := cfg.ScanBytes; limit > 0 && len(rest) > limit {
		rest = rest[:limit] // at least what is wanted; cut to the byte below
	}
	head := len(out)
	out = appendCRLF(out, rest)
	if limit := cfg.ScanBytes; limit > 0 && len(out) > max(limit, head+2) {
		out = out[:max(limit, head+2)]
	}
	return out, t
}

// Author returns the address of the one author of a stored message, if our own
// Authentication-Results says that DMARC passed: anybody can write a From.
func Author(file []byte, cfg Config) (author mailaddr.Address, ok bool) {
	m := rawmsg.Scan(file[:headerEnd(file)], rawmsg.Default())
	passed := false
	for i := range m.Fields {
		f := &m.Fields[i]
		passed = passed || f.Is("Authentication-Results") && authres.Own(f.Value, cfg.AuthservID) && bytes.Contains(f.Value, []byte("dmarc=pass"))
	}
	from := m.Values("From")
	if !passed || len(from) != 1 {
		return author, false
	}
	boxes, err := mailaddr.ParseMailboxes([]byte(from[0]))
	if err != nil || len(boxes) != 1 {
		return author, false
	}
	return boxes[0].Addr, true
}

// headerEnd returns the offset behind the blank line that ends the header, so
// that a large body is not looked at for MIME.
func headerEnd(file []byte) int {
	for pos := 0; pos < len(file); {
		n := bytes.IndexByte(file[pos:], '\n')
		if n < 0 {
			break
		}
		if line := file[pos : pos+n]; len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return pos + n + 1
		}
		pos += n + 1
	}
	return len(file)
}

// blank returns the length of the blank line at the end of the header of m, 0
// where another line ended it.
func blank(m *rawmsg.Message) int {
	head := m.Raw[:m.HeaderEnd]
	for _, s := range []string{"\n\r\n", "\n\n"} {
		if bytes.HasSuffix(head, []byte(s)) {
			return len(s) - 1
		}
	}
	return 0
}

// own reports whether only this host writes the field.
func own(f *rawmsg.Field, authservID string) bool {
	for _, p := range [...]string{"x-spam", "x-rspamd", "x-gatepost"} {
		if len(f.Name) >= len(p) && strings.EqualFold(f.Name[:len(p)], p) {
			return true
		}
	}
	return f.Is("Authentication-Results") && authres.Own(f.Value, authservID)
}

// ofDelivery reports whether a delivery agent writes that field on top.
func ofDelivery(name string) bool {
	for _, n := range [...]string{"Return-Path", "Delivered-To", "X-Original-To", "Envelope-To"} {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// ownSeal returns the instance of the ARC set that the milter put on top of the
// message, "" for none. It is looked for as far as nothing but such fields
// stands there, so that no set of another makes us take it away.
func ownSeal(fields []rawmsg.Field, authservID string) string {
	for i := range fields {
		f := &fields[i]
		if f.Is("ARC-Authentication-Results") {
			_, value, _ := bytes.Cut(f.Value, []byte(";"))
			if authres.Own(value, authservID) {
				return instance(f.Value)
			}
		}
		if !isSeal(f) && !own(f, authservID) {
			break
		}
	}
	return ""
}

func isSeal(f *rawmsg.Field) bool {
	return f.Is("ARC-Seal") || f.Is("ARC-Message-Signature") || f.Is("ARC-Authentication-Results")
}

// instance returns the number of the first "i=" tag, "" for none.
func instance(value []byte) string {
	for tag := range strings.SplitSeq(string(value), ";") {
		name, v, _ := strings.Cut(tag, "=")
		if strings.TrimSpace(name) != "i" {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
			return strconv.Itoa(n)
		}
	}
	return ""
}

// appendCRLF appends b with every LF that has no CR before it as CRLF.
func appendCRLF(dst, b []byte) []byte {
	for {
		n := bytes.IndexByte(b, '\n')
		if n < 0 {
			return append(dst, b...)
		}
		dst = append(dst, b[:n]...)
		if n == 0 || b[n-1] != '\r' {
			dst = append(dst, '\r')
		}
		dst = append(dst, '\n')
		b = b[n+1:]
	}
}
