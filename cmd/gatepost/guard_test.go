package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
)

// guardCommand runs a guard command of this process.
func guardCommand(t *testing.T, config string, args ...string) (string, string, error) {
	t.Helper()
	var out, talk bytes.Buffer
	cmd := newGuard(&app{configPath: config})
	cmd.SetOut(&out)
	cmd.SetErr(&talk)
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.ExecuteContext(t.Context())
	return out.String(), talk.String(), err
}

// TestGuardReplay: a file of events shows what a changed line would do.
func TestGuardReplay(t *testing.T) {
	m := newMachine(t)
	at := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	var all []guard.Recorded
	for i := range 6 {
		all = append(all, guard.Recorded{Time: at.Add(time.Duration(i) * time.Second), Kind: "wrong",
			Addr: netip.MustParseAddr("203.0.113.9"), User: "alice@example.org", Service: "imap", Mark: fmt.Sprintf("%04x", i)})
	}
	all = append(all, guard.Recorded{Time: at.Add(time.Minute), Kind: "right", Addr: netip.MustParseAddr("203.0.113.9"), User: "alice@example.org"})
	var b bytes.Buffer
	if err := writeEvents(&b, all); err != nil {
		t.Fatal(err)
	}
	file, with := filepath.Join(m.dir, "events.jsonl"), filepath.Join(m.dir, "new.yaml")
	old, err := os.ReadFile(m.config())
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{file: b.Bytes(), with: append(old, "guard: {max_failures: 50}\n"...)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, talk, err := guardCommand(t, m.config(), "replay", file, "--with", with)
	if err != nil || talk != "" {
		t.Fatalf("replay: %v, %s", err, talk)
	}
	for _, want := range []string{
		"7 events\n", "now   1 bans; of the guesses 5 looked at and 1 refused; 1 right logins refused\n",
		"then  0 bans; of the guesses 6 looked at and 0 refused; 0 right logins refused\n",
		"203.0.113.9  logins  2026-11-01 09:00:04 for 10m0s  not",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("replay says\n%s\nwant %q", out, want)
		}
	}
	if out, _, err = guardCommand(t, m.config(), "replay", file, "--with", m.config()); err != nil || !strings.HasSuffix(out, "the same networks would be banned at the same time\n") {
		t.Errorf("replay with the same settings says\n%s, %v", out, err)
	}
	if out, _, err = guardCommand(t, m.config(), "replay", file, "--json"); err != nil || !strings.Contains(out, `"right_logins_refused": 1`) {
		t.Errorf("replay --json says\n%s, %v", out, err)
	}
	if err := os.WriteFile(file, append(b.Bytes(), "{\"kind\":\"guess\"}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err = guardCommand(t, m.config(), "replay", file); err == nil || !strings.Contains(err.Error(), "line 8: not an event of the guard") {
		t.Errorf("a damaged file: %v", err)
	}
}

// TestObservingSaysSo: nobody is told that somebody is refused who is not.
func TestObservingSaysSo(t *testing.T) {
	m := newMachine(t)
	m.configure(t, "guard: {mode: observe}\n")
	a := m.run(t, "ban", "add", "203.0.113.9")
	if a.code != 0 || a.talk != "gatepost: warning: nobody is refused: guard.mode is observe\n" {
		t.Errorf("ban add: exit %d: %s", a.code, a.talk)
	}
	if out := m.must(t, "ban", "list"); !strings.Contains(out, "(only observed)") {
		t.Errorf("ban list says\n%s", out)
	}
}

func TestGuardReportNeedsAService(t *testing.T) {
	m := newMachine(t)
	for _, args := range [][]string{{"report", "203.0.113.7"}, {"report", "no-address", "--service", "web"}} {
		if _, _, err := guardCommand(t, m.config(), args...); err == nil {
			t.Errorf("guard %s is taken", strings.Join(args, " "))
		}
	}
}

func TestExplainedBan(t *testing.T) {
	since := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	ban := guard.Ban{ID: "x7q2mk4a", Network: netip.MustParsePrefix("203.0.113.9/32"), Services: []string{"imap"}, Rule: "slow",
		Reason: "15 different wrong passwords within 7d", Since: since, Until: since.Add(time.Hour), Times: 2, Shared: true}
	e := explainedBan{Explanation: guard.Explanation{
		Addr: netip.MustParseAddr("203.0.113.9"), Mode: "enforce", Bans: []guard.Ban{ban}, Closed: 1, ClosedUntil: since, Proven: 3,
		Accepted: true, Figures: []guard.Figure{{Name: "slow", Count: 10, Line: 21, Mode: "enforce"}},
	}, Led: []journal.Record{{Time: since, Daemon: "authd", Service: "imap", User: "a\x1b[31m", Verdict: "fail", Rule: "password"}}}
	var out bytes.Buffer
	if err := e.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"banned      203.0.113.9, ban x7q2mk4a, closes logins\n",
		"why         15 different wrong passwords within 7d; accounts that logged in from there before, and addresses that are never banned, still get in\n",
		"setting     guard.rules.slow\n", "until       2026-11-01 10:00:00 UTC\n", "this is number 2\n",
		"lift        gatepost ban remove 203.0.113.9\n", "closed      1 account of its network", "proven      3 accounts",
		"it stays open\n", "slow     10   21", `a\x1b[31m`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it says\n%s\nwant %q", out.String(), want)
		}
	}
	out.Reset()
	if err := (explainedBan{Explanation: guard.Explanation{Addr: ban.Network.Addr(), Never: "loopback"}}).print(&out); err != nil ||
		!strings.Contains(out.String(), "is never banned: loopback\n") || !strings.Contains(out.String(), "is not banned\n") {
		t.Errorf("it says %s, %v", out.String(), err)
	}
}

func TestPrintGuard(t *testing.T) {
	var out bytes.Buffer
	s := guard.Status{Mode: "enforce", Stats: guard.Stats{Networks: 1, Bans: 2, Dropped: 3, Waiting: 4}, Rules: []guard.Crossed{{Rule: "max_failures", Mode: "enforce", Times: 5}}}
	if err := printGuard(&out, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"bans      2\n", "1 network, 0 pairs", "3 went before their time", "4 waiting", "guard.max_failures  enforce  5"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it says\n%s\nwant %q", out.String(), want)
		}
	}
}

// FuzzReadEvents: a file of events is read to its end, or to the first fault.
func FuzzReadEvents(f *testing.F) {
	f.Add([]byte("{\"time\":\"2026-11-01T00:00:00Z\",\"kind\":\"wrong\",\"addr\":\"203.0.113.9\"}\n\nx"))
	f.Add(bytes.Repeat([]byte("x"), maxEventBytes+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		faults := 0
		for e, err := range readEvents(bytes.NewReader(b)) {
			if err != nil {
				faults++
				break
			}
			if _, err := e.Append(nil); err != nil {
				t.Errorf("Append(%+v): %v", e, err)
			}
		}
		if faults > 1 {
			t.Error("it went on after a fault")
		}
	})
}

// TestGuardCommands: what another program reports is counted, explained, lifted
// and shown in the journal's events.
func TestGuardCommands(t *testing.T) {
	s := startServed(t, "")
	var out string
	for range 5 {
		out = s.must(t, "guard", "report", "203.0.113.9", "--service", "web", "--user", "alice@example.org")
	}
	if !strings.HasPrefix(out, "203.0.113.9 is refused until ") {
		t.Errorf("the fifth report says %q", out)
	}
	out = s.must(t, "ban", "explain", "203.0.113.9")
	for _, want := range []string{"banned      203.0.113.9, ban ", "why         5 different wrong passwords within 10m\n", "setting     guard.max_failures\n",
		"lift        gatepost ban remove 203.0.113.9\n", "next        a ban of its network would take 1h\n", "COUNTED", "  guard  web      alice@example.org  fail "} {
		if !strings.Contains(out, want) {
			t.Errorf("ban explain says\n%s\nwant %q", out, want)
		}
	}
	if out = s.must(t, "guard", "status"); !strings.Contains(out, "bans      1\n") || !strings.Contains(out, "guard.max_failures") {
		t.Errorf("guard status says\n%s", out)
	}
	if out = s.must(t, "guard", "events"); out != "" {
		t.Errorf("guard events says %q of a journal without a login", out)
	}
	s.must(t, "ban", "remove", "203.0.113.9")
	if out = s.must(t, "ban", "explain", "203.0.113.9"); !strings.HasPrefix(out, "203.0.113.9 is not banned\n") {
		t.Errorf("after it was lifted ban explain says\n%s", out)
	}
	if out = s.must(t, "ban", "explain", "127.0.0.1"); !strings.HasPrefix(out, "127.0.0.1 is never banned: loopback\n") {
		t.Errorf("ban explain of loopback says\n%s", out)
	}
}
