package mailauth

import (
	"strings"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// once are the fields that a message has once at most (RFC 5322 §3.6, RFC 2045
// §3) and that tell its reader something, or how to read the body.
var once = []string{"From", "Subject", "To", "Cc", "Date", "Reply-To", "Message-ID",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding"}

// uncovered returns why a signature that holds says nothing about what a reader
// sees, "" when it does. A signature covers the last fields of a name and
// readers show the first, so that whoever gets a signed message can put another
// Subject on top (RFC 6376 §8.15), or add one where none was: a Subject has to
// be signed. Of the other fields many are not signed in good mail; one that is,
// must not stand there again.
func uncovered(m *rawmsg.Message, names []string) string {
	for _, name := range once {
		signed, have := 0, 0
		for _, n := range names {
			if strings.EqualFold(n, name) {
				signed++
			}
		}
		for i := range m.Fields {
			if m.Fields[i].Is(name) {
				have++
			}
		}
		if have > signed && (signed > 0 || name == "Subject") {
			return "not every " + name + " is signed"
		}
	}
	return ""
}
