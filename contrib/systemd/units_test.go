// Package systemd tests the unit files beside it.
package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
		if strings.Contains(name, "@") { // of the split shape: split_test.go
			continue
		}
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
	if len(out) != 8 {
		t.Fatalf("found %d units, want three services and five sockets", len(out))
	}
	return out
}

func TestVerifyIsSilent(t *testing.T) {
	out, err := exec.Command("systemd-analyze", append([]string{"verify"}, units(t)...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// exposure returns how systemd rates a service.
func exposure(t *testing.T, name string) string {
	t.Helper()
	all := units(t)
	i := slices.IndexFunc(all, func(path string) bool { return filepath.Base(path) == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", all[i]).CombinedOutput()
	m := regexp.MustCompile(`Overall exposure level for ` + regexp.QuoteMeta(name) + `: ([0-9.]+)`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	return string(m[1])
}

// TestExposure holds the units to what docs/security.md promises.
func TestExposure(t *testing.T) {
	const most = 2.5
	for _, name := range []string{"gatepost.service", "gatepost-queue.service", "gatepost-firewall.service"} {
		level := exposure(t, name)
		if n, err := strconv.ParseFloat(level, 64); err != nil || n > most {
			t.Errorf("%s: exposure level %s, want at most %v", name, level, most)
		}
	}
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	level := exposure(t, "gatepost.service")
	if !strings.Contains(strings.Join(strings.Fields(string(page)), " "), "rates the unit "+level) {
		t.Errorf("docs/security.md does not say that the unit is rated %s", level)
	}
}

// TestQueueHelper: the one unit that runs as root can do nothing but what
// Postfix's commands need.
func TestQueueHelper(t *testing.T) {
	b, err := os.ReadFile("gatepost-queue.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"PrivateNetwork=yes", "IPAddressDeny=any", "RestrictAddressFamilies=AF_UNIX", "NoNewPrivileges=no",
		"CapabilityBoundingSet=CAP_SETUID CAP_SETGID", "ProtectSystem=strict"} {
		if !strings.Contains(string(b), "\n"+line+"\n") {
			t.Errorf("the unit does not say %s", line)
		}
	}
}

// TestFirewallHelper: the one unit that may change the firewall is no root, has
// that one capability, and talks to nobody.
func TestFirewallHelper(t *testing.T) {
	b, err := os.ReadFile("gatepost-firewall.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"DynamicUser=yes", "CapabilityBoundingSet=CAP_NET_ADMIN", "AmbientCapabilities=CAP_NET_ADMIN", "NoNewPrivileges=yes",
		"IPAddressDeny=any", "RestrictAddressFamilies=AF_UNIX AF_NETLINK", "ProtectSystem=strict"} {
		if !strings.Contains(string(b), "\n"+line+"\n") {
			t.Errorf("the unit does not say %s", line)
		}
	}
	for _, bad := range []string{"ReadWritePaths", "StateDirectory"} {
		if strings.Contains(string(b), bad) {
			t.Errorf("the unit says %s", bad)
		}
	}
}
