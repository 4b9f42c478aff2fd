// Package systemd tests the unit files beside it.
package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// units copies the units to a directory, with a program that is there in place
// of ours, and returns their paths.
func units(t *testing.T) []string {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("systemd-analyze is not here")
	}
	dir := t.TempDir()
	names, err := filepath.Glob("*.service")
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := filepath.Glob("*.socket")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range append(names, sockets...) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		text := strings.ReplaceAll(string(b), "/usr/local/bin/gatepost", "/bin/true")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out = append(out, path)
	}
	if len(out) != 4 {
		t.Fatalf("found %d units, want a service and three sockets", len(out))
	}
	return out
}

func TestVerifyIsSilent(t *testing.T) {
	out, err := exec.Command("systemd-analyze", append([]string{"verify"}, units(t)...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestExposure holds the unit to what docs/security.md promises.
func TestExposure(t *testing.T) {
	const most = 2.5
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", units(t)[0]).CombinedOutput()
	m := regexp.MustCompile(`Overall exposure level for gatepost\.service: ([0-9.]+)`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	if level, err := strconv.ParseFloat(string(m[1]), 64); err != nil || level > most {
		t.Errorf("exposure level %s, want at most %v", m[1], most)
	}
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(strings.Fields(string(page)), " "), "rates the unit "+string(m[1])) {
		t.Errorf("docs/security.md does not say that the unit is rated %s", m[1])
	}
}
