package lmtpd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/reply"
	"golang.org/x/sys/unix"
)

// brokenWriter delivers, but for bob, for whom it does what the test says.
type brokenWriter struct {
	writer
	forBob func() (maildir.Stored, error)
}

func (w brokenWriter) Deliver(ctx context.Context, m maildir.Message) (maildir.Stored, error) {
	if m.To.LocalPart == "bob" {
		return w.forBob()
	}
	return w.writer.Deliver(ctx, m)
}

// breakWriter lets the writer of s do forBob for bob.
func breakWriter(s *Server, forBob func() (maildir.Stored, error)) {
	snap := *s.current()
	snap.mail = brokenWriter{snap.mail, forBob}
	s.snap.Store(&snap)
}

const secretText = "/secret/path"

// TestWriterFaults is the heart of this daemon: whatever becomes of bob's copy,
// he is never answered with a 2xx or a 5xx, no text of the error is told, and
// the others get theirs.
func TestWriterFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		forBob func() (maildir.Stored, error)
		want   string
	}{
		{"a writer that forgets one of three", func() (maildir.Stored, error) { return maildir.Stored{}, nil }, "451 4.3.0"},
		{"a plain error", func() (maildir.Stored, error) { return maildir.Stored{}, errors.New(secretText) }, "451 4.3.0"},
		{"a wrapped error", func() (maildir.Stored, error) {
			return maildir.Stored{}, fmt.Errorf("%s: %w", secretText, &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 0, 0}, Message: secretText})
		}, "451 4.3.0"},
		{"an error of the library, directly", func() (maildir.Stored, error) {
			return maildir.Stored{}, &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: secretText}
		}, "451 4.3.0"},
		{"a permanent reply", func() (maildir.Stored, error) {
			return maildir.Stored{}, reply.WithError(reply.Refused, errors.New(secretText))
		}, "451 4.3.0"},
		{"a panic", func() (maildir.Stored, error) { panic(secretText) }, "451 4.3.0"},
		{"a full disk", func() (maildir.Stored, error) {
			return maildir.Stored{}, reply.WithError(reply.DiskFull, fmt.Errorf("%s: %w", secretText, unix.ENOSPC))
		}, "452 4.3.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root, l := t.TempDir(), &ledger{}
			s := newServer(t, testConfig(root), l)
			breakWriter(s, tc.forBob)
			out := talk(t, start(t, s), envelope("Subject: x\r\n\r\n", "alice", "bob", "carol"), false)
			got := replies(t, out)
			if len(got) != 3 || !strings.HasPrefix(got[0], "250 2.0.0 <alice@") || !strings.HasPrefix(got[1], tc.want+" <bob@") ||
				!strings.HasPrefix(got[2], "250 2.0.0 <carol@") {
				t.Errorf("replies = %q", got)
			}
			if strings.Contains(out, "secret") {
				t.Errorf("the client was told %q", out)
			}
			if len(inbox(t, root, "alice", "INBOX")) != 1 || len(inbox(t, root, "bob", "INBOX")) != 0 {
				t.Error("the copies are not where the replies say")
			}
			if l.counts["lmtpd fault"] != 1 || l.counts["lmtpd unscanned"] != 2 || len(l.records) != 3 {
				t.Errorf("counted %v, journaled %d", l.counts, len(l.records))
			}
		})
	}
}

// collector records statuses as the library would send them.
type collector struct{ got []string }

func (c *collector) SetStatus(rcpt string, err error) {
	var e *smtp.SMTPError
	if !errors.As(err, &e) {
		c.got = append(c.got, fmt.Sprintf("%s: %v", rcpt, err))
		return
	}
	c.got = append(c.got, fmt.Sprintf("%s: %d", rcpt, e.Code))
}

// Whatever transact forgets, finish answers, once each.
func TestAnswersFinish(t *testing.T) {
	s := newServer(t, testConfig(t.TempDir()), &ledger{})
	k := &session{srv: s, lib: &smtp.Conn{}, conn: &conn{ctx: t.Context()}, rcpts: []recipient{{given: "a@b"}, {given: "a@b"}, {given: "c@d"}}}
	c := &collector{}
	a := newAnswers(k, c)
	a.settle(1, maildir.Stored{}, reply.WithError(reply.DiskFull, io.EOF))
	a.settle(1, maildir.Stored{}, nil)
	a.finish(nil)
	a.finish(nil)
	if got := fmt.Sprint(c.got); got != "[a@b: 452 a@b: 451 c@d: 451]" {
		t.Errorf("statuses = %s", got)
	}
	if err := k.LMTPData(nil, &collector{}); !strings.Contains(fmt.Sprint(err), "451") {
		t.Errorf("LMTPData on a connection that panics = %v", err)
	}
}

// TestClientGoneBeforeTheDot never has a delivery, whatever was sent.
func TestClientGoneBeforeTheDot(t *testing.T) {
	for _, tc := range []struct{ name, end string }{
		{"after 354", ""},
		{"within the message", "Subject: x\r\n\r\nhalf"},
		{"behind a line end", "Subject: x\r\n\r\nhalf\r\n"},
		{"with the dot but not its line end", "Subject: x\r\n\r\nhalf\r\n."},
		{"with CR only", "Subject: x\r\n\r\nhalf\r\n.\r"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root, l := t.TempDir(), &ledger{}
			s := newServer(t, testConfig(root), l)
			p := newPipes()
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- s.Serve(ctx, p) }()
			in, _, _ := strings.Cut(envelope("", "alice", "bob"), ".\r\nQUIT")
			out := talk(t, p, in+tc.end, true)
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if strings.Contains(out, "\r\n250 2.0.0 <") || strings.Contains(out, "\r\n5") {
				t.Errorf("the client was told %q", out)
			}
			if files, _ := filepath.Glob(filepath.Join(root, "*")); len(files) != 0 {
				t.Errorf("written: %v", files)
			}
			for _, r := range l.records {
				if r.Verdict != verdictDeferred {
					t.Errorf("journaled %+v", r)
				}
			}
		})
	}
}

// The library reads what follows a message above its limit as commands
// (v0.25.0); we do not let it.
func TestMessageAboveTheLimitIsNoCommand(t *testing.T) {
	root, l := t.TempDir(), &ledger{}
	s := newServer(t, testConfig(root), l)
	big := strings.Repeat(strings.Repeat("x", 78)+"\r\n", 1000)
	forged := "MAIL FROM:<evil@y.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nforged\r\n"
	out := talk(t, start(t, s), envelope(big+forged, "alice", "carol"), false)
	got := replies(t, out)
	if len(got) != 2 || got[0] != "552 5.3.4 <alice@example.test> message is larger than this server takes" || !strings.HasPrefix(got[1], "552 5.3.4 <carol@") {
		t.Errorf("replies = %.500q", got)
	}
	if files, _ := filepath.Glob(filepath.Join(root, "*")); len(files) != 0 {
		t.Errorf("written: %v", files)
	}
	if l.counts["lmtpd message_size_limit"] != 2 {
		t.Errorf("counted %v", l.counts)
	}
}

func TestOddMessagesAreDelivered(t *testing.T) {
	exact := strings.Repeat(strings.Repeat("x", 62)+"\r\n", 1024)
	for _, tc := range []struct{ name, content, want string }{
		{"exactly the size limit", exact, strings.ReplaceAll(exact, "\r\n", "\n")},
		{"CR CR LF before the dot", "foo\r\r\n", "foo\r\n"},
		{"empty", "", ""},
		{"one line of 60 kB", strings.Repeat("y", 60_000) + "\r\n", strings.Repeat("y", 60_000) + "\n"},
		{"NUL and 8-bit", "\x00\xff\r\n", "\x00\xff\n"},
		{"smuggling", "a\n.\nMAIL FROM:<x@y>\r.\r\r\n", "a\n.\nMAIL FROM:<x@y>\r.\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			cfg := testConfig(root)
			cfg.SpoolMemory = 10_000
			out := talk(t, start(t, newServer(t, cfg, &ledger{})), envelope(tc.content, "alice"), false)
			if got := replies(t, out); len(got) != 1 || !strings.HasPrefix(got[0], "250 2.0.0 ") || !strings.Contains(out, "\r\n221 ") {
				t.Fatalf("replies = %q", out)
			}
			got := inbox(t, root, "alice", "INBOX")
			if len(got) != 1 || !strings.HasSuffix(got[0], "+0000\n"+tc.want) && !strings.HasSuffix(got[0], "00\n"+tc.want) {
				t.Errorf("stored %.300q", got)
			}
		})
	}
}

// A spool that cannot be written is a fault of ours; the end of the message is
// found all the same.
func TestSpoolAway(t *testing.T) {
	root, l := t.TempDir(), &ledger{}
	cfg := testConfig(root)
	cfg.SpoolDirectory, cfg.SpoolMemory = filepath.Join(root, "missing"), 10
	out := talk(t, start(t, newServer(t, cfg, l)), envelope("Subject: long enough\r\n", "alice"), false)
	if got := replies(t, out); len(got) != 1 || got[0] != "451 4.3.0 <alice@example.test> temporary fault here, please try again later" {
		t.Errorf("replies = %q", got)
	}
	if !strings.Contains(l.log.String(), "level=ERROR") || !strings.Contains(l.log.String(), "no such file") {
		t.Errorf("log = %s", l.log.String())
	}
}

// A mail root that is away: 451, and the next message is delivered when it is
// back.
func TestMailRootAway(t *testing.T) {
	root := filepath.Join(t.TempDir(), "vmail")
	p := start(t, newServer(t, testConfig(root), &ledger{}))
	if got := replies(t, talk(t, p, envelope("x\r\n", "alice"), false)); len(got) != 1 || !strings.HasPrefix(got[0], "451 4.3.0 ") {
		t.Errorf("replies = %q", got)
	}
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := replies(t, talk(t, p, envelope("x\r\n", "alice"), false)); len(got) != 1 || !strings.HasPrefix(got[0], "250 2.0.0 ") {
		t.Errorf("replies = %q", got)
	}
}
