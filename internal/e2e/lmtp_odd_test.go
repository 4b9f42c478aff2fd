//go:build linux && e2e

package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
	"github.com/gatepost/gatepost/internal/shared"
)

var oddMessages = flag.Int("odd", 300, "how many odd messages TestLMTPOddMessages delivers")

// oddContents returns messages of all the odd kinds, as a client sends them
// before the dots are doubled: CRLF at the very end.
func oddContents(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{
		"empty":               nil,
		"header alone":        []byte("Subject: x\r\n"),
		"NUL":                 []byte("Subject: a\x00b\r\n\r\n\x00\x00\r\n"),
		"200 kB line":         []byte("Subject: x\r\n\r\n" + strings.Repeat("x", 200_000) + "\r\n"),
		"200 kB header field": []byte("Subject: " + strings.Repeat("y ", 100_000) + "\r\n\r\nbody\r\n"),
		"bare CR and LF":      []byte("Subject: x\r\n\r\na\rb\nc\n.\nd\r.\re\r\r\n"),
		"dots":                []byte("Subject: x\r\n\r\n.\r\n..\r\n...x\r\n"),
		"8-bit":               []byte("Subject: \xff\xfe\r\n\r\n\x80\x81\r\n"),
		"mbox line":           []byte("From x Sat Jan  3 01:05:34 1996\r\nSubject: x\r\n\r\nFrom y\r\n"),
		"no header":           []byte("\r\n\r\njust a body\r\n"),
		"25 MB":               bytes.Repeat([]byte(strings.Repeat("z", 78)+"\r\n"), 25<<20/80),
	}
	for _, set := range []string{"enmime", "mime4j", "mime-tools"} {
		root := shared.Path(t, "data/conformance/"+set)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			switch filepath.Ext(path) {
			case ".raw", ".msg", ".eml":
			default:
				return nil
			}
			b, err := os.ReadFile(path)
			// As on a wire: each line end CRLF, also the last one.
			b = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
			if len(b) > 0 && !bytes.HasSuffix(b, []byte("\r\n")) {
				b = append(b, "\r\n"...)
			}
			out[strings.TrimPrefix(path, root)] = b
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestLMTPOddMessages: the file is byte for byte what lmtpd was given, with LF,
// and Dovecot reads the same back, with CRLF, NUL as 0x80, and the size that it
// says.
func TestLMTPOddMessages(t *testing.T) {
	box := user(t, "odd")
	contents := oddContents(t)
	if len(contents) < 150 {
		t.Fatalf("only %d messages", len(contents))
	}
	c := dialLMTP(t)
	sent := make(map[string]string) // id: name
	for len(sent) < *oddMessages {
		for name, b := range contents {
			if len(sent) < len(contents) || len(b) < 1<<20 { // large ones once
				sent[savedID(t, c.deliver(box.User, b))] = name
			}
		}
	}
	onDisk := messageFiles(t, maildirOf(box.User))
	if len(onDisk) != len(sent) {
		t.Errorf("%d messages on the disk, want %d", len(onDisk), len(sent))
	}
	for id, name := range sent {
		want := bytes.ReplaceAll(contents[name], []byte("\r\n"), []byte("\n"))
		if !bytes.Equal(onDisk[id], want) {
			t.Errorf("%s: %d bytes on the disk, want %d: %.100q", name, len(onDisk[id]), len(want), onDisk[id])
		}
	}
	read := 0
	for id, msg := range fetchAll(t, box) {
		// Dovecot makes CRLF of each LF on the disk that has none, so that of
		// CR CR LF one CR is lost, and 0x80 of NUL.
		want := bytes.ReplaceAll(contents[sent[id]], []byte("\r\r\n"), []byte("\r\n"))
		want = bytes.ReplaceAll(bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		want = bytes.ReplaceAll(want, []byte{0}, []byte{0x80})
		if !bytes.Equal(msg, want) {
			t.Errorf("%s: IMAP gives %d bytes, want %d", sent[id], len(msg), len(want))
		}
		read++
	}
	if read != len(sent) {
		t.Errorf("IMAP has %d messages, want %d", read, len(sent))
	}
	t.Logf("%d messages of %d kinds", len(sent), len(contents))
}

// fetchAll reads a mailbox over IMAP, by the id of the delivery, and checks the
// sizes that Dovecot says.
func fetchAll(t *testing.T, box lab.Mailbox) map[string][]byte {
	t.Helper()
	c, err := the.IMAP(lab.UserIP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(format string, args ...any) lab.Answer {
		t.Helper()
		a, err := c.Command(format, args...)
		if err != nil || !a.OK() {
			t.Fatalf("%s: %s, %v", format, a.Status, err)
		}
		return a
	}
	if a, err := c.Login(box.User, box.Password); err != nil || !a.OK() {
		t.Fatalf("LOGIN: %s, %v", a.Status, err)
	}
	exists := 0
	for _, line := range ask(`SELECT "%s"`, box.Name).Untagged {
		if n := 0; strings.HasSuffix(line, " EXISTS") {
			if _, err := fmt.Sscanf(line, "* %d EXISTS", &n); err == nil {
				exists = n
			}
		}
	}
	out := make(map[string][]byte)
	for i := range exists {
		a := ask("FETCH %d (RFC822.SIZE BODY.PEEK[])", i+1)
		if len(a.Literals) != 1 {
			t.Fatalf("FETCH %d: %d literals", i+1, len(a.Literals))
		}
		if want := fmt.Sprintf("RFC822.SIZE %d ", len(a.Literals[0])); !strings.Contains(a.Untagged[0], want) {
			t.Errorf("FETCH %d: %.60q has no %q", i+1, a.Untagged[0], want)
		}
		id, content := splitTrace(a.Literals[0], "\r\n")
		out[id] = content
	}
	return out
}

// changedByPostfix are the messages whose bodies sendmail(1) and cleanup(8) do
// not hand on as they were, with the reason.
var changedByPostfix = map[string]string{
	"bare CR and LF": "sendmail(1) takes CR LF for a line end, lmtp(8) makes a blank of a CR alone (lmtp_replace_stray_cr_lf)",
}

// TestLMTPThroughPostfix: all that Postfix takes of the odd messages it gets rid
// of, once each, and the bodies are stored as they were sent, but for those that
// Postfix is known to change.
func TestLMTPThroughPostfix(t *testing.T) {
	box := user(t, "oddpostfix")
	bodies, names := make(map[string][]byte), make(map[string]string)
	for name, b := range oddContents(t) {
		if len(b) > 1<<20 {
			continue
		}
		b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
		id := fmt.Sprintf("<odd.%d@example.com>", len(bodies))
		msg := append(fmt.Appendf(nil, "From: carol@example.com\nDate: Fri, 20 Nov 2026 06:55:35 +0000\nMessage-ID: %s\n\n", id), b...)
		if err := the.Sendmail(msg, "-i", "-f", "carol@example.com", box.User); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		bodies[id], names[id] = b, name
	}
	got := make(map[string][]byte)
	err := the.Until("every message", func() error {
		clear(got)
		for _, sub := range []string{"", ".Junk"} {
			dir := filepath.Join(maildirOf(box.User), sub)
			if _, err := os.Stat(filepath.Join(dir, "new")); err != nil {
				continue
			}
			for _, file := range messageFiles(t, dir) {
				header, body, _ := bytes.Cut(file, []byte("\n\n"))
				_, id, _ := bytes.Cut(header, []byte("\nMessage-ID: "))
				id, _, _ = bytes.Cut(id, []byte("\n"))
				if _, twice := got[string(id)]; twice {
					t.Errorf("%s: twice", names[string(id)])
				}
				got[string(id)] = body
			}
		}
		if len(got) != len(bodies) {
			return fmt.Errorf("%d of %d", len(got), len(bodies))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range bodies {
		if same := bytes.Equal(got[id], want); same != (changedByPostfix[names[id]] == "") {
			t.Errorf("%s: %d bytes, sent %d: %.80q", names[id], len(got[id]), len(want), got[id])
		}
	}
}
