//go:build linux

package lab

import (
	"fmt"
	"strings"
)

// Reply is what an SMTP server said, word by word.
type Reply struct {
	Code int
	Text string // without the code; lines joined by LF
}

// String gives the reply as it stood on the wire.
func (r Reply) String() string {
	lines := strings.Split(r.Text, "\n")
	for i, line := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		lines[i] = fmt.Sprintf("%d%s%s", r.Code, sep, line)
	}
	return strings.Join(lines, "\n")
}

// QueueID returns Postfix's queue id from "Ok: queued as ID", or "".
func (r Reply) QueueID() string {
	_, id, _ := strings.Cut(r.Text, "queued as ")
	return strings.TrimSpace(id)
}
