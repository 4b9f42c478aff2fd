package lmtpd

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/spool"
	"github.com/gatepost/gatepost/internal/srs"
)

// receivedAt is a Received field of our Postfix with another time of arrival.
func receivedAt(id string, at time.Time) string {
	return strings.Replace(receivedBy(id), "Fri, 20 Nov 2026 06:55:35 +0000 (UTC)", at.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"), 1)
}

// TestRetryIsRecognised: Postfix comes again because the connection broke behind
// the dot, or because this process was killed before the reply: one copy. The
// same bytes under another queue id, for another detail, or without a queue id,
// are other mail.
func TestRetryIsRecognised(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		at := time.Now()
		msg := receivedAt("4F1", at) + "Subject: x\r\n\r\nbody\r\n"
		deliver := func(content string, rcpts ...string) []string {
			t.Helper()
			p := newPipes()
			stop, done := serveIn(t, newServer(t, testConfig(root), &ledger{}), p)
			defer func() {
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}()
			say := conversation(t, p.dial(t))
			say("", "220 ")
			say("LHLO x\r\n", "250 ")
			say("MAIL FROM:<s@y.test>\r\n", "250 ")
			for _, r := range rcpts {
				say("RCPT TO:<"+r+"@example.test>\r\n", "250 ")
			}
			say("DATA\r\n", "354 ")
			out := []string{say(content+".\r\n", "250 2.0.0 ")}
			for range rcpts[1:] {
				out = append(out, say("", "250 2.0.0 "))
			}
			return out
		}
		for _, tc := range []struct {
			name         string
			content      string
			rcpts        []string
			alice, carol int
		}{
			{"first", msg, []string{"alice", "bob"}, 1, 0},
			{"again", msg, []string{"alice", "bob"}, 1, 0},
			{"again for one of them, spelled another way", msg, []string{"ALICE"}, 1, 0},
			{"again, with one that had none", msg, []string{"alice", "carol"}, 1, 1},
			{"another queue id", receivedAt("4F2", at) + "Subject: x\r\n\r\nbody\r\n", []string{"alice"}, 2, 1},
			{"the queue id came back", receivedAt("4F1", at.Add(time.Second)) + "Subject: x\r\n\r\nbody\r\n", []string{"alice"}, 3, 1},
			{"other bytes", msg + "more\r\n", []string{"alice"}, 4, 1},
			{"a detail is another delivery", msg, []string{"alice+x"}, 5, 1},
			{"no queue id", "Subject: x\r\n\r\n", []string{"alice"}, 6, 1},
			{"no queue id, again", "Subject: x\r\n\r\n", []string{"alice"}, 7, 1},
		} {
			deliver(tc.content, tc.rcpts...)
			time.Sleep(301 * time.Second)
			if a, c := len(inbox(t, root, "alice", "INBOX")), len(inbox(t, root, "carol", "INBOX")); a != tc.alice || c != tc.carol {
				t.Errorf("%s: alice has %d and carol %d, want %d and %d", tc.name, a, c, tc.alice, tc.carol)
			}
		}
	})
}

func TestLoops(t *testing.T) {
	const own = "Delivered-To: alice@example.test\r\nReceived: from x\r\n\tby " + host + " with LMTP\r\n\tid A.1\r\n\t(envelope-from <s@y.test>); x\r\n"
	top := receivedBy("HAM")
	for _, tc := range []struct {
		name, content, want, rule string
	}{
		{"delivered here before", top + own, "554 5.4.6 <alice@example.test> this mailbox had the message before, mail is going round in circles", ruleLoop},
		{"other letters", top + strings.Replace(own, "alice@example", "ALICE@EXAMPLE", 1), "554 5.4.6 ", ruleLoop},
		{"another's", top + strings.Replace(own, "alice", "bob", 1), "250 ", ruleInbox},
		{"put there by Postfix now", "Delivered-To: alice@example.test\r\n" + top, "250 ", ruleInbox},
		{"a field that anybody writes", top + "Delivered-To: alice@example.test\r\nSubject: x\r\n", "250 ", ruleInbox},
		{"of another host", top + strings.Replace(own, "by "+host, "by mx.other.test", 1), "250 ", ruleInbox},
		{"in the body", top + "\r\n" + own, "250 ", ruleInbox},
		{"hops at the limit", strings.Repeat(top, 100), "250 ", ruleInbox},
		{"hops above it", strings.Repeat(top, 101), "554 5.4.6 <alice@example.test> too many hops, this message goes round in circles", ruleHops},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root, l := t.TempDir(), &ledger{}
			got := replies(t, talk(t, start(t, newServer(t, testConfig(root), l)), envelope(tc.content+"\r\nbody\r\n", "alice"), false))
			if len(got) != 1 || !strings.HasPrefix(got[0], tc.want) || l.counts["lmtpd "+tc.rule] != 1 {
				t.Errorf("replies = %q, counted %v", got, l.counts)
			}
			if n := len(inbox(t, root, "alice", "INBOX")); (n == 1) != (tc.want == "250 ") || strings.Contains(l.log.String(), "level=ERROR") {
				t.Errorf("%d messages, log %s", n, l.log.String())
			}
		})
	}
}

func TestDetailFolders(t *testing.T) {
	for _, tc := range []struct {
		name   string
		edit   func(*FolderConfig)
		exists string
		rcpt   string
		msg    string
		folder string
	}{
		{"off", func(*FolderConfig) {}, ".Lists", "alice+Lists", receivedBy("HAM"), "INBOX"},
		{"there", func(c *FolderConfig) { c.SaveToDetail = true }, ".Lists", "alice+Lists", receivedBy("HAM"), "Lists"},
		{"there, not scanned", func(c *FolderConfig) { c.SaveToDetail = true }, ".Lists", "alice+Lists", "", "Lists"},
		{"spam has no say", func(c *FolderConfig) { c.SaveToDetail = true }, ".Lists", "alice+Lists", receivedBy("SPAM"), "Junk"},
		{"missing", func(c *FolderConfig) { c.SaveToDetail = true }, "", "alice+Lists", receivedBy("HAM"), "INBOX"},
		{"made", func(c *FolderConfig) { c.SaveToDetail, c.Autocreate = true, true }, "", "alice+Lists", receivedBy("HAM"), "Lists"},
		{"INBOX", func(c *FolderConfig) { c.SaveToDetail, c.Autocreate = true, true }, "", "alice+inbox", receivedBy("HAM"), "INBOX"},
		{"no name of a folder", func(c *FolderConfig) { c.SaveToDetail, c.Autocreate = true, true }, "", "alice+a/b", receivedBy("HAM"), "INBOX"},
		{"up", func(c *FolderConfig) { c.SaveToDetail, c.Autocreate = true, true }, "", "alice+..", receivedBy("HAM"), "INBOX"},
		{"another layout", func(c *FolderConfig) { c.SaveToDetail, c.Autocreate = true, true }, "Lists", "alice+Lists", receivedBy("HAM"), "INBOX"},
		{"levels", func(c *FolderConfig) { c.SaveToDetail, c.Autocreate = true, true }, "", "alice+Lists.Go", receivedBy("HAM"), "Lists.Go"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root, l := t.TempDir(), &ledger{}
			cfg := testConfig(root)
			tc.edit(&cfg.Folders)
			box := filepath.Join(root, "example.test/alice/Maildir")
			if tc.exists != "" {
				if err := os.MkdirAll(filepath.Join(box, tc.exists), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			got := replies(t, talk(t, start(t, newServer(t, cfg, l)), envelope(tc.msg+"Subject: x\r\n\r\n", tc.rcpt), false))
			if len(got) != 1 || !strings.HasPrefix(got[0], "250 ") || len(inbox(t, root, "alice", tc.folder)) != 1 {
				t.Errorf("replies = %q; journaled %+v", got, l.records)
			}
			if f := l.records[0].Facts[0]; f.Value != tc.folder {
				t.Errorf("journaled %v", f)
			}
		})
	}
}

func TestQuotaReplies(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*QuotaConfig)
		want string
	}{
		{"off", func(c *QuotaConfig) { c.Driver = DriverNone }, "250 "},
		{"bounce", func(*QuotaConfig) {}, "552 5.2.2 <alice@example.test> Quota exceeded (mailbox for user is full)"},
		{"keep in the queue", func(c *QuotaConfig) { c.FullTempfail = true }, "452 4.2.2 <alice@example.test> Quota exceeded (mailbox for user is full)"},
		{"text of one's own", func(c *QuotaConfig) { c.ExceededMessage = "%u is full" }, "552 5.2.2 <alice@example.test> alice@example.test is full"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root, l := t.TempDir(), &ledger{}
			cfg := testConfig(root)
			cfg.Quota.Driver = DriverMaildir
			tc.edit(&cfg.Quota)
			box := filepath.Join(root, "example.test/alice/Maildir")
			if err := os.MkdirAll(box, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(box, "maildirsize"), []byte("100S\n100 1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			got := replies(t, talk(t, start(t, newServer(t, cfg, l)), envelope("Subject: x\r\n\r\n", "alice", "bob"), false))
			if len(got) != 2 || !strings.HasPrefix(got[0], tc.want) || !strings.HasPrefix(got[1], "250 ") {
				t.Errorf("replies = %q", got)
			}
			if full := tc.want != "250 "; full != (l.counts["lmtpd quota"] == 1) || strings.Contains(l.log.String(), "level=ERROR") {
				t.Errorf("counted %v, log %s", l.counts, l.log.String())
			}
			if n := len(inbox(t, root, "alice", "INBOX")); (n == 1) != (tc.want == "250 ") {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// A bounce to a sender that we had rewritten tells the user who it was; what
// only looks like it stays.
func TestSRSIsTurnedBack(t *testing.T) {
	key := secret.New([]byte(strings.Repeat("k", srs.MinKey)))
	rw, err := srs.New("srs.example.test", key)
	if err != nil {
		t.Fatal(err)
	}
	origin := mailaddr.Address{LocalPart: "s", Domain: "origin.test"}
	ours := rw.Forward(origin, time.Now())
	for from, want := range map[string]string{
		ours.String(): "s@origin.test",
		strings.Replace(ours.String(), "=", "=X", 1): strings.Replace(ours.String(), "=", "=X", 1),
		"s@y.test": "s@y.test",
	} {
		root, l := t.TempDir(), &ledger{}
		deps := testDeps(l)
		live := &srs.Live{}
		live.Set(rw)
		deps.SRS = live
		s, err := New(testConfig(root), deps, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		talk(t, start(t, s), strings.Replace(envelope("Subject: x\r\n\r\n", "alice"), "s@y.test", from, 1), false)
		got := inbox(t, root, "alice", "INBOX")
		if len(got) != 1 || !strings.HasPrefix(got[0], "Return-Path: <"+want+">\n") || !strings.Contains(got[0], "(envelope-from <"+from+">)") {
			t.Errorf("from %s: stored %q", from, got)
		}
	}
}

func TestHeadersSwitched(t *testing.T) {
	root := t.TempDir()
	cfg := testConfig(root)
	cfg.Headers = HeaderConfig{}
	talk(t, start(t, newServer(t, cfg, &ledger{})), envelope("Subject: x\r\n\r\n", "alice"), false)
	if got := inbox(t, root, "alice", "INBOX"); len(got) != 1 || got[0] != "Subject: x\n\n" {
		t.Errorf("stored %q", got)
	}
}

// Several recipients have one file, and what one of them cannot have does not
// keep it from the others.
func TestSeveralShareAFile(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "example.test"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "example.test", "alice"), nil, 0o600); err != nil { // no directory
		t.Fatal(err)
	}
	got := replies(t, talk(t, start(t, newServer(t, testConfig(root), &ledger{})), envelope("Subject: x\r\n\r\n", "alice", "bob", "carol", "bob"), false))
	if len(got) != 4 || !strings.HasPrefix(got[0], "451 4.3.0 ") {
		t.Fatalf("replies = %q", got)
	}
	var infos []os.FileInfo
	for _, user := range []string{"bob", "carol"} {
		names, _ := filepath.Glob(filepath.Join(root, "example.test", user, "Maildir/*/*"))
		if len(names) != 1 {
			t.Fatalf("%s has %v", user, names)
		}
		fi, err := os.Stat(names[0])
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, fi)
	}
	if !os.SameFile(infos[0], infos[1]) {
		t.Error("two files")
	}
}

// What goes wrong beside a delivery is said, and does not keep the mail.
func TestProblemIsLogged(t *testing.T) {
	root, l := t.TempDir(), &ledger{}
	box := filepath.Join(root, "example.test/alice/Maildir")
	if err := os.MkdirAll(filepath.Join(box, "maildirsize"), 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(root)
	cfg.Quota.Driver = DriverMaildir
	got := replies(t, talk(t, start(t, newServer(t, cfg, l)), envelope("x\r\n", "alice"), false))
	if len(got) != 1 || !strings.HasPrefix(got[0], "250 ") || !strings.Contains(l.log.String(), "level=WARN") || !strings.Contains(l.log.String(), "maildirsize") {
		t.Errorf("replies = %q, log %s", got, l.log.String())
	}
}

func TestDriver(t *testing.T) {
	for _, d := range []Driver{DriverNone, DriverMaildir} {
		b, err := d.MarshalText()
		var back Driver
		if err := errors.Join(err, back.UnmarshalText(b)); err != nil || back != d {
			t.Errorf("%s becomes %s, %v", d, back, err)
		}
	}
	var d Driver
	if err := d.UnmarshalText([]byte("count")); err == nil || err.Error() != `"count" is not one of none, maildir` {
		t.Errorf("UnmarshalText = %v", err)
	}
	cfg := Default()
	cfg.Quota.ExceededMessage = "a\nb"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "quota.quota_exceeded_message: ") {
		t.Errorf("Validate = %v", err)
	}
}

// A quota reply is built for every address that comes.
func TestQuotaReplyAlwaysThere(t *testing.T) {
	for _, user := range []string{"a@b", strings.Repeat("x", 900) + "@b", "\xff@b"} {
		for _, temp := range []bool{false, true} {
			cfg := QuotaConfig{FullTempfail: temp, ExceededMessage: "%u is full"}
			r, v, rule := answer(cfg, user, maildir.Stored{}, fmt.Errorf("x: %w", maildir.ErrQuota), "ID")
			want, verdict := 552, verdictRefused
			if temp {
				want, verdict = 452, verdictDeferred
			}
			if r.Code() != want || v != verdict || rule != ruleQuota {
				t.Errorf("answer for %.20q = %s, %s, %s", user, r, v, rule)
			}
		}
	}
}

// Large messages have eight buffers, that are used again; the ninth, and one
// that is larger than it said, go to a file as ever.
func TestLargeBuffers(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.SpoolMemory = 1000
	b := newBuffers(cfg)
	seen := make(map[*spool.Buffer]bool)
	var free []func()
	for range largeBuffers {
		buf, f := b.take(5000)
		if seen[buf] {
			t.Error("a buffer is in use twice")
		}
		seen[buf] = true
		free = append(free, f)
	}
	if buf, f := b.take(5000); seen[buf] {
		t.Error("a ninth large buffer")
	} else {
		f()
	}
	for _, f := range free {
		f()
	}
	if buf, f := b.take(5000); !seen[buf] || buf.Size() != 0 {
		t.Error("a buffer is not used again")
	} else {
		f()
	}
	for _, size := range []int64{0, 1000, largeBytes} {
		if buf, f := b.take(size); seen[buf] {
			t.Errorf("a message of %d bytes has a large buffer", size)
		} else {
			f()
		}
	}
}
