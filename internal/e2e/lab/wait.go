//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// patience is how long the lab waits for what should come at once. It is
// long because a test machine may be busy; nothing waits so long in practice.
const patience = 15 * time.Second

// hopeless is an error that waiting does not mend.
type hopeless struct{ error }

// Until calls try until it returns nil, and gives up after patience, or at
// once when a server that should answer has ended: the error says what was
// waited for and what try said last. Who reports it shows Tails as well.
func (l *Lab) Until(what string, try func() error) error {
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		var end hopeless
		if !errors.As(err, &end) {
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
			}
		}
		return fmt.Errorf("waited in vain for %s: %w", what, err)
	}
}

// UntilQueued is Until with three times the patience, for mail that Postfix has
// put off: its queue manager keeps the answer to the last address that it looked
// up for 30 seconds, also that there was none.
func (l *Lab) UntilQueued(what string, try func() error) error {
	var err error
	for range 3 {
		var end hopeless
		if err = l.Until(what, try); err == nil || errors.As(err, &end) {
			break
		}
	}
	return err
}

// Log returns what the log of that name holds: maillog, dovecot, gatepost.
func (l *Lab) Log(name string) string {
	b, err := os.ReadFile(l.logPath(name))
	if err != nil {
		return ""
	}
	return string(b)
}

// UntilLogged waits until the log holds text at or after offset, and returns
// the line.
func (l *Lab) UntilLogged(log string, offset int, text string) (string, error) {
	var line string
	err := l.Until(fmt.Sprintf("%q in log %s", text, log), func() error {
		s := l.Log(log)
		for one := range strings.Lines(s[min(offset, len(s)):]) {
			if strings.Contains(one, text) {
				line = strings.TrimSpace(one)
				return nil
			}
		}
		return fmt.Errorf("no such line")
	})
	return line, err
}

// Tails returns the last n lines of every log.
func (l *Lab) Tails(n int) string {
	var b strings.Builder
	files, _ := filepath.Glob(l.logPath("*"))
	slices.Sort(files)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil || len(text) == 0 {
			continue
		}
		lines := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
		fmt.Fprintf(&b, "--- %s\n", filepath.Base(f))
		for _, line := range lines[max(0, len(lines)-n):] {
			b.Write(line)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (*Lab) logPath(name string) string {
	return filepath.Join("/var/log", name+".log")
}
