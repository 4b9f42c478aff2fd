package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestImportFail2ban(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("jail.conf", "[DEFAULT]\nbantime = 10m\nfindtime = 10m\nmaxretry = 5\n[dovecot]\nport = imap,imaps\n[sshd]\n")
	write("jail.local", "[dovecot]\nenabled = true\nmaxretry = 3\n[sshd]\nenabled = true\nignoreip = \x1b[31m.example.org\n")
	write("bans", "203.0.113.7 \t2026-11-20 14:00:01 + -1 = 9999-12-31 23:59:59\n203.0.113.8\n")
	run := func(args ...string) (stdout, stderr string, err error) {
		cmd := newBanImport(&app{})
		var out, talk bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&talk)
		cmd.SetArgs(args)
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		err = cmd.Execute()
		return out.String(), talk.String(), err
	}
	out, talk, err := run(dir, "--bans", filepath.Join(dir, "bans"), "--jail", "dovecot")
	if err != nil || !strings.HasPrefix(out, "guard:\n  max_failures: 3\n") || !strings.Contains(out, "services: [imap]") {
		t.Errorf("%s, %v", out, err)
	}
	for _, want := range []string{"carried over: jail dovecot\n", "networks to ban here, with --apply: 1\n", "jail sshd: Gatepost never closes the port of ssh", "line 2: 203.0.113.8: "} {
		if !strings.Contains(talk, want) {
			t.Errorf("no %q in\n%s", want, talk)
		}
	}
	if strings.Contains(talk, "\x1b") {
		t.Errorf("a control character of the file is printed: %q", talk)
	}
	out, _, err = run(dir, "--json")
	if err != nil || !strings.Contains(out, `"not_carried"`) || !strings.Contains(out, `"applied": false`) {
		t.Errorf("%s, %v", out, err)
	}
	if _, _, err := run(dir, "--bans", "x"); err == nil || !strings.Contains(err.Error(), "--jail") {
		t.Errorf("--bans without --jail: %v", err)
	}
	if _, _, err := run(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a directory that is not there is read")
	}
}
