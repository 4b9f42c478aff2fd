package filter

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/script"
)

// shortOfFiles cannot open an included script for once.
type shortOfFiles struct {
	userScripts
	once atomic.Bool
}

func (s *shortOfFiles) Read(user mailaddr.Address, name string) ([]byte, error) {
	if s.once.CompareAndSwap(false, true) {
		return nil, &os.PathError{Op: "open", Path: name, Err: unix.EMFILE}
	}
	return s.userScripts.Read(user, name)
}

// TestScriptStaysBroken: what is included could not be read once, and the script
// was taken for a faulty one until somebody changed it.
func TestScriptStaysBroken(t *testing.T) {
	w := newWorld(t, nil)
	w.folder("A")
	w.script(`require "include"; include "part";`)
	w.write(w.home()+"/sieve/part.sieve", `require "fileinto"; fileinto "A";`)
	w.scripts.users = &shortOfFiles{userScripts: script.New(script.Config{Root: w.root})}
	if got := shown(w.deliver(w.message(plain, 1))); got != "INBOX" {
		t.Errorf("while no file can be opened: %q", got)
	}
	if got := shown(w.deliver(w.message(plain, 2))); got != "A" {
		t.Errorf("afterwards: %q, log %q", got, w.log())
	}
}

// TestRedirectLeavesTraceBehind: the fields of this delivery do not leave with a
// redirect whatever a script deletes and adds.
func TestRedirectLeavesTraceBehind(t *testing.T) {
	w := newWorld(t, nil)
	w.script(`require "editheader"; deleteheader "Return-Path"; addheader "X-A" "1"; addheader :last "Delivered-To" "x"; redirect "carol@example.com";`)
	m := w.message(plain, 1)
	m.Top = []byte("Return-Path: <bob@example.net>\nDelivered-To: alice@example.org\nReceived: from a\n\tby b; now\n")
	w.deliver(m)
	if len(w.sent) != 1 {
		t.Fatalf("%d mails", len(w.sent))
	}
	if raw := string(w.sent[0].Raw); !strings.HasPrefix(raw, "X-Sieve-Redirected-From: alice@example.org\r\nX-A: 1\r\nFrom: bob@") {
		t.Errorf("sent\n%s", raw)
	}
}

// TestAnotherMailToTheSame: a notification that an earlier try sent is not taken
// for the redirect that the script has in its place now.
func TestAnotherMailToTheSame(t *testing.T) {
	w := newWorld(t, nil)
	w.script(`require "enotify"; notify "mailto:carol@example.com"; keep;`)
	m := w.message(plain, 1)
	w.Send(t.Context(), w.Plan(t.Context(), m)) // killed behind this
	w.script(`redirect "carol@example.com";`)
	if p := w.deliver(m); shown(p) == "" && len(w.sent) != 2 {
		t.Errorf("the message is nowhere: %d sent, %q", len(w.sent), p.Notes)
	}
}

// TestVacationOfAGroup: mail to an alias of many is to none of them in person:
// each would answer it.
func TestVacationOfAGroup(t *testing.T) {
	w := newWorld(t, nil)
	w.script(`require "vacation"; vacation "Away";`)
	w.aliases = []account.Alias{{Addr: address(t, "staff@example.org"), To: []mailaddr.Address{w.user.Addr, address(t, "dave@example.org")}}}
	w.deliver(w.message(strings.Replace(plain, "alice@", "staff@", 1), 1))
	if len(w.sent) != 0 {
		t.Errorf("%d answers", len(w.sent))
	}
}

// TestAuthorOfNotice: what we sign is from the user.
func TestAuthorOfNotice(t *testing.T) {
	w := newWorld(t, nil)
	w.script(`require ["vacation", "enotify"]; vacation :from "ceo@example.com" "Away"; notify :from "ceo@example.com" "mailto:pager@example.com";`)
	w.deliver(w.message(plain, 1))
	if len(w.sent) != 2 {
		t.Fatalf("%d mails", len(w.sent))
	}
	for _, m := range w.sent {
		if strings.Contains(string(m.Raw), "ceo@example.com") {
			t.Errorf("a %s is sent as somebody else:\n%s", m.Kind, m.Raw)
		}
	}
	if !strings.Contains(w.log(), "is no address of the user") {
		t.Errorf("log %q", w.log())
	}
}

// TestEditedCopiesTakeNoMemory: a message of 4 MB with 30 different headers would
// be 120 MB for one delivery.
func TestEditedCopiesTakeNoMemory(t *testing.T) {
	var b strings.Builder
	b.WriteString(`require ["editheader", "fileinto", "mailbox", "copy"];`)
	for i := range 24 {
		fmt.Fprintf(&b, `addheader "X-A" "%d"; fileinto :create "F%d";`, i, i)
	}
	for i := range 4 {
		fmt.Fprintf(&b, `addheader "X-A" "%d"; redirect :copy "a%d@example.com";`, i, i)
	}
	w := newWorld(t, nil)
	w.script(b.String())
	raw := plain + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 4<<20/72)
	p := w.Plan(t.Context(), w.message(raw, 1))
	total := 0
	for _, c := range p.Copies {
		total += len(c.Content)
	}
	for _, m := range p.mails {
		total += len(m.mail.Raw)
	}
	if most := 3*len(raw) + 9<<20; total > most {
		t.Errorf("the plan holds %d bytes, want at most %d", total, most)
	}
	if last := p.Copies[len(p.Copies)-1]; last.Folder != "" || last.Content != nil {
		t.Errorf("the message is not kept as it came: %s", shown(p))
	}
	w.script(`require ["editheader", "fileinto", "mailbox"]; addheader "X-A" "1";` + strings.Repeat(`fileinto :create "A"; fileinto :create "B"; fileinto :create "C"; fileinto :create "D";`, 1))
	if p := w.Plan(t.Context(), w.message(raw, 2)); shown(p) != "A edited, B edited, C edited, D edited" || &p.Copies[0].Content[0] != &p.Copies[3].Content[0] {
		t.Errorf("four copies of one edit: %s", shown(p))
	}
}

// TestSpamtestSaysWhatTheVerdictIs: mail that the recipient's threshold lets pass
// is no spam to the script, whatever the server's is.
func TestSpamtestSaysWhatTheVerdictIs(t *testing.T) {
	for _, tc := range []struct {
		score  float64
		marked bool
		want   string // the least value that is spam
	}{{3, false, "INBOX"}, {9, false, "INBOX"}, {9, true, "Spam"}, {3, true, "Spam"}} {
		w := newWorld(t, func(c *Config) { c.FilterJunk = true })
		w.folder("Spam")
		w.script(`require ["spamtest", "relational", "comparator-i;ascii-numeric", "fileinto"]; if spamtest :value "ge" :comparator "i;ascii-numeric" "10" { fileinto "Spam"; }`)
		m := w.message(plain, 1)
		m.Score, m.Marked = tc.score, tc.marked
		if got := shown(w.deliver(m)); got != tc.want {
			t.Errorf("score %v, marked %t: %q, want %q", tc.score, tc.marked, got, tc.want)
		}
	}
}
