//go:build linux && e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// putScript makes text the active script of a user, as files, where Dovecot's
// managesieved would have put them.
func putScript(t *testing.T, box lab.Mailbox, text string) {
	t.Helper()
	home := filepath.Dir(maildirOf(box.User))
	fi, err := os.Stat(mailRoot)
	if err != nil {
		t.Fatal(err)
	}
	owner := int(fi.Sys().(*syscall.Stat_t).Uid)
	for _, dir := range []string{filepath.Dir(home), home, filepath.Join(home, "sieve")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Lchown(dir, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	file, link := filepath.Join(home, "sieve", "rules.sieve"), filepath.Join(home, ".dovecot.sieve")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sieve/rules.sieve", link); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		if err := os.Lchown(path, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
}

// withScripts switches scripts on, with mail of our own and SRS.
func withScripts(t *testing.T) {
	t.Helper()
	own := machine(t)
	secret := filepath.Join(the.Dir, "outgoing.password")
	if err := os.WriteFile(secret, []byte(own.Password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	withPolicy(t, noGreylist+"  srs: {domain: "+lab.Domain+"}\n", fmt.Sprintf(`outgoing: { address: "127.0.0.1:10587", user: %s, password_file: %s }
sieve: { enabled: true }
`, own.User, secret))
}

// fromNextHop is mail of a user of the next hop, where answers arrive.
func fromNextHop(to, id, subject string) lab.Mail {
	msg := lab.Message{From: "Dave <dave@example.net>", To: to, Subject: subject, ID: id, Body: "Hello.\n"}
	return lab.Mail{From: lab.NextHopIP, MailFrom: "dave@example.net", RcptTo: []string{to}, Data: msg.Bytes()}
}

// arrived returns what the next hop got for a recipient with a text in it.
func arrived(to, text string) (all []lab.Captured) {
	for _, m := range the.NextHop.Messages() {
		if len(m.RcptTo) == 1 && m.RcptTo[0] == to && bytes.Contains(m.Data, []byte(text)) {
			all = append(all, m)
		}
	}
	return all
}

// redirected waits for a message that was sent on to a recipient.
func redirected(t *testing.T, to, id string) (m lab.Captured) {
	t.Helper()
	err := the.Until("a redirect of "+id, func() error {
		all := arrived(to, "Message-ID: "+id)
		if len(all) == 0 {
			return fmt.Errorf("none for %s", to)
		}
		m = all[0]
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSieveFiles: Dovecot shows what a script did: the folder, which it made, and
// the flags.
func TestSieveFiles(t *testing.T) {
	box := user(t, "sorted")
	withScripts(t)
	putScript(t, box, `require ["fileinto", "mailbox", "imap4flags", "editheader"];
if header :contains "Subject" "[list]" { addheader "X-Rule" "list"; fileinto :create :flags ["\\Seen", "\\Flagged"] "Lists.Go"; }
`)
	const id, other = "<sieve.files.1@example.net>", "<sieve.files.2@example.net>"
	wantTaken(t, send(t, fromNextHop(box.User, id, "[list] news")))
	wantTaken(t, send(t, fromNextHop(box.User, other, "a letter")))
	lists := box
	lists.Name = "Lists.Go"
	read(t, box, other)
	raw := read(t, lists, id)
	if !bytes.Contains(raw, []byte("X-Rule: list")) || !bytes.Contains(raw, []byte("Return-Path: <dave@example.net>")) {
		t.Errorf("stored\n%.500s", raw)
	}
	wantAbsent(t, box, id)
	c, err := the.IMAP(lab.UserIP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a, err := c.Login(box.User, box.Password); err != nil || !a.OK() {
		t.Fatal(a.Status, err)
	}
	if a, err := c.Command("SELECT Lists.Go"); err != nil || !a.OK() {
		t.Fatal(a.Status, err)
	}
	a, err := c.Command("FETCH 1 (FLAGS)")
	if err != nil || !strings.Contains(strings.Join(a.Untagged, " "), `\Flagged`) || !strings.Contains(strings.Join(a.Untagged, " "), `\Seen`) {
		t.Errorf("flags are %q, %v", a.Untagged, err)
	}
}

// TestSieveSends: a redirect and an answer arrive once, the redirect under a
// sender of ours; what comes back from there ends in the mailbox.
func TestSieveSends(t *testing.T) {
	box := user(t, "onleave")
	withScripts(t)
	putScript(t, box, `require "vacation"; vacation :subject "Away" "I am on leave."; redirect "erin@example.net";`)
	const first, second = "<sieve.sends.1@example.net>", "<sieve.sends.2@example.net>"
	wantTaken(t, send(t, fromNextHop(box.User, first, "one")))
	if _, err := the.Await("I am on leave."); err != nil {
		t.Fatal(err)
	}
	got := redirected(t, "erin@example.net", first)
	if !strings.HasPrefix(got.MailFrom, "SRS0=") || bytes.Contains(got.Data, []byte("Delivered-To: "+box.User)) {
		t.Errorf("redirected from <%s>:\n%.600s", got.MailFrom, got.Data)
	}
	wantTaken(t, send(t, fromNextHop(box.User, second, "two")))
	redirected(t, "erin@example.net", second)
	wantAbsent(t, box, first)
	answers := arrived("dave@example.net", "I am on leave.")
	if len(answers) != 1 || answers[0].MailFrom != "" || !bytes.Contains(answers[0].Data, []byte("Auto-Submitted: auto-replied")) {
		t.Errorf("%d answers: %+v", len(answers), answers)
	}
	// The other server sends it back, under a sender of its own.
	back := fromNextHop(box.User, first, "one")
	back.MailFrom, back.Data = "erin@example.net", got.Data
	wantTaken(t, send(t, back))
	read(t, box, first)
	if n := len(arrived("erin@example.net", "Message-ID: "+first)); n != 1 {
		t.Errorf("%s went to the next hop %d times", first, n)
	}
}

// TestSieveFails: a script with a fault delivers to the inbox, and the user can
// read why.
func TestSieveFails(t *testing.T) {
	box := user(t, "faulty")
	withScripts(t)
	putScript(t, box, "keep;\nfileinto \"Lists\";\n")
	const id = "<sieve.fails.1@example.net>"
	wantTaken(t, send(t, fromNextHop(box.User, id, "x")))
	read(t, box, id)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(maildirOf(box.User)), ".dovecot.sieve.log"))
	if err != nil || !bytes.Contains(b, []byte("rules:2:")) {
		t.Errorf("the log says %q, %v", b, err)
	}
}
