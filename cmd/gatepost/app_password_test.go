package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestAppPasswordCommands: a password is printed once and is in no file, and
// each is revoked by its name.
func TestAppPasswordCommands(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org")
	if a := m.runWith(t, "a long password\n", "user", "add", "alice@example.org"); a.code != 0 {
		t.Fatal(a.talk)
	}
	a := m.run(t, "user", "app-password", "add", "alice@example.org", "phone", "--imap", "--smtp", "--expires", "90d")
	if a.code != 0 || !regexp.MustCompile(`^([0-9a-z]{4}-){4}[0-9a-z]{4}\n$`).MatchString(a.out) || !strings.Contains(a.talk, "shown this once") {
		t.Fatalf("app-password add: exit %d: %q, %s", a.code, a.out, a.talk)
	}
	clear := strings.TrimSpace(a.out)
	m.inspect(t, clear)
	m.inspect(t, strings.ReplaceAll(clear, "-", ""))
	m.must(t, "user", "app-password", "add", "alice@example.org", "old phone")
	out := m.must(t, "user", "app-password", "list", "alice@example.org")
	end := time.Now().Add(90 * 24 * time.Hour).UTC().Format(time.DateOnly)
	for _, want := range []string{"LAST USED (UTC)", "old phone  all              ", "phone      imap submission  ", "  " + end + " ", "  never  ", "  -                -\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("app-password list prints\n%s\nwant in it %q", out, want)
		}
	}
	var apps []map[string]any
	if err := json.Unmarshal([]byte(m.must(t, "user", "app-password", "list", "alice@example.org", "--json")), &apps); err != nil || len(apps) != 2 ||
		apps[1]["name"] != "phone" || apps[0]["hash"] != nil || apps[0]["last_used"] != nil {
		t.Errorf("app-password list --json: %v, %v", apps, err)
	}
	if out := m.must(t, "user", "show", "alice@example.org"); !strings.Contains(out, "apps     old phone, phone\n") {
		t.Errorf("user show:\n%s", out)
	}
	for args, want := range map[string]string{
		"user app-password add alice@example.org phone":                    "exit 1: entry exists already: gatepost user app-password remove alice@example.org \"phone\"",
		"user app-password add nobody@example.org phone":                   "exit 1: no such entry",
		"user app-password add alice@example.org x --expires yesterday":    "exit 2: --expires: \"yesterday\" is neither a span",
		"user app-password add alice@example.org x --expires 2020-01-01":   "exit 2: --expires: \"2020-01-01\" is neither a span",
		"user app-password list nobody@example.org":                        "exit 1: user nobody@example.org: no such entry",
		"user app-password remove alice@example.org tablet":                "exit 1: no such entry",
		"user app-password add alice@example.org x --ftp":                  "exit 2: unknown flag: --ftp",
		"user set alice@example.org":                                       "exit 2: nothing to set",
		"user set alice@example.org --services ftp":                        "exit 2: no service \"ftp\"",
		"user set alice@example.org --allow-nets 192.0.2.0/99":             "exit 2: --allow-nets: \"192.0.2.0/99\" is no network",
		"user set alice@example.org --allow-nets 192.0.2.9/24":             "exit 2: --allow-nets: \"192.0.2.9/24\" is no network",
		"user set nobody@example.org --nologin x":                          "exit 1: no such entry",
		"user password alice@example.org --scheme SSHA256":                 "exit 2: no new password is stored as SSHA256",
		"user password alice@example.org --scheme DES-CRYPT":               "exit 2: password scheme DES-CRYPT is not verified here",
		"user set alice@example.org --services pop3 --allow-nets nonsense": "exit 2: --allow-nets",
	} {
		m.refuses(t, args, want)
	}
	m.must(t, "user", "app-password", "remove", "alice@example.org", "phone")
	if out := m.must(t, "user", "app-password", "list", "alice@example.org", "--json"); strings.Contains(out, `"phone"`) || !strings.Contains(out, "old phone") {
		t.Errorf("app-password list after remove: %s", out)
	}
}

// refuses runs a command that has to fail with that exit code and those texts,
// which stand behind a colon each.
func (m *machine) refuses(t *testing.T, args, want string) {
	t.Helper()
	a := m.run(t, strings.Fields(args)...)
	code, texts, _ := strings.Cut(strings.TrimPrefix(want, "exit "), ": ")
	ok := string(rune('0'+a.code)) == code
	for text := range strings.SplitSeq(texts, ": ") {
		ok = ok && strings.Contains(a.talk, text)
	}
	if !ok {
		t.Errorf("%s: exit %d: %s\nwant %s", args, a.code, a.talk, want)
	}
}

// TestUserSet: what restricts logins, as an administrator types it, sees it and
// takes it back.
func TestUserSet(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org")
	for _, u := range []string{"alice@example.org", "bob@example.org"} {
		if a := m.runWith(t, "a long password\n", "user", "add", u, "--scheme", "scram-sha-256"); a.code != 0 {
			t.Fatal(a.talk)
		}
	}
	if out := m.must(t, "user", "list"); strings.Contains(out, "LOGINS") {
		t.Errorf("user list without restrictions:\n%s", out)
	}
	m.must(t, "user", "set", "alice@example.org", "--services", "smtp,imap", "--allow-nets", "192.0.2.0/24,2001:db8::1", "--expires", "2099-12-31")
	m.must(t, "user", "set", "bob@example.org", "--nologin", "moved: ask the help desk")
	for args, want := range map[string]string{
		"user show alice@example.org":        "expires  2100-01-01 00:00:00\nservices imap submission\nfrom     192.0.2.0/24, 2001:db8::1\n",
		"user list alice@*":                  "  expires 2100-01-01 00:00:00; services imap submission; from 192.0.2.0/24, 2001:db8::1\n",
		"user list":                          "bob@example.org    nologin  20",
		"user show bob@example.org":          "nologin  moved: ask the help desk\n",
		"user show alice@example.org --json": "\"services\": [\n    \"imap\",\n    \"submission\"\n  ]",
		"user list --json":                   `"nologin": "moved: ask the help desk"`,
	} {
		if out := m.must(t, strings.Fields(args)...); !strings.Contains(out, want) {
			t.Errorf("%s prints\n%s\nwant in it\n%s", args, out, want)
		}
	}
	if a := m.run(t, "user", "app-password", "add", "alice@example.org", "x", "--pop3"); a.code != 0 || !strings.Contains(a.talk, "may not log in to pop3 at all") {
		t.Errorf("app-password add for what the user may not: exit %d: %s", a.code, a.talk)
	}
	m.must(t, "user", "set", "alice@example.org", "--services", "all", "--allow-nets", "any", "--expires", "never")
	m.must(t, "user", "set", "bob@example.org", "--nologin", "")
	if out := m.must(t, "user", "list"); strings.Contains(out, "LOGINS") || strings.Count(out, "  active  ") != 2 {
		t.Errorf("user list when all is taken back:\n%s", out)
	}
	if a := m.runWith(t, "a long password\n", "user", "password", "bob@example.org", "--scheme", "plain"); a.code != 0 || !strings.Contains(a.talk, "warning: PLAIN protects no password") {
		t.Errorf("user password --scheme plain: exit %d: %s", a.code, a.talk)
	}
}
