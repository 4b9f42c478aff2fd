package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/account/transfer"
)

// fillAccounts gives a machine some accounts.
func (m *machine) fillAccounts(t *testing.T) {
	t.Helper()
	m.must(t, "domain", "add", "example.org")
	for _, user := range []string{"alice@example.org", "bob@example.org"} {
		if a := m.runWith(t, "a planted password\n", "user", "add", user); a.code != 0 {
			t.Fatal(a.talk)
		}
	}
	m.must(t, "alias", "add", "info@example.org", "alice@example.org", "bob@example.org")
	m.must(t, "user", "hold", "bob@example.org")
	m.must(t, "user", "app-password", "add", "alice@example.org", "phone", "--imap")
	m.must(t, "user", "grant", "alice@example.org", "--send-as", "boss@example.org")
}

func TestAccountExportAndImport(t *testing.T) {
	from, to := newMachine(t), newMachine(t)
	from.fillAccounts(t)
	dir := t.TempDir()
	file, again := filepath.Join(dir, "accounts.jsonl"), filepath.Join(dir, "again.jsonl")
	if out := from.must(t, "account", "export", file); !strings.HasPrefix(out, "6 rows in "+file+", SHA-256 ") {
		t.Errorf("export prints %q", out)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file has mode %v, %v", info.Mode(), err)
	}
	if a := from.run(t, "account", "export", file); a.code != exitFailed || !strings.Contains(a.talk, "file exists\ngatepost: hint: name a file that is not there yet") {
		t.Errorf("export over a file: exit %d: %s", a.code, a.talk)
	}
	if out := to.must(t, "account", "import", "--dry-run", file); out != "6 rows: 6 added, 0 the same, 0 replaced, 0 refused (dry run: nothing was written)\n" {
		t.Errorf("dry run prints %q", out)
	}
	if out := to.must(t, "domain", "list"); out != "" {
		t.Errorf("after the dry run there is %q", out)
	}
	const verified = "verified: the store has all rows of the file, and 0 more\n"
	if out := to.must(t, "account", "import", file); out != "6 rows: 6 added, 0 the same, 0 replaced, 0 refused\n"+verified {
		t.Errorf("import prints %q", out)
	}
	to.must(t, "account", "export", again)
	if out := to.must(t, "account", "export", "-"); out != readText(t, file) || readText(t, again) != out {
		t.Errorf("the other store makes another file:\n%s\nwant\n%s", out, readText(t, file))
	}
	if a := to.runWith(t, readText(t, file), "account", "import", "-"); a.code != 0 || !strings.HasSuffix(a.out, verified) {
		t.Errorf("import of standard input: exit %d: %s%s", a.code, a.out, a.talk)
	}
	var sum transfer.Sum
	if err := json.Unmarshal([]byte(from.must(t, "account", "export", "--json", filepath.Join(dir, "json.jsonl"))), &sum); err != nil || sum.Rows() != 6 || len(sum.SHA256) != 64 {
		t.Errorf("export --json: %+v, %v", sum, err)
	}
}

func TestAccountImportSaysNo(t *testing.T) {
	m := newMachine(t)
	m.fillAccounts(t)
	file := filepath.Join(t.TempDir(), "accounts.jsonl")
	m.must(t, "account", "export", file)
	m.must(t, "user", "release", "bob@example.org")
	if a := m.run(t, "account", "import", file); a.code != exitFailed || a.talk != "" ||
		a.out != "line 4: user bob@example.org: is there, and differs in [held]\n6 rows: 0 added, 5 the same, 0 replaced, 1 refused\n" {
		t.Errorf("what differs: exit %d: %s%s", a.code, a.out, a.talk)
	}
	var rep transfer.Report
	if a := m.run(t, "account", "import", "--json", "--replace", file); a.code != 0 || json.Unmarshal([]byte(a.out), &rep) != nil || rep.Replaced != 1 || !rep.Verified {
		t.Errorf("--replace: exit %d: %s%s", a.code, a.out, a.talk)
	}
	for name, tc := range map[string]struct{ text, want string }{
		"damaged": {strings.Replace(readText(t, file), `"kind":"alias"`, `"kind":"alias`, 1), "line 5: "},
		"cut":     {readText(t, file)[:500], "line "},
		"none":    {"", "line 1: "},
	} {
		a := m.runWith(t, tc.text, "account", "import", "-")
		if a.code != exitFailed || a.out != "" || !strings.HasPrefix(a.talk, "gatepost: error: "+tc.want) || !strings.Contains(a.talk, "\ngatepost: hint: nothing was changed") {
			t.Errorf("%s: exit %d: %s%s", name, a.code, a.out, a.talk)
		}
		if strings.Contains(a.talk, "$") {
			t.Errorf("%s: a hash is in %s", name, a.talk)
		}
	}
	if a := m.run(t, "account", "import", filepath.Join(t.TempDir(), "none")); a.code != exitFailed || !strings.Contains(a.talk, "no such file") {
		t.Errorf("no file: exit %d: %s", a.code, a.talk)
	}
}

func TestAccountExportOfARunningGatepost(t *testing.T) {
	s := startServed(t, "")
	file := filepath.Join(t.TempDir(), "accounts.jsonl")
	a := s.run(t, "account", "export", file)
	if a.code != exitFailed || !strings.Contains(a.talk, "hint: systemctl stop gatepost") {
		t.Errorf("exit %d: %s", a.code, a.talk)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("an export that failed leaves a file")
	}
}

func readText(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestImportWithoutConfiguration: an import that could not begin said that what
// was done stays.
func TestImportWithoutConfiguration(t *testing.T) {
	m := newMachine(t)
	if err := os.Remove(m.config()); err != nil {
		t.Fatal(err)
	}
	a := m.run(t, "account", "import", os.DevNull)
	if a.code != 1 || strings.Contains(a.talk, "what was done") || !strings.Contains(a.talk, "gatepost config init") {
		t.Errorf("exit %d: %s", a.code, a.talk)
	}
}
