//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
)

// Verified is what a verifier said about one signature.
type Verified struct {
	Tool string // the command line, as a postmaster would type it
	Pass bool
	Line string // the last line of what it printed, or how it ended
}

// OpenDKIM asks opendkim-testmsg, which is libopendkim with the system's
// resolver, hence the lab's DNS. It says nothing when a signature is good,
// and knows rsa-sha256 only.
func (l *Lab) OpenDKIM(message []byte) (Verified, error) {
	return verifier(crlf(message), "opendkim-testmsg")
}

// DKIMPy asks dkimpy's dkimverify about the signature with that index from
// the top of the message, from 0.
func (l *Lab) DKIMPy(message []byte, index int) (Verified, error) {
	return verifier(crlf(message), "dkimverify", "--index", fmt.Sprint(index))
}

func verifier(message []byte, name string, args ...string) (Verified, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(message)
	out, err := cmd.CombinedOutput()
	v := Verified{Tool: strings.Join(append([]string{name}, args...), " "), Pass: err == nil}
	// dkimverify may say no by a traceback, whose last line tells why.
	for line := range strings.Lines(string(out)) {
		v.Line = strings.TrimSpace(line)
	}
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		return v, fmt.Errorf("%s: %w", name, err)
	}
	if v.Line == "" {
		v.Line = fmt.Sprintf("(nothing; exit status %d)", cmd.ProcessState.ExitCode())
	}
	return v, nil
}

// crlf gives every line end as CRLF.
func crlf(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}
