package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// served is a "gatepost serve" in a process of its own, and what it tells
// systemd.
type served struct {
	*inside
	cmd    *exec.Cmd
	notify *net.UnixConn
}

// startServed starts serve and waits until it is ready.
func startServed(t *testing.T, more string, env ...string) *served {
	t.Helper()
	s := &served{inside: &inside{machine: newMachine(t), log: new(bytes.Buffer)}}
	s.configure(t, more)
	path := filepath.Join(s.dir, "notify")
	var err error
	if s.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.notify.Close() })
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	s.cmd = s.serve(t)
	s.cmd.Env = append(append(s.cmd.Env, "NOTIFY_SOCKET="+path), env...)
	s.cmd.Stderr = s.inside
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
		}
		if t.Failed() {
			t.Log(s.logged())
		}
	})
	s.told(t, "READY=1")
	return s
}

// serve is the command, as the mail user.
func (m *machine) serve(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := m.command(t, "serve")
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", asUser, m.uid))
	if os.Getuid() != 0 {
		cmd.Env = append(cmd.Env, asUser+"=") // it is that user already
	}
	return cmd
}

// learnedScan: scan of a file has what the Gatepost that runs has learned.
func (s *served) learnedScan(t *testing.T) {
	t.Helper()
	if a := s.runWith(t, scannedMail, "scan", "-"); a.code != 0 || strings.Contains(a.out, "LEARNED_") {
		t.Errorf("scan before learning: exit %d: %s%s", a.code, a.out, a.talk)
	}
	var box strings.Builder
	for n := range 20 {
		fmt.Fprintf(&box, "From a Fri Nov 20 10:00:00 2026\nFrom: n@news.example\nSubject: hello %d\nMessage-ID: <%d@news.example>\n\nhello %d\n\n", n, n, n)
	}
	if a := s.runWith(t, box.String(), "learn", "ham", "-"); a.code != 0 || !strings.HasPrefix(a.out, "20 new, ") {
		t.Fatalf("learn ham: exit %d: %s%s", a.code, a.out, a.talk)
	}
	if a := s.runWith(t, scannedMail, "scan", "-"); a.code != 0 || !strings.Contains(a.out, "LEARNED_HAM") || !strings.Contains(strings.Join(strings.Fields(a.out), " "), "20 ham, 0 spam") {
		t.Errorf("scan after learning: exit %d: %s%s", a.code, a.out, a.talk)
	}
	if a := s.runWith(t, scannedMail, "scan", "--user", "alice@example.org", "-"); a.code != 0 || strings.Contains(a.out, "LEARNED_") {
		t.Errorf("scan of what a user sends: exit %d: %s%s", a.code, a.out, a.talk)
	}
}

// told waits for what serve tells systemd next.
func (s *served) told(t *testing.T, want string) {
	t.Helper()
	if err := s.notify.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1000)
	n, err := s.notify.Read(b)
	if err != nil || string(b[:n]) != want {
		t.Fatalf("systemd is told %q, %v, want %q\n%s", b[:n], err, want, s.logged())
	}
}

func (s *served) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// TestServe follows an administrator while Gatepost runs: the command line asks
// it, no second one starts, SIGHUP takes a file or says why not, SIGTERM tells
// systemd first and then lets what is in hand finish.
func TestServe(t *testing.T) {
	s := startServed(t, "authd: {failure_delay: 2s}\n")
	s.must(t, "domain", "add", "example.org")
	if a := s.runWith(t, "wonderland\n", "user", "add", "alice@example.org"); a.code != 0 {
		t.Fatal(a.talk)
	}
	if out := s.must(t, "user", "list", "--json"); !strings.Contains(out, `"addr": "alice@example.org"`) {
		t.Errorf("user list prints %s", out)
	}
	s.must(t, "ban", "add", "203.0.113.0/24", "--for", "1d", "--reason", "planted")
	if out := s.must(t, "ban", "list"); !strings.Contains(out, "203.0.113.0/24") || !strings.Contains(out, "planted") {
		t.Errorf("ban list prints %s", out)
	}
	if out := s.must(t, "rules", "GTUBE"); !strings.Contains(out, "hits     0, since the start\n") {
		t.Errorf("rules GTUBE prints %s", out)
	}
	s.learnedScan(t)
	s.second(t)
	s.completes(t)
	s.stranger(t)

	s.configure(t, "authd: {failure_dealy: 1s}\n")
	s.signal(t, syscall.SIGHUP)
	s.told(t, "RELOADING=1")
	s.told(t, "READY=1")
	s.until(t, `gatepost.yaml:8:9: authd.failure_dealy: unknown setting, did you mean \"failure_delay\"?`)
	s.end(t)
}

// second tries to start another one, and to open the stores beside this one.
func (s *served) second(t *testing.T) {
	t.Helper()
	var other sync.WaitGroup // both wait for the lock, and so at the same time
	defer other.Wait()
	other.Go(func() { s.otherServe(t) })
	admin := filepath.Join(s.dir, "run/admin")
	if err := os.Rename(admin, admin+".away"); err != nil {
		t.Fatal(err)
	}
	a := s.run(t, "user", "list")
	if a.code != 1 || !strings.Contains(a.talk, "hint: nothing answers on "+admin+": ") {
		t.Errorf("user list without the socket: exit %d: %s", a.code, a.talk)
	}
	if err := os.Rename(admin+".away", admin); err != nil {
		t.Fatal(err)
	}
}

func (s *served) otherServe(t *testing.T) {
	t.Helper()
	out, err := s.serve(t).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another gatepost uses the data directory\ngatepost: hint: systemctl status gatepost") {
		t.Errorf("a second serve: %v, %s", err, out)
	}
}

// completes types TAB.
func (s *served) completes(t *testing.T) {
	t.Helper()
	for _, tc := range []struct{ args, want string }{
		{"domain show", "example.org"}, {"user hold", "alice@example.org"}, {"user show alice@example.org", ""},
		{"alias add", ""}, {"alias add x@example.org", "alice@example.org"}, {"ban remove", "203.0.113.0/24"}, {"serve", "milter"},
	} {
		out := s.must(t, append(append([]string{"__complete"}, strings.Fields(tc.args)...), "")...)
		if first, _, _ := strings.Cut(out, "\n"); first != tc.want && (tc.want != "" || !strings.HasPrefix(first, ":")) {
			t.Errorf("TAB after %q gives %q, want %q", tc.args, out, tc.want)
		}
	}
}

// stranger asks as nobody, whom the socket is closed to.
func (s *served) stranger(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	cmd := s.command(t, "user", "list")
	cmd.Env = append(cmd.Env, asUser+"=65534")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "gatepost: error: only root and ") {
		t.Errorf("user list as nobody: %v, %s", err, out)
	}
}

// end ends serve while a wrong password waits for its answer.
func (s *served) end(t *testing.T) {
	t.Helper()
	p := s.peer(t, "queue/gatepost", "auth")
	p.ask("VERSION\t1\t2\nCPID\t7\n", "DONE\n")
	wrong := base64.StdEncoding.EncodeToString([]byte("\x00alice@example.org\x00guess"))
	var answered time.Time
	var wg sync.WaitGroup
	wg.Go(func() {
		if got := p.ask("AUTH\t1\tPLAIN\tservice=smtp\tresp="+wrong+"\n", "\n"); got != "FAIL\t1\tuser=alice@example.org" {
			t.Errorf("auth answers %q", got)
		}
		answered = time.Now()
	})
	s.until(t, "login decided")
	s.signal(t, syscall.SIGTERM)
	s.told(t, "STOPPING=1")
	stopping := time.Now()
	wg.Wait()
	if err := s.cmd.Wait(); err != nil || !answered.After(stopping) {
		t.Errorf("serve ends with %v; systemd was told at %v, the answer came at %v", err, stopping, answered)
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "*/gatepost/*"))
	if err != nil || len(left) > 0 {
		t.Errorf("sockets are left: %v, %v", left, err)
	}
}

// until waits for a line of the log.
func (s *served) until(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !strings.Contains(s.logged(), text); {
		if time.Now().After(end) {
			t.Fatalf("the log does not say %q:\n%s", text, s.logged())
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestWatchdog: systemd hears of us twice in the time that it gives.
func TestWatchdog(t *testing.T) {
	s := startServed(t, "", "WATCHDOG_USEC=200000")
	s.told(t, "WATCHDOG=1")
	s.told(t, "WATCHDOG=1")
}

// TestOneFailureEndsAll: a socket that can not be served, here one that systemd
// passed and nobody listens on, ends the process with the socket's name.
func TestOneFailureEndsAll(t *testing.T) {
	m := newMachine(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "policy")
	defer f.Close()
	path := filepath.Join(m.dir, "queue/gatepost/policy")
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	cmd := m.serve(t)
	cmd.Env = append(cmd.Env, "LISTEN_FDS=1")
	cmd.ExtraFiles = []*os.File{f}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "gatepost: error: policy: policyd: accept: ") {
		t.Errorf("serve: %v, %s", err, out)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the socket that systemd made: %v", err)
	}
}

// TestServeRefuses: what keeps serve from starting ends it at once, with the
// reason.
func TestServeRefuses(t *testing.T) {
	m := newMachine(t)
	for _, tc := range []struct {
		name, want string
		spoil      func() error
	}{
		{"a file where a socket has to be", "policy: a file that is no socket is there", func() error {
			return os.WriteFile(filepath.Join(m.dir, "queue/gatepost/policy"), nil, 0o644)
		}},
		{"another directory's owner", "gatepost: hint: set mail_uid to the owner of ", func() error {
			return os.WriteFile(m.config(), fmt.Appendf(nil, "hostname: mx.example.org\ndata_directory: %s/data\nmail_uid: %d\n", m.dir, m.uid+1), 0o644)
		}},
		{"a data directory of somebody else", "hint: chown -R ", func() error {
			m.configure(t, "")
			data := filepath.Join(m.dir, "data")
			if err := os.Remove(filepath.Join(data, "lock")); err != nil {
				return err
			}
			if os.Getuid() != 0 {
				return os.Chmod(data, 0o500)
			}
			return os.Chown(data, 0, 0)
		}},
		{"no data directory", "hint: install -d -o ", func() error {
			m.configure(t, "")
			return os.RemoveAll(filepath.Join(m.dir, "data"))
		}},
	} {
		if err := tc.spoil(); err != nil {
			t.Fatal(err)
		}
		out, err := m.serve(t).CombinedOutput()
		if err == nil || !strings.Contains(string(out), tc.want) || !strings.Contains(string(out), "gatepost: error: ") {
			t.Errorf("%s: %v, %s\nwant %q", tc.name, err, out, tc.want)
		}
	}
}
