package filter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/state"
)

const spfPass = "Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=bob@example.net\r\n"

func TestPlan(t *testing.T) {
	for _, tc := range []struct {
		name, script, raw string
		change            func(*world, *Message)
		want              string
		log               string // in the user's log
		sent              int
	}{
		{name: "no script", want: "none"},
		{name: "a script that does nothing", script: "# nothing\n", want: "INBOX"},
		{name: "a folder that is there", script: `require "fileinto"; fileinto "Lists.Go";`, want: "Lists.Go"},
		{name: "the separator of a namespace", script: `require "fileinto"; fileinto "Lists/Go";`, want: "Lists.Go"},
		{name: "a folder that is missing", script: `require "fileinto"; fileinto "Nowhere";`, want: "INBOX", log: `folder "Nowhere" does not exist`},
		{name: "missing twice is one copy", script: `require "fileinto"; fileinto "Nowhere"; fileinto "Never"; keep;`, want: "INBOX", log: "Never"},
		{name: "a folder to make", script: `require ["fileinto", "mailbox"]; fileinto :create "New.Gö";`, want: "New.Gö"},
		{name: "a folder outside", script: `require ["fileinto", "mailbox"]; fileinto :create "../../bob";`, want: "INBOX", log: "cannot be the name of a folder"},
		{name: "system flags", script: `require "imap4flags"; keep :flags ["\\Seen", "\\flagged", "\\Deleted", "\\Answered", "\\Draft"];`, want: "INBOX:DFRST"},
		{name: "keywords", script: `require ["fileinto", "imap4flags"]; fileinto :flags ["$Label1", "work", "\\Seen"] "Lists.Go";`, want: "Lists.Go:Sb", log: "not known in Lists.Go: work"},
		{name: "an implicit keep with flags", script: `require "imap4flags"; setflag "\\Seen";`, want: "INBOX:S"},
		{name: "special use", script: `require ["fileinto", "special-use"]; fileinto :specialuse "\\Trash" "Nowhere";`, want: "Trash"},
		{name: "mailboxexists", script: `require ["fileinto", "mailbox"]; if mailboxexists "Lists.Go" { fileinto "Lists.Go"; }`, want: "Lists.Go"},
		{name: "an edited message", script: `require "editheader"; addheader "X-Rule" "1";`, want: "INBOX edited"},
		{name: "discard", script: `discard;`, want: ""},
		{name: "the fields on top are seen", script: `require "fileinto"; if header :is "Delivered-To" "alice@example.org" { fileinto "Lists.Go"; }`, want: "Lists.Go"},
		{name: "a script that does not compile", script: "fileinto \"x\";\nkeep", want: "INBOX", log: "main:2:5: "},
		{name: "a script that fails", script: `require ["variables", "fileinto"]; set "x" "Lists.Go"; if true { fileinto "${x}"; } ` + strings.Repeat("redirect \"a@example.net\"; ", 1) + manyRedirects(), want: "INBOX", log: "error: main:"},
		{name: "a redirect", script: `redirect "carol@example.com";`, want: "", sent: 1},
		{name: "a redirect and a copy", script: `require "copy"; redirect :copy "carol@example.com";`, want: "INBOX", sent: 1},
		{name: "a user on hold", script: `redirect "carol@example.com";`, change: func(_ *world, m *Message) { m.User.Held = true }, want: "INBOX", log: "held"},
		{name: "a limit", script: `redirect "carol@example.com";`, change: func(w *world, _ *Message) { w.refuse = true }, want: "INBOX", log: "limit hourly"},
		{name: "a spool that is full", script: `redirect "carol@example.com";`, change: func(w *world, _ *Message) { w.full = outgoing.ErrFull }, want: "INBOX", log: "could not be queued"},
		{name: "no outgoing mail", script: `redirect "carol@example.com";`, change: func(w *world, _ *Message) { w.off = true }, want: "INBOX", log: "no mail of its own"},
		{name: "a loop", script: `redirect "carol@example.com";`, raw: "X-Sieve-Redirected-From: alice@example.org\r\n" + plain, want: "INBOX"},
		{name: "a loop without our mark", script: `redirect "carol@example.com";`, raw: strings.Repeat("Received: x\r\n", 51) + plain, want: "INBOX"},
		{name: "vacation", script: `require "vacation"; vacation "Away";`, want: "INBOX", sent: 1},
		{name: "vacation through an alias of an alias", script: `require "vacation"; vacation "Away";`, raw: strings.Replace(plain, "alice@", "all@", 1), want: "INBOX", sent: 1},
		{name: "vacation for somebody else's mail", script: `require "vacation"; vacation "Away";`, raw: strings.Replace(plain, "alice@", "any@", 1), want: "INBOX"},
		{name: "vacation after a failed DMARC", script: `require "vacation"; vacation "Away";`,
			raw: "Authentication-Results: mx.example.org; dmarc=fail header.from=example.net\r\n" + plain, want: "INBOX"},
		{name: "vacation for spam", script: `require "vacation"; vacation "Away";`,
			change: func(w *world, m *Message) { m.Marked, m.Folder = true, maildir.Junk }, want: "Junk"},
		{name: "notify", script: `require "enotify"; notify "mailto:pager@example.com";`, want: "INBOX", sent: 1},
		{name: "ereject with a proved sender", script: `require "ereject"; ereject "No, thank` + "\r\n" + `you";`, raw: spfPass + plain, want: "550 5.7.1 No, thank you"},
		{name: "ereject without proof", script: `require "ereject"; ereject "No";`, want: "Junk"},
		{name: "ereject with the proof of a stranger", script: `require "ereject"; ereject "No";`, raw: strings.Replace(spfPass, "mx.", "mx2.", 1) + plain, want: "Junk"},
		{name: "ereject of what was not scanned", script: `require "ereject"; ereject "No";`, raw: spfPass + plain,
			change: func(_ *world, m *Message) { m.Scanned = false }, want: "Junk"},
		{name: "ereject of a bounce", script: `require "ereject"; ereject "No";`, raw: spfPass + plain,
			change: func(w *world, m *Message) { m.MailFrom = address(w.t, "<>") }, want: "Junk"},
		{name: "reject with a proved sender", script: `require "reject"; reject "No";`, raw: spfPass + plain, want: "", sent: 1},
		{name: "reject without proof", script: `require "reject"; reject "No";`, want: "Junk"},
		{name: "spam goes by the verdict", script: `discard;`, change: func(w *world, m *Message) {
			m.Marked, m.Folder = true, maildir.Junk
			w.cfg.FilterJunk = false
		}, want: "none"},
		{name: "spamtest", script: `require ["spamtestplus", "relational", "comparator-i;ascii-numeric", "fileinto"]; if spamtest :percent :value "ge" :comparator "i;ascii-numeric" "50" { fileinto "Lists.Go"; }`,
			change: func(_ *world, m *Message) { m.Score = 3 }, want: "Lists.Go"},
		{name: "too large", script: `discard;`, raw: plain + strings.Repeat("x", 70<<10), want: "INBOX", log: "larger than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) {
				c.Limits = []limit.Limit{{Name: "hourly", Rate: limit.Per(10, time.Hour)}}
				c.MessageSizeLimit, c.FilterJunk, c.MaxRedirects = 64<<10, true, 4
			})
			w.folder("Trash")
			w.write(filepath.Join(w.folder("Lists.Go"), keywordsName), "0 NonJunk\n1 $label1\nx odd\n99 far\n")
			if tc.script != "" {
				w.script(tc.script)
			}
			raw := tc.raw
			if raw == "" {
				raw = plain
			}
			m := w.message(raw, 1)
			if tc.change != nil {
				tc.change(w, &m)
			}
			w.restart()
			p := w.deliver(m)
			if got := shown(p); got != tc.want {
				t.Errorf("copies = %q, want %q; notes %q, %v", got, tc.want, p.Notes, p.Err)
			}
			if len(w.sent) != tc.sent {
				t.Errorf("%d mails sent, want %d; notes %q", len(w.sent), tc.sent, p.Notes)
			}
			if log := w.log(); !strings.Contains(log, tc.log) || tc.log == "" && log != "" {
				t.Errorf("log is %q, want %q", log, tc.log)
			}
			if w.full != nil && w.given != 1 {
				t.Errorf("a mail that was not sent stays counted")
			}
		})
	}
}

// manyRedirects exceeds the budget.
func manyRedirects() string {
	var b strings.Builder
	for i := range 10 {
		fmt.Fprintf(&b, "redirect \"a%d@example.net\"; ", i)
	}
	return b.String()
}

func TestWithoutAction(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Enabled = false })
	w.script("discard;")
	if p := w.deliver(w.message(plain, 1)); p != nil {
		t.Errorf("scripts are off, and the plan is %q", shown(p))
	}
}

func TestRedirectedMessage(t *testing.T) {
	w := newWorld(t, nil)
	w.script(`require ["editheader", "copy"]; addheader "X-Rule" "1"; redirect :copy "carol@example.com"; redirect "dave@example.org";`)
	w.deliver(w.message(plain, 1))
	if len(w.sent) != 2 {
		t.Fatalf("%d mails", len(w.sent))
	}
	far, near := w.sent[0], w.sent[1]
	if got := far.MailFrom.String(); got != "SRS0=bob@srs.example.org" {
		t.Errorf("leaves as %s", got)
	}
	if got := near.MailFrom.String(); got != "bob@example.net" {
		t.Errorf("stays here as %s", got)
	}
	if raw := string(far.Raw); strings.Contains(raw, "Delivered-To") || strings.Contains(raw, "Return-Path") ||
		!strings.Contains(raw, "X-Rule: 1\r\n") || !strings.Contains(raw, "X-Sieve-Redirected-From: alice@example.org\r\n") || !strings.HasSuffix(raw, "\r\n\r\nHello.\r\n") {
		t.Errorf("sent\n%s", raw)
	}
	if far.Kind != outgoing.Redirect || far.MessageID != "<1@example.net>" {
		t.Errorf("sent as %s, %s", far.Kind, far.MessageID)
	}
	bounce := w.message(strings.Replace(plain, "<1@", "<2@", 1), 2)
	bounce.MailFrom = address(t, "<>")
	w.deliver(bounce)
	if len(w.sent) != 4 || !w.sent[2].MailFrom.IsNull() {
		t.Errorf("a null sender became %v", w.sent[2:])
	}
}

func TestOnceInAPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.script(`require "vacation"; vacation :days 2 "Away"; redirect "carol@example.com";`)
		steps := []struct {
			after time.Duration
			id    int
			sent  int
			want  string
		}{
			{0, 1, 2, ""},
			{time.Hour, 1, 2, "INBOX"}, // the same message again, not as a retry
			{0, 2, 3, ""},
			{48 * time.Hour, 3, 5, ""},
			{0, 1, 6, ""},
		}
		for i, s := range steps {
			time.Sleep(s.after)
			p := w.deliver(w.message(strings.Replace(plain, "<1@", fmt.Sprintf("<%d@", s.id), 1), 100+i))
			if got := shown(p); got != s.want || len(w.sent) != s.sent {
				t.Errorf("step %d: %q, %d sent, want %q, %d; %q", i, got, len(w.sent), s.want, s.sent, p.Notes)
			}
		}
	})
}

// TestParallelVacation: two messages of one sender at once get one answer.
func TestParallelVacation(t *testing.T) {
	w := newWorld(t, nil)
	w.script(`require "vacation"; vacation "Away";`)
	a, b := w.Plan(t.Context(), w.message(plain, 1)), w.Plan(t.Context(), w.message(strings.Replace(plain, "<1@", "<2@", 1), 2))
	w.Send(t.Context(), a)
	w.Send(t.Context(), b)
	if len(w.sent) != 1 || shown(a) != "INBOX" || shown(b) != "INBOX" {
		t.Errorf("%d answers, %q and %q", len(w.sent), shown(a), shown(b))
	}
}

func TestGlobalScripts(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, func(c *Config) {
		c.Before = []string{filepath.Join(dir, "before.sieve"), filepath.Join(dir, "%d/before.sieve")}
		c.After = []string{filepath.Join(dir, "after.sieve")}
		c.Default = filepath.Join(dir, "default.sieve")
		c.GlobalDirectory = filepath.Join(dir, "global")
	})
	for _, f := range []string{"A", "B", "C", "D", "G"} {
		w.folder(f)
	}
	step := func(want string, wantErr bool) {
		t.Helper()
		p := w.deliver(w.message(plain, 1))
		if got := shown(p); got != want || (p.Err != nil) != wantErr {
			t.Errorf("copies = %q, %v, want %q; notes %q, log %q", got, p.Err, want, p.Notes, w.log())
		}
	}
	step("INBOX", true) // those without %d are missing
	w.write(filepath.Join(dir, "before.sieve"), `require ["fileinto", "copy"]; fileinto :copy "A";`)
	w.write(filepath.Join(dir, "after.sieve"), `require ["fileinto", "copy"]; fileinto :copy "C";`)
	w.write(filepath.Join(dir, "default.sieve"), `require ["include", "fileinto", "copy"]; include :global "all";`)
	w.write(filepath.Join(dir, "global", "all.sieve"), `require ["fileinto", "copy"]; fileinto :copy "G";`)
	step("A, G, C, INBOX", false)
	w.script(`require ["fileinto", "copy"]; fileinto :copy "B";`)
	step("A, B, C, INBOX", false)
	w.write(filepath.Join(dir, "example.org", "before.sieve"), `require ["fileinto", "copy"]; fileinto :copy "D";`)
	step("A, D, B, C, INBOX", false)
	w.script(`broken`)
	step("A, D, INBOX", false)
	w.script(`require "fileinto"; fileinto "B";`) // the rest does not run
	step("A, D, B", false)
}

func TestCache(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.CacheScripts = 2 })
	w.folder("A")
	w.folder("B")
	w.script(`require ["include", "fileinto"]; include "part";`)
	part := filepath.Join(w.home(), "sieve", "part.sieve")
	w.write(part, `require "fileinto"; fileinto "A";`)
	first := w.scripts
	chainOf := func() chain { return first.chain(&w.cfg, w.user.Addr) }
	a, b := chainOf(), chainOf()
	if a.failed != nil || a.scripts[0] != b.scripts[0] {
		t.Fatalf("the script was compiled again: %v", a.failed)
	}
	w.write(part, `require "fileinto"; fileinto "B";`)
	if got := shown(w.deliver(w.message(plain, 1))); got != "B" {
		t.Errorf("after a change of what is included: %q", got)
	}
	if c := chainOf(); c.scripts[0] == a.scripts[0] {
		t.Error("the old script was kept")
	}
	if err := os.Remove(part); err != nil {
		t.Fatal(err)
	}
	if got := shown(w.deliver(w.message(plain, 2))); got != "INBOX" {
		t.Errorf("without what is included: %q", got)
	}
	w.write(part, `require "fileinto"; fileinto "A";`)
	if got := shown(w.deliver(w.message(plain, 3))); got != "A" {
		t.Errorf("when it is back: %q", got)
	}
	for i := range 5 {
		if _, err := first.global(&w.cfg, w.write(filepath.Join(t.TempDir(), fmt.Sprint(i)), "keep;")); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(first.kept); n > 2 {
		t.Errorf("%d scripts are kept, 2 may be", n)
	}
}

// TestUnsafe: what a user plants in a home leads nowhere.
func TestUnsafe(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("discard;"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"absolute": secret, "above": "../bob/sieve/main.sieve"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			if err := os.Symlink(target, filepath.Join(w.home(), ".dovecot.sieve")); err != nil {
				t.Fatal(err)
			}
			if got := shown(w.deliver(w.message(plain, 1))); got != "INBOX" {
				t.Errorf("a link to %s: %q", target, got)
			}
		})
	}
	w := newWorld(t, nil)
	if err := os.Symlink(secret, filepath.Join(w.home(), logName)); err != nil {
		t.Fatal(err)
	}
	w.script("broken")
	p := w.Plan(t.Context(), w.message(plain, 1))
	if err := w.Done(t.Context(), p); err == nil || shown(p) != "INBOX" {
		t.Errorf("a log that is a link: %v, %q", err, shown(p))
	}
	if b, err := os.ReadFile(secret); err != nil || string(b) != "discard;" {
		t.Errorf("the link was written through: %q, %v", b, err)
	}
}

// TestKilled ends a delivery before each of its steps. Postfix then comes again,
// and in the end the message is in the mailbox once and went out once, unless
// the kill came between the spool and the note of it.
func TestKilled(t *testing.T) {
	const text = `require ["copy", "vacation", "fileinto", "duplicate"]; vacation "Away"; if duplicate { discard; stop; }
		redirect :copy "carol@example.com"; fileinto "Lists";`
	type store struct{ copies map[maildir.Key]string }
	once := func(w *world, s *store) (done bool) {
		defer func() {
			if v := recover(); v != nil {
				if _, ok := v.(killed); !ok {
					panic(v)
				}
			}
		}()
		p := w.Plan(context.Background(), w.message(plain, 7))
		w.Send(context.Background(), p)
		for _, c := range p.Copies {
			w.stop.step("copy")
			s.copies[c.Source.Key] = c.Folder.String()
		}
		_ = w.Done(context.Background(), p) // what it remembers is tested elsewhere
		w.stop.step("reply")
		return true
	}
	for n := 0; ; n++ {
		w := newWorld(t, nil)
		w.folder("Lists")
		w.script(text)
		s := &store{map[maildir.Key]string{}}
		w.stop = &stopper{n}
		if once(w, s) {
			if n < 6 {
				t.Fatalf("only %d steps", n)
			}
			return
		}
		w.stop = nil
		w.restart()
		if !once(w, s) {
			t.Fatal("the second try was killed")
		}
		to := map[string]int{}
		for _, m := range w.sent {
			to[m.RcptTo[0].String()]++
		}
		if len(s.copies) != 1 || to["carol@example.com"] == 0 || to["bob@example.net"] == 0 || len(w.sent) > 3 {
			t.Errorf("killed before step %d: copies %v, sent %v", n, s.copies, to)
		}
	}
}

func TestLogRotates(t *testing.T) {
	w := newWorld(t, nil)
	h := w.Filter.home(w.snap.Load(), w.user.Addr)
	lines := make([]string, 100)
	for i := range lines {
		lines[i] = strings.Repeat("long \x00\n", 200)
	}
	for range 10 {
		if err := h.tell(time.Now(), lines); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{logName, logName + ".0"} {
		fi, err := os.Stat(filepath.Join(w.home(), name))
		if err != nil || fi.Size() > maxLog+(maxLines+1)*(maxLine+50) || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, fi, err)
		}
	}
	if strings.ContainsAny(w.log(), "\x00") || !strings.Contains(w.log(), "80 more") {
		t.Error("the log is not bounded and clean")
	}
}

func TestGlobal(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, func(c *Config) { c.GlobalDirectory = dir })
	w.write(filepath.Join(dir, "all.sieve"), "keep;")
	if s, err := w.Global("all"); s != "keep;" || err != nil {
		t.Errorf("Global = %q, %v", s, err)
	}
	for _, name := range []string{"none", "../all", "", "a/b"} {
		if _, err := w.Global(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Global(%q): %v", name, err)
		}
	}
}

func TestStateAway(t *testing.T) {
	w := newWorld(t, nil)
	w.script(`redirect "carol@example.com";`)
	w.deps.State = awayStore{}
	p := w.Plan(t.Context(), w.message(plain, 1))
	w.Send(t.Context(), p)
	if shown(p) != "INBOX" || p.Err == nil || len(w.sent) != 0 {
		t.Errorf("%q, %v, %d sent", shown(p), p.Err, len(w.sent))
	}
}

type awayStore struct{ store }

var errAway = errors.New("away")

func (awayStore) Get(context.Context, state.Table, string) (state.Entry, error) {
	return state.Entry{}, errAway
}

func TestConfig(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Before, c.After, c.Default, c.GlobalDirectory = []string{"a"}, []string{"b"}, "c", "d"
	c.MaxRedirects, c.MaxActions, c.CacheScripts, c.MessageSizeLimit, c.SpecialUse.Junk = -1, 0, 0, 1, "a/b"
	err := c.Validate()
	for _, key := range []string{"before", "after", "default", "global_directory", "max_redirects", "max_actions", "cache_scripts", "message_size_limit", "special_use.junk"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not told: %v", key, err)
		}
	}
	if _, err := New(Default(), Deps{}); err == nil {
		t.Error("New without parts")
	}
}

func FuzzKeywords(f *testing.F) {
	f.Add([]byte("0 $Junk\n1 NonJunk\n25 z\n26 no\n-1 x\n1\n\n0 torn"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for word, c := range parseKeywords(b) {
			if word == "" || c < 'a' || c > 'z' {
				t.Errorf("%q has %q", word, c)
			}
		}
	})
}
