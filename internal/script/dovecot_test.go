package script

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// anyUser is a user id without rights: Dovecot does not work for root.
const anyUser = 65534

// envRoot tells the process that runs as anyUser its mail root.
const envRoot = "GATEPOST_SCRIPT_ROOT"

// TestDovecot holds the store against Pigeonhole's own: what one puts the other
// lists, reads, activates and renames.
func TestDovecot(t *testing.T) {
	if root := os.Getenv(envRoot); root != "" {
		testDovecot(t, root)
		return
	}
	for _, need := range []string{"/usr/bin/doveadm", "/usr/lib/dovecot/modules/doveadm/lib10_doveadm_sieve_plugin.so"} {
		if _, err := os.Stat(need); err != nil {
			missing(t, need+" (apt-get install dovecot-sieve)")
		}
	}
	if os.Geteuid() != 0 {
		testDovecot(t, t.TempDir())
		return
	}
	root, err := os.MkdirTemp("", "gp-script-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chown(root, anyUser, anyUser); err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(root, "self")
	copyProgram(t, self)
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestDovecot$", "-test.v")
	cmd.Env = []string{envRoot + "=" + root, "CI=" + os.Getenv("CI"), "TMPDIR=" + root}
	cmd.Dir = root
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: anyUser, Gid: anyUser}}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestDovecot")) {
		t.Errorf("as uid %d: %v\n%s", anyUser, err, out)
	}
}

// copyProgram copies this test, whose own directory may be closed to others.
func copyProgram(t *testing.T, to string) {
	t.Helper()
	from, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what + " is missing")
	}
	t.Skip(what + " is missing")
}

// pigeonhole is Dovecot's doveadm over the same home.
type pigeonhole struct{ conf, home string }

func newPigeonhole(t *testing.T, root, home string) pigeonhole {
	t.Helper()
	p := pigeonhole{filepath.Join(root, "dovecot.conf"), home}
	conf := fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = /dev/stderr
mail_location = maildir:~/Maildir
protocols =
ssl = no
plugin {
  sieve = file:~/sieve;active=~/.dovecot.sieve
}
`, root)
	if err := os.WriteFile(p.conf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p pigeonhole) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/doveadm", append([]string{"-c", p.conf, "sieve"}, args...)...)
	cmd.Env = []string{"HOME=" + p.home, "USER=alice", "PATH=/usr/bin:/bin"}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("doveadm sieve %s: %v: %s", strings.Join(args, " "), err, err.(*exec.ExitError).Stderr)
	}
	return string(out)
}

func testDovecot(t *testing.T, root string) {
	s := New(Config{Root: root})
	home := filepath.Join(root, "example.org", "alice")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	p := newPigeonhole(t, root, home)

	// Ours to theirs.
	put(t, s, "first", "keep;\r\n")
	put(t, s, "über all", "stop;\r\n")
	activate(t, s, "first")
	if got := p.run(t, "", "list"); !strings.Contains(got, "first ACTIVE\n") || !strings.Contains(got, "über all \n") {
		t.Errorf("their list of ours = %q", got)
	}
	if got := p.run(t, "", "get", "first"); !strings.HasSuffix(got, "\nkeep;\r\n") {
		t.Errorf("they read %q", got)
	}
	// Theirs to ours.
	p.run(t, "discard;\r\n", "put", "-a", "third")
	if got := listed(t, s); got != "first third* über all" {
		t.Errorf("our list of theirs = %s", got)
	}
	wantActive(t, s, "third", "discard;\r\n")
	p.run(t, "", "rename", "third", "fourth")
	wantActive(t, s, "fourth", "discard;\r\n")
	if err := s.Rename(alice, "fourth", "fifth"); err != nil {
		t.Error(err)
	}
	if got := p.run(t, "", "list"); !strings.Contains(got, "fifth ACTIVE\n") || strings.Contains(got, "fourth") {
		t.Errorf("their list after our rename = %q", got)
	}
	// One over the other.
	put(t, s, "fifth", "keep;\r\n")
	p.run(t, "", "activate", "first")
	p.run(t, "stop;\r\n", "put", "fifth")
	if got, err := s.Read(alice, "fifth"); err != nil || string(got) != "stop;\r\n" {
		t.Errorf("we read %q, %v", got, err)
	}
	p.run(t, "", "deactivate")
	if got := listed(t, s); got != "fifth first über all" {
		t.Errorf("our list after their deactivate = %s", got)
	}
	activate(t, s, "fifth")
	activate(t, s, "")
	if err := s.Delete(alice, "fifth"); err != nil {
		t.Error(err)
	}
	if got := p.run(t, "", "list"); strings.Contains(got, "ACTIVE") || strings.Contains(got, "fifth") {
		t.Errorf("their list at the end = %q", got)
	}
}
