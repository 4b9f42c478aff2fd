package systemd

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// instances are the services of the split shape.
var instances = []string{"state", "milter", "policyd", "authd", "lmtpd"}

// splitUnits copies the template with its drop-ins, and the sockets, as they are
// when each service is started, with a program that is there in place of ours and
// users that are there in place of those of sysusers.
func splitUnits(t *testing.T) (dir string, paths []string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("systemd-analyze is not here")
	}
	dir = t.TempDir()
	put := func(name string, from string) string {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), "/usr/local/bin/gatepost", "/bin/true")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, i := range instances {
		name := "gatepost@" + i + ".service"
		paths = append(paths, put(name, "gatepost@.service"))
		drop := name + ".d/" + i + ".conf"
		put(drop, drop)
	}
	sockets, err := filepath.Glob("gatepost@*.socket")
	if err != nil || len(sockets) != 8 {
		t.Fatalf("found %q, %v, want eight sockets", sockets, err)
	}
	for _, s := range sockets {
		paths = append(paths, put(s, s))
	}
	put("gatepost.service", "gatepost.service")
	return dir, paths
}

func TestSplitVerifies(t *testing.T) {
	dir, paths := splitUnits(t)
	cmd := exec.Command("systemd-analyze", append([]string{"verify"}, paths...)...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestSplitExposure: each of them is closer shut than one process for all is.
func TestSplitExposure(t *testing.T) {
	const most = 1.6
	dir, paths := splitUnits(t)
	for _, i := range instances {
		name := "gatepost@" + i + ".service"
		at := slices.IndexFunc(paths, func(p string) bool { return filepath.Base(p) == name })
		cmd := exec.Command("systemd-analyze", "security", "--offline=true", paths[at])
		cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
		out, err := cmd.CombinedOutput()
		m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
		if err != nil || m == nil {
			t.Fatalf("systemd-analyze security %s: %v\n%s", name, err, out)
		}
		level, err := strconv.ParseFloat(string(m[1]), 64)
		t.Logf("%s: %v", name, level)
		if err != nil || level > most {
			t.Errorf("%s: exposure level %s, want at most %v", name, m[1], most)
		}
	}
}

// TestSplitApart: only one unit has the data, only one the mail, and every socket
// of the one process is one of exactly one daemon.
func TestSplitApart(t *testing.T) {
	hidden := func(i, path string) bool {
		b, err := os.ReadFile("gatepost@" + i + ".service.d/" + i + ".conf")
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if !strings.Contains(text, "\nInaccessiblePaths=\n") {
			all, err := os.ReadFile("gatepost@.service")
			if err != nil {
				t.Fatal(err)
			}
			text += string(all)
		}
		return regexp.MustCompile(`(?m)^InaccessiblePaths=.*-` + path + `( |$)`).MatchString(text)
	}
	for _, i := range instances {
		if got := !hidden(i, "/var/lib/gatepost"); got != (i == "state") {
			t.Errorf("gatepost@%s sees the data: %v", i, got)
		}
		if got := !hidden(i, "/var/vmail"); got != (i == "lmtpd") {
			t.Errorf("gatepost@%s sees mail: %v", i, got)
		}
	}
	// An empty StateDirectory= takes the mode back to 0755.
	if b, err := os.ReadFile("gatepost@state.service.d/state.conf"); err != nil || !strings.Contains(string(b), "\nStateDirectoryMode=0700\n") {
		t.Errorf("gatepost@state does not shut its directory: %v", err)
	}
	one, split := streams(t, "gatepost-*.socket"), streams(t, "gatepost@*.socket")
	for path := range one {
		if path != "/run/gatepost/queue" && path != "/run/gatepost/firewall" && split[path] != 1 {
			t.Errorf("%d units of the split shape listen on %s", split[path], path)
		}
	}
	if split["/run/gatepost/state"] != 1 || len(split) != len(one)-2+1 {
		t.Errorf("the split shape listens on %v", split)
	}
}

// streams counts what sockets listen on.
func streams(t *testing.T, pattern string) map[string]int {
	t.Helper()
	names, err := fs.Glob(os.DirFS("."), pattern)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^ListenStream=(.*)$`).FindAllStringSubmatch(string(b), -1) {
			all[m[1]]++
		}
	}
	return all
}
