package sieve

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

// act runs one script and returns its first action.
func act(t *testing.T, env *Env, raw, src string) *Action {
	t.Helper()
	res, err := Run(context.Background(), compile(t, src), env, message(raw), nil)
	if err != nil || len(res.Actions) == 0 {
		t.Fatalf("Run = %v, %v", res, err)
	}
	return &res.Actions[0]
}

func TestVacation(t *testing.T) {
	const script = `require "vacation"; vacation "I am away.";`
	with := func(field string) string { return strings.Replace(letterText, "Subject:", field+"\r\nSubject:", 1) }
	for _, tc := range []struct {
		name   string
		raw    string
		change func(*Env)
		reason string // "" for an answer
	}{
		{"a letter", letterText, nil, ""},
		{"null sender", letterText, func(e *Env) { e.Envelope.From = "" }, "its sender is null or no address"},
		{"own mail", letterText, func(e *Env) { e.Envelope.From = "USER@example.net" }, "it is from the user"},
		{"alias of the user", strings.Replace(letterText, "user@", "info@", 1), func(e *Env) { e.User.Addresses = []string{"info@example.net"} }, ""},
		{"to somebody else", strings.Replace(letterText, "user@", "all@", 1), nil, "it is to none of the user's addresses"},
		{"list", with("List-Unsubscribe: <x>"), nil, "it is from a mailing list"},
		{"bulk", with("Precedence: Bulk"), nil, "it is bulk mail"},
		{"automatic", with("Auto-Submitted: auto-generated; x"), nil, "it was submitted automatically"},
		{"said not to be", with("Auto-Submitted: no"), nil, ""},
		{"bounce address", letterText, func(e *Env) { e.Envelope.From = "list-bounces@example.org" }, "it is from a program"},
		{"spam", letterText, func(e *Env) { e.NoAnswer = "it is marked as spam" }, "it is marked as spam"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env := testEnv()
			if tc.change != nil {
				tc.change(env)
			}
			a := act(t, env, tc.raw, script)
			mails, reason, err := a.Mails(context.Background(), env, "id@example.net")
			if err != nil || reason != tc.reason || (len(mails) == 1) != (tc.reason == "") {
				t.Fatalf("Mails = %v, %q, %v, want %q", mails, reason, err, tc.reason)
			}
			if len(mails) == 0 {
				return
			}
			if m := mails[0]; m.From != "" || !slices.Equal(m.To, []string{"jane@example.org"}) || m.Marks[0].For != 7*24*time.Hour {
				t.Errorf("mail from %q to %q, marks %v", m.From, m.To, m.Marks)
			}
			env.Memory = recall{mails[0].Marks[0].ID: true}
			if mails, reason, _ := a.Mails(context.Background(), env, "id@example.net"); mails != nil || reason != "the sender was answered within the period" {
				t.Errorf("second answer = %v, %q", mails, reason)
			}
		})
	}
}

func TestVacationText(t *testing.T) {
	env := testEnv()
	a := act(t, env, letterText, "require \"vacation\"; vacation :from \"Jürgen <user@example.net>\" \"Grüße\nund Küsse\";")
	mails, _, err := a.Mails(context.Background(), env, "id@example.net")
	if err != nil || len(mails) != 1 {
		t.Fatal(mails, err)
	}
	const want = "X-Sieve: Gatepost\r\nMessage-ID: <id@example.net>\r\nDate: Fri, 20 Nov 2026 15:00:00 +0000\r\n" +
		"From: =?utf-8?q?J=C3=BCrgen?= <user@example.net>\r\nTo: \"Jane\" <jane@example.org>\r\n" +
		"Subject: Auto: [ticket-42] broken printer\r\nIn-Reply-To: <1@example.org>\r\nReferences: <1@example.org>\r\n" +
		"Auto-Submitted: auto-replied (vacation)\r\nPrecedence: bulk\r\nX-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\nund K=C3=BCsse\r\n"
	if got := string(mails[0].Raw); got != want {
		t.Errorf("answer = %q\nwant %q", got, want)
	}
}

// TestNoInjection: nothing that a stranger or a user wrote opens a header.
func TestNoInjection(t *testing.T) {
	raw := "From: \"x\r\n y\" <jane@example.org>\r\nTo: user@example.net\r\nSubject: =?utf-8?q?a=0D=0ABcc:_evil=40example.org?=\r\n" +
		"Message-ID: <1@example.org>\r\n =?utf-8?q?=0D=0AX:_y?=\r\n\r\n"
	for _, src := range []string{
		"require \"vacation\"; vacation :subject \"a\nBcc: b@example.org\" \"x\";",
		`require "vacation"; vacation "x";`,
		"require \"enotify\"; notify :message \"a\nBcc: b@example.org\" \"mailto:a@example.org?subject=a%0D%0ABcc:b\";",
		`require "reject"; reject "x";`,
	} {
		env := testEnv()
		a := act(t, env, raw, src)
		mails, reason, err := a.Mails(context.Background(), env, "id@example.net")
		if err != nil || len(mails) != 1 {
			t.Errorf("%s: Mails = %v, %q, %v", src, mails, reason, err)
			continue
		}
		head, _, _ := strings.Cut(string(mails[0].Raw), "\r\n\r\n")
		for line := range strings.SplitSeq(head, "\r\n") {
			if strings.HasPrefix(line, "Bcc") || strings.HasPrefix(line, "X:") || strings.ContainsAny(line, "\r\n") {
				t.Errorf("%s: header %q", src, head)
			}
		}
	}
}

func TestRedirect(t *testing.T) {
	const script = `redirect "far@example.com";`
	for _, tc := range []struct {
		name, raw string
		change    func(*Env)
		from      string
		reason    string
	}{
		{"a letter", letterText, nil, "jane@example.org", ""},
		{"bounce stays null", letterText, func(e *Env) {
			e.Envelope.From, e.Settings.RedirectFrom = "", SenderRule{Kind: "recipient"}
		}, "", ""},
		{"sender rule", letterText, func(e *Env) { e.Settings.RedirectFrom = SenderRule{Kind: "recipient"} }, "user@example.net", ""},
		{"our mark", "X-Sieve-Redirected-From: User@Example.net\r\n" + letterText, nil, "", "it was redirected from this mailbox before"},
		{"somebody else's mark", "X-Sieve-Redirected-From: other@example.net\r\n" + letterText, nil, "jane@example.org", ""},
		{"50 hosts", strings.Repeat("Received: x\r\n", 49) + letterText, nil, "jane@example.org", ""},
		{"51 hosts", strings.Repeat("Received: x\r\n", 50) + letterText, nil, "", "it passed 51 hosts: more than 50 are taken for a loop"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env := testEnv()
			if tc.change != nil {
				tc.change(env)
			}
			a := act(t, env, tc.raw, script)
			mails, reason, err := a.Mails(context.Background(), env, "id@example.net")
			if err != nil || reason != tc.reason || (len(mails) == 1) != (tc.reason == "") {
				t.Fatalf("Mails = %v, %q, %v, want %q", mails, reason, err, tc.reason)
			}
			if len(mails) == 0 {
				return
			}
			m := mails[0]
			if m.From != tc.from || !slices.Equal(m.To, []string{"far@example.com"}) || string(m.Raw) != "X-Sieve-Redirected-From: user@example.net\r\n"+tc.raw {
				t.Errorf("mail from %q to %q: %q", m.From, m.To, m.Raw)
			}
			env.Memory = recall{m.Marks[0].ID: true}
			if mails, reason, _ := a.Mails(context.Background(), env, "id@example.net"); mails != nil || reason == "" {
				t.Errorf("the same message again = %v, %q", mails, reason)
			}
		})
	}
}

func TestMailto(t *testing.T) {
	for _, tc := range []struct {
		uri string
		to  []string
		ok  bool
	}{
		{"mailto:a@example.org", []string{"a@example.org"}, true},
		{"MAILTO:a@example.org,b@example.org?cc=c@example.org&X-Other=1", []string{"a@example.org", "b@example.org", "c@example.org"}, true},
		{"mailto:", nil, false},
		{"mailto:a", nil, false},
		{"mailto:a@example.org?subject=%0", nil, false},
		{"mailto:a@example.org?subject=%00", nil, false},
		{"xmpp:a@example.org", nil, false},
		{"mailto:" + strings.Repeat("a@example.org,", 9), nil, false},
	} {
		a, err := parseMailto(tc.uri)
		if (err == nil) != tc.ok {
			t.Errorf("parseMailto(%q) = %v, %v", tc.uri, a, err)
			continue
		}
		var to []string
		if err == nil {
			for _, b := range append(a.To, a.Cc...) {
				to = append(to, b.Addr.String())
			}
		}
		if !slices.Equal(to, tc.to) {
			t.Errorf("parseMailto(%q) = %q, want %q", tc.uri, to, tc.to)
		}
	}
}
