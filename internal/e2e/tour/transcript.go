//go:build linux

package tour

import (
	"fmt"
	"io"
	"strings"
)

// Transcript writes what happened, indented by its depth.
type Transcript struct{ w io.Writer }

// NewTranscript writes to w.
func NewTranscript(w io.Writer) *Transcript { return &Transcript{w} }

// Heading begins a step.
func (t *Transcript) Heading(number int, title string) {
	fmt.Fprintf(t.w, "\n%d. %s\n", number, title)
}

// Say tells what comes next.
func (t *Transcript) Say(format string, args ...any) {
	fmt.Fprintf(t.w, "\n   %s\n", fmt.Sprintf(format, args...))
}

// Quote shows lines of a dialogue, a message or a command as they were.
func (t *Transcript) Quote(lines ...string) {
	for _, line := range lines {
		if line == "" {
			continue // a command that had nothing to say
		}
		for one := range strings.SplitSeq(strings.TrimRight(line, "\n"), "\n") {
			fmt.Fprintf(t.w, "      %s\n", strings.TrimRight(one, "\r"))
		}
	}
}

// OK confirms what the step had to show, with the peer's own words.
func (t *Transcript) OK(what, peer string) {
	fmt.Fprintf(t.w, "   ok  %s\n", what)
	for one := range strings.SplitSeq(strings.TrimSpace(peer), "\n") {
		fmt.Fprintf(t.w, "       | %s\n", strings.TrimRight(one, "\r"))
	}
}

// smtp leaves the list of extensions out of an SMTP dialogue.
func smtp(dialogue []string) []string {
	var out []string
	list := false // the line before has another one after it
	for _, line := range dialogue {
		more := strings.HasPrefix(line, "S: 250-")
		if !list {
			out = append(out, line)
		}
		list = more
	}
	return out
}
