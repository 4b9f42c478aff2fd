package policyd

import (
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/reply"
)

func TestParseAction(t *testing.T) {
	for _, tc := range []struct{ in, want string }{ // want "" for a refusal
		{"DUNNO", "DUNNO"},
		{"dunno", "DUNNO"},
		{"REJECT", "REJECT"},
		{"reject not from there", "REJECT not from there"},
		{"REJECT 5.7.99 text", "REJECT 5.7.99 text"},
		{"DEFER", "DEFER"},
		{"DEFER 4.7.1 later", "DEFER 4.7.1 later"},
		{"DEFER_IF_PERMIT later", "DEFER_IF_PERMIT later"},
		{"DEFER_IF_REJECT later", "DEFER_IF_REJECT later"},
		{"450 4.7.1 try later", "450 4.7.1 try later"},
		{"450 try later", "450 4.7.1 try later"},
		{"521 5.3.2 go away", "521 5.3.2 go away"},
		{"HOLD", "HOLD"},
		{"HOLD odd", "HOLD odd"},
		{"DISCARD", "DISCARD"},
		{"REDIRECT a@example.org", "REDIRECT a@example.org"},
		{"BCC A@Example.ORG", "BCC A@example.org"},
		{`BCC "a b"@example.org`, `BCC "a b"@example.org`},
		{"FILTER smtp:[127.0.0.1]:10025", "FILTER smtp:[127.0.0.1]:10025"},
		{"FILTER scan:", "FILTER scan:"},
		{"PREPEND X-Checked: yes", "PREPEND X-Checked: yes"},
		{"WARN", "WARN"},
		{"INFO seen", "INFO seen"},

		{"", ""},
		{"OK", ""},
		{"ok", ""},
		{"200", ""},
		{"250 2.0.0 fine", ""},
		{"0", ""},
		{"4500 x", ""},
		{"45 x", ""},
		{"354 x", ""},
		{"450", ""},
		{"450 5.7.1 wrong class", ""},
		{"550 4.7.1 wrong class", ""},
		{"REJECT 4.7.1 wrong class", ""},
		{"DEFER 5.7.1 wrong class", ""},
		{"permit", ""},
		{"permit_mynetworks", ""},
		{"permit_sasl_authenticated, reject", ""},
		{"reject_unauth_destination", ""},
		{"check_recipient_access static:OK", ""},
		{"my_class", ""},
		{"DUNNO now", ""},
		{" DUNNO", ""},
		{"REJECT  two blanks", ""},
		{"REJECT a ", ""},
		{"REJECT a\nb", ""},
		{"REJECT a\rb", ""},
		{"REJECT a\x00b", ""},
		{"REJECT \xff", ""},
		{"REJECT " + strings.Repeat("x", maxActionText+1), ""},
		{"REDIRECT", ""},
		{"REDIRECT postmaster", ""},
		{"BCC a@b, c@d", ""},
		{"FILTER", ""},
		{"FILTER smtp", ""},
		{"FILTER :x", ""},
		{"FILTER smtp:a b", ""},
		{"PREPEND", ""},
		{"PREPEND no field", ""},
		{"PREPEND X y: z", ""},
		{"PREPEND : z", ""},
	} {
		got, err := ParseAction(tc.in)
		if got.String() != tc.want || (err != nil) != (tc.want == "") || err != nil && !got.IsZero() {
			t.Errorf("ParseAction(%.60q) = %q, %v, want %q", tc.in, got, err, tc.want)
		}
	}
}

// permitting are words with which Postfix lets mail pass, or evaluates what an
// administrator named.
var permitting = []string{"OK", "ok", "200", "0", "999", "permit", "permit_mynetworks", "permit_sasl_authenticated", "reject_unauth_destination", "my_class", "warn_if_reject"}

func TestPermitsOnlyWithLicence(t *testing.T) {
	for _, word := range permitting {
		if a, err := ParseAction(word); err == nil {
			t.Errorf("ParseAction(%q) = %q, want an error", word, a)
		}
		if a, err := permitAction(relayPermit{}, word); err == nil {
			t.Errorf("permitAction without licence for %q = %q, want an error", word, a)
		}
		r := Rule{Name: "backup", Action: word, When: When{PolicyContext: "backup"}}
		if b, err := r.build(); err == nil || !b.action.IsZero() {
			t.Errorf("rule with %q built %q, %v, want an error", word, b.action, err)
		}
		r.PermitsRelay = true
		b, err := r.build()
		if err != nil {
			t.Errorf("rule with %q and permits_relay: %v", word, err)
			continue
		}
		wire, err := AppendReply(nil, b.action)
		if want := "action=" + word + "\n\n"; err != nil || string(wire) != want {
			t.Errorf("AppendReply = %q, %v, want %q", wire, err, want)
		}
		if a, err := ParseReply(wire); err == nil {
			t.Errorf("ParseReply(%q) = %q, want an error", wire, a)
		}
	}
	for _, word := range []string{"", "OK now", "a\nb", "check_x static:OK", strings.Repeat("a", 65)} {
		if a, err := permitAction(relayPermit{rule: "x"}, word); err == nil {
			t.Errorf("permitAction(%q) = %q, want an error", word, a)
		}
	}
}

func TestRefuse(t *testing.T) {
	a, err := Refuse(reply.Must(450, "7.1", "try later"))
	if err != nil || a.String() != "450 4.7.1 try later" || !a.Refuses() {
		t.Errorf("Refuse = %q, %v", a, err)
	}
	for _, r := range []reply.Reply{{}, reply.Must(250, "0.0", "fine")} {
		if a, err := Refuse(r); err == nil {
			t.Errorf("Refuse(%q) = %q, want an error", r, a)
		}
	}
}

func TestRefuses(t *testing.T) {
	for in, want := range map[string]bool{
		"DUNNO": false, "REJECT": true, "DEFER x": true, "DEFER_IF_PERMIT x": true, "DEFER_IF_REJECT x": false,
		"450 x": true, "550 x": true, "HOLD": false, "DISCARD": false, "INFO x": false,
	} {
		a, err := ParseAction(in)
		if err != nil || a.Refuses() != want {
			t.Errorf("%q: Refuses() = %v, %v, want %v", in, a.Refuses(), err, want)
		}
	}
	if a, err := permitAction(relayPermit{rule: "x"}, "4500"); err != nil || a.Refuses() {
		t.Errorf("4500 refuses = %v, %v: a word of four digits permits", a.Refuses(), err)
	}
}

func TestAppendReply(t *testing.T) {
	got, err := AppendReply([]byte("x"), Dunno())
	if err != nil || string(got) != "xaction=DUNNO\n\n" {
		t.Errorf("AppendReply(DUNNO) = %q, %v", got, err)
	}
	if got, err := AppendReply(nil, Action{}); err == nil {
		t.Errorf("AppendReply of no action = %q, want an error", got)
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"DUNNO", "450 4.7.1 try later", "REJECT 5.7.1 no", "PREPEND X-A: b", `BCC "a b"@example.org`, "FILTER a:b", "OK", "200", "permit", "HOLD\n\nx"} {
		f.Add([]byte("action=" + s + "\n\n"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseReply(b)
		if err != nil {
			return
		}
		wire, err := AppendReply(nil, a)
		if err != nil {
			t.Fatalf("AppendReply(%q): %v", a, err)
		}
		if strings.Count(string(wire), "\n") != 2 || strings.ContainsAny(string(wire), "\r\x00") {
			t.Errorf("AppendReply(%q) = %q, want one line and an empty one", a, wire)
		}
		if again, err := ParseReply(wire); err != nil || again != a {
			t.Errorf("ParseReply(AppendReply(%q)) = %q, %v", a, again, err)
		}
		word, _, _ := strings.Cut(strings.TrimPrefix(string(wire[:len(wire)-2]), "action="), " ")
		if !closedWord(word) {
			t.Errorf("AppendReply(%q) sends the word %q, which is not of the closed set", a, word)
		}
	})
}

func closedWord(w string) bool {
	switch w {
	case ActionDunno, ActionReject, ActionDefer, ActionDeferIfPermit, ActionDeferIfReject, ActionHold, ActionDiscard,
		ActionRedirect, ActionBCC, ActionFilter, ActionPrepend, ActionWarn, ActionInfo:
		return true
	}
	return len(w) == 3 && allDigits(w) && (w[0] == '4' || w[0] == '5')
}
