package password

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/secret"
)

// doveadm returns the path of Dovecot's own tool.
func doveadm(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("doveadm")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("doveadm is missing (package dovecot-core)")
		}
		t.Skip("doveadm is missing (package dovecot-core)")
	}
	return path
}

// TestDoveadm checks both directions against Dovecot's own tool.
func TestDoveadm(t *testing.T) {
	tool := doveadm(t)
	p := NewPool(DefaultMemory)
	long := strings.Repeat("a", 72)
	for _, s := range append([]Scheme{"CRYPT", "SHA", "MD5", "CLEARTEXT", "LDAP-MD5"}, known...) {
		for _, pw := range []string{"p$%{x} ä", long} {
			out, err := exec.Command(tool, "pw", "-s", string(s), "-p", pw).Output()
			if err != nil {
				t.Fatalf("doveadm pw -s %s: %v", s, err)
			}
			theirs := secret.String(strings.TrimRight(string(out), "\n"))
			if ok, err := p.Verify(t.Context(), theirs, []byte(pw)); !ok || err != nil {
				t.Errorf("Verify(doveadm pw -s %s -p %q) = %v, %v", s, pw, ok, err)
			}
			if ok, _ := p.Verify(t.Context(), theirs, []byte(pw[1:])); ok {
				t.Errorf("Verify(doveadm pw -s %s) matches another password", s)
			}
		}
	}
	for _, s := range schemes {
		for _, pw := range []string{"p$%{x} ä", long} {
			ours, err := Hash(s, []byte(pw))
			if err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(tool, "pw", "-t", string(ours.Reveal()), "-p", pw).CombinedOutput(); err != nil {
				t.Errorf("doveadm refuses our %s: %v %s", s, err, out)
			}
		}
	}
}

// TestDoveadmForms: what we call another form of a hash is one for Dovecot, in
// every encoding.
func TestDoveadmForms(t *testing.T) {
	tool := doveadm(t)
	for _, h := range otherForms {
		if out, err := exec.Command(tool, "pw", "-t", h, "-p", "wonderland").CombinedOutput(); err != nil {
			t.Errorf("doveadm refuses %s: %v %s", h, err, out)
		}
	}
	p := NewPool(DefaultMemory)
	for _, s := range known {
		if s == Argon2i || s == Argon2id {
			continue // they take long, and are read as the others with "$"
		}
		for _, enc := range []string{"b64", "hex"} {
			out, err := exec.Command(tool, "pw", "-s", string(s)+"."+enc, "-p", "wonderland").Output()
			if err != nil {
				t.Fatalf("doveadm pw -s %s.%s: %v", s, enc, err)
			}
			theirs := secret.String(strings.TrimRight(string(out), "\n"))
			if ok, err := p.Verify(t.Context(), theirs, []byte("wonderland")); !ok || err != nil {
				t.Errorf("Verify(doveadm pw -s %s.%s) = %v, %v", s, enc, ok, err)
			}
		}
	}
}

// TestDoveadmBcrypt: bcrypt reads 72 bytes there and here.
func TestDoveadmBcrypt(t *testing.T) {
	tool := doveadm(t)
	p := NewPool(DefaultMemory)
	long := strings.Repeat("a", 72)
	h, err := Hash(BLFCrypt, []byte(long))
	if err != nil {
		t.Fatal(err)
	}
	for _, pw := range []string{long + "zzz", long[:71]} {
		theirs := exec.Command(tool, "pw", "-t", string(h.Reveal()), "-p", pw).Run() == nil
		if ok, err := p.Verify(t.Context(), h, []byte(pw)); ok != theirs || err != nil {
			t.Errorf("bcrypt with %d bytes = %v, %v, Dovecot says %v", len(pw), ok, err, theirs)
		}
	}
}

// TestDoveadmApp: an app password that goes to Dovecot works there, typed
// without its groups.
func TestDoveadmApp(t *testing.T) {
	clear, stored := NewApp()
	typed := strings.ReplaceAll(string(clear.Reveal()), "-", "")
	if out, err := exec.Command(doveadm(t), "pw", "-t", string(stored.Reveal()), "-p", typed).CombinedOutput(); err != nil {
		t.Errorf("doveadm refuses an app password: %v %s", err, out)
	}
}
