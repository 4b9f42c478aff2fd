package script

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

var alice = mailaddr.Address{LocalPart: "alice", Domain: "example.org"}

func newStore(t *testing.T) (s *Store, home string) {
	t.Helper()
	root := t.TempDir()
	return New(Config{Root: root, MaxBytes: 100, MaxScripts: 3, MaxStorage: 200}), filepath.Join(root, "example.org", "alice")
}

func put(t *testing.T, s *Store, name, src string) {
	t.Helper()
	if err := s.Put(alice, name, []byte(src)); err != nil {
		t.Fatalf("Put(%s) = %v", name, err)
	}
}

func activate(t *testing.T, s *Store, name string) {
	t.Helper()
	if err := s.Activate(alice, name); err != nil {
		t.Fatalf("Activate(%s) = %v", name, err)
	}
}

// listed returns the names, the active one with a star.
func listed(t *testing.T, s *Store) string {
	t.Helper()
	all, err := s.List(alice)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range all {
		if i.Active {
			i.Name += "*"
		}
		out = append(out, i.Name)
	}
	return strings.Join(out, " ")
}

func wantActive(t *testing.T, s *Store, name, src string) {
	t.Helper()
	a, err := s.Active(alice, Identity{})
	if err != nil || a.Name != name || string(a.Source) != src {
		t.Errorf("Active = %q %q, %v, want %q %q", a.Name, a.Source, err, name, src)
	}
}

func TestStore(t *testing.T) {
	s, home := newStore(t)
	for _, f := range []func() error{
		func() error { _, err := s.Read(alice, "a"); return err },
		func() error { _, err := s.Active(alice, Identity{}); return err },
		func() error { return s.Delete(alice, "a") },
		func() error { return s.Rename(alice, "a", "b") },
	} {
		if err := f(); err != ErrNotFound {
			t.Errorf("without a home: %v, want ErrNotFound", err)
		}
	}
	if err := s.Activate(alice, ""); err != nil || listed(t, s) != "" {
		t.Errorf("Activate none without a home = %v", err)
	}
	if _, err := os.Lstat(home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a home was made for nothing: %v", err)
	}
	put(t, s, "b", "keep;\r\n")
	put(t, s, "ä \"x\"", "stop;\r\n")
	put(t, s, "b", "discard;\r\n")
	if got, err := s.Read(alice, "b"); err != nil || string(got) != "discard;\r\n" {
		t.Errorf("Read = %q, %v", got, err)
	}
	if err := s.Activate(alice, "c"); err != ErrNotFound {
		t.Errorf("Activate what is not there = %v", err)
	}
	activate(t, s, "b")
	if got := listed(t, s); got != `b* ä "x"` {
		t.Errorf("List = %s", got)
	}
	wantActive(t, s, "b", "discard;\r\n")
	if target, err := os.Readlink(filepath.Join(home, link)); err != nil || target != "sieve/b.sieve" {
		t.Errorf("link = %q, %v", target, err)
	}
	if err := s.Delete(alice, "b"); err != ErrActive {
		t.Errorf("Delete the active one = %v", err)
	}
	if err := s.Rename(alice, "b", `ä "x"`); err != ErrExists {
		t.Errorf("Rename onto another = %v", err)
	}
	if err := s.Rename(alice, "b", "c"); err != nil {
		t.Errorf("Rename = %v", err)
	}
	wantActive(t, s, "c", "discard;\r\n")
	if err := errors.Join(s.Activate(alice, ""), s.Delete(alice, "c"), s.Activate(alice, "")); err != nil {
		t.Error(err)
	}
	if got := listed(t, s); got != `ä "x"` {
		t.Errorf("List at the end = %s", got)
	}
	if left, err := os.ReadDir(filepath.Join(home, "sieve", "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left in tmp: %v, %v", left, err)
	}
}

// A version that is known is not read again, and a change is seen.
func TestActiveIdentity(t *testing.T) {
	s, _ := newStore(t)
	put(t, s, "a", "keep;")
	activate(t, s, "a")
	first, err := s.Active(alice, Identity{})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Active(alice, first.ID); err != nil || again.Source != nil || again.ID != first.ID {
		t.Errorf("Active of what is known = %+v, %v", again, err)
	}
	put(t, s, "a", "stop;")
	if next, err := s.Active(alice, first.ID); err != nil || string(next.Source) != "stop;" || next.ID == first.ID {
		t.Errorf("Active of what changed = %+v, %v", next, err)
	}
}

func TestQuota(t *testing.T) {
	s, _ := newStore(t)
	put(t, s, "a", strings.Repeat("a", 90))
	put(t, s, "b", strings.Repeat("b", 90))
	for _, tc := range []struct {
		name string
		size int
		want Quota
	}{
		{"a", 101, QuotaBytes}, {"c", 30, QuotaStorage}, {"c", 20, 0}, {"a", 100, 0},
	} {
		err := s.HaveSpace(alice, tc.name, int64(tc.size))
		if got := s.Put(alice, "x", make([]byte, tc.size)); tc.name != "a" && tc.want != 0 && got == nil {
			t.Errorf("Put of %d bytes = %v", tc.size, got)
		} else if got == nil && s.Delete(alice, "x") != nil {
			t.Error("Delete(x) failed")
		}
		var q *QuotaError
		if errors.As(err, &q) != (tc.want != 0) || tc.want != 0 && q.Quota != tc.want {
			t.Errorf("HaveSpace(%s, %d) = %v, want quota %d", tc.name, tc.size, err, tc.want)
		}
	}
	put(t, s, "c", "c")
	var q *QuotaError
	if err := s.Put(alice, "d", []byte("d")); !errors.As(err, &q) || q.Quota != QuotaScripts || q.Max != 3 {
		t.Errorf("Put of a fourth = %v", err)
	}
	s.Reconfigure(Config{Root: s.cfg.Load().Root, MaxScripts: 1})
	put(t, s, "c", "who has too many may still change one")
}

func TestValidName(t *testing.T) {
	for name, valid := range map[string]bool{
		"a": true, "main script": true, "über": true, ".": true, "..": true, "x.sieve": true, strings.Repeat("x", 249): true,
		"": false, "a/b": false, "a\x00": false, "a\nb": false, "\u0085": false, "\u2028": false, "\xff": false, strings.Repeat("x", 250): false,
	} {
		if err := ValidName(name); (err == nil) != valid {
			t.Errorf("ValidName(%q) = %v", name, err)
		}
	}
	s, _ := newStore(t)
	for _, f := range []func(string) error{
		func(n string) error { return s.Put(alice, n, nil) },
		func(n string) error { return s.Activate(alice, n) },
		func(n string) error { return s.Delete(alice, n) },
		func(n string) error { return s.Rename(alice, "a", n) },
		func(n string) error { return s.HaveSpace(alice, n, 1) },
		func(n string) error { _, err := s.Read(alice, n); return err },
	} {
		if err := f("../../bob/x"); err != ErrName {
			t.Errorf("a name that leads out: %v", err)
		}
	}
}

func FuzzLinkedName(f *testing.F) {
	for _, s := range []string{"sieve/a.sieve", "/var/vmail/example.org/alice/sieve/a.sieve", "../bob/sieve/a.sieve", "sieve/../x.sieve", "/etc/passwd", ""} {
		f.Add(s)
	}
	const home = "/var/vmail/example.org/alice"
	f.Fuzz(func(t *testing.T, target string) {
		name, err := linkedName(home, target)
		if err != nil {
			return
		}
		if ValidName(name) != nil {
			t.Errorf("linkedName(%q) = %q", target, name)
		}
		if again, err := linkedName(home, linkTarget(name)); err != nil || again != name {
			t.Errorf("linkedName(linkTarget(%q)) = %q, %v", name, again, err)
		}
	})
}

// What a user, or a thief, put in the way is neither followed nor destroyed.
func TestLinksAreNotFollowed(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret.sieve")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		plant func(home string) error
	}{
		{"the home", func(home string) error { return os.Symlink(outside, home) }},
		{"the directory", func(home string) error {
			return errors.Join(os.Mkdir(home, 0o700), os.Symlink(outside, filepath.Join(home, "sieve")))
		}},
		{"tmp", func(home string) error {
			return errors.Join(os.MkdirAll(filepath.Join(home, "sieve"), 0o700), os.Symlink(outside, filepath.Join(home, "sieve/tmp")))
		}},
		{"the script", func(home string) error {
			return errors.Join(os.MkdirAll(filepath.Join(home, "sieve"), 0o700), os.Symlink(secret, filepath.Join(home, "sieve/a.sieve")))
		}},
		{"a FIFO-like directory as the script", func(home string) error { return os.MkdirAll(filepath.Join(home, "sieve/a.sieve"), 0o700) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, home := newStore(t)
			if err := errors.Join(os.Mkdir(filepath.Dir(home), 0o700), tc.plant(home)); err != nil {
				t.Fatal(err)
			}
			if err := s.Put(alice, "a", []byte("keep;")); !errors.Is(err, ErrUnsafe) {
				t.Errorf("Put = %v, want ErrUnsafe", err)
			}
			if src, err := s.Read(alice, "a"); err == nil {
				t.Errorf("Read = %q", src)
			}
			if err := s.Activate(alice, "a"); err == nil {
				t.Error("Activate: no error")
			}
			if got, err := os.ReadFile(secret); string(got) != "secret" {
				t.Errorf("the file outside = %q, %v", got, err)
			}
		})
	}
}

// A link that leads elsewhere is no active script, and can be replaced.
func TestForeignLink(t *testing.T) {
	s, home := newStore(t)
	put(t, s, "a", "keep;")
	if err := os.Symlink("/etc/passwd", filepath.Join(home, link)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Active(alice, Identity{}); !errors.Is(err, ErrUnsafe) {
		t.Errorf("Active = %v, want ErrUnsafe", err)
	}
	if got := listed(t, s); got != "a" {
		t.Errorf("List = %s", got)
	}
	activate(t, s, "a")
	wantActive(t, s, "a", "keep;")
}

// A regular file that is the active script is not lost.
func TestRescue(t *testing.T) {
	for _, next := range []string{"a", ""} {
		s, home := newStore(t)
		put(t, s, "a", "keep;")
		put(t, s, rescued, "taken")
		if err := os.WriteFile(filepath.Join(home, link), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantActive(t, s, "", "mine")
		activate(t, s, next)
		if got, err := s.Read(alice, "dovecot.orig-2"); err != nil || string(got) != "mine" {
			t.Errorf("the file as a script = %q, %v", got, err)
		}
		if got, _ := s.Read(alice, rescued); string(got) != "taken" {
			t.Errorf("%s = %q", rescued, got)
		}
	}
}

// Modes follow the home, and what was left in tmp goes.
func TestModesAndLeftovers(t *testing.T) {
	s, home := newStore(t)
	if err := errors.Join(os.MkdirAll(home, 0o700), os.Chmod(home, 0o770|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	put(t, s, "a", "keep;")
	for path, want := range map[string]os.FileMode{"sieve": 0o770, "sieve/tmp": 0o770, "sieve/a.sieve": 0o660} {
		st, err := os.Stat(filepath.Join(home, path))
		if err != nil || st.Mode().Perm() != want || st.IsDir() && st.Mode()&os.ModeSetgid == 0 {
			t.Errorf("%s: %v, %v, want %v", path, st.Mode(), err, want)
		}
	}
	young := filepath.Join(home, "sieve/tmp/young")
	if err := os.WriteFile(young, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// An old content alone says nothing: the inode is young.
	if err := os.Chtimes(young, time.Now(), time.Now().Add(-48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	put(t, s, "b", "keep;")
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a young file has gone: %v", err)
	}
	b, err := s.open(alice, true)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	fd, err := b.openTmp(time.Now().Add(37 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	closeFD(fd)
	if _, err := os.Stat(young); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an old file is still there: %v", err)
	}
}

// Writers at the same time: each leaves a whole script, and the quota holds.
func TestConcurrentPuts(t *testing.T) {
	s, home := newStore(t)
	done := make(chan error)
	names := []string{"a", "b", "c", "d", "e", "f"}
	for _, n := range names {
		go func() { done <- s.Put(alice, n, []byte(strings.Repeat(n, 50))) }()
	}
	kept := 0
	for range names {
		err := <-done
		var q *QuotaError
		if err == nil {
			kept++
		} else if !errors.As(err, &q) {
			t.Error(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(home, "sieve/*.sieve"))
	if err != nil || kept != 3 || len(files) != 3 {
		t.Errorf("kept %d in %v, %v, want 3", kept, files, err)
	}
}

func TestChecker(t *testing.T) {
	s, _ := newStore(t)
	c := Checker{Store: s, Global: func(name string) (string, error) {
		if name == "shared" {
			return "keep;", nil
		}
		return "", os.ErrNotExist
	}}
	put(t, s, "mine", "stop;")
	for _, tc := range []struct {
		src, fault string
		warnings   []string
	}{
		{src: "keep;"},
		{src: "keep", fault: "x:1:5:"},
		{src: `require "include"; include "mine"; include :global "shared";`},
		{src: `require "include"; include "later";`, warnings: []string{`included script "later" is not there yet`}},
		{src: `require "include"; include :global "other";`, fault: "does not exist"},
	} {
		warnings, err := c.Check(alice, "x", []byte(tc.src))
		if (err == nil) != (tc.fault == "") || err != nil && !strings.Contains(err.Error(), tc.fault) || !slices.Equal(warnings, tc.warnings) {
			t.Errorf("Check(%s) = %q, %v, want %q, %q", tc.src, warnings, err, tc.warnings, tc.fault)
		}
	}
}
