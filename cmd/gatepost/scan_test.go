package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// call runs one command, which may not be registered, and returns what it
// printed.
func call(t *testing.T, cmd *cobra.Command, stdin string, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

const scannedMail = "From: n@news.example\r\nTo: ann@example.org\r\nSubject: hello \x1b[31m\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@news.example>\r\n\r\nhello\r\n"

func TestScanCommand(t *testing.T) {
	m := newMachine(t)
	bad := filepath.Join(m.dir, "bad_senders")
	if err := os.WriteFile(bad, []byte("news.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.configure(t, `scan:
  quarantine: 12
  deny: [192.0.2.0/24]
  users: { ann@example.org: { mark: 2 } }
  rules: { DENIED: { score: 5 } }
  admin_rules:
    - { name: RED, when: 'subject contains "hello"', tag: red, score: 0.5 }
    - { name: OUT, when: 'user != ""', score: -1 }
    - { name: NEWS, when: 'in_map("bad_senders", from_domain)', score: 0.05 }
maps: [{ name: bad_senders, file: `+bad+`, kind: domain, of: [from], score: 0.3 }]
`)
	a := &app{configPath: m.config()}
	for _, tc := range []struct {
		args, want []string
	}{
		{nil, []string{"    0.30  MAP_BAD_SENDERS", "    0.05  NEWS ", "    0.50  RED ", " of 15: accept (Junk from 6, quarantine from 12)\n", "Tags: red\n"}},
		{[]string{"--ip", "192.0.2.9", "--rcpt", "ann@example.org"}, []string{"DENIED", "(192.0.2.0/24)", " of 15: mark (Junk from 2, quarantine from 12)\n"}},
		{[]string{"--ip", "192.0.2.9", "--rcpt", "ann@example.org", "--rcpt", "<bob@example.org>"}, []string{": accept (", "for ann@example.org: mark\n"}},
		{[]string{"--user", "ann@example.org"}, []string{"   -1.00  OUT ", " of 15: accept\n"}},
		{[]string{"--helo", "user", "--from", "<>"}, []string{"HELO_BARE", "(user)"}},
	} {
		out, err := call(t, newScan(a), scannedMail, append(tc.args, "-")...)
		if err != nil {
			t.Errorf("scan %q: %v", tc.args, err)
		}
		for _, w := range tc.want {
			if !strings.Contains(out, w) {
				t.Errorf("scan %q says\n%s\nwithout %q", tc.args, out, w)
			}
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("scan %q has colours", tc.args)
		}
		for l := range strings.Lines(out) {
			if len(l) > 81 {
				t.Errorf("scan %q: a line of %d columns: %s", tc.args, len(l), l)
			}
		}
	}
	out, err := call(t, newScan(a), scannedMail, "--json", "--ip", "192.0.2.9", "--rcpt", "ann@example.org", "--rcpt", "b@example.org", "-")
	var got []map[string]any
	if err != nil || json.Unmarshal([]byte(out), &got) != nil || len(got) != 1 {
		t.Fatalf("scan --json = %v, %s", err, out)
	}
	for _, key := range []string{"file", "lines", "score", "verdict", "partly", "by_rcpt", "tags"} {
		if _, ok := got[0][key]; !ok {
			t.Errorf("--json has no %s: %s", key, out)
		}
	}
	for _, args := range [][]string{{"--ip", "x"}, {"--rcpt", "x"}, {"--rcpt", "<>"}} {
		if _, err := call(t, newScan(a), "", append(args, "-")...); err == nil {
			t.Errorf("scan %q is taken", args)
		}
	}
}

func TestRulesCommand(t *testing.T) {
	m := newMachine(t)
	m.configure(t, `scan:
  rules: { SPF_FAIL: { mode: observe, score: 1.5 } }
  admin_rules: [{ name: FAX, when: tls, verdict: reject, score: 2 }]
`)
	a := &app{configPath: m.config()}
	out, err := call(t, newRules(a), "")
	for _, w := range []string{"1.5 ", "observe", "GTUBE", "1000 reject", "ALLOWED", "LEARNED_SPAM", "2 reject", "FAX"} {
		if err != nil || !strings.Contains(out, w) {
			t.Errorf("rules = %v, %s, without %q", err, out, w)
		}
	}
	for name, want := range map[string][]string{
		"spf_fail": {"SPF_FAIL", "usually ", "mode     observe", "        score: 1.5 ", "        mode: observe"},
		"FAX":      {"when     tls", "points   2 reject", "scan.admin_rules"},
	} {
		out, err := call(t, newRules(a), "", name)
		for _, w := range want {
			if err != nil || !strings.Contains(out, w) {
				t.Errorf("rules %s = %v,\n%s\nwithout %q", name, err, out, w)
			}
		}
	}
	if _, err := call(t, newRules(a), "", "SPF_FIAL"); err == nil || !strings.Contains(err.Error(), `did you mean "SPF_FAIL"?`) {
		t.Errorf("rules SPF_FIAL = %v", err)
	}
	var got []map[string]any
	if out, err := call(t, newRules(a), "", "--json"); err != nil || json.Unmarshal([]byte(out), &got) != nil || len(got) < 50 || got[0]["text"] == "" {
		t.Errorf("rules --json = %v, %s", err, out)
	}
}
