package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

// generations is a domain with keys in every state: one revoked, one retiring,
// one active, one pending.
func generations(t *testing.T) *Store {
	t.Helper()
	s := open(t, filepath.Join(t.TempDir(), "dkim"))
	create(t, s, "example.org", "", Ed25519)
	for range 2 {
		if _, err := s.Rotate("example.org"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Activate("example.org"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * 24 * time.Hour)
		if _, err := s.revoke(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Rotate("example.org"); err != nil {
		t.Fatal(err)
	}
	return s
}

// fix runs the command of the one fault of err.
func fix(t *testing.T, err error) string {
	t.Helper()
	var f *Fault
	if !errors.As(err, &f) || f.Fix == "" {
		t.Fatalf("%v has no command that mends it", err)
	}
	if out, err := exec.Command("sh", "-c", f.Fix).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", f.Fix, err, out)
	}
	return f.Path
}

// all lists selectors and states.
func all(s *Store) string {
	var out []string
	for _, k := range s.List() {
		out = append(out, k.Selector+":"+string(k.State))
	}
	return strings.Join(out, " ")
}

// A file of states that somebody deletes makes no key active: it is told, with
// the command that brings it back.
func TestLostStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := generations(t)
		before := all(s)
		for _, state := range []State{Revoked, Retiring, Active, Pending} {
			if !strings.Contains(before, ":"+string(state)) {
				t.Fatalf("no key is %s: %s", state, before)
			}
		}
		path := filepath.Join(s.dir, "example.org", statesFile)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		err := s.Reload()
		if err == nil || !strings.Contains(err.Error(), path+": is missing, and it alone knows which of these keys sign: ") {
			t.Fatalf("Reload = %v", err)
		}
		if got := all(s); got != before {
			t.Errorf("a running process has %s, want %s", got, before)
		}
		_, err = Open(s.dir, slog.New(slog.DiscardHandler))
		if got := fix(t, err); got != path {
			t.Errorf("fault at %s, want %s", got, path)
		}
		if got := all(open(t, s.dir)); got != before {
			t.Errorf("with the copy %s, want %s", got, before)
		}
	})
}

// Without the copy, in a backup of the key files alone, none of them signs until
// a person and the DNS have spoken.
func TestLostStatesAndCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := generations(t)
		zone := newServers()
		zone.publish(s.List(), zone.a, zone.b)
		dir := filepath.Join(s.dir, "example.org")
		if err := errors.Join(os.Remove(filepath.Join(dir, statesFile)), os.Remove(filepath.Join(dir, copyFile))); err != nil {
			t.Fatal(err)
		}
		_, err := Open(s.dir, slog.New(slog.DiscardHandler))
		if path := fix(t, err); filepath.Base(path) != statesFile {
			t.Errorf("fault at %s", path)
		}
		info, err := os.Stat(filepath.Join(dir, statesFile))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the command made mode %v, %v", info.Mode(), err)
		}
		s = open(t, s.dir)
		for range 3 {
			s.turn(t.Context(), zone)
			time.Sleep(72 * time.Hour)
		}
		if n := len(s.Active("example.org")); n != 0 || !s.Waiting("example.org") {
			t.Errorf("%d keys sign: %s", n, all(s))
		}
		for _, st := range s.Statuses("example.org") {
			if !strings.Contains(st.Next, "gatepost dkim remove example.org "+st.Selector) {
				t.Errorf("%s: %q", st.Selector, st.Next)
			}
		}
		// The admin takes away what is old, and goes on with the rest.
		ks := s.List()
		for _, k := range ks[:len(ks)-1] {
			if err := s.Remove("example.org", k.Selector); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Rotate("example.org"); err != nil {
			t.Fatal(err)
		}
		if len(s.Active("example.org")) != 0 {
			t.Error("a key signs that the DNS has not shown")
		}
		for range 2 {
			s.turn(t.Context(), zone)
			time.Sleep(72 * time.Hour)
		}
		if got := s.Active("example.org"); len(got) != 1 || got[0].Selector != ks[len(ks)-1].Selector {
			t.Errorf("active are %v", got)
		}
	})
}

// One pending or revoked key is enough to be told, also if another file of
// states is there.
func TestLostStateOfOneKey(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "dkim"))
	k, err := s.CreatePending("example.org", "one", Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(k.Path)
	for _, text := range []string{"", "{\"keys\":{}}", "{\"keys\":{\"other\":{\"state\":\"active\"}}}"} {
		states := filepath.Join(dir, statesFile)
		if err := os.Remove(states); err != nil {
			t.Fatal(err)
		}
		if text != "" {
			if err := os.WriteFile(states, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Open(s.dir, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "which of these keys sign: one (mend it with: cp -p ") {
			t.Errorf("Open with %q = %v", text, err)
		}
		fix(t, err)
		if got := all(open(t, s.dir)); got != "one:pending" {
			t.Errorf("after %q: %s", text, got)
		}
	}
}

// Keys that the admin puts there himself are active, as long as it is plain
// which of them sign.
func TestKeysByHand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dkim")
	put := func(selector string, key any) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, "example.org"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "example.org", selector+suffix), pemOf(t, key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one, two := edKey(t), edKey(t)
	put("one", one)
	mail, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	put("rsa", mail)
	if got := all(open(t, dir)); got != "rsa:active one:active" {
		t.Errorf("one key of each algorithm: %s", got)
	}
	put("two", two)
	_, err = Open(dir, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "which of these keys sign: one two") {
		t.Fatalf("two keys of one algorithm: %v", err)
	}
	states := filepath.Join(dir, "example.org", statesFile)
	if err := os.WriteFile(states, []byte(`{"keys":{"two":{"state":"pending"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := all(open(t, dir)); got != "rsa:active one:active two:pending" {
		t.Errorf("with states: %s", got)
	}
}

// A key that was removed does not come back with its file.
func TestRemovedKeyStaysAway(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "dkim"))
	k, err := s.CreatePending("example.org", "one", Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(k.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("example.org", "one"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.Path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(s.dir, slog.New(slog.DiscardHandler))
	if err == nil || err.Error() != k.Path+": this key was removed, and is not to sign again (mend it with: rm "+k.Path+")" {
		t.Errorf("Open = %v", err)
	}
	fix(t, err)
	if got := all(open(t, s.dir)); got != "" {
		t.Errorf("keys %s", got)
	}
}

// The refusal of too many keys names its remedy.
func TestTooManyKeys(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "dkim"))
	for _, sel := range []string{"a", "b", "c", "d"} {
		create(t, s, "example.org", sel, Ed25519)
	}
	if _, err := s.Create("example.org", "e", Ed25519); err == nil || !strings.HasSuffix(err.Error(), "example.org has 4 keys that sign, at most 4 can: gatepost dkim rotate example.org replaces those that are there") {
		t.Errorf("Create = %v", err)
	}
	dir := filepath.Join(s.dir, "example.org")
	if err := os.WriteFile(filepath.Join(dir, "e"+suffix), pemOf(t, edKey(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(s.dir, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), dir+": 5 keys, at most 4 can sign: those that are too many have to go") {
		t.Fatalf("Open = %v", err)
	}
	fix(t, err)
	if got := all(open(t, s.dir)); got != "a:active b:active c:active d:active" {
		t.Errorf("keys %s", got)
	}
}

// Import of a key that bears our mark, from another host of ours.
func TestImportMarked(t *testing.T) {
	a, b := open(t, filepath.Join(t.TempDir(), "dkim")), open(t, filepath.Join(t.TempDir(), "dkim"))
	k := create(t, a, "example.org", "one", Ed25519)
	text, err := os.ReadFile(k.Path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "-----BEGIN PRIVATE KEY-----\n") {
		t.Errorf("key file %q: OpenDKIM wants the block first", text[:20])
	}
	if _, err := b.Import("example.org", "one", secret.New(text)); err != nil {
		t.Fatal(err)
	}
	if got := all(open(t, b.dir)); got != "one:active" {
		t.Errorf("keys %s", got)
	}
}

func edKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
