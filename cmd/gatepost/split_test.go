package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/config"
)

// splitUsers are the users of a split in a test, beside the mail user.
var splitUsers = map[string]int{"state": 7101, "milter": 7102, "policyd": 7103, "authd": 7104}

// split is a Gatepost of five processes and five users.
type split struct {
	*inside
	procs map[string]*served
}

// newSplit makes the directories, and starts nothing.
func newSplit(t *testing.T, more string) *split {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root, for five users")
		}
		t.Skip("needs root, for five users")
	}
	s := &split{inside: &inside{machine: newMachine(t), log: new(bytes.Buffer)}, procs: map[string]*served{}}
	s.configure(t, more)
	data := filepath.Join(s.dir, "data")
	errs := []error{os.Chown(s.dir, 0, 0), os.Chown(data, splitUsers["state"], splitUsers["state"]), os.Chmod(data, 0o700),
		os.Chmod(filepath.Join(s.dir, "run"), 0o777), os.Chmod(filepath.Join(s.dir, "queue/gatepost"), 0o777)}
	for _, d := range daemonNames {
		errs = append(errs, os.Mkdir(data+"-"+d, 0o700), os.Chown(data+"-"+d, s.userOf(d), s.userOf(d)))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *split) userOf(name string) int {
	if uid, ok := splitUsers[name]; ok {
		return uid
	}
	return s.uid
}

// start starts one process and does not wait for it.
func (s *split) start(t *testing.T, name string) *served {
	t.Helper()
	p := &served{inside: &inside{machine: s.machine, log: new(bytes.Buffer)}}
	path := filepath.Join(s.dir, "notify-"+name)
	_ = os.Remove(path)
	var err error
	if p.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.notify.Close() })
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	p.cmd = s.command(t, "serve", name)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Env = append(p.cmd.Env, fmt.Sprintf("%s=%d", asUser, s.userOf(name)), "NOTIFY_SOCKET="+path)
	p.cmd.Stderr = p.inside
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s:\n%s", name, p.logged())
		}
	})
	s.procs[name] = p
	return p
}

func (s *served) kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// ready waits for a process. The socket of the state is of its user's own group
// here, so it is opened for all: who asks is looked at all the same.
func (s *split) ready(t *testing.T, name string) {
	t.Helper()
	s.procs[name].told(t, "READY=1")
	if name == stateName {
		if err := os.Chmod(filepath.Join(s.dir, "run/state"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// startSplit starts all, with alice at example.org.
func startSplit(t *testing.T, more string) *split {
	t.Helper()
	s := newSplit(t, more)
	s.start(t, stateName)
	s.ready(t, stateName)
	s.must(t, "domain", "add", "example.org")
	if a := s.runWith(t, "wonderland\n", "user", "add", "alice@example.org"); a.code != 0 {
		t.Fatalf("user add: %s", a.talk)
	}
	for _, d := range daemonNames {
		s.start(t, d)
	}
	for _, d := range daemonNames {
		s.ready(t, d)
	}
	return s
}

// login answers a login of alice from a client.
func (s *split) login(t *testing.T, client, password string) string {
	t.Helper()
	p := s.peer(t, "queue/gatepost", "auth")
	p.ask("VERSION\t1\t2\nCPID\t7\n", "DONE\n")
	resp := base64.StdEncoding.EncodeToString([]byte("\x00alice@example.org\x00" + password))
	return p.ask("AUTH\t1\tPLAIN\tservice=smtp\trip="+client+"\tresp="+resp+"\n", "\n")
}

// rcpt answers alice who sends to somebody, from a client.
func (s *split) rcpt(t *testing.T, client, from, user string) string {
	t.Helper()
	p := s.peer(t, "queue/gatepost", "policy")
	return p.ask("request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address="+client+
		"\ninstance="+rand.Text()+"\nsender="+from+"\nrecipient=x@example.net\nsasl_username="+user+"\n\n", "\n\n")
}

// mailbox answers whether an address has a mailbox.
func (s *split) mailbox(t *testing.T, addr string) string {
	t.Helper()
	q := "virtual_mailbox_maps " + addr
	return s.peer(t, "queue/gatepost", "socketmap").ask(fmt.Sprintf("%d:%s,", len(q), q), ",")
}

// within tries until ok, for at most a time.
func within(t *testing.T, most time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !ok(); {
		if time.Now().After(end) {
			t.Errorf("not within %v: %s", most, what)
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

// TestSplit: five processes of five users serve as one does.
func TestSplit(t *testing.T) {
	s := startSplit(t, "policyd: {reject_sender_login_mismatch: enforce}\n")
	if got := s.login(t, "198.51.100.7", "wonderland"); got != "OK\t1\tuser=alice@example.org" {
		t.Errorf("login answers %q", got)
	}
	if got := s.login(t, "198.51.100.8", "guess"); !strings.HasPrefix(got, "FAIL\t1") {
		t.Errorf("login with a wrong password answers %q", got)
	}
	if got := s.rcpt(t, "198.51.100.7", "bob@example.org", "alice@example.org"); !strings.HasPrefix(got, "action=553 5.7.1 ") {
		t.Errorf("policy answers %q", got)
	}
	if got := s.mailbox(t, "ALICE+x@example.org"); got != "20:OK alice@example.org" {
		t.Errorf("socketmap answers %q", got)
	}
	if a := s.runWith(t, "secret of bob\n", "user", "add", "bob@example.org"); a.code != 0 {
		t.Errorf("user add: %s", a.talk)
	}
	(&served{inside: s.inside}).request(t) // every daemon, a message judged and one delivered
	within(t, time.Second, "bob is known", func() bool { return s.mailbox(t, "bob@example.org") == "18:OK bob@example.org" })
	s.opensNoFile(t)
	s.bans(t)
	within(t, 5*time.Second, "the journal has what two daemons did", func() bool {
		a := s.run(t, "explain", "--client", "198.51.100.7", "--since", "10m")
		return a.code == 0 && strings.Contains(a.out, "login") && strings.Contains(a.out, "553")
	})
	s.reload(t)
	s.hangs(t)
	s.stateAway(t)
	for _, d := range append(slices.Clone(daemonNames), stateName) {
		s.procs[d].signal(t, syscall.SIGTERM)
		if err := s.procs[d].cmd.Wait(); err != nil {
			t.Errorf("%s ends with %v", d, err)
		}
	}
}

// opensNoFile: nobody but the state process has a file of the data directory
// open.
func (s *split) opensNoFile(t *testing.T) {
	t.Helper()
	for name, p := range s.procs {
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.cmd.Process.Pid))
		if err != nil || len(fds) == 0 {
			t.Fatalf("%s: files are not seen: %v", name, err)
		}
		there := 0
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, filepath.Join(s.dir, "data")+"/") {
				there++
			}
		}
		if (there > 0) != (name == stateName) {
			t.Errorf("%s has %d files of the data directory open", name, there)
		}
	}
}

// bans: one that a person sets, and one that authd made, hold on every service
// within a second.
func (s *split) bans(t *testing.T) {
	t.Helper()
	refused := func(client string) func() bool {
		return func() bool {
			return strings.HasPrefix(s.login(t, client, "wonderland"), "FAIL") &&
				strings.HasPrefix(s.rcpt(t, client, "alice@example.org", "alice@example.org"), "action=450")
		}
	}
	s.must(t, "ban", "add", "203.0.113.0/24", "--for", "1d", "--reason", "planted")
	within(t, time.Second, "the ban holds for logins and for submission", refused("203.0.113.9"))
	s.must(t, "ban", "remove", "203.0.113.0/24")
	within(t, time.Second, "the ban is lifted", func() bool {
		return s.login(t, "203.0.113.9", "wonderland") == "OK\t1\tuser=alice@example.org" &&
			strings.HasPrefix(s.rcpt(t, "203.0.113.9", "alice@example.org", "alice@example.org"), "action=DUNNO")
	})
}

// reload: each process takes a new file.
func (s *split) reload(t *testing.T) {
	t.Helper()
	s.configure(t, "policyd: {reject_sender_login_mismatch: observe}\n")
	for _, p := range s.procs {
		p.signal(t, syscall.SIGHUP)
		p.told(t, "RELOADING=1")
		p.told(t, "READY=1")
		p.until(t, "configuration taken")
	}
	if got := s.rcpt(t, "198.51.100.7", "bob@example.org", "alice@example.org"); !strings.HasPrefix(got, "action=DUNNO") {
		t.Errorf("after the reload policy answers %q", got)
	}
}

// hangs: a state process that does not answer keeps nobody waiting for long, and
// what is known nobody at all.
func (s *split) hangs(t *testing.T) {
	t.Helper()
	s.mailbox(t, "alice@example.org")
	s.procs[stateName].signal(t, syscall.SIGSTOP)
	began := time.Now()
	if got := s.mailbox(t, "alice@example.org"); got != "20:OK alice@example.org" || time.Since(began) > time.Second {
		t.Errorf("state hangs: a known mailbox is answered %q after %v", got, time.Since(began))
	}
	if got := s.mailbox(t, "dave@example.org"); !strings.Contains(got, "TEMP") || time.Since(began) > 10*time.Second {
		t.Errorf("state hangs: an unknown mailbox is answered %q after %v", got, time.Since(began))
	}
	s.procs[stateName].signal(t, syscall.SIGCONT)
	within(t, 5*time.Second, "all is well", func() bool { return strings.Contains(s.mailbox(t, "dave@example.org"), "NOTFOUND") })
}

// stateAway: what is known goes on, passwords are not guessed about, and all is
// well again by itself.
func (s *split) stateAway(t *testing.T) {
	t.Helper()
	s.procs[stateName].kill()
	if got := s.mailbox(t, "alice@example.org"); got != "20:OK alice@example.org" {
		t.Errorf("state away: a known mailbox is answered %q", got)
	}
	if got := s.mailbox(t, "carol@example.org"); !strings.Contains(got, "TEMP") {
		t.Errorf("state away: an unknown mailbox is answered %q", got)
	}
	p := s.peer(t, "queue/gatepost", "auth")
	p.ask("VERSION\t1\t2\nCPID\t7\n", "DONE\n")
	resp := base64.StdEncoding.EncodeToString([]byte("\x00alice@example.org\x00wonderland"))
	if _, err := p.conn.Write([]byte("AUTH\t1\tPLAIN\tservice=smtp\trip=198.51.100.7\tresp=" + resp + "\n")); err != nil {
		t.Error(err)
	}
	if b, err := p.in.ReadByte(); err == nil { // closed: smtpd says 454
		t.Errorf("state away: a login is answered %q…", b)
	}
	s.start(t, stateName)
	s.ready(t, stateName)
	within(t, 5*time.Second, "all is well", func() bool {
		return strings.Contains(s.mailbox(t, "carol@example.org"), "NOTFOUND")
	})
	if got := s.login(t, "198.51.100.7", "wonderland"); got != "OK\t1\tuser=alice@example.org" {
		t.Errorf("after the restart a login is answered %q", got)
	}
	s.must(t, "ban", "add", "198.18.0.0/24", "--for", "1d")
	within(t, 2*time.Second, "a ban holds after the restart", func() bool {
		return strings.HasPrefix(s.login(t, "198.18.0.9", "wonderland"), "FAIL")
	})
}

// TestSplitWaits: a daemon that starts first waits for the state.
func TestSplitWaits(t *testing.T) {
	s := newSplit(t, "")
	p := s.start(t, "policyd")
	p.until(t, "waiting for the state process")
	s.start(t, stateName)
	s.ready(t, stateName)
	s.ready(t, "policyd")
}

// TestSplitRefuses: what can not be is said at once.
func TestSplitRefuses(t *testing.T) {
	s := newSplit(t, "")
	for _, tc := range []struct {
		name string
		uid  int
		want string
	}{
		{"state", 7102, "belongs to user id 7101"},
		{"policyd", 7102, "data-policyd is not there, or not the directory of user id 7102"},
		{"lmtpd", 7104, "mail_uid is"},
	} {
		cmd := s.command(t, "serve", tc.name)
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", asUser, tc.uid))
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), tc.want) || !strings.Contains(string(out), "gatepost: hint: ") {
			t.Errorf("serve %s as %d: %v, %s\nwant %q", tc.name, tc.uid, err, out, tc.want)
		}
	}
}

// TestSplitCheck: config check knows the directories of the split shape, and
// refuses one without a state process.
func TestSplitCheck(t *testing.T) {
	s := newSplit(t, "")
	cfg := Default()
	if err := config.Load(s.config(), &cfg); err != nil {
		t.Fatal(err)
	}
	data := cfg.DataDirectory
	look := func(chown map[string]int) (found findings, owner int, is bool) {
		for path, uid := range chown {
			if err := os.Chown(path, uid, uid); err != nil {
				t.Fatal(err)
			}
		}
		owner, is = found.split(cfg)
		return found, owner, is
	}
	if found, owner, is := look(nil); len(found.Faults) > 0 || owner != 7101 || !is {
		t.Errorf("split() = %+v, %d, %v", found, owner, is)
	}
	for want, chown := range map[string]map[string]int{
		"no state process can serve them": {data: s.uid},
		"which is no user of its own":     {data: 7101, data + "-authd": 7101},
		"but mail_uid is":                 {data + "-authd": 7104, data + "-lmtpd": 7104},
		"become a daemon":                 {data + "-lmtpd": s.uid, s.dir: 7104},
	} {
		_, _, _ = look(map[string]int{data: 7101, data + "-authd": 7104, data + "-lmtpd": s.uid, s.dir: 0})
		if found, _, is := look(chown); !is || len(found.Faults) != 1 || !strings.Contains(found.Faults[0].Text, want) {
			t.Errorf("split() = %+v, want %q", found, want)
		}
	}
	var found findings
	cfg.DataDirectory = filepath.Join(newMachine(t).dir, "data")
	if _, is := found.split(cfg); is || len(found.Faults) > 0 {
		t.Errorf("one process is taken for a split: %+v", found)
	}
}
