//go:build linux && e2e

package howto

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	before := files(t, "/etc/postfix", "/etc/dovecot", "/etc/systemd/system/dovecot.service.d")
	mailed := false
	for _, s := range sections(string(text)) {
		if s.title == "Going back" {
			mailInAndOut(t)
			mailed = true
		}
		for _, b := range s.blocks {
			sh.paste(t, s.title, b)
		}
		if s.title == "1. Install" {
			wantLinks(t, "/usr/local/share/doc/gatepost")
		}
	}
	if !mailed {
		t.Errorf("%s has no section \"Going back\"", page)
	}
	// Postfix and Dovecot run again without us; both were waited for.
	after := files(t, "/etc/postfix", "/etc/dovecot", "/etc/systemd/system/dovecot.service.d")
	for name := range maps.Keys(after) {
		if _, ok := before[name]; !ok {
			t.Errorf("after going back, %s is left", name)
		}
	}
	for name, text := range before {
		if after[name] != text {
			t.Errorf("after going back, %s is\n%s\nwant\n%s", name, after[name], text)
		}
	}
}

// files returns the content of every file below the directories.
func files(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path == dir {
				return nil
			}
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			all[path] = string(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// wantLinks follows every link of the installed pages to a file beside them.
func wantLinks(t *testing.T, dir string) {
	t.Helper()
	seen := 0
	for name, text := range files(t, dir) {
		if strings.HasSuffix(name, ".go") {
			t.Errorf("%s is installed", name)
		}
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
			seen++
		}
	}
	if seen < 10 {
		t.Errorf("%d links in %s are too few", seen, dir)
	}
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
	wantNoLogins(t)
	for _, port := range []string{"587", "465"} {
		mailOut(t, port)
	}
	wantCounted(t, 2)
}

// wantNoLogins: the old main.cf had SASL for all services; port 25 would hang
// with it whenever gatepost is away.
func wantNoLogins(t *testing.T) {
	t.Helper()
	c, err := the.Dial(lab.StrangerIP, lab.ServerIP+":25")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Hello("mail.example.com"); err != nil || strings.Contains(c.Extended.Text, "AUTH") {
		t.Errorf("port 25 says %v, %v, want no AUTH", c.Extended, err)
	}
	out, err := the.Postfix("postconf", "-h", "smtpd_sasl_auth_enable")
	if err != nil || strings.TrimSpace(out) != "no" {
		t.Errorf("smtpd_sasl_auth_enable = %s, %v, want no", out, err)
	}
}

// wantCounted: the limit has seen the recipients, so policyd is asked at DATA.
func wantCounted(t *testing.T, recipients int) {
	t.Helper()
	out, err := exec.Command("gatepost", "limit", "show", "--json").CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf(`"used": %d`, recipients)) {
		t.Errorf("gatepost limit show: %v, %s\nwant %d used", err, out, recipients)
	}
}

// mailOut sends as alice through a submission service.
func mailOut(t *testing.T, port string) {
	t.Helper()
	out := lab.Message{From: alice.User, To: "dave@example.net", Subject: "Hello", ID: "<out." + port + "@example.org>", Body: "Hello.\n"}
	send(t, lab.Mail{
		From: lab.UserIP, To: lab.ServerIP + ":" + port, Helo: "laptop-of-alice", User: alice.User, Password: password,
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
