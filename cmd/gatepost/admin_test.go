package main

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/state"
)

// TestAliasLoops: what would never reach a mailbox is refused when it is made,
// and a mailbox may keep a copy.
func TestAliasLoops(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org")
	m.must(t, "alias", "add", "l1@example.org", "l2@example.org")
	a := m.run(t, "alias", "add", "l2@example.org", "l1@example.org")
	if want := "alias loop: l2@example.org > l1@example.org > l2@example.org\ngatepost: hint: its mail would reach no mailbox; "; a.code != 1 || !strings.Contains(a.talk, want) {
		t.Errorf("a loop: exit %d: %s", a.code, a.talk)
	}
	if a := m.run(t, "alias", "add", "x@example.org", "x@example.org"); a.code != 1 || !strings.Contains(a.talk, "alias loop: ") {
		t.Errorf("an alias to itself: exit %d: %s", a.code, a.talk)
	}
	if a := m.runWith(t, "wonderland", "user", "add", "alice@example.org"); a.code != 0 {
		t.Fatal(a.talk)
	}
	m.must(t, "alias", "add", "alice@example.org", "alice@example.org", "bob@example.org")
}

// TestAliasesOutside: a list shows what leaves this server, and a domain can be
// another name of one.
func TestAliasesOutside(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org")
	m.must(t, "domain", "add", "old.example")
	m.must(t, "alias", "add", "far@example.org", "x@elsewhere.example", "alice@example.org")
	m.must(t, "alias", "add", "@old.example", "@example.org")
	out := m.must(t, "alias", "list")
	for _, want := range []string{"x@elsewhere.example (outside), alice@example.org\n", "@example.org\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the list has no %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "@example.org (outside)") {
		t.Errorf("a domain of ours is outside:\n%s", out)
	}
}

// TestPasswordOnStdin: nothing is cut off in silence.
func TestPasswordOnStdin(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org", "--force")
	for _, tc := range []struct {
		name, in string
		code     int
		talk     string
	}{
		{"two lines", "wonderland\nrest\n", 1, "gatepost: error: read password: there is more than one line\ngatepost: hint: give the password alone"},
		{"a blank line", "wonderland\n\n", 1, "gatepost: error: read password: there is more than one line\n"},
		{"no password", "\n", 1, "gatepost: error: no password was given\n"},
		{"too long", strings.Repeat("x", 2000), 1, "gatepost: error: a password has at most 1024 bytes\n"},
		{"short", "äöüäöü1", 0, "gatepost: warning: the password has fewer than 8 characters, and is soon guessed\n"},
		{"long enough", "äöüäöü12\r\n", 0, ""},
	} {
		name := strings.ReplaceAll(tc.name, " ", ".") + "@example.org"
		a := m.runWith(t, tc.in, "user", "add", name)
		if a.code != tc.code || !strings.HasPrefix(a.talk, tc.talk) || tc.talk == "" && a.talk != "" {
			t.Errorf("%s: exit %d: %s, want %d: %s", tc.name, a.code, a.talk, tc.code, tc.talk)
		}
	}
}

// TestMailOfAnother: who gets a directory with mail in it, and where a user's
// mail is afterwards, is said.
func TestMailOfAnother(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org")
	dir := filepath.Join(m.dir, "mail/example.org/alice/Maildir")
	add := func() answer { return m.runWith(t, "wonderland", "user", "add", "Alice@example.org") }
	if a := add(); a.code != 0 || a.talk != "" {
		t.Errorf("user add: exit %d: %s", a.code, a.talk)
	}
	if a := m.run(t, "user", "remove", "alice@example.org"); a.code != 0 || a.talk != "" {
		t.Errorf("user remove without mail: exit %d: %s", a.code, a.talk)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if a, want := add(), "gatepost: warning: "+dir+" is there already: its mail is now that of alice@example.org\n"; a.code != 0 || a.talk != want {
		t.Errorf("user add: exit %d: %s, want %s", a.code, a.talk, want)
	}
	a := m.run(t, "user", "remove", "alice@example.org")
	if want := "gatepost: the mail stays in " + dir + "\n"; a.code != 0 || a.talk != want || a.out != "" {
		t.Errorf("user remove: exit %d: %s, want %s", a.code, a.talk, want)
	}
}

// TestBanByID lifts a ban by the name that stands in the refusal.
func TestBanByID(t *testing.T) {
	m := newMachine(t)
	m.must(t, "ban", "add", "203.0.113.0/24")
	fields := strings.Fields(m.must(t, "ban", "list"))
	id := fields[len(fields)-5] // before "set by an administrator"
	if !banID.MatchString(id) {
		t.Fatalf("no id in %q", fields)
	}
	m.must(t, "ban", "remove", strings.ToUpper(id))
	if out := m.must(t, "ban", "list", "--json"); out != "[]\n" {
		t.Errorf("the ban is still there: %s", out)
	}
}

// TestTwoCommands: one waits for the other.
func TestTwoCommands(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org")
	f, err := os.OpenFile(filepath.Join(m.dir, "data/lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	free := make(chan error, 1)
	time.AfterFunc(300*time.Millisecond, func() { free <- unix.Flock(int(f.Fd()), unix.LOCK_UN) })
	if out := m.must(t, "domain", "list"); out != "example.org\n" {
		t.Errorf("domain list prints %s", out)
	}
	if err := <-free; err != nil {
		t.Error(err)
	}
}

// refuseWrites makes the file behave as on a full disk, or well again.
func refuseWrites(t *testing.T, path, table string, refuse bool) {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(5000)") // the store may be in the middle of a try
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	query := "DROP TRIGGER planted"
	if refuse {
		query = "CREATE TRIGGER planted BEFORE INSERT ON " + table + " BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
	}
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}

// TestDiskFull: health says what can not be written, and explain and ban tell
// what they can.
func TestDiskFull(t *testing.T) {
	g := startInside(t, "")
	cfg := g.r.start
	ln, err := listen.Unix(cfg.adminSocket(), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	backend := g.r.stores.backend()
	backend.Health = g.r.daemons.health
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- admin.New([]int{0, os.Getuid()}, backend, g.r.log).Serve(ctx, ln) }()
	defer func() { cancel(); <-served }()

	g.r.stores.journal.Record(journal.Record{Daemon: "milter", Event: "message", QueueID: "4XyZ1b2c3dzABC"})
	if out := g.must(t, "explain", "4XyZ1b2c3dzABC"); !strings.Contains(out, "4XyZ1b2c3dzABC") {
		t.Errorf("explain prints %s", out)
	}
	health := func() error { return g.r.daemons.health(t.Context()) }
	if err := health(); err != nil {
		t.Errorf("health() = %v", err)
	}
	journalDB, stateDB := filepath.Join(g.dir, "data/journal.db"), filepath.Join(g.dir, "data/state.db")
	refuseWrites(t, journalDB, "records", true)
	refuseWrites(t, stateDB, "entries", true)
	g.r.stores.journal.Record(journal.Record{Daemon: "milter", Event: "message", QueueID: "4XyZ1b2c3dzABD"})

	a := g.run(t, "explain", "4XyZ1b2c3dzABC", "--json")
	if a.code != 0 || !strings.HasPrefix(a.out, "{") || !strings.HasPrefix(a.talk, "gatepost: warning: the newest records are not written yet: ") {
		t.Errorf("explain: exit %d: %s%s", a.code, a.out, a.talk)
	}
	a = g.run(t, "explain", "4XyZ1b2c3dzABD")
	if a.code != 1 || !strings.Contains(a.talk, "not written yet") || !strings.Contains(a.talk, "the journal has nothing of") {
		t.Errorf("explain of what waits: exit %d: %s", a.code, a.talk)
	}
	a = g.run(t, "ban", "add", "203.0.113.0/24")
	if a.code != 0 || !strings.Contains(a.out, "203.0.113.0/24 is refused until") || !strings.HasPrefix(a.talk, "gatepost: warning: the ban ends with a restart: ") {
		t.Errorf("ban add: exit %d: %s%s", a.code, a.out, a.talk)
	}
	err = health()
	for _, want := range []string{"journal can not be written: ", "disk is full", "state can not be written: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("health() = %v, want %q in it", err, want)
		}
	}
	refuseWrites(t, journalDB, "records", false)
	refuseWrites(t, stateDB, "entries", false)
	alive := state.Entry{Key: "planted", Expires: time.Now().Add(time.Hour)}
	if err := g.r.stores.state.Put(t.Context(), state.Seen, alive, true); err != nil {
		t.Fatal(err)
	}
	if err := g.r.stores.journal.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := health(); err != nil {
		t.Errorf("health() = %v after mending", err)
	}
}

// TestHealthOfAccounts: nobody may have changed an account since the disk is
// full, so health writes to see.
func TestHealthOfAccounts(t *testing.T) {
	g := startInside(t, "")
	db, err := sql.Open("sqlite", filepath.Join(g.dir, "data/accounts.db")+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin() // no other can write
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := g.r.daemons.health(ctx); err == nil || !strings.Contains(err.Error(), "accounts can not be written: ") {
		t.Errorf("health() = %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := g.r.daemons.health(t.Context()); err != nil {
		t.Errorf("health() = %v after mending", err)
	}
}

// TestCheckMissesSealingKey: mail is sealed only with a key that is in use.
func TestCheckMissesSealingKey(t *testing.T) {
	m := newMachine(t)
	const warning = "milter.arc_seal names example.org, which has no active signing key"
	for _, step := range []struct {
		setting string
		new     []string
		warns   bool
	}{
		{`""`, nil, false},
		{"example.org", nil, true},
		{"example.org", []string{"dkim", "new", "example.org", "--algorithm", "ed25519", "--pending"}, true},
		{"example.org", []string{"dkim", "new", "example.org", "--algorithm", "ed25519", "--selector", "s2"}, false},
	} {
		m.configure(t, "milter: {arc_seal: "+step.setting+"}\n")
		if step.new != nil {
			m.must(t, step.new...)
		}
		if a := m.run(t, "config", "check"); a.code != 0 || strings.Contains(a.talk, warning) != step.warns {
			t.Errorf("arc_seal %s, %q: exit %d: %s", step.setting, step.new, a.code, a.talk)
		}
	}
}

// TestLogLevelInWords: what "config show" prints is what the manual has, and can
// be read again.
func TestLogLevelInWords(t *testing.T) {
	m := newMachine(t)
	for _, level := range []string{"debug", "info", "warn", "error"} {
		m.configure(t, "log: {level: "+level+"}\n")
		if out := m.must(t, "config", "show"); !strings.Contains(out, "\n  level: "+level+"\n") {
			t.Errorf("level %s is shown as\n%s", level, out)
		}
	}
	m.configure(t, "log: {level: loud}\nbans: {}\nlimits: []\n")
	a := m.run(t, "config", "check")
	for _, want := range []string{`"loud" is not debug, info, warn or error`, `bans: unknown setting, did you mean "guard"?`, `did you mean "policyd.limits"?`} {
		if a.code != 1 || !strings.Contains(a.talk, want) {
			t.Errorf("config check: exit %d: %s\nwant %s", a.code, a.talk, want)
		}
	}
}
