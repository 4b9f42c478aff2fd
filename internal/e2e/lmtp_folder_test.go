//go:build linux && e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// TestLMTPFolders: a detail folder that is made is subscribed, and a mail program
// sees it with the message in it.
func TestLMTPFolders(t *testing.T) {
	box := user(t, "folders")
	reload(t, "lmtpd: {folders: {save_to_detail_mailbox: true, mailbox_autocreate: true}}\n", true)
	t.Cleanup(func() { reload(t, "", true) })
	detail := strings.Replace(box.User, "@", "+Lists.Gö@", 1)
	c := dialLMTP(t)
	c.say("MAIL FROM:<sender@example.net> SMTPUTF8")
	if r := c.say("RCPT TO:<" + detail + ">"); !strings.HasPrefix(r, "250 ") {
		t.Fatal(r)
	}
	c.say("DATA")
	r := c.say("Subject: x\r\n\r\nbody\r\n.")
	id := savedID(t, r)
	lists := box
	lists.Name = "Lists.G&APY-"
	imap, err := the.IMAP(lab.UserIP)
	if err != nil {
		t.Fatal(err)
	}
	defer imap.Close()
	if a, err := imap.Login(box.User, box.Password); err != nil || !a.OK() {
		t.Fatal(a.Status, err)
	}
	for _, cmd := range []string{`LIST "" "Lists*"`, `LSUB "" "Lists*"`} {
		a, err := imap.Command("%s", cmd)
		if err != nil || !strings.Contains(strings.Join(a.Untagged, "\n"), "G&APY-") {
			t.Errorf("%s = %q, %v", cmd, a.Untagged, err)
		}
	}
	if got := fetchAll(t, lists)[id]; string(got) != "Subject: x\r\n\r\nbody\r\n" {
		t.Errorf("%s has %q", lists.Name, got)
	}
}

// TestLMTPQuota: Dovecot and lmtpd keep one maildirsize, and agree to the byte.
func TestLMTPQuota(t *testing.T) {
	box := user(t, "quota")
	dovecotLines(t, "mail_plugins = quota\nplugin {\n  quota = maildir:User quota\n  quota_rule = *:storage=100k\n}\n")
	reload(t, "lmtpd: {quota: {driver: maildir, quota_full_tempfail: true}}\n", true)
	t.Cleanup(func() { reload(t, "", true) })
	c := dialLMTP(t)
	content := []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("q", 78)+"\r\n", 128))
	savedID(t, c.deliver(box.User, content))
	wantQuota(t, box.User, 1) // writes the file
	for range 4 {
		savedID(t, c.deliver(box.User, content))
	}
	path := filepath.Join(maildirOf(box.User), "maildirsize")
	b, err := os.ReadFile(path)
	if err != nil || strings.Count(string(b), "\n") != 6 {
		t.Errorf("maildirsize = %q, %v", b, err)
	}
	wantQuota(t, box.User, 5)
	var last string
	for range 10 {
		if last = c.deliver(box.User, content); !strings.HasPrefix(last, "250 ") {
			break
		}
	}
	if want := "452 4.2.2 <" + box.User + "> Quota exceeded (mailbox for user is full)"; last != want {
		t.Errorf("reply = %q, want %q", last, want)
	}
}

// wantQuota compares what doveadm says with the files.
func wantQuota(t *testing.T, user string, messages int) {
	t.Helper()
	out, err := exec.Command("doveadm", "-f", "flow", "quota", "get", "-u", user).CombinedOutput()
	if err != nil {
		t.Fatalf("doveadm: %v: %s", err, out)
	}
	size := int64(0)
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(maildirOf(user), sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			fi, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			size += fi.Size()
		}
	}
	kb := strconv.FormatInt((size+1023)/1024, 10)
	for _, want := range []string{"Type=STORAGE Value=" + kb + " ", fmt.Sprintf("Type=MESSAGE Value=%d ", messages)} {
		if !strings.Contains(string(out), want) {
			t.Errorf("doveadm quota get = %s, want %q (%d bytes)", out, want, size)
		}
	}
}

// dovecotLines adds to Dovecot's configuration until the test ends.
func dovecotLines(t *testing.T, lines string) {
	t.Helper()
	const path = "/etc/dovecot/local.conf"
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	restart := func(content []byte) {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := the.StopDovecot(); err != nil {
			t.Fatal(err)
		}
		if err := the.StartDovecot(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { restart(before) })
	restart(append(append([]byte(nil), before...), lines...))
}
