//go:build linux && e2e

package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

const splitPage = "docs/howto/split.md"

// owners are the processes of the split shape, and who each runs as.
var owners = map[string]string{
	"state": "gatepost-state", "milter": "gatepost-milter", "policyd": "gatepost-policyd", "authd": "gatepost-authd", "lmtpd": "vmail",
}

// TestSplit does what the page on the split shape says, command by command, and
// what it says to go back. It is the last test here: its file is.
func TestSplit(t *testing.T) {
	logsOnFailure(t)
	root, err := lab.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, splitPage))
	if err != nil {
		t.Fatal(err)
	}
	// What the page gives away.
	do(t, "sh", "-ec", "mkdir /etc/gatepost/maps; echo secret >/etc/gatepost/outgoing.password; chown vmail: /etc/gatepost/outgoing.password")
	apart := false
	for section := range strings.SplitSeq(string(text), "\n## ") {
		title, _, _ := strings.Cut(section, "\n")
		if title == "Back to one process" {
			t.Run("apart", isApart)
			t.Run("queue helper", TestQueueHelper)
			t.Run("firewall helper", TestFirewallHelper)
			t.Run("restart of state", stateRestarts)
			t.Run("state away", stateAway)
			apart = true
		}
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```\n").FindAllStringSubmatch(section, -1) {
			t.Logf("%s: %s", title, do(t, "timeout", "100", "sh", "-ec", block[1]))
		}
	}
	if !apart {
		t.Errorf("%s does not say how to go back", splitPage)
	}
	deliver(t, alice, "<one.again@example.com>")
	if got := do(t, "stat", "-c", "%U", "/var/lib/gatepost/accounts.db"); strings.TrimSpace(got) != "vmail" {
		t.Errorf("after going back accounts.db is %s's", got)
	}
}

func do(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := systemd.Run(argv...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// isApart: each process runs as its user, and only one has a file of the data
// directory open, with all the mail that goes through them.
func isApart(t *testing.T) {
	deliver(t, alice, "<apart.1@example.com>")
	if out, err := the.Send(mail("dave@example.net", "<apart.2@example.org>")); err != nil || out.Reply.Code != 250 {
		t.Errorf("Send() = %+v, %v", out, err)
	}
	for name, owner := range owners {
		pid := mainPID(t, name)
		if got := strings.TrimSpace(do(t, "stat", "-c", "%U", "/proc/"+pid)); got != owner {
			t.Errorf("%s runs as %s, want %s", name, got, owner)
		}
		open := strings.Contains(do(t, "sh", "-c", "ls -l /proc/"+pid+"/fd"), ".db")
		if open != (name == "state") {
			t.Errorf("%s has a .db file open: %v", name, open)
		}
		log := the.Log("gatepost@" + name)
		if m := regexp.MustCompile(`(?m)^.*(level=ERROR|panicked|not allowed|permission denied).*$`).FindString(log); m != "" {
			t.Errorf("%s says %s", name, m)
		}
	}
	if out, err := systemd.Run("setpriv", "--reuid=gatepost-milter", "--regid=gatepost-milter", "--clear-groups", "ls", "/var/lib/gatepost"); err == nil {
		t.Errorf("the milter's user sees the data: %s", out)
	}
}

func mainPID(t *testing.T, name string) string {
	t.Helper()
	pid := strings.TrimSpace(do(t, "systemctl", "show", "-p", "MainPID", "--value", "gatepost@"+name))
	if pid == "0" || do(t, "systemctl", "is-active", "gatepost@"+name) != "active\n" {
		t.Fatalf("gatepost@%s does not run", name)
	}
	return pid
}

// deliver has a stranger send a user a message, and reads it.
func deliver(t *testing.T, to, id string) {
	t.Helper()
	in := lab.Message{From: "Carol <carol@example.com>", To: to, Subject: "Hello", ID: id, Body: "Hello.\n"}
	out, err := the.Send(lab.Mail{From: lab.StrangerIP, MailFrom: "carol@example.com", RcptTo: []string{to}, Data: in.Bytes()})
	if err != nil || out.Reply.Code != 250 {
		t.Fatalf("Send() = %+v, %v", out, err)
	}
	if _, err := the.Read(lab.Mailbox{User: to, Password: password, Name: "INBOX"}, id); err != nil {
		t.Error(err)
	}
}

// stateRestarts: mail goes on, a login is never told that its password is wrong,
// and the daemons go on as the processes that they were.
func stateRestarts(t *testing.T) {
	before := map[string]string{}
	for name := range owners {
		before[name] = mainPID(t, name)
	}
	done := make(chan error, 1)
	go func() {
		_, err := systemd.Run("systemctl", "restart", "gatepost@state")
		done <- err
	}()
	for i, over := 0, false; !over; i++ {
		select {
		case err := <-done:
			over = true
			if err != nil {
				t.Error(err)
			}
		default:
		}
		temporary(t, login())
		out, err := the.Send(mail(alice, fmt.Sprintf("<restart.%d@example.org>", i)))
		if err != nil || out.Reply.Code != 250 && out.Reply.Code/100 != 4 {
			t.Errorf("Send() = %+v, %v", out, err)
		}
	}
	if err := the.Until("all to be well", login); err != nil {
		t.Error(err)
	}
	deliver(t, alice, "<restart.after@example.com>")
	for name := range owners {
		if pid := mainPID(t, name); (pid == before[name]) != (name != "state") {
			t.Errorf("%s was process %s and is %s", name, before[name], pid)
		}
	}
}

// temporary fails if a login with the right password is refused for good.
func temporary(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "AUTHENTICATIONFAILED") {
		t.Errorf("the right password: %v", err)
	}
}

// stateAway: mail from outside flows, nobody is told that a password is wrong and
// nobody is let in, and all is well when state is back.
func stateAway(t *testing.T) {
	units := []string{"gatepost@state.socket", "gatepost@state-admin.socket", "gatepost@state.service"}
	do(t, slices.Concat([]string{"systemctl", "stop"}, units)...)
	const id = "<away.1@example.com>"
	in := lab.Message{From: "Carol <carol@example.com>", To: alice, Subject: "Hello", ID: id, Body: "Hello.\n"}
	out, err := the.Send(lab.Mail{From: lab.StrangerIP, MailFrom: "carol@example.com", RcptTo: []string{alice}, Data: in.Bytes()})
	if err != nil || out.Reply.Code != 250 {
		t.Errorf("state away: mail from outside: %+v, %v", out, err)
	}
	err = login()
	if temporary(t, err); err == nil {
		t.Error("state away: somebody is let in")
	}
	if out, err := the.Send(mail("dave@example.net", "<away.2@example.org>")); err == nil && out.Reply.Code/100 != 4 {
		t.Errorf("state away: submission: %+v", out)
	}
	do(t, slices.Concat([]string{"systemctl", "start"}, units)...)
	if err := the.Until("all to be well", func() error {
		out, err := the.Send(mail(alice, "<away.3@example.org>"))
		if err == nil && out.Reply.Code != 250 {
			err = errors.New(out.Reply.String())
		}
		return errors.Join(err, login())
	}); err != nil {
		t.Error(err)
	}
	if _, err := the.Read(lab.Mailbox{User: alice, Password: password, Name: "INBOX"}, id); err != nil {
		t.Error(err)
	}
}
