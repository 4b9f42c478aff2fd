package lmtpd

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/shared"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/verdict"
)

// TestWhereItGoes: the delivery verdict alone decides.
func TestWhereItGoes(t *testing.T) {
	const forged = "X-Spam: Yes\r\nX-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=99\r\nX-Gatepost-Verdict: mark\r\n"
	for _, tc := range []struct {
		name, content string
		folder, rule  string
	}{
		{"marked", receivedBy("SPAM"), "Junk", ruleJunk},
		{"marked, header says ham", receivedBy("SPAM") + "X-Spam: No\r\nX-Spam-Flag: NO\r\n", "Junk", ruleJunk},
		{"fields of the milter above", "Authentication-Results: mx; none\r\nX-Spam: Yes\r\n" + receivedBy("SPAM"), "Junk", ruleJunk},
		{"accepted", receivedBy("HAM"), "INBOX", ruleInbox},
		{"accepted, forged header says spam", receivedBy("HAM") + forged, "INBOX", ruleInbox},
		{"no row", receivedBy("OTHER"), "INBOX", ruleUnscanned},
		{"no row, forged header says spam", receivedBy("OTHER") + forged, "INBOX", ruleUnscanned},
		{"reused queue id with another arrival time", receivedBy("REUSE"), "INBOX", ruleUnscanned},
		{"no Received field", forged, "INBOX", ruleUnscanned},
		{"a second Received field is a stranger's", strings.Replace(receivedBy("HAM"), host, "mx.other.test", 1) + receivedBy("SPAM"), "INBOX", ruleUnscanned},
		{"in the body", "Subject: x\r\n\r\n" + receivedBy("SPAM"), "INBOX", ruleUnscanned},
		{"state away", receivedBy("AWAY"), "INBOX", ruleUnscanned},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root, l := t.TempDir(), &ledger{}
			out := talk(t, start(t, newServer(t, testConfig(root), l)), envelope(tc.content+"Message-Id: <1@y.test>\r\n\r\nbody\r\n", "alice"), false)
			if got := replies(t, out); len(got) != 1 || !strings.HasPrefix(got[0], "250 ") {
				t.Fatalf("replies = %q", got)
			}
			for _, folder := range []string{"INBOX", "Junk"} {
				if got := len(inbox(t, root, "alice", folder)); (got == 1) != (folder == tc.folder) {
					t.Errorf("%s has %d messages", folder, got)
				}
			}
			if l.counts["lmtpd "+tc.rule] != 1 || len(l.records) != 1 || l.records[0].Rule != tc.rule {
				t.Errorf("counted %v, journaled %+v, want %s", l.counts, l.records, tc.rule)
			}
			if l.records[0].Facts[0] != (journal.Fact{Key: "folder", Value: tc.folder}) {
				t.Errorf("facts = %v", l.records[0].Facts)
			}
		})
	}
}

func TestJournalRecord(t *testing.T) {
	root, l := t.TempDir(), &ledger{}
	p := start(t, newServer(t, testConfig(root), l))
	talk(t, p, envelope(receivedBy("SPAM")+"Message-ID:\r\n <1@y.test>\r\n\r\n", "alice+x", "nosuch", "away"), false)
	if len(l.records) != 3 {
		t.Fatalf("journaled %+v", l.records)
	}
	unknown, away, r := l.records[0], l.records[1], l.records[2]
	if unknown.Verdict != "refused" || unknown.Rule != ruleUnknown || unknown.Reply != "550 5.1.1 no such mailbox here" || unknown.RcptTo[0] != "nosuch@example.test" {
		t.Errorf("unknown: %+v", unknown)
	}
	if away.Verdict != "deferred" || away.Rule != ruleFault {
		t.Errorf("away: %+v", away)
	}
	if r.Daemon != "lmtpd" || r.Event != "deliver" || r.QueueID != "SPAM" || r.MessageID != "<1@y.test>" || r.Session == "" ||
		r.Helo != host || r.User != "alice@example.test" || r.MailFrom != "s@y.test" || r.RcptTo[0] != "alice+x@example.test" ||
		r.Verdict != "delivered" || r.Score != 7 || !strings.HasSuffix(r.Reply, r.Session+" saved") || r.Took <= 0 || r.Time.IsZero() {
		t.Errorf("delivered: %+v", r)
	}
	if files := inbox(t, root, "alice", "Junk"); len(files) != 1 || !strings.Contains(files[0], "\tid "+r.Session+"\n") {
		t.Errorf("stored %q", files)
	}
	log := l.log.String()
	if n := strings.Count(log, "recipient answered"); n != 3 || strings.Count(log, "level=INFO") != 2 {
		t.Errorf("%d lines for three recipients: %s", n, log)
	}
}

// TestStoredBytes has the fields that are added and the rest as it came.
func TestStoredBytes(t *testing.T) {
	root := t.TempDir()
	p := start(t, newServer(t, testConfig(root), &ledger{}))
	talk(t, p, envelope("Subject: x\r\n\r\n.dot\r\n..two\r\n", "alice"), false)
	talk(t, p, envelope("Subject: x\r\n\r\n", "bob", "carol"), false)
	one := inbox(t, root, "alice", "INBOX")[0]
	if !glob("Return-Path: <s@y.test>\nDelivered-To: alice@example.test\nReceived: from mx.example.test\n\tby mx.example.test with LMTP\n\tid *.1\n\t(envelope-from <s@y.test>)\n\tfor <alice@example.test>; *\nSubject: x\n\ndot\n.two\n", one) {
		t.Errorf("one recipient: %q", one)
	}
	if several := inbox(t, root, "bob", "INBOX")[0]; strings.Contains(several, "Delivered-To") || strings.Contains(several, "\tfor ") {
		t.Errorf("several recipients: %q", several)
	}
}

// TestMarkedMessageSurvivesACrash is kill -9 between end-of-message and
// delivery: the state file as it is on the disk, never closed, still sends the
// message to Junk.
func TestMarkedMessageSurvivesACrash(t *testing.T) {
	dir := t.TempDir()
	st, err := state.OpenSQLite(t.Context(), filepath.Join(dir, "state.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := delivery.New(st).Put(t.Context(), delivery.Row{QueueID: "CRASH", Arrived: recent(), Score: 9, Verdict: verdict.Mark}); err != nil {
		t.Fatal(err)
	}
	after := t.TempDir()
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(after, filepath.Base(f)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again, err := state.OpenSQLite(t.Context(), filepath.Join(after, "state.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	root, l := t.TempDir(), &ledger{}
	deps := testDeps(l)
	deps.Verdicts = delivery.New(again)
	s, err := New(testConfig(root), deps, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Replace(receivedBy("CRASH"), "Fri, 20 Nov 2026 06:55:35 +0000", recent().Format("Mon, 02 Jan 2006 15:04:05 -0700"), 1)
	talk(t, start(t, s), envelope(line+"\r\n", "alice"), false)
	if got := inbox(t, root, "alice", "Junk"); len(got) != 1 {
		t.Errorf("Junk has %d messages; journaled %+v", len(got), l.records)
	}
}

// recent is an arrival whose row has not expired.
func recent() time.Time { return time.Now().Add(-time.Minute).Truncate(time.Second) }

// TestPostfixClient plays the client's side of a capture of Postfix and
// Dovecot.
func TestPostfixClient(t *testing.T) {
	in := string(shared.Read(t, "protocols/transcripts/lmtp-postfix-to-dovecot.1.c2s"))
	root := t.TempDir()
	out := talk(t, start(t, newServer(t, testConfig(root), &ledger{})), in, false)
	got := replies(t, out)
	if len(got) != 2 || !strings.HasPrefix(got[0], "250 2.0.0 <alice@example.test> ") || !strings.HasPrefix(got[1], "250 2.0.0 <bob@example.test> ") ||
		!strings.Contains(out, "\r\n550 5.1.1 ") || !strings.HasSuffix(out, "\r\n221 2.0.0 Bye\r\n") {
		t.Errorf("replies = %q", out)
	}
	if files := inbox(t, root, "bob", "INBOX"); len(files) != 1 || !strings.HasSuffix(files[0], "\n\nleading dot \xc3\xa9\n") {
		t.Errorf("stored %q", files)
	}
}

// A message sees one configuration: what changes within it counts for the next.
func TestReconfigure(t *testing.T) {
	first, second, l := t.TempDir(), t.TempDir(), &ledger{}
	s := newServer(t, testConfig(first), l)
	bad := testConfig(second)
	bad.MaxConnections = 0
	if err := s.Reconfigure(bad); err == nil || s.current().cfg.MailRoot != first {
		t.Errorf("Reconfigure of a bad file = %v, root %s", err, s.current().cfg.MailRoot)
	}
	p := start(t, s)
	c := p.dial(t)
	c.SetDeadline(time.Now().Add(20 * time.Second))
	say := conversation(t, c)
	say("", "220 ")
	say("LHLO x\r\n", "250 ")
	say("MAIL FROM:<s@y.test>\r\n", "250 ")
	if err := s.Reconfigure(testConfig(second)); err != nil {
		t.Fatal(err)
	}
	say("RCPT TO:<alice@example.test>\r\n", "250 ")
	say("DATA\r\n", "354 ")
	say("x\r\n.\r\n", "250 ")
	say("MAIL FROM:<s@y.test>\r\n", "250 ")
	say("RCPT TO:<bob@example.test>\r\n", "250 ")
	say("DATA\r\n", "354 ")
	say("x\r\n.\r\n", "250 ")
	say("QUIT\r\n", "221 ")
	if len(inbox(t, first, "alice", "INBOX")) != 1 || len(inbox(t, second, "bob", "INBOX")) != 1 {
		t.Error("a message did not see the configuration of its beginning")
	}
}

// What serve hands in.
var (
	_ accounts = account.Reader(nil)
	_ verdicts = (*delivery.Verdicts)(nil)
)
