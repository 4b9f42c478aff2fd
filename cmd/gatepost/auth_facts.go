package main

import (
	"fmt"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// factNotes tells what of m programs read in different ways, and which limits
// it exceeds: what one of them verified is then not what another one shows.
func factNotes(m *rawmsg.Message) []string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	f := m.Facts(rawmsg.Default())
	if l := f.Lines; l.Mixed() {
		add("line ends are mixed: %d CRLF, %d bare LF, %d bare CR; programs may see different messages", l.CRLF, l.LF, l.CR)
	} else if l.CR > 0 {
		add("%d bare CR and no other line end", l.CR)
	}
	if f.NUL > 0 {
		add("%d NUL bytes; programs may stop at the first one", f.NUL)
	}
	if f.Header8Bit > 0 {
		add("%d bytes above 127 in the header", f.Header8Bit)
	}
	for _, l := range f.Hit {
		add("limit exceeded: %s", l)
	}
	return notes
}
