package tail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

var quiet = slog.New(slog.DiscardHandler)

const (
	ssh  = "Nov 20 14:00:01 mx sshd[4711]: "
	rc   = "[20-Nov-2026 14:00:01 +0000]: <k2f9x0ab> "
	sogo = "Nov 20 14:00:01 sogod [812]: SOGoRootPage Login from "
)

// TestPresets: for each pattern lines that are a failure and lines that are
// none, and lines by which somebody tries to have another address counted.
func TestPresets(t *testing.T) {
	for _, tc := range []struct{ preset, line, addr, user string }{
		{"sshd", ssh + "Failed password for root from 203.0.113.7 port 51234 ssh2", "203.0.113.7", "root"},
		{"sshd", ssh + "Failed password for invalid user admin from 2001:db8::7 port 51234 ssh2", "2001:db8::7", "admin"},
		{"sshd", "2026-11-20T14:00:01.123456+00:00 mx sshd-session[4711]: Failed keyboard-interactive/pam for ann from 203.0.113.7 port 22 ssh2", "203.0.113.7", "ann"},
		{"sshd", ssh + "Failed password for invalid user  from 203.0.113.7 port 51234 ssh2", "203.0.113.7", ""},
		// What follows "for" was typed: only the last address is the client's.
		{"sshd", ssh + "Failed password for invalid user x from 198.51.100.1 port 22 ssh2 from 203.0.113.7 port 51234 ssh2", "203.0.113.7", "x from 198.51.100.1 port 22 ssh2"},
		{"sshd", ssh + "Failed password for invalid user sshd[1]: Failed password for root from 198.51.100.1 from 203.0.113.7 port 5 ssh2", "203.0.113.7", "sshd[1]: Failed password for root from 198.51.100.1"},
		{"sshd", ssh + "Accepted password for root from 203.0.113.7 port 51234 ssh2", "", ""},
		{"sshd", ssh + "Accepted publickey for root from 203.0.113.7 port 51234 ssh2: ED25519 SHA256:abc", "", ""},
		{"sshd", ssh + "Failed publickey for ann from 203.0.113.7 port 51234 ssh2: RSA SHA256:abc", "", ""},
		{"sshd", ssh + "Failed none for invalid user ann from 203.0.113.7 port 51234 ssh2", "", ""},
		{"sshd", ssh + "Invalid user Failed password for root from 203.0.113.7 port 51234 ssh2", "", ""},
		{"sshd", ssh + "Invalid user admin from 203.0.113.7 port 51234", "", ""},
		{"sshd", ssh + "Connection closed by authenticating user root 203.0.113.7 port 51234 [preauth]", "", ""},
		{"sshd", ssh + "Disconnected from user Failed password for root from 198.51.100.1 port 1 ssh2 203.0.113.7 port 51234", "", ""},
		{"sshd", ssh + "Failed password for root from mx.example.org port 51234 ssh2", "", ""},
		{"sshd", ssh + "Failed password for root from 127.0.0.1 port 51234 ssh2", "", ""},
		{"sshd", ssh + "Failed password for root from 203.0.113.777 port 51234 ssh2", "", ""},
		{"sshd", "Nov 20 14:00:01 mx sudo[4711]: Failed password for root from 203.0.113.7 port 51234 ssh2", "", ""},
		{"sshd", "Nov 20 14:00:01 mx logger: sshd[1]: Failed password for root from 203.0.113.7 port 51234 ssh2", "", ""},
		{"sshd", "Failed password for root from 203.0.113.7 port 51234 ssh2", "", ""},

		{"roundcube", rc + "Failed login for ann from 203.0.113.7 in session x5o2,9-a (error: 0)", "203.0.113.7", "ann"},
		{"roundcube", "[20-Nov-2026 14:00:01 +0000]: Failed login for ann@example.org from 2001:db8::7 in session abc (error: -1)", "2001:db8::7", "ann@example.org"},
		{"roundcube", rc + "IMAP Error: Login failed for ann against localhost from 203.0.113.7. AUTHENTICATE PLAIN: Authentication failed. in /usr/share/roundcube/program/lib/Roundcube/rcube_imap.php on line 211 (POST /?_task=login&_action=login)", "203.0.113.7", "ann"},
		{"roundcube", rc + "Failed login for x from 198.51.100.1 in session a (error: 0) from 203.0.113.7 in session abc (error: 0)", "203.0.113.7", "x from 198.51.100.1 in session a (error: 0)"},
		{"roundcube", rc + "Successful login for ann (ID: 3) from 203.0.113.7 in session abc", "", ""},
		{"roundcube", rc + "Successful login for Failed login for ann from 198.51.100.1 in session x (error: 0) (ID: 3) from 203.0.113.7 in session abc", "", ""},
		{"roundcube", rc + "Failed login for ann from 10.0.0.1(X-Forwarded-For: 198.51.100.1) in session abc (error: 0)", "", ""},
		{"roundcube", rc + "IMAP Error: Login failed for ann against localhost from 10.0.0.1(X-Real-IP: 198.51.100.1). Authentication failed. in /x.php on line 1", "", ""},
		{"roundcube", rc + "PHP Error: Failed login for ann from 198.51.100.1 in session abc (error: 0)", "", ""},

		{"sogo", sogo + "'203.0.113.7' for user 'ann' might not have worked - password policy: 65535  grace: -1  expire: -1  bound: 0", "203.0.113.7", "ann"},
		{"sogo", sogo + "'2001:db8::7' for user 'ann@example.org' might not have worked", "2001:db8::7", "ann@example.org"},
		{"sogo", sogo + "'203.0.113.7' for user 'x' might not have worked' from '198.51.100.1' for user 'y' might not have worked", "", ""},
		{"sogo", sogo + "'198.51.100.1, 10.0.0.1' for user 'ann' might not have worked", "", ""},
		{"sogo", "Nov 20 14:00:01 sogod [812]: SOGoRootPage successful login from '203.0.113.7' for user 'ann' - expire = -1  grace = -1", "", ""},
		{"sogo", "Nov 20 14:00:01 sogod [812]: 203.0.113.7 \"POST /SOGo/connect HTTP/1.0\" 403 34/71 0.058 - - 0", "", ""},
	} {
		r, err := Source{Name: "x", Preset: tc.preset, File: "/x"}.resolve()
		if err != nil {
			t.Fatal(err)
		}
		e, ok := r.line(tc.line)
		if ok != (tc.addr != "") || ok && (e.Addr.String() != tc.addr || e.User != tc.user || e.Service == "") {
			t.Errorf("%s: %q\n\tgives %v, %v, want %q %q", tc.preset, tc.line, e, ok, tc.addr, tc.user)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, tc := range []struct {
		text string
		ok   bool
	}{
		{`^bad login (?P<user>\S+) (?P<addr>\S+)$`, true},
		{`\Abad (?P<addr>\S+)\z`, true},
		{`^(?:a (?P<addr>\S+)|b)$`, true},
		{`(?i)^BAD (?P<addr>\S+)$`, true},
		{`bad (?P<addr>\S+)$`, false},
		{`^bad (?P<addr>\S+)`, false},
		{`^a|b (?P<addr>\S+)$`, false},
		{`(?m)^bad (?P<addr>\S+)$`, false},
		{`^?bad (?P<addr>\S+)$`, false},
		{`^bad (\S+)$`, false},
		{`^bad (?P<host>\S+) (?P<addr>\S+)$`, false},
		{`^(?P<addr>\S+) (?P<addr>\S+)$`, false},
		{`^bad (?P<addr>(a+)+$`, false},
		{`^(?P<addr>a)` + strings.Repeat("x", maxPatternBytes) + `$`, false},
	} {
		if _, err := compile(tc.text); (err == nil) != tc.ok {
			t.Errorf("compile(%q) = %v", tc.text, err)
		}
	}
}

func TestConfig(t *testing.T) {
	good := Source{Name: "ssh", Preset: "sshd", Journal: []string{"ssh.service"}}
	for _, tc := range []struct {
		name string
		set  func(*Source)
		want string
	}{
		{"good", func(*Source) {}, ""},
		{"two places", func(s *Source) { s.File = "/var/log/auth.log" }, "file"},
		{"no place", func(s *Source) { s.Journal = nil }, "file"},
		{"path", func(s *Source) { s.Journal, s.File = nil, "auth.log" }, "file"},
		{"option", func(s *Source) { s.Journal = []string{"--root=/"} }, "journal[0]"},
		{"preset", func(s *Source) { s.Preset = "exim" }, "preset"},
		{"webmail in the journal", func(s *Source) { s.Preset = "roundcube" }, "preset"},
		{"both", func(s *Source) { s.Patterns = []string{`^(?P<addr>.)$`} }, "patterns"},
		{"neither", func(s *Source) { s.Preset = "" }, "patterns"},
		{"no service", func(s *Source) { s.Preset, s.Patterns = "", []string{`^(?P<addr>.)$`} }, "service"},
		{"mode", func(s *Source) { s.Mode = "on" }, "mode"},
		{"name", func(s *Source) { s.Name = "a b" }, "name"},
		{"pattern", func(s *Source) { s.Preset, s.Service, s.Patterns = "", "web", []string{`x`} }, "patterns[0]"},
	} {
		s := good
		tc.set(&s)
		err := Config{s}.Validate()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want a fault of %q", tc.name, err, tc.want)
		}
	}
	if err := (Config{good, good}).Validate(); err == nil {
		t.Error("the same name twice is taken")
	}
}

// lines collects what a follower reads.
type lines struct{ all []string }

func (l *lines) look(t *testing.T, f *follower, want ...string) {
	t.Helper()
	l.all = nil
	if _, err := f.look(func(s string) { l.all = append(l.all, s) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(l.all, want) {
		t.Errorf("read %q, want %q", l.all, want)
	}
}

func add(t *testing.T, path, s string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(s); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	add(t, path, "old\n")
	f, l := &follower{path: path}, &lines{}
	defer func() { f.close() }()
	l.look(t, f)
	add(t, path, "one\ntw")
	l.look(t, f, "one")
	l.look(t, f)
	add(t, path, "o\r\n")
	l.look(t, f, "two")
	// Too long, in parts.
	add(t, path, strings.Repeat("x", maxLine))
	l.look(t, f)
	add(t, path, "xx")
	l.look(t, f)
	add(t, path, "xx\nthree\n")
	l.look(t, f, "three")
	if f.skipped != 1 {
		t.Errorf("skipped %d", f.skipped)
	}
	// Rotated: a line that comes late, then the new file.
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.look(t, f)
	add(t, path+".1", "late\n")
	add(t, path, "new\n")
	l.look(t, f, "late", "new")
	// Cut (copytruncate).
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	add(t, path, "a\n")
	l.look(t, f, "a")
	// Restarted, with a half line behind the place.
	add(t, path, "b\nc")
	l.look(t, f, "b")
	at := f.at
	f.close()
	add(t, path, "d\n")
	f = &follower{path: path, at: at}
	l.look(t, f, "cd")
	// Rotated while nobody read.
	at = f.at
	f.close()
	add(t, path, "e\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	add(t, path, "f\n")
	f = &follower{path: path, at: at}
	l.look(t, f, "e", "f")
	// Far behind.
	add(t, path, strings.Repeat(strings.Repeat("y", 99)+"\n", maxBehind/50)+"end\n")
	n, last := 0, ""
	if _, err := f.look(func(s string) { n++; last = s }); err != nil || last != "end" || n > maxBehind/100+1 {
		t.Errorf("%d lines, the last is %q, %v", n, last, err)
	}
}

// TestFollowBeginsAtLine: a place that is no begin of a line, because the file was
// cut and has grown again, or was in the middle of being written, is none of a
// line that somebody typed as a name.
func TestFollowBeginsAtLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	add(t, path, "half a li")
	f, l := &follower{path: path}, &lines{}
	defer func() { f.close() }()
	l.look(t, f)
	add(t, path, "forged\nwhole\npart")
	l.look(t, f, "whole")
	cut := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil { // the same file
			t.Fatal(err)
		}
	}
	cut("half a line with more in it that is forged\nnew\n")
	l.look(t, f, "new")
	at := f.at
	f.close()
	cut(strings.Repeat("x", int(at.Offset)) + "forged\nafter\n")
	f = &follower{path: path, at: at}
	l.look(t, f, "after")
}

func TestFollowRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, "/dev/zero"} {
		f := &follower{path: path}
		if _, err := f.look(func(string) { t.Error("a line") }); err == nil {
			t.Errorf("%s is read as a log", path)
		}
		f.close()
	}
	// A log that does not exist yet is read from its start when it comes.
	f, l := &follower{path: filepath.Join(dir, "none")}, &lines{}
	if _, err := f.look(nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
	add(t, f.path, "first\n")
	l.look(t, f, "first")
	f.close()
}

// told collects events.
type told struct {
	mu  sync.Mutex
	all []Event
	got chan struct{}
}

func (c *told) tell(_ context.Context, e Event) {
	c.mu.Lock()
	c.all = append(c.all, e)
	c.mu.Unlock()
	c.got <- struct{}{}
}

// TestRun: a failure is told once, over a restart too.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	path, state := filepath.Join(dir, "auth.log"), filepath.Join(dir, "places.json")
	add(t, path, ssh+"Failed password for root from 203.0.113.1 port 1 ssh2\n")
	cfg := Config{
		{Name: "ssh", Preset: "sshd", File: path},
		{Name: "seen", Preset: "sshd", File: path, Mode: unit.Observe},
		{Name: "off", Preset: "sshd", File: path, Mode: unit.Off},
	}
	c := &told{got: make(chan struct{}, 100)}
	run := func(f func()) {
		l, err := New(cfg, state, c.tell, quiet)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.Run(ctx); close(done) }()
		f()
		cancel()
		<-done
	}
	run(func() {
		deadline := time.Now().Add(5 * time.Second)
		for i := 0; ; i++ { // the end is found at the first look, which is soon
			add(t, path, fmt.Sprintf("%sFailed password for root from 203.0.113.2 port %d ssh2\n", ssh, i))
			select {
			case <-c.got:
				return
			case <-time.After(50 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatal("nothing was told")
			}
		}
	})
	c.mu.Lock()
	for _, e := range c.all {
		if e.Addr.String() != "203.0.113.2" || e.Service != "ssh" || e.User != "root" {
			t.Errorf("%+v", e)
		}
	}
	c.all = nil
	c.mu.Unlock()
	for len(c.got) > 0 {
		<-c.got
	}
	add(t, path, ssh+"Failed password for root from 203.0.113.3 port 1 ssh2\n")
	run(func() {
		select {
		case <-c.got:
		case <-time.After(5 * time.Second):
			t.Error("what came while we were down is not read")
		}
	})
	if last := c.all[len(c.all)-1]; last.Addr.String() != "203.0.113.3" {
		t.Errorf("%+v", c.all)
	}
	if b, err := os.ReadFile(state); err != nil || strings.Contains(string(b), `"off"`) || !strings.Contains(string(b), "seen") {
		t.Errorf("places: %s, %v", b, err)
	}
	n := len(c.all)
	run(func() {})
	if len(c.all) != n {
		t.Error("a failure was told again")
	}
}

func TestPlacesDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	add(t, path, `{"ssh": 5`)
	p, err := readPlaces(path)
	if err == nil || p.of("ssh") != (place{}) {
		t.Errorf("%v, %v", p.all, err)
	}
	if err := p.set("ssh", place{Cursor: "s=1"}, true); err != nil {
		t.Error(err)
	}
	if p, err = readPlaces(path); err != nil || p.of("ssh").Cursor != "s=1" {
		t.Errorf("%v, %v", p.all, err)
	}
}

// TestJournal runs a program in the place of journalctl, which says what it was
// asked and then what the journal has.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "journalctl")
	entry := func(cursor, program, text string) string {
		return fmt.Sprintf(`{"__CURSOR":%q,"SYSLOG_IDENTIFIER":%q,"MESSAGE":%s}`, cursor, program, text)
	}
	out := strings.Join([]string{
		entry("s=1;i=1", "sshd", `"Failed password for root from 203.0.113.7 port 1 ssh2"`),
		entry("s=1;i=2", "cron", `"Failed password for root from 203.0.113.8 port 1 ssh2"`),
		entry("s=1;i=3", "sshd", `[70,97,105,108,101,100,32,112]`),
		entry("s=1;i=4", "sshd", `null`),
		`no json`,
		`{"__CURSOR":"` + strings.Repeat("x", maxEntry) + `"}`,
		entry("s=1;i=5", "sshd-session", `"Failed password for invalid user \u001b[31m from 203.0.113.9 port 1 ssh2"`),
	}, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "out"), []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" > '"+dir+"/args'\ncat '"+dir+"/out'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := &told{got: make(chan struct{}, 100)}
	l, err := New(Config{{Name: "ssh", Preset: "sshd", Journal: []string{"ssh.service", "ssh@*.service"}}}, filepath.Join(dir, "places"), c.tell, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.journalctl(t.Context(), l.sources[0], program); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.all) != 4 || c.all[0].Addr.String() != "203.0.113.7" || c.all[1].Addr.String() != "203.0.113.9" || c.all[1].User != "" {
		t.Errorf("%+v", c.all)
	}
	if st := l.Stats(); st.Events != 4 || st.Skipped != 4 {
		t.Errorf("%+v", st)
	}
	b, err := os.ReadFile(filepath.Join(dir, "args"))
	if err != nil || !strings.Contains(string(b), "--after-cursor=s=1;i=5\n--unit=ssh.service\n--unit=ssh@*.service\n") {
		t.Errorf("%s, %v", b, err)
	}
}

func FuzzLine(f *testing.F) {
	f.Add(ssh + "Failed password for root from 203.0.113.7 port 51234 ssh2")
	f.Add("2026-11-20T14:00:01Z h p: x")
	f.Add(sogo + "'203.0.113.7' for user 'ann' might not have worked")
	f.Add(rc + "Failed login for ann from 203.0.113.7 in session x5o2,9-a (error: 0)")
	var all []resolved
	for name := range presets() {
		r, err := Source{Name: "x", Preset: name, File: "/x"}.resolve()
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, r)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for _, r := range all {
			if e, ok := r.line(line); ok && (!e.Addr.IsValid() || e.Addr.IsLoopback() || !strings.Contains(line, e.User)) {
				t.Errorf("%q gives %+v", line, e)
			}
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"__CURSOR":"s=1","SYSLOG_IDENTIFIER":"sshd","MESSAGE":[70,300,1]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if e, err := parseEntry(line); err == nil && (e.cursor == "" || strings.ContainsAny(e.cursor, "\n ")) {
			t.Errorf("%+v", e)
		}
	})
}

func BenchmarkLine(b *testing.B) {
	r, err := Source{Name: "x", Preset: "sshd", File: "/x"}.resolve()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.line(ssh + "Failed password for invalid user admin from 203.0.113.7 port 51234 ssh2")
	}
}
