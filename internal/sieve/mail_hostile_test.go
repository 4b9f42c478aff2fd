package sieve

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestRedirectKeepsItsMark: no edit of a script takes away what ends a loop.
func TestRedirectKeepsItsMark(t *testing.T) {
	const mark = "X-Sieve-Redirected-From: user@example.net\r\n"
	for i, tc := range []struct{ name, src, raw string }{
		{"the mark deleted", `require "editheader"; deleteheader "X-Sieve-Redirected-From"; redirect "far@example.com";`, mark + letterText},
		{"another Message-ID", `require "editheader"; deleteheader "Message-ID"; addheader "Message-ID" "<2@example.org>"; redirect "far@example.com";`, letterText},
		{"no Message-ID", `require "editheader"; deleteheader "Message-ID"; redirect "far@example.com";`, letterText},
	} {
		env := testEnv()
		first, _, err := act(t, env, letterText, `redirect "far@example.com";`).Mails(context.Background(), env, "id@example.net")
		if err != nil || len(first) != 1 {
			t.Fatal(first, err)
		}
		if i > 0 {
			env.Memory = recall{first[0].Marks[0].ID: true}
		}
		if mails, reason, err := act(t, env, tc.raw, tc.src).Mails(context.Background(), env, "id@example.net"); mails != nil || reason == "" || err != nil {
			t.Errorf("%s: Mails = %v, %q, %v: it goes round", tc.name, mails, reason, err)
		}
	}
	res, err := Run(context.Background(), compile(t, `require "editheader"; addheader "X-Sieve-Redirected-From" "bob@example.com";`), testEnv(), message(letterText), nil)
	if err != nil || res.Message().Edited() || len(res.Warnings) != 1 {
		t.Errorf("somebody else's mark can be added: %v, %v", res, err)
	}
}

// TestVacationFromAnybody: who writes an answer or a notification is the user,
// because we sign it.
func TestVacationFromAnybody(t *testing.T) {
	for _, tc := range []struct {
		src, from string
		want      string
	}{
		{`require "vacation"; vacation :from "ceo@example.com" "x";`, "", "user@example.net"},
		{`require "vacation"; vacation :from "The Boss <ceo@example.net>" "x";`, "", "user@example.net"},
		{`require "vacation"; vacation :addresses "ceo@example.net" :from "ceo@example.net" "x";`, "", "user@example.net"},
		{`require "vacation"; vacation :from "U <User+away@example.net>" "x";`, "", `"U" <User+away@example.net>`},
		{`require "vacation"; vacation :from "info@example.net" "x";`, "", "info@example.net"},
		{`require "enotify"; notify :from "ceo@example.com" "mailto:pager@example.org";`, "", "postmaster@example.net"},
		{`require "enotify"; notify :from "info@example.net" "mailto:pager@example.org";`, "", "info@example.net"},
	} {
		env := testEnv()
		env.Settings.OwnFrom = true
		env.User.Email, env.User.Addresses = "user@example.net", []string{"info@example.net"}
		mails, reason, err := act(t, env, letterText, tc.src).Mails(context.Background(), env, "id@example.net")
		if err != nil || len(mails) != 1 {
			t.Errorf("%s: Mails = %v, %q, %v", tc.src, mails, reason, err)
			continue
		}
		if got := message(string(mails[0].Raw)).Header("From"); len(got) != 1 || got[0] != tc.want {
			t.Errorf("%s: From %q, want %q", tc.src, got, tc.want)
		}
	}
}

// TestVacationMIMEFields: an entity brings the fields of its content alone.
func TestVacationMIMEFields(t *testing.T) {
	for src, want := range map[string]string{
		"Content-Type: text/html\r\nFrom: ceo@example.com\r\nDKIM-Signature: x\r\n\r\n<p>x": "Content-Type: text/html\r\n\r\n<p>x\r\n",
		"Content-Type: text/plain\r\n\r\n":                                                  "Content-Type: text/plain\r\n\r\n\r\n",
		"I am away.":                                                                        "\r\nI am away.\r\n",
	} {
		env := testEnv()
		mails, _, err := act(t, env, letterText, "require \"vacation\"; vacation :mime \""+src+"\";").Mails(context.Background(), env, "id@example.net")
		if err != nil || len(mails) != 1 {
			t.Fatal(mails, err)
		}
		if _, got, _ := strings.Cut(string(mails[0].Raw), "MIME-Version: 1.0\r\n"); got != want {
			t.Errorf("%q became %q, want %q", src, got, want)
		}
	}
}

// TestVacationOnceWhateverItSays: a text with what the message says in it is one
// answer, not one for each message.
func TestVacationOnceWhateverItSays(t *testing.T) {
	const src = `require ["vacation", "variables"]; if header :matches "subject" "*" { vacation :subject "Re: ${1}" "About ${1}: I am away."; }`
	env := testEnv()
	mails, _, err := act(t, env, letterText, src).Mails(context.Background(), env, "id@example.net")
	if err != nil || len(mails) != 1 {
		t.Fatal(mails, err)
	}
	env.Memory = recall{mails[0].Marks[0].ID: true}
	mails, reason, _ := act(t, env, strings.Replace(letterText, "broken", "mended", 1), src).Mails(context.Background(), env, "id@example.net")
	if mails != nil {
		t.Errorf("the same sender is answered again for another subject: %q", reason)
	}
}

// TestVacationManyAddresses: 10,000 addresses of a script and 20,000 of a message
// are compared within a moment; each with each took minutes.
func TestVacationManyAddresses(t *testing.T) {
	own := make([]string, 10000)
	for i := range own {
		own[i] = fmt.Sprintf(`"user%d@example.net"`, i)
	}
	raw := strings.Replace(letterText, "To: user@", strings.Repeat("To: "+strings.Repeat("x@y.z, ", 500)+"x@y.z\r\n", 40)+"To: user9999@", 1)
	env := testEnv()
	start := time.Now()
	mails, reason, err := act(t, env, raw, `require "vacation"; vacation :addresses [`+strings.Join(own, ",")+`] "x";`).Mails(context.Background(), env, "id@example.net")
	if err != nil || len(mails) != 1 || !strings.Contains(string(mails[0].Raw), "\r\nFrom: user9999@example.net\r\n") {
		t.Errorf("Mails = %d, %q, %v", len(mails), reason, err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestSpecialUseIsAnotherFolder: a keep is not swallowed by what files into the
// folder of a use.
func TestSpecialUseIsAnotherFolder(t *testing.T) {
	for _, src := range []string{
		`require ["fileinto", "special-use"]; fileinto :specialuse "\\Trash" "INBOX"; keep;`,
		`require ["fileinto", "special-use"]; keep; fileinto :specialuse "\\Trash" "INBOX";`,
	} {
		res, err := Run(context.Background(), compile(t, src), testEnv(), message(letterText), nil)
		if err != nil || len(res.Actions) != 2 {
			t.Errorf("%s: Run = %q, %v", src, brief(res), err)
		}
	}
}

// TestMatchVariablesAreOfOneScript: RFC 6609 §3: what a script includes sees none
// of its variables, and changes none.
func TestMatchVariablesAreOfOneScript(t *testing.T) {
	include := func(bool, string) (string, error) {
		return `require ["variables", "include", "fileinto", "copy"]; fileinto :copy "in${1}"; if header :matches "from" "*" {}`, nil
	}
	s, err := Compile(`require ["variables", "include", "fileinto"]; if header :matches "subject" "[*]*" { include "x"; fileinto "${1}"; }`, Options{Include: include})
	if err != nil {
		t.Fatal(err)
	}
	if res, err := Run(context.Background(), s, testEnv(), message(letterText), nil); err != nil || brief(res) != "store in, store ticket-42" {
		t.Errorf("Run = %q, %v", brief(res), err)
	}
}

// TestDeleteheaderWithoutMatch: what deletes nothing changes nothing.
func TestDeleteheaderWithoutMatch(t *testing.T) {
	res, err := Run(context.Background(), compile(t, `require "editheader"; deleteheader :is "Subject" "other";`), testEnv(), message(letterText), nil)
	if err != nil || res.Message().Edited() {
		t.Errorf("the message counts as edited: %v", err)
	}
}
