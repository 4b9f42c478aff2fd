package sieve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

const letterText = "Received: from a by b; Fri, 20 Nov 2026 15:00:00 +0000\r\nFrom: Jane <jane@example.org>\r\nTo: user@example.net\r\n" +
	"Subject: [ticket-42] broken printer\r\nMessage-ID: <1@example.org>\r\n\r\nHello.\r\n"

func message(raw string) *Message { return NewMessage(rawmsg.Scan([]byte(raw), rawmsg.Default())) }

func testEnv() *Env {
	return &Env{Limits: DefaultLimits(), Now: time.Date(2026, 11, 20, 15, 0, 0, 0, time.UTC),
		Envelope: Envelope{From: "jane@example.org", To: "user@example.net"}, User: User{Name: "user"}}
}

func compile(t testing.TB, src string) *Script {
	t.Helper()
	s, err := Compile(src, Options{Name: "test"})
	if err != nil {
		t.Fatalf("Compile(%.80q) = %v", src, err)
	}
	return s
}

// brief writes a result in one line.
func brief(r *Result) string {
	var out []string
	for _, a := range r.Actions {
		s := strings.TrimSpace(string(a.Kind) + " " + a.Mailbox + a.Address + a.Reason)
		if len(a.Flags) > 0 {
			s += " " + fmt.Sprint(a.Flags)
		}
		out = append(out, s)
	}
	if r.ImplicitKeep {
		out = append(out, "implicit keep")
	}
	return strings.Join(out, ", ")
}

func TestRun(t *testing.T) {
	for _, tc := range []struct{ name, src, want string }{
		{"nothing", ``, "implicit keep"},
		{"discard", `discard;`, "discard"},
		{"fileinto with a match variable", `require ["fileinto", "variables"];
			if header :matches "subject" "[ticket-*] *" { fileinto "Tickets.${1}"; }`, "store Tickets.42"},
		{"copy keeps", `require ["fileinto", "copy"]; fileinto :copy "A";`, "store A, implicit keep"},
		{"redirect twice to one", `redirect "A@example.com"; redirect "x <A@EXAMPLE.com>";`, "redirect A@example.com"},
		{"flags of the keep", `require "imap4flags"; setflag "\\Seen"; keep; keep :flags "\\Flagged"; `, `keep INBOX [\Flagged]`},
		{"stop", `require "fileinto"; stop; fileinto "A";`, "implicit keep"},
		{"reject", `require "reject"; reject "no";`, "reject no"},
		{"sub-part of an address", `require ["subaddress", "fileinto", "envelope"];
			if envelope :detail "to" "box" { fileinto "box"; }`, "implicit keep"},
		{"encoded word", `require "fileinto"; if header :is "x-t" "é" { fileinto "A"; }`, "implicit keep"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, err := Run(context.Background(), compile(t, tc.src), testEnv(), message(letterText), nil)
			if err != nil || brief(res) != tc.want {
				t.Errorf("Run = %q, %v, want %q", brief(res), err, tc.want)
			}
		})
	}
}

func TestCompileErrors(t *testing.T) {
	for _, tc := range []struct{ name, src, want string }{
		{"place", "keep;\n  fileinto \"A\";", "test:2:3: unknown command 'fileinto' (reported only once at its first occurrence); it needs require \"fileinto\"\ntest: validation failed"},
		{"not UTF-8", "keep;\n# \xff", "test:2:3: script is not UTF-8\ntest: parse failed"},
		{"forbidden extension", `require "vnd.dovecot.pipe";`, "test:1:1: unknown or disabled extension \"vnd.dovecot.pipe\"\ntest: validation failed"},
		{"no end", "if true {", "test:1:10: expected '}' that ends the block of if, but found end of script\ntest: parse failed"},
		{"comment", "/* x", "test:1:1: a comment that begins with '/*' has no end: add '*/'\ntest: parse failed"},
	} {
		_, err := Compile(tc.src, Options{Name: "test"})
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: Compile = %v, want %s", tc.name, err, tc.want)
		}
	}
	if _, err := Compile(`require "fileinto"; keep;`, Options{Extensions: []string{"copy"}}); err == nil {
		t.Error("Compile takes an extension that the administrator forbids")
	}
}

func TestRunAll(t *testing.T) {
	for _, tc := range []struct {
		name    string
		scripts []string
		want    string
	}{
		{"all keep", []string{`keep;`, ``, `keep;`}, "keep INBOX"},
		{"before ends it", []string{`require "fileinto"; fileinto "Junk";`, `keep;`}, "store Junk"},
		{"the keep is up to the next", []string{`keep;`, `discard;`}, "discard"},
		{"a copy and the user's own", []string{`require ["copy", "fileinto"]; fileinto :copy "Archive";`, `require "fileinto"; fileinto "A";`}, "store Archive, store A"},
		{"flags go on", []string{`require "imap4flags"; setflag "work";`, `require "fileinto"; fileinto "A";`}, "store A [work]"},
	} {
		var scripts []*Script
		for _, src := range tc.scripts {
			scripts = append(scripts, compile(t, src))
		}
		res, err := RunAll(context.Background(), scripts, testEnv(), message(letterText))
		if err != nil || brief(res) != tc.want {
			t.Errorf("%s: RunAll = %q, %v, want %q", tc.name, brief(res), err, tc.want)
		}
	}
}

// TestRuntimeError: a script that fails leaves the result of those before it,
// and says where.
func TestRuntimeError(t *testing.T) {
	first, second := compile(t, `require ["fileinto", "copy"]; fileinto :copy "A";`), compile(t, "require \"ihave\";\nerror \"no\";")
	res, err := RunAll(context.Background(), []*Script{first, second}, testEnv(), message(letterText))
	if !errors.Is(err, ErrScript) || err.Error() != `test:2:1: script failed: "no"` || brief(res) != "store A, implicit keep" {
		t.Errorf("RunAll = %q, %v", brief(res), err)
	}
}

// TestSnapshots: an action has the message as it was at that command.
func TestSnapshots(t *testing.T) {
	src := `require ["editheader", "fileinto"]; addheader "X-A" "1"; fileinto "A"; addheader :last "X-B" "grüße"; deleteheader "X-A"; fileinto "B";`
	msg := message(letterText)
	res, err := Run(context.Background(), compile(t, src), testEnv(), msg, nil)
	if err != nil || len(res.Actions) != 2 {
		t.Fatalf("Run = %v, %v", res, err)
	}
	if got, want := string(res.Actions[0].Message.Bytes()), "X-A: 1\r\n"+letterText; got != want {
		t.Errorf("first message = %q, want %q", got, want)
	}
	want := strings.Replace(letterText, "\r\n\r\n", "\r\nX-B: =?utf-8?b?Z3LDvMOfZQ==?=\r\n\r\n", 1)
	if got := string(res.Actions[1].Message.Bytes()); got != want || res.Actions[1].Message.Size() != len(want) {
		t.Errorf("second message = %q (size %d), want %q", got, res.Actions[1].Message.Size(), want)
	}
	if msg.Edited() || string(msg.Bytes()) != letterText {
		t.Errorf("the message that was given changed: %q", msg.Bytes())
	}
}

// recall is a memory that knows some ids.
type recall map[string]bool

func (r recall) Seen(_ context.Context, id string) (bool, error) { return r[id], nil }

func TestDuplicate(t *testing.T) {
	s := compile(t, `require ["duplicate", "fileinto"]; if duplicate :seconds 60 { fileinto "Twice"; }`)
	env := testEnv()
	res, err := Run(context.Background(), s, env, message(letterText), nil)
	if err != nil || brief(res) != "implicit keep" || len(res.Marks) != 1 || res.Marks[0].For != time.Minute {
		t.Fatalf("first Run = %q, %v, %v", brief(res), res.Marks, err)
	}
	env.Memory = recall{res.Marks[0].ID: true}
	if res, err = Run(context.Background(), s, env, message(letterText), nil); err != nil || brief(res) != "store Twice" || len(res.Marks) != 0 {
		t.Errorf("second Run = %q, %v, %v", brief(res), res.Marks, err)
	}
}

func TestBinary(t *testing.T) {
	include := func(_ bool, name string) (string, error) {
		if name == "more" {
			return `require "fileinto"; fileinto "More";`, nil
		}
		return "", fs.ErrNotExist
	}
	s, err := Compile("require [\"include\", \"variables\"];\nset \"a\" \"b\";\ninclude \"more\"; include :optional \"none\";", Options{Name: "x", Include: include})
	if err != nil {
		t.Fatal(err)
	}
	bin := s.Binary()
	again, err := Load(bin, Options{Name: "x"})
	if err != nil || string(again.Binary()) != string(bin) || !slices.Equal(again.Extensions(), []string{"fileinto", "include", "variables"}) {
		t.Fatalf("Load = %v, %v", again, err)
	}
	res, err := Run(context.Background(), again, testEnv(), message(letterText), nil)
	if err != nil || brief(res) != "store More" {
		t.Errorf("Run = %q, %v", brief(res), err)
	}
	if _, err := Load(bin, Options{Extensions: []string{"include", "variables"}}); !errors.Is(err, ErrBinary) {
		t.Errorf("Load with fileinto forbidden = %v", err)
	}
	for i := range bin {
		if _, err := Load(bin[:i], Options{}); !errors.Is(err, ErrBinary) {
			t.Fatalf("Load of the first %d bytes = %v", i, err)
		}
	}
}

// TestConcurrent: many deliveries share one compiled script.
func TestConcurrent(t *testing.T) {
	s := compile(t, `require ["variables", "regex", "fileinto"]; set "r" "ticket"; if header :regex "subject" "${r}-([0-9]+)" { set "n" "${1}"; } fileinto "T${n}";`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if res, err := Run(context.Background(), s, testEnv(), message(letterText), nil); err != nil || brief(res) != "store T42" {
					t.Errorf("Run = %v, %v", res, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestRealScripts: what programs of users write compiles as it is.
func TestRealScripts(t *testing.T) {
	for name, src := range map[string]string{
		"Roundcube": "require [\"copy\",\"fileinto\",\"imap4flags\",\"vacation\",\"date\",\"relational\"];\r\n# rule:[away]\r\n" +
			"if allof (currentdate :value \"ge\" \"date\" \"2026-11-01\", currentdate :value \"le\" \"date\" \"2026-11-30\")\r\n{\r\n" +
			"\tvacation :days 1 :addresses [\"user@example.net\"] :subject \"Out\" text:\r\nI am away.\r\n..\r\n.\r\n;\r\n}\r\n" +
			"# rule:[old]\r\nif false # anyof (header :contains \"subject\" \"x\")\r\n{\r\n\tfileinto :copy \"Old\";\r\n\tstop;\r\n}\r\n",
		"SOGo": `require ["fileinto", "reject", "imap4flags", "body"];
if anyof (header :contains ["to", "cc"] "list", body :text :contains "unsubscribe") { addflag "$label1"; fileinto "INBOX/Lists"; stop; } elsif size :over 10240K { reject "too large"; }`,
		"Thunderbird": "require [\"fileinto\",\"mailbox\"];if header :contains [\"List-Id\"] \"x\" {fileinto :create \"a/b\";}",
	} {
		if _, err := Compile(src, Options{Name: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTrace(t *testing.T) {
	env := testEnv()
	var lines []string
	env.Trace = func(e Event) { lines = append(lines, fmt.Sprintf("%d:%d %s", e.Pos.Line, e.Pos.Col, e.Text)) }
	if _, err := Run(context.Background(), compile(t, "if not header \"subject\" \"x\" {\n\tdiscard;\n}"), env, message(letterText), nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"1:8 test header is false", "1:4 test not is true", "2:2 action discard"}
	if !slices.Equal(lines, want) {
		t.Errorf("trace = %q, want %q", lines, want)
	}
}

func TestGlob(t *testing.T) {
	for _, tc := range []struct {
		pattern, value string
		want           []string // nil for no match
	}{
		{"*", "", []string{""}},
		{"a*b", "axbxb", []string{"xbx"}},
		{"a?c", "aéc", []string{"é"}},
		{"a?c", "ac", nil},
		{"*b*", "abcb", []string{"a", "cb"}},
		{"??", "x", nil},
		{`\*`, "*", []string{}},
		{`\*`, "x", nil},
		{"*.?x", "a.b.cx", []string{"a.b", "c"}},
		{"a*?", "abc", []string{"b", "c"}},
	} {
		g := globber{s: tc.value, orig: tc.value, want: true, captures: []string{}, budget: 1000}
		if got := g.match(compileGlob(tc.pattern)); got != (tc.want != nil) || got && !slices.Equal(g.captures, tc.want) {
			t.Errorf("%q matches %q = %t %q, want %q", tc.pattern, tc.value, got, g.captures, tc.want)
		}
	}
}
