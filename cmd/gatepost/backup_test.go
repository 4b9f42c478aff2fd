package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/backup"
)

// login asks the auth socket whether alice's password opens the account.
func (s *served) login(t *testing.T, password string) bool {
	t.Helper()
	p := s.peer(t, "queue/gatepost", "auth")
	p.ask("VERSION\t1\t2\nCPID\t7\n", "DONE\n")
	resp := base64.StdEncoding.EncodeToString([]byte("\x00alice@example.org\x00" + password))
	return strings.HasPrefix(p.ask("AUTH\t1\tPLAIN\tservice=smtp\tresp="+resp+"\n", "\n"), "OK\t1\tuser=alice@example.org")
}

// kept is what the commands print of what a backup has to bring back.
func (m *machine) kept(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, c := range []string{"domain list --json", "alias list --json", "ban list --json",
		"learn list --json", "user app-password list alice@example.org --json"} {
		out[c] = m.must(t, strings.Fields(c)...)
	}
	var keys []admin.Key // what is next to do with one depends on the DNS
	if err := json.Unmarshal([]byte(m.must(t, "dkim", "list", "--json")), &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		out["dkim "+k.Name] = fmt.Sprint(k.Record, k.State, k.Since)
	}
	var status map[string]any
	if err := json.Unmarshal([]byte(m.must(t, "learn", "status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	out["learned"] = fmt.Sprint(status["ham"], status["spam"])
	return out
}

// moveIn fills a machine that runs with something of each kind.
func (s *served) moveIn(t *testing.T) {
	t.Helper()
	s.must(t, "domain", "add", "example.org")
	if a := s.runWith(t, "wonderland\n", "user", "add", "alice@example.org"); a.code != 0 {
		t.Fatal(a.talk)
	}
	s.must(t, "alias", "add", "info@example.org", "alice@example.org")
	s.must(t, "user", "app-password", "add", "alice@example.org", "phone", "--imap")
	s.must(t, "dkim", "new", "example.org", "--algorithm", "ed25519", "--selector", "old")
	s.must(t, "dkim", "rotate", "example.org")
	s.must(t, "ban", "add", "203.0.113.0/24", "--for", "30d", "--reason", "planted")
	s.learnedScan(t)
	if !s.login(t, "wonderland") {
		t.Error("alice can not log in")
	}
	s.until(t, "login decided")
}

// stop ends serve as systemd does.
func (s *served) stop(t *testing.T) {
	t.Helper()
	s.signal(t, syscall.SIGTERM)
	s.told(t, "STOPPING=1")
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("serve ends with %v", err)
	}
}

// again starts serve once more, on the same machine.
func (s *served) again(t *testing.T) {
	t.Helper()
	env := s.cmd.Env
	s.cmd = s.serve(t)
	s.cmd.Env, s.cmd.Stderr = env, s.inside
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.told(t, "READY=1")
}

// TestBackupAndRestore follows an administrator whose host is lost: a backup of
// the Gatepost that runs, an empty machine, restore, and all is as it was.
func TestBackupAndRestore(t *testing.T) {
	s := startServed(t, "")
	s.moveIn(t)
	want := s.kept(t)
	to := filepath.Join(s.dir, "backups")
	first := s.backedUp(t, to)
	set := first.Path
	if !strings.HasPrefix(set, to+"/gatepost-2") || first.Rows["journal.db records"] == 0 {
		t.Fatalf("backup has %+v", first)
	}
	s.inspectSet(t, set)
	if a := s.run(t, "restore", "--force", set); a.code != 1 || !strings.Contains(a.talk, "another gatepost uses the data directory\ngatepost: hint: systemctl stop gatepost.service") {
		t.Errorf("restore while it runs: exit %d: %s", a.code, a.talk)
	}
	s.must(t, "alias", "add", "later@example.org", "alice@example.org") // comes too late for it
	s.stop(t)

	// The disk is gone.
	for _, p := range []string{"data", "gatepost.yaml"} {
		if err := os.RemoveAll(filepath.Join(s.dir, p)); err != nil {
			t.Fatal(err)
		}
	}
	if a := s.run(t, "restore", "--dry-run", to); a.code != 0 || !strings.HasPrefix(a.out, set+" is whole: ") || !strings.Contains(a.out, "put  "+s.dir+"/data/accounts.db") {
		t.Errorf("restore --dry-run: exit %d: %s%s", a.code, a.out, a.talk)
	}
	if left, err := filepath.Glob(s.dir + "/data"); err != nil || left != nil {
		t.Errorf("--dry-run made %v, %v", left, err)
	}
	if a := s.run(t, "restore", to); a.code != 0 || !strings.Contains(a.talk, "to do: systemctl start gatepost\n") {
		t.Fatalf("restore: exit %d: %s", a.code, a.talk)
	}
	s.inspect(t, "planted-nowhere")
	if out := s.must(t, "config", "check"); out != "the configuration is good\n" {
		t.Errorf("config check: %s", out)
	}
	s.again(t)
	if got := s.kept(t); !maps.Equal(got, want) {
		for k := range want {
			if got[k] != want[k] {
				t.Errorf("%s prints\n%swant\n%s", k, got[k], want[k])
			}
		}
	}
	if !s.login(t, "wonderland") || s.login(t, "wonderlanf") {
		t.Error("alice's password does not open her account, or another one does")
	}
	if n, least := s.backedUp(t, to+"2").Rows["journal.db records"], first.Rows["journal.db records"]+2; n < least {
		t.Errorf("the journal has %d records, and not %d", n, least)
	}
	s.stop(t)

	// Over what is there only with --force, and what was there stays.
	if a := s.run(t, "restore", to); a.code != 1 || !strings.Contains(a.talk, "something is there already\ngatepost: hint: --force moves aside") {
		t.Errorf("restore over it: exit %d: %s", a.code, a.talk)
	}
	if a := s.run(t, "restore", "--force", "--json", to); a.code != 0 {
		t.Errorf("restore --force: exit %d: %s", a.code, a.talk)
	}
	if aside, err := filepath.Glob(s.dir + "/data/before-restore-*/accounts.db"); err != nil || len(aside) != 1 {
		t.Errorf("aside: %v, %v", aside, err)
	}
	if got := s.kept(t); !maps.Equal(got, want) { // without a Gatepost that runs
		t.Error("the second restore brings something else")
	}
}

// backedUp makes a backup below to.
func (m *machine) backedUp(t *testing.T, to string) (done backedUp) {
	t.Helper()
	if err := json.Unmarshal([]byte(m.must(t, "backup", "--json", to)), &done); err != nil {
		t.Fatal(err)
	}
	return done
}

// inspectSet looks at whose the set is, and for who may read it.
func (m *machine) inspectSet(t *testing.T, set string) {
	t.Helper()
	err := filepath.WalkDir(set, func(p string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if sys := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != want || int(sys.Uid) != os.Getuid() {
			t.Errorf("%s has mode %v and owner %d", p, info.Mode(), sys.Uid)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestBackupStopped: without a Gatepost that runs, the files are read by their
// owner, and stay as they were.
func TestBackupStopped(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org")
	to := filepath.Join(m.dir, "backups")
	if os.Getuid() != 0 { // who is the mail user
		if err := os.Mkdir(to, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	done := m.backedUp(t, to)
	if done.Rows["accounts.db domains"] != 1 || done.Files < 5 || done.Bytes == 0 {
		t.Errorf("backup --json prints %+v", done)
	}
	m.inspect(t, "planted-nowhere") // no file of root is left
	for range 2 {
		m.must(t, "backup", to)
	}
	a := m.run(t, "backup", "--keep", "2", to)
	left, err := os.ReadDir(to)
	if a.code != 0 || err != nil || len(left) != 2 || strings.Count(a.talk, "gatepost: removed ") != 2 {
		t.Errorf("backup --keep 2: exit %d: %s%v left, %v", a.code, a.talk, left, err)
	}
	for args, want := range map[string]string{
		"backup " + m.dir + "/data/x":      "is in the data directory",
		"backup " + m.dir + "/none/x":      "no such file or directory",
		"backup --keep -1 " + to:           "--keep: -1 is below 0",
		"restore " + m.dir + "/data":       "no whole backup is there",
		"restore --keep-config " + m.dir:   "no whole backup is there",
		"backup-helper stream x":           "",
		"backup-helper check /nowhere/x/y": "data directory: ",
	} {
		if a := m.run(t, strings.Fields(args)...); a.code == 0 || !strings.Contains(a.talk, want) {
			t.Errorf("%s: exit %d: %s", args, a.code, a.talk)
		}
	}
}

// TestRestoreKeepsConfig: moving in on a host that has a configuration of its
// own, with another data directory.
func TestRestoreKeepsConfig(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org")
	to := filepath.Join(m.dir, "backups")
	m.must(t, "backup", to)
	other := newMachine(t)
	if err := os.RemoveAll(filepath.Join(other.dir, "data")); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		if err := os.Mkdir(filepath.Join(other.dir, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(other.config())
	if err != nil {
		t.Fatal(err)
	}
	other.must(t, "restore", "--keep-config", to)
	if after, err := os.ReadFile(other.config()); err != nil || string(after) != string(before) {
		t.Errorf("the configuration has changed, %v", err)
	}
	if out := other.must(t, "domain", "list"); !strings.Contains(out, "example.org") {
		t.Errorf("domain list prints %s", out)
	}
}

// TestBackupWhileChanged: each of many backups is one that a Gatepost starts
// from, while accounts and keys change all the time.
func TestBackupWhileChanged(t *testing.T) {
	s := startServed(t, "")
	s.must(t, "domain", "add", "example.org")
	s.must(t, "dkim", "new", "example.org", "--algorithm", "ed25519", "--selector", "old")
	stop := make(chan struct{})
	var writers sync.WaitGroup
	var mu sync.Mutex // guards added
	var added []string
	writers.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			name := fmt.Sprintf("a%d@example.org", n)
			s.must(t, "alias", "add", name, "x@elsewhere.example")
			mu.Lock()
			added = append(added, name)
			mu.Unlock()
		}
	})
	writers.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			s.must(t, "dkim", "new", fmt.Sprintf("d%d.example", n), "--algorithm", "ed25519", "--selector", "s1")
			s.must(t, "dkim", "rotate", "example.org")
			s.must(t, "dkim", "rotate", "example.org", "--undo")
		}
	})
	for n := range 4 {
		mu.Lock()
		want := slices.Clone(added)
		mu.Unlock()
		to := filepath.Join(s.dir, fmt.Sprintf("backups%d", n))
		s.must(t, "backup", to)
		other := newMachine(t)
		other.must(t, "restore", "--keep-config", "--force", to)
		out := other.must(t, "alias", "list")
		for _, name := range want {
			if !strings.Contains(out, name+" ") {
				t.Errorf("backup %d has no %s, which was there before", n, name)
			}
		}
		if a := other.run(t, "dkim", "list", "--json"); a.code != 0 || !strings.Contains(a.out, `"selector": "old"`) {
			t.Errorf("backup %d: dkim list: exit %d: %s", n, a.code, a.talk)
		}
	}
	close(stop)
	writers.Wait()
}

// collected is a collector for a test.
type collected struct{ files, left []string }

func (c *collected) AddFile(_ context.Context, target string, isConfig bool) error {
	if strings.HasSuffix(target, "missing") {
		return fmt.Errorf("open %s: %w", target, os.ErrNotExist)
	}
	if isConfig {
		target = "config " + target
	}
	c.files = append(c.files, target)
	return nil
}

func (c *collected) LeaveOut(why string) { c.left = append(c.left, why) }

// TestFilesInBackup: secrets and maps that the configuration names are in a
// backup, certificates and the logs of others are not.
func TestFilesInBackup(t *testing.T) {
	m := newMachine(t)
	scripts := filepath.Join(m.dir, "sieve")
	if err := errors.Join(os.Mkdir(scripts, 0o755), os.WriteFile(filepath.Join(scripts, "x.sieve"), []byte("keep;"), 0o644)); err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.DataDirectory = m.dir + "/data"
	cfg.Outgoing.PasswordFile = "/etc/gatepost/outgoing"
	cfg.Notices.WebhookFile = "/etc/gatepost/missing"
	cfg.Policyd.SRS.KeyFile = m.dir + "/data/srs.keys"
	cfg.Policyd.GeoFile = "/usr/share/geo"
	cfg.Managesieve.SSLCert, cfg.Managesieve.SSLKey = "/etc/ssl/c", "/etc/ssl/k"
	cfg.Sieve.GlobalDirectory = scripts
	cfg.Sieve.Before = []string{scripts + "/%d.sieve"}
	var c collected
	if err := addFiles(t.Context(), &c, "/etc/gatepost/gatepost.yaml", cfg); err != nil {
		t.Fatal(err)
	}
	want := []string{"config /etc/gatepost/gatepost.yaml", "/usr/share/geo", scripts + "/x.sieve", scripts + "/x.sieve", "/etc/gatepost/outgoing"}
	if !slices.Equal(c.files, want) {
		t.Errorf("files %q, want %q", c.files, want)
	}
	if len(c.left) != 3 || !strings.HasPrefix(c.left[0], "managesieve.ssl_cert: /etc/ssl/c: ") || !strings.HasPrefix(c.left[2], "notices.webhook_file: open /etc/gatepost/missing: ") {
		t.Errorf("left out %q", c.left)
	}
	for key, want := range map[string]treatment{"maps.file": aFile, "watch_logs.file": noFile, "dns_lists.lists.key_file": aFile, "mysql.password_file": aFile,
		"mysql.tls_ca_file": aCertificate, "policyd.greylist.whitelist_files": aFile, "hostname": noFile, "policyd.profiles": noFile, "data_directory": noFile} {
		if got := treat(key); got != want {
			t.Errorf("treat(%s) = %d, want %d", key, got, want)
		}
	}
}

// TestUnfinishedRestore: what a killed restore left halfway is not served.
func TestUnfinishedRestore(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org")
	marker := filepath.Join(m.dir, "data/restore.unfinished")
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(marker, m.uid, m.gid()); err != nil {
		t.Fatal(err)
	}
	if err := backup.Unfinished(filepath.Join(m.dir, "data")); !errors.Is(err, backup.ErrUnfinished) {
		t.Errorf("Unfinished() = %v", err)
	}
	for _, args := range []string{"domain list", "backup " + m.dir + "/b"} {
		if a := m.run(t, strings.Fields(args)...); a.code != 1 || !strings.Contains(a.talk, "a restore into this directory did not end\ngatepost: hint: gatepost restore --force DIR") {
			t.Errorf("%s: exit %d: %s", args, a.code, a.talk)
		}
	}
}
