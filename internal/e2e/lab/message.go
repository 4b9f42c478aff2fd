//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// Message is a plain message as an honest program writes it.
type Message struct {
	From, To, Subject string
	ID                string   // with its angle brackets
	Extra             []string // whole header lines, above the others
	Body              string
}

// Bytes gives the message with LF line ends.
func (m Message) Bytes() []byte {
	var b bytes.Buffer
	for _, line := range m.Extra {
		fmt.Fprintln(&b, line)
	}
	fmt.Fprintf(&b, "From: %s\nTo: %s\nSubject: %s\nDate: %s\nMessage-ID: %s\n", m.From, m.To, m.Subject,
		time.Now().UTC().Format(time.RFC1123Z), m.ID)
	fmt.Fprint(&b, "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n")
	b.WriteString(m.Body)
	if !strings.HasSuffix(m.Body, "\n") {
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// Fields returns the header fields of that name in the raw message, each
// whole with its folding, without the final line end.
func Fields(raw []byte, name string) []string {
	header, _, _ := strings.Cut(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n\n")
	var all []string
	for line := range strings.SplitSeq(header, "\n") {
		if n := len(all); n > 0 && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) {
			all[n-1] += "\n" + line
			continue
		}
		all = append(all, line)
	}
	var found []string
	for _, f := range all {
		have, _, ok := strings.Cut(f, ":")
		if ok && strings.EqualFold(have, name) {
			found = append(found, f)
		}
	}
	return found
}
