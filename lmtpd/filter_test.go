package lmtpd

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/script"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/lmtpd/filter"
)

// aliasAccounts answers for a Filter as well.
type aliasAccounts struct{ fakeAccounts }

func (aliasAccounts) Aliases(context.Context, string) ([]account.Alias, error) { return nil, nil }
func (aliasAccounts) Version() uint64                                          { return 1 }

// noMail is a spool that is switched off.
type noMail struct{}

func (noMail) Add(outgoing.Mail) error { return outgoing.ErrFull }
func (noMail) On() bool                { return false }

// newFiltered returns a Server over root that runs alice's script.
func newFiltered(t *testing.T, root, text string, l *ledger) *Server {
	t.Helper()
	home := filepath.Join(root, "example.test", "alice")
	for _, dir := range []string{"Maildir/.Lists", "sieve"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, "sieve", "a.sieve"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sieve/a.sieve", filepath.Join(home, ".dovecot.sieve")); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(l, nil))
	st, err := state.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "state.db"), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	deps, cfg := testDeps(l), filter.Default()
	cfg.Enabled, cfg.MailRoot, cfg.Hostname = true, root, host
	deps.Filter, err = filter.New(cfg, filter.Deps{
		Accounts: aliasAccounts{deps.Accounts.(fakeAccounts)}, Scripts: script.New(script.Config{Root: root}), State: st, Outgoing: noMail{},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(testConfig(root), deps, log)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScripts(t *testing.T) {
	for _, tc := range []struct {
		name, script, reply string
		inbox, lists        int
		flags               string
	}{
		{"into a folder, seen", `require ["fileinto", "imap4flags"]; fileinto :flags "\\Seen" "Lists";`, "250 2.0.0 <alice@example.test> ", 0, 1, ":2,S"},
		{"twice", `require ["fileinto", "copy"]; fileinto :copy "Lists";`, "250 2.0.0 ", 1, 1, ""},
		{"edited", `require "editheader"; addheader "X-Rule" "yes";`, "250 2.0.0 ", 1, 0, ""},
		{"discarded", `discard;`, "250 2.0.0 <alice@example.test> filtered", 0, 0, ""},
		{"fails", `fileinto "Lists"`, "250 2.0.0 ", 1, 0, ""},
		{"a redirect that cannot go out", `redirect "x@y.test";`, "250 2.0.0 ", 1, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root, l := t.TempDir(), &ledger{}
			s := newFiltered(t, root, tc.script, l)
			for range 2 { // the second is Postfix, which comes again
				got := replies(t, talk(t, start(t, s), envelope(receivedBy("HAM")+"Subject: x\r\n\r\nbody\r\n", "alice"), false))
				if len(got) != 1 || !strings.HasPrefix(got[0], tc.reply) {
					t.Errorf("replies = %q, want %q", got, tc.reply)
				}
			}
			in, lists := inbox(t, root, "alice", "INBOX"), inbox(t, root, "alice", "Lists")
			if len(in) != tc.inbox || len(lists) != tc.lists {
				t.Errorf("%d in the inbox and %d in Lists, want %d and %d", len(in), len(lists), tc.inbox, tc.lists)
			}
			if tc.name == "edited" && (len(in) != 1 || !strings.Contains(in[0], "X-Rule: yes\n") || strings.Contains(in[0], "\r") || !strings.Contains(in[0], "Delivered-To: ")) {
				t.Errorf("stored %q", in)
			}
			names, err := filepath.Glob(filepath.Join(root, "example.test", "alice", "Maildir", ".Lists", "new", "*"))
			if err != nil || tc.flags != "" && (len(names) != 1 || !strings.HasSuffix(names[0], tc.flags)) {
				t.Errorf("files %q, %v, want %s", names, err, tc.flags)
			}
			if l.counts["lmtpd "+ruleSieve] != 2 || strings.Contains(l.log.String(), "level=ERROR") {
				t.Errorf("counted %v, log %s", l.counts, l.log.String())
			}
		})
	}
}

// TestScriptOfOne: of two recipients one has a script, and the other shares
// nothing with it.
func TestScriptOfOne(t *testing.T) {
	root, l := t.TempDir(), &ledger{}
	s := newFiltered(t, root, `require ["fileinto", "imap4flags"]; fileinto :flags "\\Flagged" "Lists"; keep;`, l)
	got := replies(t, talk(t, start(t, s), envelope(receivedBy("HAM")+"Subject: x\r\n\r\nbody\r\n", "alice", "bob"), false))
	if len(got) != 2 || !strings.HasPrefix(got[0], "250 ") || !strings.HasPrefix(got[1], "250 ") {
		t.Errorf("replies = %q", got)
	}
	for user, folder := range map[string]string{"alice": "Lists", "bob": "INBOX"} {
		if n := len(inbox(t, root, user, folder)); n != 1 {
			t.Errorf("%s has %d in %s", user, n, folder)
		}
	}
	if n := len(inbox(t, root, "alice", "INBOX")); n != 1 {
		t.Errorf("alice has %d in the inbox", n)
	}
}
