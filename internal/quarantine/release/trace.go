package release

import (
	"crypto/rand"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxAuthResults bounds the value of Authentication-Results, as package header
// does.
const maxAuthResults = 50_000

// newQueueID returns a queue id that Postfix never gives, and nobody guesses:
// 26 letters and digits with 130 bits.
func newQueueID() string { return rand.Text() }

const dateForm = "Mon, 2 Jan 2006 15:04:05 -0700"

// top returns the fields that go in front of a released message, with CRLF: the
// one by which lmtpd finds the verdict, the one that Postfix would have put
// there, by which the learner finds what was scored, and our
// Authentication-Results.
func (j *job) top(queueID string, now time.Time) string {
	e := &j.entry
	fields := []string{"Received: by " + j.r.hostname + " (Gatepost) with LMTP id " + queueID + ";\n\t" + now.Format(dateForm)}
	if e.QueueID != "" {
		fields = append(fields, "Received: from "+word(e.Client.Helo)+" ("+clientText(e.Client.Name, e.Client.Addr)+")\n\tby "+
			j.r.hostname+" (Postfix) with SMTP id "+e.QueueID+";\n\t"+e.Arrived.Format(dateForm))
	}
	if v := e.Edits.AuthResults; v != "" && safe(v) {
		fields = append(fields, "Authentication-Results: "+v)
	}
	return strings.ReplaceAll(strings.Join(fields, "\n"), "\n", "\r\n") + "\r\n"
}

// safe reports whether v is a header value folded with LF. The milter made it so;
// a file that somebody changed begins neither a field nor a body with it.
func safe(v string) bool {
	if strings.TrimSpace(v) == "" || len(v) > maxAuthResults || !utf8.ValidString(v) {
		return false
	}
	for i, line := range strings.Split(v, "\n") {
		if i > 0 && (strings.TrimSpace(line) == "" || line[0] != ' ' && line[0] != '\t') {
			return false
		}
		for _, r := range line {
			if r != '\t' && unicode.IsControl(r) {
				return false
			}
		}
	}
	return true
}

// clientText is "name [address]" as Postfix writes it.
func clientText(name string, addr netip.Addr) string {
	if name == "" {
		name = "unknown"
	}
	text := "unknown"
	if addr = addr.Unmap(); addr.Is6() {
		text = "IPv6:" + addr.String()
	} else if addr.IsValid() {
		text = addr.String()
	}
	return word(name) + " [" + text + "]"
}

// word returns s, or "unknown" where it is neither a host name nor an address
// literal: a stranger chose it.
func word(s string) string {
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
