//go:build linux && e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// sievePort is beside 4190, which Dovecot's managesieve has in other tests.
const sievePort = "4192"

// sieveConnect is a mail program's half of ManageSieve, from Debian.
type sieveConnect struct {
	program string
	box     lab.Mailbox
}

// newSieveConnect finds the program, and switches the listener on until the test
// ends.
func newSieveConnect(t *testing.T, box lab.Mailbox) sieveConnect {
	t.Helper()
	path, err := exec.LookPath("sieve-connect")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("sieve-connect is missing")
		}
		t.Skip("sieve-connect is missing: apt-get install sieve-connect, or `make deps`")
	}
	key := filepath.Join(t.TempDir(), "key.pem")
	b, err := os.ReadFile("/etc/ssl/private/" + lab.Hostname + ".key")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(key, b, 0o600), os.Chown(key, 5000, 5000), openPath(key)); err != nil {
		t.Fatal(err)
	}
	gatepostWith(t, "managesieve:\n  listen: "+lab.ServerIP+":"+sievePort+"\n  ssl_cert: /etc/ssl/certs/"+lab.Hostname+".pem\n  ssl_key: "+key+"\n")
	return sieveConnect{path, box}
}

// openPath lets the mail user walk to a file of t.TempDir.
func openPath(path string) error {
	var errs []error
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		errs = append(errs, os.Chmod(dir, 0o755))
	}
	return errors.Join(errs...)
}

// run runs one action. password is told on stdin.
func (s sieveConnect) run(t *testing.T, password string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program, append([]string{"--server", lab.Hostname, "--4", "--port", sievePort, "--nosrv",
		"--user", s.box.User, "--passwordfd", "0", "--tlscafile", "/etc/ssl/certs/lab-ca.pem"}, args...)...)
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s sieveConnect) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.run(t, s.box.Password, args...)
	if err != nil {
		t.Fatalf("sieve-connect %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TestManageSieve: a real client logs in through authd, puts a script, which is
// checked, and activates it; Pigeonhole reads the same, and the other way round.
func TestManageSieve(t *testing.T) {
	box := user(t, "managesieve")
	s := newSieveConnect(t, box)
	good, bad := filepath.Join(t.TempDir(), "good.sieve"), filepath.Join(t.TempDir(), "bad.sieve")
	for path, text := range map[string]string{
		good: "require [\"fileinto\", \"mailbox\"];\r\nif header :contains \"subject\" \"offer\" {\r\n  fileinto :create \"Offers\";\r\n}\r\n",
		bad:  "keep;\r\nfrobnicate;\r\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := s.run(t, "a wrong password", "--list"); err == nil {
		t.Errorf("a wrong password was taken: %s", out)
	}
	for _, mech := range []string{"PLAIN", "LOGIN"} {
		if out, err := s.run(t, box.Password, "--list", "--authmech", mech); err != nil {
			t.Errorf("--authmech %s: %v\n%s", mech, err, out)
		}
	}
	if out, err := s.run(t, box.Password, "--localsieve", bad, "--remotesieve", "bad", "--upload"); err == nil || !strings.Contains(out, "frobnicate") {
		t.Errorf("upload of a faulty script: %v\n%s", err, out)
	}
	s.must(t, "--localsieve", good, "--remotesieve", "offers", "--upload")
	s.must(t, "--remotesieve", "offers", "--activate")
	if out := s.must(t, "--list"); !strings.Contains(out, `"offers" ACTIVE`) || strings.Contains(out, `"bad"`) {
		t.Errorf("--list = %s", out)
	}
	home := filepath.Dir(maildirOf(box.User))
	if target, err := os.Readlink(filepath.Join(home, ".dovecot.sieve")); err != nil || target != "sieve/offers.sieve" {
		t.Errorf("link = %q, %v", target, err)
	}
	// sieve-connect's own file names are the local ones: the bytes have to be equal.
	back := filepath.Join(t.TempDir(), "back.sieve")
	s.must(t, "--localsieve", back, "--remotesieve", "offers", "--download")
	if got, want := string(read0(t, back)), string(read0(t, good)); got != want {
		t.Errorf("download = %q, want %q", got, want)
	}
	pigeonholeAgrees(t, s)
}

// pigeonholeAgrees works on the same scripts with Dovecot's doveadm.
func pigeonholeAgrees(t *testing.T, s sieveConnect) {
	t.Helper()
	if _, err := os.Stat("/usr/lib/dovecot/modules/doveadm/lib10_doveadm_sieve_plugin.so"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("dovecot-sieve is missing")
		}
		t.Log("skipped: dovecot-sieve is missing: apt-get install dovecot-managesieved, or `make deps`")
		return
	}
	if out, err := doveadm("sieve", "list", "-u", s.box.User); err != nil || !strings.Contains(out, "offers ACTIVE") {
		t.Errorf("doveadm sieve list = %q, %v", out, err)
	}
	cmd := exec.CommandContext(t.Context(), "doveadm", "sieve", "put", "-u", s.box.User, "-a", "theirs")
	cmd.Stdin = strings.NewReader("keep;\r\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("doveadm sieve put: %v: %s", err, out)
	}
	if out := s.must(t, "--list"); !strings.Contains(out, `"theirs" ACTIVE`) || !strings.Contains(out, `"offers"`) {
		t.Errorf("--list of theirs = %s", out)
	}
	s.must(t, "--remotesieve", "offers", "--activate")
	s.must(t, "--remotesieve", "theirs", "--delete")
	if out, err := doveadm("sieve", "list", "-u", s.box.User); err != nil || strings.TrimSpace(out) != "offers ACTIVE" {
		t.Errorf("doveadm sieve list at the end = %q, %v", out, err)
	}
	if out := cli(t, "", "sieve", "list", s.box.User); !strings.Contains(out, "offers") || !strings.Contains(out, "active") {
		t.Errorf("gatepost sieve list = %s", out)
	}
}
