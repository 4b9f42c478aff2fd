package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// submit has alice send a message through a milter, as Postfix does, and returns
// what was done to it: its last answer, and the names of the fields that it got.
func (s *split) submit(t *testing.T, socket, user string) (answer, fields string) {
	t.Helper()
	p := s.peer(t, "queue/gatepost", socket)
	for _, packet := range []string{
		"O\x00\x00\x00\x06\x00\x00\x01\xff\x00\x00\x00\x00",
		"Claptop.example\x004\x00\x00198.51.100.7\x00",
		"DM{auth_type}\x00PLAIN\x00{auth_authen}\x00" + user + "\x00",
		"M<alice@example.org>\x00",
		"DEi\x004XyZ\x00",
		"R<dave@example.net>\x00",
		"LFrom\x00alice@example.org\x00",
		"LSubject\x00Hello\x00",
		"N",
		"BHello.\r\n",
		"E",
	} {
		if _, err := fmt.Fprintf(p.conn, "%s%s", binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet); err != nil {
			t.Fatal(err)
		}
		for kind := byte('h'); packet[0] != 'D' && strings.IndexByte("hmi", kind) >= 0; {
			b := p.packet(t)
			switch kind = b[0]; kind {
			case 'h':
				fields += string(b[1:]) + "\n"
			case 'i':
				fields += string(b[5:]) + "\n"
			case 'c', 'a', 'O', 'm':
				answer = string(b[:1])
			default:
				return string(b), fields
			}
		}
	}
	return answer, fields
}

// TestSplitSigns: what would be signed is signed, and while the state process is
// away or hangs it is deferred, whether its author was asked for before or not: it
// never leaves unsigned. Mail from outside goes on.
func TestSplitSigns(t *testing.T) {
	s := startSplit(t, "local_senders: [example.org]\n")
	s.must(t, "dkim", "new", "example.org")
	ways := map[string]string{"milter-submission": "alice@example.org", "milter-local": ""}
	signed := func() bool {
		for socket, user := range ways {
			answer, fields := s.submit(t, socket, user)
			if answer != "c" && answer != "a" || !strings.Contains(fields, "DKIM-Signature\x00") {
				t.Logf("%s answers %q, and adds %q", socket, answer, fields)
				return false
			}
		}
		return true
	}
	deferred := func(when string) {
		t.Helper()
		for socket, user := range ways {
			began := time.Now()
			answer, fields := s.submit(t, socket, user)
			if !strings.HasPrefix(answer, "t") && !strings.HasPrefix(answer, "y4") || time.Since(began) > 12*time.Second {
				t.Errorf("%s: %s answers %q after %v, and adds %q", when, socket, answer, time.Since(began), fields)
			}
		}
		if answer, _ := s.submit(t, "milter", ""); answer != "c" && answer != "a" {
			t.Errorf("%s: mail from outside is answered %q", when, answer)
		}
	}
	s.procs["milter"].kill()
	s.start(t, "milter")
	s.ready(t, "milter")
	s.procs[stateName].kill()
	deferred("away, before anybody was asked for")
	s.start(t, stateName)
	s.ready(t, stateName)
	within(t, 5*time.Second, "mail is signed", signed)
	s.procs[stateName].kill()
	deferred("away")
	s.start(t, stateName)
	s.ready(t, stateName)
	within(t, 5*time.Second, "mail is signed again", signed)
	s.procs[stateName].signal(t, syscall.SIGSTOP)
	deferred("hangs")
	s.procs[stateName].signal(t, syscall.SIGCONT)
	within(t, 5*time.Second, "mail is signed after all", signed)
}

// TestSplitReloads: a process that takes a new configuration before the others do
// goes on, and needs no file that only the state process may read.
func TestSplitReloads(t *testing.T) {
	s := startSplit(t, "")
	s.must(t, "dkim", "new", "example.org")
	hook := filepath.Join(s.dir, "hook")
	if err := os.WriteFile(hook, []byte("https://hooks.example/x\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(hook, splitUsers["state"], -1); err != nil {
		t.Fatal(err)
	}
	s.configure(t, "milter: {arc_seal: example.org}\nnotices: {webhook_file: "+hook+"}\n")
	for _, name := range []string{"milter", "policyd", "authd", "lmtpd", stateName} {
		p := s.procs[name]
		p.signal(t, syscall.SIGHUP)
		p.told(t, "RELOADING=1")
		p.told(t, "READY=1")
		p.until(t, "configuration taken")
		if answer, _ := s.submit(t, "milter", ""); answer != "c" && answer != "a" {
			t.Errorf("after the reload of %s mail from outside is answered %q", name, answer)
		}
	}
	if log := s.procs["milter"].logged(); strings.Contains(log, "panic") {
		t.Error(log)
	}
	if answer, fields := s.submit(t, "milter", ""); !strings.Contains(fields, "ARC-Seal\x00") {
		t.Errorf("after all reloads mail is answered %q and gets %q", answer, fields)
	}
}

// TestSplitCommands: in a split, too, scripts are the mail user's, a stranger is
// told who may ask, and the check of the state process's unit, which does not see
// mail, is content.
func TestSplitCommands(t *testing.T) {
	s := newSplit(t, "")
	s.start(t, stateName)
	s.ready(t, stateName)
	s.must(t, "domain", "add", "example.org")
	if a := s.runWith(t, "wonderland\n", "user", "add", "alice@example.org"); a.code != 0 {
		t.Fatalf("user add: %s", a.talk)
	}
	if a := s.runWith(t, "keep;\n", "sieve", "put", "alice@example.org", "main", "-", "--activate"); a.code != 0 {
		t.Errorf("sieve put: %s", a.talk)
	}
	home := filepath.Join(s.dir, "mail/example.org/alice")
	if uid, ok := placeOwner(home); !ok || uid != s.uid {
		t.Errorf("%s is of user id %d", home, uid)
	}
	as := func(uid int, args ...string) (string, error) {
		cmd := s.command(t, args...)
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", asUser, uid))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, uid := range []int{s.uid, splitUsers["milter"]} {
		if out, err := as(uid, "user", "list"); err == nil || !strings.Contains(out, "only root and user id 7101 may ask") {
			t.Errorf("user list as %d: %v, %s", uid, err, out)
		}
	}
	if err := os.Chown(filepath.Join(s.dir, "mail"), 0, 0); err != nil { // as InaccessiblePaths= has it
		t.Fatal(err)
	}
	if out, err := as(splitUsers["state"], "config", "check"); err != nil {
		t.Errorf("config check as the state process: %v, %s", err, out)
	}
	if a := s.run(t, "config", "check"); a.code == 0 {
		t.Errorf("config check as root is content with mail of root's")
	}
}

// TestSafePlace: whoever can put a directory of his own in the place of one above
// the data directory could make himself a daemon.
func TestSafePlace(t *testing.T) {
	s := newSplit(t, "")
	above, beside := filepath.Join(s.dir, "above"), filepath.Join(s.dir, "above/beside")
	if err := os.MkdirAll(beside, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(s.dir, "link")
	if err := os.Symlink(above, link); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		uid  int
		mode os.FileMode
		dir  string
		want bool
	}{
		{"root's", 0, 0o755, beside, true},
		{"the owner's", 7101, 0o755, beside, true},
		{"somebody's", 7104, 0o755, beside, false},
		{"open to a group", 0, 0o775, beside, false},
		{"open, but sticky", 0, 0o777 | os.ModeSticky, beside, true},
		{"sticky, and beside", 0, 0o777 | os.ModeSticky, above, false},
		{"a link", 0, 0o755, filepath.Join(link, "beside"), false},
	} {
		if err := errors.Join(os.Chown(above, tc.uid, -1), os.Chmod(above, tc.mode)); err != nil {
			t.Fatal(err)
		}
		if got := safePlace(Config{DataDirectory: filepath.Join(tc.dir, "data")}, 7101); got != tc.want {
			t.Errorf("above is %s: safePlace() = %v", tc.name, got)
		}
	}
}
