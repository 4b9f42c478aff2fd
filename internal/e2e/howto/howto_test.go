//go:build linux && e2e

package howto

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

const page = "docs/howto/existing-server.md"

// the is the lab of this package: an existing Debian server.
var the *lab.Lab

func TestMain(m *testing.M) {
	if err := lab.Enter(); err != nil {
		var missing *lab.Missing
		if errors.As(err, &missing) && os.Getenv("CI") != "true" {
			fmt.Println("skip: howto:", err)
			return
		}
		fmt.Fprintln(os.Stderr, "howto:", err)
		os.Exit(1)
	}
	var err error
	if the, err = lab.Start(lab.Options{Existing: true}); err != nil {
		fmt.Fprintln(os.Stderr, "howto:", err)
		os.Exit(1)
	}
	status := m.Run()
	if err := the.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "howto:", err)
		status = 1
	}
	os.Exit(status)
}

// section is one "## " part of the page with its commands.
type section struct {
	title  string
	blocks []string // the text of each ```sh block
}

// sections takes the commands from the page.
func sections(text string) []section {
	var all []section
	var block *strings.Builder
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSuffix(line, "\n")
		switch {
		case block != nil && trimmed == "```":
			last := &all[len(all)-1]
			last.blocks = append(last.blocks, block.String())
			block = nil
		case block != nil:
			block.WriteString(line)
		case trimmed == "```sh":
			block = new(strings.Builder)
		case strings.HasPrefix(trimmed, "## "):
			all = append(all, section{title: strings.TrimPrefix(trimmed, "## ")})
		}
	}
	return all
}

// TestPage pastes the page into a shell, sends mail in and out, and goes back.
func TestPage(t *testing.T) {
	for _, program := range []string{"systemd-sysusers", "systemd-tmpfiles", "make"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip("skip:", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("\n" + the.Tails(25))
		}
	})
	root, err := lab.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	sh := newShell(t, root)
	mailed := false
	for _, s := range sections(string(text)) {
		if s.title == "Going back" {
			mailInAndOut(t)
			mailed = true
		}
		for _, b := range s.blocks {
			sh.paste(t, s.title, b)
		}
	}
	if !mailed {
		t.Errorf("%s has no section \"Going back\"", page)
	}
	// Postfix and Dovecot run again without us; both were waited for.
	wantPostfix(t)
}

// shell runs commands as root on the lab's host. There is no systemd: its
// systemctl only writes down what it was asked, and the test does it.
type shell struct {
	root, dir string
	env       []string
}

const systemctl = "#!/bin/sh\necho \"$*\" >>\"$SYSTEMCTL_CALLS\"\n"

func newShell(t *testing.T, root string) *shell {
	t.Helper()
	s := &shell{root: root, dir: t.TempDir()}
	files := map[string]string{"systemctl": systemctl, "alice.password": password + "\n"}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// What the machine has in /usr/local is not there; Go's own directory is.
	path := s.dir + ":/usr/local/bin:" + os.Getenv("PATH")
	s.env = append(os.Environ(), "PATH="+path, "SYSTEMCTL_CALLS="+s.calls(), "GOPROXY=off")
	return s
}

func (s *shell) calls() string { return filepath.Join(s.dir, "calls") }

// paste runs one block as it stands, but that /root, which is the machine's,
// is the shell's own directory.
func (s *shell) paste(t *testing.T, title, block string) {
	t.Helper()
	os.Remove(s.calls())
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", strings.ReplaceAll(block, "/root/", s.dir+"/"))
	cmd.Dir, cmd.Env = s.root, s.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s\n%s", title, err, block, out)
	}
	calls, err := os.ReadFile(s.calls())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for call := range strings.Lines(string(calls)) {
		if err := obey(strings.Fields(call)); err != nil {
			t.Fatalf("%s: systemctl %s: %v", title, strings.TrimSpace(call), err)
		}
	}
}

// obey does what systemctl was asked. Sockets are gatepost's own business
// here, as they are without systemd.
func obey(args []string) error {
	switch call := strings.Join(args, " "); {
	case call == "daemon-reload":
		return nil
	case strings.HasPrefix(call, "enable --now"):
		for _, unit := range args[2:] {
			path := "/usr/local/lib/systemd/system/" + unit
			if strings.HasSuffix(unit, ".service") {
				return the.RunService(path)
			}
			if _, err := os.Stat(path); err != nil {
				return err
			}
		}
		return nil
	case strings.HasPrefix(call, "disable --now"):
		return the.StopGatepost()
	case args[0] == "restart":
		for _, unit := range args[1:] {
			if err := restart(unit); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.New("the test does not know this call")
}

func restart(unit string) error {
	switch unit {
	case "postfix":
		return errors.Join(the.StopPostfix(), the.StartPostfix())
	case "dovecot":
		return errors.Join(the.StopDovecot(), the.StartDovecot())
	}
	return errors.New("the test does not know this unit")
}

const password = "a long enough password"

var alice = lab.Mailbox{User: "alice@" + lab.Domain, Password: password}

// mailInAndOut is section 6 of the page, done.
func mailInAndOut(t *testing.T) {
	t.Helper()
	in := lab.Message{From: "carol@example.com", To: alice.User, Subject: "Hello", ID: "<in@example.com>", Body: "Hello.\n"}
	send(t, lab.Mail{From: lab.StrangerIP, MailFrom: "carol@example.com", RcptTo: []string{alice.User}, Data: in.Bytes()})
	raw, err := the.Read(alice, in.ID)
	if err != nil {
		t.Fatal(err)
	}
	if f := lab.Fields(raw, "Authentication-Results"); len(f) != 1 || !strings.Contains(f[0], lab.Hostname+";") {
		t.Errorf("Authentication-Results = %q, want ours", f)
	}

	zone, err := exec.Command("gatepost", "dkim", "dns", lab.Domain).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := the.DNS.Add(string(zone)); err != nil {
		t.Fatal(err)
	}
	out := lab.Message{From: alice.User, To: "dave@example.net", Subject: "Hello", ID: "<out@example.org>", Body: "Hello.\n"}
	send(t, lab.Mail{
		From: lab.UserIP, To: lab.ServerIP + ":587", Helo: "laptop-of-alice", User: alice.User, Password: password,
		MailFrom: alice.User, RcptTo: []string{"dave@example.net"}, Data: out.Bytes(),
	})
	got, err := the.Await(out.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{lab.UserIP, "laptop-of-alice"} {
		if bytes.Contains(got.Data, []byte(secret)) {
			t.Errorf("%q leaves with the message:\n%s", secret, got.Data)
		}
	}
	for i := range 2 {
		if v, err := the.DKIMPy(got.Data, i); err != nil || !v.Pass {
			t.Errorf("signature %d: %+v, %v", i, v, err)
		}
	}
}

func send(t *testing.T, m lab.Mail) {
	t.Helper()
	o, err := the.Send(m)
	if err != nil || o.At != "message" || o.Reply.Code != 250 {
		t.Fatalf("%v at %s, %v\n%s", o.Reply, o.At, err, strings.Join(o.Dialogue, "\n"))
	}
}

// wantPostfix wants no word of ours to be left in Postfix's configuration.
func wantPostfix(t *testing.T) {
	t.Helper()
	for _, what := range []string{"-n", "-M", "-P"} {
		out, err := the.Postfix("postconf", what)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out) {
			if strings.Contains(line, "gatepost") {
				t.Errorf("after going back: %s", line)
			}
		}
	}
}
