package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Set for a copy of the test binary that is to be gatepost, as that user.
const (
	beGatepost = "GATEPOST_TEST_MAIN"
	asUser     = "GATEPOST_TEST_UID"
)

// TestMain lets the tests run the program: a process of its own has exit codes,
// signals and a user id.
func TestMain(m *testing.M) {
	if os.Getenv(beGatepost) == "" {
		os.Exit(m.Run())
	}
	if uid, err := strconv.Atoi(os.Getenv(asUser)); err == nil {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
	}
	if os.Getenv("LISTEN_FDS") != "" { // systemd knows the process id beforehand
		_ = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	os.Exit(run(context.Background(), os.Args[1:]))
}

// machine is a host with Gatepost's directories, in a directory of its own.
type machine struct {
	dir string
	uid int // the mail user
}

// newMachine makes directories that belong to the mail user: the default one
// where the test runs as root, else who runs the test.
func newMachine(t *testing.T) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "gp") // t.TempDir is closed to others, and too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &machine{dir: dir, uid: os.Getuid()}
	if m.uid == 0 {
		m.uid = Default().MailUID
	}
	for _, d := range []string{".", "data", "mail", "run", "queue/gatepost"} {
		path := filepath.Join(dir, d)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Chmod(path, 0o755), os.Chown(path, m.uid, m.gid())); err != nil {
			t.Fatal(err)
		}
	}
	m.configure(t, "")
	return m
}

func (m *machine) gid() int {
	if os.Getuid() != 0 {
		return os.Getgid()
	}
	return m.uid
}

func (m *machine) config() string { return filepath.Join(m.dir, "gatepost.yaml") }

// configure writes the configuration, with more lines at its end.
func (m *machine) configure(t *testing.T, more string) {
	t.Helper()
	text := strings.ReplaceAll(fmt.Sprintf(`hostname: mx.example.org
queue_directory: DIR/queue
runtime_directory: DIR/run
data_directory: DIR/data
mail_root: DIR/mail
mail_uid: %d
mail_gid: %d
`, m.uid, m.gid()), "DIR", m.dir) + more
	if err := os.WriteFile(m.config(), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// command is gatepost with those arguments.
func (m *machine) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, append([]string{"--config", m.config()}, args...)...)
	cmd.Env = append(os.Environ(), beGatepost+"=yes", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// answer is what a command said.
type answer struct {
	out, talk string
	code      int
}

// run runs a command with nothing on stdin.
func (m *machine) run(t *testing.T, args ...string) answer { return m.runWith(t, "", args...) }

func (m *machine) runWith(t *testing.T, stdin string, args ...string) answer {
	t.Helper()
	cmd := m.command(t, args...)
	var out, talk bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &talk
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return answer{out.String(), talk.String(), cmd.ProcessState.ExitCode()}
}

// must runs a command that has to succeed, and returns its output.
func (m *machine) must(t *testing.T, args ...string) string {
	t.Helper()
	a := m.run(t, args...)
	if a.code != 0 {
		t.Fatalf("gatepost %s: exit %d: %s", strings.Join(args, " "), a.code, a.talk)
	}
	return a.out
}

// TestExitCodes: 0 done, 1 said no or failed, 2 misused; an error and what
// mends it on stderr, nothing on stdout.
func TestExitCodes(t *testing.T) {
	m := newMachine(t)
	for _, tc := range []struct {
		args string
		code int
		talk string // each of its lines begins with "gatepost: "
	}{
		{"version", 0, ""},
		{"config check", 0, ""},
		{"nonsense", 2, "error: unknown command \"nonsense\"\nhint: gatepost help lists the commands\n"},
		{"user nonsense", 2, "error: unknown command \"nonsense\" for \"gatepost user\"\nhint: gatepost user --help lists them\n"},
		{"user list --nonsense", 2, "error: unknown flag: --nonsense\nhint: gatepost user list --help shows the options\n"},
		{"user add", 2, "error: accepts 1 arg(s), received 0\nhint: gatepost user add --help shows how\n"},
		{"user add alice", 2, "error: \"alice\" is not an address such as alice@example.org\n"},
		{"alias add info@example.org", 2, "error: "},
		{"ban add 192.0.2.7/24", 2, "error: \"192.0.2.7/24\" has bits behind its length: did you mean 192.0.2.0/24?\n"},
		{"ban add 192.0.2.7 --for soon", 2, "error: --for: \"soon\" is not a time span of at least 1s\n"},
		{"ban remove x7q2mk4a", 1, "error: no ban of x7q2mk4a\nhint: one that closes an account or a password is in no list: gatepost ban explain ADDRESS\n"},
		{"ban remove no-network", 2, "error: \"no-network\" is not an address or a network such as 192.0.2.0/24\n"},
		{"ban add 0.0.0.0/0", 2, "error: 0.0.0.0/0 is larger than a /8 (IPv4) or a /16 (IPv6), and may be where you are\nhint: --force bans it all the same\n"},
		{"ban add 2001::/15 --for 1h", 2, "error: \"2001::/15\" has bits"},
		{"ban add 2000::/15", 2, "error: 2000::/15 is larger than a /8"},
		{"ban add 0.0.0.0/0 --force", 0, ""},
		{"ban add 10.0.0.0/8", 0, ""},
		{"ban add 2001::/16", 0, ""},
		{"domain add localhost", 2, "error: not valid: \"localhost\" is no domain: it has no dot\n"},
		{"domain add 1.2.3.4", 2, "error: not valid: \"1.2.3.4\" is no domain: it ends in a number, as an address of the network does\n"},
		{"domain add [1.2.3.4]", 2, "error: not valid: \"[1.2.3.4]\" is no domain: it is an address of the network\n"},
		{"domain add good.example a_b.example", 2, "error: not valid: \"a_b.example\" is no domain: its parts have letters, digits and inner hyphens"},
		{"domain add bücher.example", 2, "error: not valid: \"bücher.example\" is no domain: write it in ASCII, as xn--bcher-kva.example\n"},
		{"domain add MX.example.org.", 1, "error: MX.example.org. is this server's hostname, whose mail Postfix gives to local users (mydestination)\nhint: name"},
		{"domain show good.example", 1, "error: domain good.example: no such entry\n"}, // not a half
		{"domain show a..b", 2, "error: \"a..b\" is not a domain such as example.org\n"},
		{"domain remove a..b", 2, "error: \"a..b\" is not a domain such as example.org\n"},
		{"user add ../x@example.org", 2, "error: user \"../x\"@example.org: local part \"../x\": not a safe directory name\n"},
		{"ban remove 192.0.2.7", 1, "error: no ban of 192.0.2.7\nhint: gatepost ban explain 192.0.2.7 names the bans around it, if there are any\n"},
		{"serve nonsense", 2, "error: \"nonsense\" is none of the daemons milter policyd authd lmtpd, nor state\nhint: gatepost serve --help shows how\n"},
		{"explain", 2, "error: give either one id or --client ADDR\n"},
		{"explain 4XyZ1b2c3dzABC", 1, "error: the journal has nothing of 4XyZ1b2c3dzABC\nhint: "},
		{"user show alice@example.org", 1, "error: user alice@example.org: no such entry\n"},
		{"domain show example.org", 1, "error: domain example.org: no such entry\n"},
		{"alias add info@example.org alice@example.org", 1, "error: add alias info@example.org: no such domain\nhint: gatepost domain add NAME makes a domain ours\n"},
		{"user add alice@example.org", 1, "error: no password was given\nhint: "},
		{"dkim dns example.org", 1, "error: no signing key for example.org\nhint: gatepost dkim new DOMAIN makes them\n"},
		{"config check --config /nonexistent", 1, "error: read configuration: open /nonexistent: no such file or directory\n"},
	} {
		a := m.run(t, strings.Fields(tc.args)...)
		if tc.code == 0 {
			a.out = ""
		}
		if a.code != tc.code {
			t.Errorf("%s: exit %d, want %d: %s", tc.args, a.code, tc.code, a.talk)
		}
		var talk strings.Builder
		for line := range strings.Lines(a.talk) {
			rest, ok := strings.CutPrefix(line, "gatepost: ")
			if !ok {
				t.Errorf("%s: %q does not begin with the program's name", tc.args, line)
			}
			talk.WriteString(rest)
		}
		if !strings.HasPrefix(talk.String(), tc.talk) || tc.talk == "" && talk.Len() > 0 {
			t.Errorf("%s says\n%s\nwant\n%s", tc.args, talk.String(), tc.talk)
		}
		if tc.code != 0 && a.out != "" {
			t.Errorf("%s: an error, and on stdout %q", tc.args, a.out)
		}
	}
}

// TestEmptyArguments: a variable of a script that is not set asks for nothing.
func TestEmptyArguments(t *testing.T) {
	m := newMachine(t)
	for _, args := range []string{"explain", "domain add", "domain show", "user list", "user show", "alias list", "ban add", "ban remove", "scan", "serve"} {
		a := m.run(t, append(strings.Fields(args), "")...)
		if a.code != 2 || a.out != "" || !strings.HasPrefix(a.talk, "gatepost: error: an argument is empty\ngatepost: hint: gatepost ") {
			t.Errorf("%s \"\": exit %d: %s%s", args, a.code, a.out, a.talk)
		}
	}
	if a := m.run(t, "user", "list", "--config", ""); a.code != 2 || !strings.Contains(a.talk, "hint: "+defaultConfig) {
		t.Errorf("--config \"\": exit %d: %s", a.code, a.talk)
	}
}

// TestEmptyListsAreLists: a script that goes over a list gets [], never null.
func TestEmptyListsAreLists(t *testing.T) {
	m := newMachine(t)
	for _, args := range []string{
		"domain list", "user list", "alias list", "ban list", "limit show", "dkim list", "explain --client 192.0.2.7",
	} {
		if out := m.must(t, append(strings.Fields(args), "--json")...); out != "[]\n" {
			t.Errorf("%s --json prints %q, want []", args, out)
		}
	}
	m.must(t, "domain", "add", "example.org")
	for _, args := range []string{"domain show example.org --json", "config check --json"} {
		var got map[string]any
		out := m.must(t, strings.Fields(args)...)
		if err := json.Unmarshal([]byte(out), &got); err != nil || strings.Contains(out, "null") {
			t.Errorf("%s prints %s (%v), want no null", args, out, err)
		}
	}
}

// TestJSONIsSafeOnATerminal: what a peer sent does nothing there, and is the
// same text for a script.
func TestJSONIsSafeOnATerminal(t *testing.T) {
	const text = "\x1b[2J \u009b2J \x7f \u202egnp.exe \U000e0041 ä <b>"
	var b bytes.Buffer
	if err := printJSON(&b, []string{text}); err != nil {
		t.Fatal(err)
	}
	want := "[\n  \"" + `\u001b[2J \u009b2J \u007f \u202egnp.exe \udb40\udc41 ä <b>` + "\"\n]\n"
	if b.String() != want {
		t.Errorf("printJSON writes %q, want %q", b.String(), want)
	}
	var got []string
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || got[0] != text {
		t.Errorf("it reads back as %q, %v", got, err)
	}
}

// TestAccountsByHand follows an administrator while nothing runs. The files are
// the mail user's afterwards, also where root did it, and hold no password.
func TestAccountsByHand(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "Example.ORG")
	if a := m.runWith(t, "planted-first\r\n", "user", "add", "Alice@example.org"); a.code != 0 {
		t.Fatal(a.talk)
	}
	m.must(t, "alias", "add", "info@example.org", "alice@example.org", "carol@example.net")
	m.must(t, "alias", "add", "@example.org", "alice@example.org")
	m.must(t, "alias", "remove", "info@example.org", "carol@example.net")
	m.must(t, "user", "hold", "alice@example.org")
	m.must(t, "dkim", "new", "example.org")
	if a := m.runWith(t, "planted-second", "user", "password", "alice@example.org"); a.code != 0 {
		t.Fatal(a.talk)
	}
	for args, want := range map[string]string{
		"domain list":                    "example.org\n",
		"alias list":                     "ALIAS             LEADS TO\n@example.org      alice@example.org\ninfo@example.org  alice@example.org\n",
		"alias show info@example.org":    "ALIAS             LEADS TO\ninfo@example.org  alice@example.org\n",
		"user show alice@example.org":    "alice@example.org  held   20",
		"user list a*@example.org":       "alice@example.org  held   20",
		"user list --json example.org":   `"addr": "alice@example.org"`,
		"domain show example.org":        "info@example.org  alice@example.org\n",
		"dkim list --json":               `"domain": "example.org"`,
		"alias show @example.org":        "@example.org  alice@example.org\n",
		"config check":                   "the configuration is good\n",
		"domain show --json EXAMPLE.org": `"name": "example.org"`,
	} {
		if out := m.must(t, strings.Fields(args)...); !strings.Contains(out, want) {
			t.Errorf("%s prints\n%s\nwant in it\n%s", args, out, want)
		}
	}
	if a := m.run(t, "domain", "remove", "example.org"); a.code != 1 || !strings.Contains(a.talk, "hint: --force") {
		t.Errorf("domain remove: exit %d: %s", a.code, a.talk)
	}
	m.inspect(t, "planted")
	m.must(t, "domain", "remove", "example.org", "--force")
	if out := m.must(t, "user", "list", "--json"); out != "[]\n" {
		t.Errorf("the users of a domain that went: %s", out)
	}
}

// inspect looks at every file: whose it is, who may read it, and that the text
// is nowhere in it.
func (m *machine) inspect(t *testing.T, planted string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(filepath.Join(m.dir, "data"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		if sys := st.Sys().(*syscall.Stat_t); int(sys.Uid) != m.uid || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s belongs to %d with mode %v, want %d and nothing for others", path, sys.Uid, st.Mode(), m.uid)
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(planted)) {
			t.Errorf("%q is in %s", planted, path)
		}
		seen++
		return err
	})
	if err != nil || seen < 5 {
		t.Errorf("%d files, %v", seen, err)
	}
}

// needsRoot skips a test that only root can run, or fails it under CI.
func needsRoot(t *testing.T, to string) {
	t.Helper()
	switch {
	case os.Getuid() == 0:
	case os.Getenv("CI") != "":
		t.Fatalf("needs root, %s", to)
	default:
		t.Skipf("needs root, %s", to)
	}
}

// TestCheckFindsForeignFiles: what root left behind is found before a restart
// fails on it.
func TestCheckFindsForeignFiles(t *testing.T) {
	needsRoot(t, "to give files away")
	m := newMachine(t)
	check := func() []string {
		var found findings
		a := m.run(t, "config", "check", "--json")
		if err := json.Unmarshal([]byte(a.out), &found); err != nil {
			t.Fatal(err, a.talk)
		}
		if (a.code == 0) != (len(found.Faults) == 0) {
			t.Errorf("exit %d with the faults %v", a.code, found.Faults)
		}
		var out []string
		for _, f := range found.Faults {
			out = append(out, strings.ReplaceAll(f.Text, m.dir, ""))
		}
		return out
	}
	m.must(t, "dkim", "new", "example.org", "--algorithm", "ed25519", "--selector", "s1")
	give := func(path string, uid int) {
		if err := os.Chown(filepath.Join(m.dir, path), uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	home := filepath.Join(m.dir, "mail/example.org/alice")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	give("mail/example.org/alice", 0)
	if got, want := check(), []string{fmt.Sprintf("/mail/example.org/alice belongs to user id 0, but mail_uid is %d, which owns all mail", m.uid)}; !slices.Equal(got, want) {
		t.Errorf("config check finds %q, want %q", got, want)
	}
	give("mail/example.org/alice", m.uid)
	for _, path := range []string{"data/dkim/example.org/s1.pem", "data/state.db", "mail", "data"} {
		give(path, 0)
		want := []string{fmt.Sprintf("/%s belongs to user id 0, but mail_uid is %d", path, m.uid)}
		if got := check(); !slices.Equal(got, want) {
			t.Errorf("config check finds %q, want %q", got, want)
		}
		give(path, m.uid)
	}
	if got := check(); len(got) > 0 {
		t.Errorf("config check finds %q", got)
	}
}

// TestStrangerMayNot: another user is told what to do, with and without a
// Gatepost that runs.
func TestStrangerMayNot(t *testing.T) {
	needsRoot(t, "to become another user")
	m := newMachine(t)
	if err := os.Chmod(filepath.Join(m.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := m.command(t, "user", "list")
	cmd.Env = append(cmd.Env, asUser+"=65534")
	out, err := cmd.CombinedOutput()
	said := regexp.MustCompile(`^gatepost: error: only root and (\S+|user id \d+) may ask gatepost\ngatepost: hint: run the command as root\n$`)
	if err == nil || !said.Match(out) {
		t.Errorf("user list as nobody: %v, %s", err, out)
	}
}
