package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSieveCommands: the commands work on the files where Pigeonhole keeps them,
// as the owner of the mail.
func TestSieveCommands(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org")
	if a := m.runWith(t, "a long enough password\n", "user", "add", "alice@example.org"); a.code != 0 {
		t.Fatal(a)
	}
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(m.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.sieve", "require \"fileinto\";\nif header :contains \"subject\" \"offer\" { fileinto \"Offers\"; }\n")
	bad := file("bad.sieve", "keep;\nfrobnicate;\n")
	message := file("message.eml", "Subject: an offer\n\nbody\n")

	if a := m.run(t, "sieve", "check", good, bad); a.code != 1 || !strings.Contains(a.out, bad+":2:1: ") || strings.Contains(a.out, "good.sieve:") {
		t.Errorf("check = %+v", a)
	}
	if out := m.must(t, "sieve", "list", "alice@example.org"); strings.Count(out, "\n") != 1 {
		t.Errorf("list of nothing = %q", out)
	}
	if a := m.run(t, "sieve", "put", "alice@example.org", "x", bad); a.code != 1 || !strings.Contains(a.talk, "x:2:1: ") {
		t.Errorf("put of a faulty one = %+v", a)
	}
	m.must(t, "sieve", "put", "alice@example.org", "offers", good, "--activate")
	home := filepath.Join(m.dir, "mail/example.org/alice")
	if target, err := os.Readlink(filepath.Join(home, ".dovecot.sieve")); err != nil || target != "sieve/offers.sieve" {
		t.Errorf("link = %q, %v", target, err)
	}
	if a := m.runWith(t, "keep;", "sieve", "put", "alice@example.org", "plain"); a.code != 0 {
		t.Errorf("put from stdin = %+v", a)
	}
	if out := m.must(t, "sieve", "show", "alice@example.org"); !strings.Contains(out, "Offers") {
		t.Errorf("show = %q", out)
	}
	if a := m.run(t, "sieve", "remove", "alice@example.org", "offers"); a.code != 1 || !strings.Contains(a.talk, "--none") {
		t.Errorf("remove of the active one = %+v", a)
	}
	m.must(t, "sieve", "activate", "alice@example.org", "plain")
	m.must(t, "sieve", "remove", "alice@example.org", "offers")
	m.must(t, "sieve", "activate", "alice@example.org", "--none")
	var all []struct {
		Name   string
		Active bool
	}
	if err := json.Unmarshal([]byte(m.must(t, "sieve", "list", "--json", "alice@example.org")), &all); err != nil || len(all) != 1 || all[0].Name != "plain" || all[0].Active {
		t.Errorf("list at the end = %+v, %v", all, err)
	}
	for _, args := range [][]string{{"list", "bob@example.org"}, {"activate", "alice@example.org", "nothing"}} {
		if a := m.run(t, append([]string{"sieve"}, args...)...); a.code != 1 || !strings.Contains(a.talk, "hint: ") {
			t.Errorf("%v = %+v", args, a)
		}
	}
	if a := m.run(t, "sieve", "activate", "alice@example.org"); a.code != 2 {
		t.Errorf("activate of nothing = %+v", a)
	}
	out := m.must(t, "sieve", "test", good, message)
	if !strings.Contains(out, ":2:4: test header is true\n") || !strings.HasSuffix(out, "\nresult: store Offers\n") {
		t.Errorf("test = %s", out)
	}
}
