package policyd

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

const (
	fullBox  = "1000S,100C\n600 1\n400 1\n"
	roomyBox = "1000S,100C\n600 1\n399 1\n"
)

// withQuota switches the check, and nothing else, on; files are the maildirsize of
// mailboxes of example.org.
func withQuota(t *testing.T, mode unit.Mode, code int, files map[string]string) func(*Config) {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		dir := filepath.Join(root, "example.org", name, "Maildir")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "maildirsize"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func(c *Config) {
		all(unit.Off)(c)
		c.MailRoot = root
		c.Checks.OverQuota, c.Checks.OverQuotaCode = mode, code
	}
}

func TestOverQuota(t *testing.T) {
	full := func(rcpt string) string { return "452 4.2.2 the mailbox of " + rcpt + " is full" }
	for _, tc := range []struct {
		name  string
		files map[string]string
		rcpt  string
		want  string // "" is DUNNO
	}{
		{"full", map[string]string{"alice": fullBox}, "alice@example.org", full("alice@example.org")},
		{"another spelling, with detail", map[string]string{"alice": fullBox}, "Alice+x@Example.org", full("Alice+x@Example.org")},
		{"too many messages", map[string]string{"alice": "5C\n10 5\n"}, "alice@example.org", full("alice@example.org")},
		{"a byte of room", map[string]string{"alice": roomyBox}, "alice@example.org", ""},
		{"another is full", map[string]string{"bob": fullBox}, "alice@example.org", ""},
		{"no file", nil, "alice@example.org", ""},
		{"empty file", map[string]string{"alice": ""}, "alice@example.org", ""},
		{"broken file", map[string]string{"alice": "1S\n9 x\n"}, "alice@example.org", ""},
		{"file that is too long", map[string]string{"alice": "1S\n" + strings.Repeat("9 1\n", 2000)}, "alice@example.org", ""},
		{"alias of one", map[string]string{"alice": fullBox}, "all@example.org", full("all@example.org")},
		{"alias of one with room", map[string]string{"alice": roomyBox}, "all@example.org", ""},
		{"catch-all", map[string]string{"alice": fullBox}, "who@open.example", full("who@open.example")},
		{"domain of another name", map[string]string{"alice": fullBox}, "alice@old.example", full("alice@old.example")},
		{"list, all full", map[string]string{"bob": fullBox, "carol": fullBox}, "sales@example.org", full("sales@example.org")},
		{"list, one with room", map[string]string{"bob": fullBox, "carol": roomyBox}, "sales@example.org", ""},
		{"list, one not known", map[string]string{"bob": fullBox}, "sales@example.org", ""},
		{"list, one elsewhere", map[string]string{"alice": fullBox}, "team@example.org", ""},
		{"nobody's", map[string]string{"nobody": fullBox}, "nobody@example.org", ""},
		{"elsewhere", map[string]string{"alice": fullBox}, "alice@far.example", ""},
		{"no address", map[string]string{"alice": fullBox}, "../alice@example.org", ""},
	} {
		h := newHouse(t, withQuota(t, unit.Enforce, 452, tc.files))
		want := tc.want
		if want == "" {
			want = "DUNNO"
		}
		for _, req := range []Request{stranger("x@mx.example", tc.rcpt, nil), user("carol@example.org", tc.rcpt)} {
			if got := h.smtpd(t).ask(req); got != want {
				t.Errorf("%s: %q, want %q", tc.name, got, want)
			}
		}
		watching := newHouse(t, withQuota(t, unit.Observe, 452, tc.files))
		if got := watching.smtpd(t).ask(stranger("x@mx.example", tc.rcpt, nil)); got != "DUNNO" {
			t.Errorf("%s, observed: %q, want DUNNO as in mode off", tc.name, got)
		}
		would := false
		for _, r := range watching.journal.records() {
			for _, f := range r.Facts {
				would = would || f.Key == "would_have" && strings.HasPrefix(f.Value, ruleOverQuota+": ")
			}
		}
		if would != (tc.want != "") {
			t.Errorf("%s, observed: the journal says would_have: %t", tc.name, would)
		}
	}
}

// Who is told to go away for good stays away; the administrator reads whose
// mailbox it is.
func TestOverQuotaForGood(t *testing.T) {
	h := newHouse(t, withQuota(t, unit.Enforce, 552, map[string]string{"alice": fullBox}))
	if got, want := h.smtpd(t).ask(stranger("x@mx.example", "all@example.org", nil)), "552 5.2.2 the mailbox of all@example.org is full"; got != want {
		t.Errorf("the answer is %q, want %q", got, want)
	}
	hint := ""
	for _, r := range h.journal.records() {
		for _, f := range r.Facts {
			if f.Key == "hint" {
				hint = f.Value
			}
		}
	}
	if !strings.Contains(hint, "alice@example.org") {
		t.Errorf("the journal's hint is %q, want alice in it", hint)
	}
}

// Who writes to somebody with a full mailbox does not guess addresses.
func TestOverQuotaIsNoGuess(t *testing.T) {
	h := newHouse(t, withQuota(t, unit.Enforce, 552, map[string]string{"alice": fullBox}))
	var told []string
	h.server.gather.refused = func(user string, _ netip.Addr) { told = append(told, user) }
	if got := h.smtpd(t).ask(user("bob@example.org", "alice@example.org")); !strings.HasPrefix(got, "552 ") {
		t.Errorf("the answer is %q, want 552", got)
	}
	h.stop()
	if len(told) > 0 {
		t.Errorf("told of %q as one who was refused", told)
	}
}

// A store that is away refuses nobody for a full mailbox, and without a mail root
// nobody's is full.
func TestOverQuotaNotKnown(t *testing.T) {
	h := newHouse(t, withQuota(t, unit.Enforce, 452, map[string]string{"alice": fullBox}))
	h.store.set(true)
	if got := h.smtpd(t).ask(stranger("x@mx.example", "alice@example.org", nil)); got != "DUNNO" {
		t.Errorf("store away: %q, want DUNNO", got)
	}
	h = newHouse(t, func(c *Config) {
		withQuota(t, unit.Enforce, 452, map[string]string{"alice": fullBox})(c)
		c.MailRoot = ""
	})
	if got := h.smtpd(t).ask(stranger("x@mx.example", "alice@example.org", nil)); got != "DUNNO" {
		t.Errorf("no mail root: %q, want DUNNO", got)
	}
}

// Whatever else refuses says so first.
func TestDecideOverQuotaLast(t *testing.T) {
	c := Default()
	all(unit.Enforce)(&c)
	p, err := c.policy()
	if err != nil {
		t.Fatal(err)
	}
	req := stranger("x@mx.example", "alice@example.org", nil)
	box := []mailaddr.Address{addr("alice@example.org")}
	if v := Decide(p, req, Facts{Admit: &AdmitFacts{Full: box}}, time.Now()); v.Rule != ruleOverQuota || v.Action.word != "452" {
		t.Errorf("Decide(full) = %+v, want 452", v)
	}
	if v := Decide(p, req, Facts{Admit: &AdmitFacts{Full: box, Recipient: no}}, time.Now()); v.Rule != ruleUnknownRecipient {
		t.Errorf("Decide(full, unknown) = %+v, want rule %s", v, ruleUnknownRecipient)
	}
	req.ProtocolState = StateData
	if v := Decide(p, req, Facts{Admit: &AdmitFacts{Full: box}}, time.Now()); v.Action != Dunno() {
		t.Errorf("Decide(full, DATA) = %+v, want DUNNO", v)
	}
}
