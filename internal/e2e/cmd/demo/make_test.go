//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runMake runs make in the tree with programs of the test's own first in PATH,
// and with a go that fails. It returns what make printed on both streams.
func runMake(t *testing.T, programs map[string]string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("make is missing")
	}
	dir := t.TempDir()
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("make", append([]string{"--no-print-directory", "GO=/bin/false"}, args...)...)
	cmd.Dir = "../../../.."
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != "DEPS" && !strings.HasPrefix(name, "MAKE") && name != "MFLAGS" {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The answers of programs that look at the machine.
const (
	ordinaryUser = "echo 1000"               // id -u
	notInstalled = "exit 1"                  // dpkg-query
	allInstalled = "printf installed"        // dpkg-query
	noChange     = "echo called >&2; exit 1" // apt-get
)

// TestDepsNo: DEPS=no prints one line, for any user, and does nothing else.
func TestDepsNo(t *testing.T) {
	for _, target := range []string{"demo", "test", "deps"} {
		for dpkg, want := range map[string]string{
			notInstalled: "apt-get install --no-install-recommends iproute2 postfix dovecot-imapd ",
			allInstalled: "deps: nothing is missing\n",
		} {
			programs := map[string]string{"id": ordinaryUser, "dpkg-query": dpkg, "apt-get": noChange}
			out, err := runMake(t, programs, target, "DEPS=no")
			if err != nil || !strings.HasPrefix(out, want) || strings.Count(out, "\n") != 1 {
				t.Errorf("make %s DEPS=no: %v, prints %q, want one line %q", target, err, out, want)
			}
		}
	}
}

// TestDemoWithoutRoot: one line says what to type instead.
func TestDemoWithoutRoot(t *testing.T) {
	out, err := runMake(t, map[string]string{"id": ordinaryUser}, "demo")
	if err == nil || !strings.Contains(out, ": sudo make demo") || strings.Count(out, "\n") != 1 {
		t.Errorf("make demo: %v, prints %q, want one line", err, out)
	}
}
