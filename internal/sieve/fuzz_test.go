package sieve

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// seeds are hostile scripts cut to size, and the tests of this package.
func seeds(f *testing.F) []string {
	var out []string
	for _, s := range hostile() {
		out = append(out, s[:min(len(s), 2000)])
	}
	out = append(out, fiftyRules(),
		`require ["vacation", "enotify", "date", "variables", "mime", "foreverypart", "extracttext", "index", "include", "ihave"];
		vacation :days 3 :subject "${a}" "gone"; notify "mailto:a@example.org?subject=x"; foreverypart :name "a" { extracttext :first 3 "x"; break :name "a"; }
		if date :last :index 1 :zone "+0100" "date" "std11" "x" {} if ihave "x" { y; } elsif address :count "ge" "to" "1" { stop; } else { redirect "a@example.org"; }`)
	return out
}

// FuzzCompile: no script makes the compiler panic, errors are bounded and have
// places inside the script, and what compiles comes back from its binary form.
func FuzzCompile(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	include := func(_ bool, name string) (string, error) {
		if len(name) > 3 {
			return "", fs.ErrNotExist
		}
		return `require "include"; include :once "` + name + `x"; keep;`, nil
	}
	f.Fuzz(func(t *testing.T, src string) {
		s, err := Compile(src, Options{Include: include})
		if err != nil {
			var es Errors
			if !errors.As(err, &es) || len(es) < 2 || len(es) > MaxErrors+1 {
				t.Fatalf("Compile(%q) = %v", src, err)
			}
			for _, e := range es {
				if e.Pos.Line > strings.Count(src, "\n")+1 {
					t.Fatalf("Compile(%q): error at line %d", src, e.Pos.Line)
				}
			}
			return
		}
		bin := s.Binary()
		again, err := Load(bin, Options{})
		if err != nil || string(again.Binary()) != string(bin) {
			t.Fatalf("Load(Binary(%q)) = %v", src, err)
		}
	})
}

// FuzzLoad: no bytes make Load panic.
func FuzzLoad(f *testing.F) {
	for _, s := range seeds(f) {
		if c, err := Compile(s, Options{}); err == nil {
			f.Add(c.Binary())
		}
	}
	f.Add([]byte(magic + "\x01\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := Load(b, Options{}); err == nil {
			if _, err := Run(context.Background(), s, testEnv(), message(letterText), nil); err != nil && !errors.Is(err, ErrBudget) && !errors.Is(err, ErrScript) {
				t.Fatalf("Run = %v", err)
			}
		}
	})
}

// FuzzRun: no script and no message make a run panic, pass its limits or write
// mail with a header that is broken open.
func FuzzRun(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s, []byte(letterText))
	}
	f.Add(`require ["body", "regex"]; if body :content "" :regex ".*(a)" {}`, []byte("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: base64\n\nYQ\n--b--\n"))
	f.Add(`require ["editheader", "variables"]; addheader "X" "${1}"; redirect "a@example.org";`, []byte("\n\n"))
	f.Fuzz(func(t *testing.T, src string, raw []byte) {
		s, err := Compile(src, Options{})
		if err != nil {
			return
		}
		env := testEnv()
		env.Limits.Steps = 100_000
		res, err := Run(context.Background(), s, env, NewMessage(rawmsg.Scan(raw, rawmsg.Default())), nil)
		if err != nil {
			return
		}
		if len(res.Actions) > env.Limits.Actions {
			t.Fatalf("%d actions", len(res.Actions))
		}
		for i := range res.Actions {
			a := &res.Actions[i]
			if b := a.Message.Bytes(); len(b) != a.Message.Size() || !bytes.HasSuffix(b, a.Message.scan.Raw[a.Message.scan.HeaderEnd:]) {
				t.Fatalf("Bytes = %q, of size %d", b, a.Message.Size())
			} else if again := rawmsg.Scan(b, rawmsg.Default()); a.Message.Edited() && len(again.Fields) != len(a.Message.head.list) && !again.HeaderCut {
				t.Fatalf("%d fields in %q, want %d", len(again.Fields), b, len(a.Message.head.list))
			}
			mails, _, err := a.Mails(context.Background(), env, "id@example.net")
			if err != nil {
				continue
			}
			for _, m := range mails {
				if a.Kind != Redirect && !strings.HasPrefix(string(m.Raw), "X-Sieve: Gatepost\r\nMessage-ID: <id@example.net>\r\n") {
					t.Fatalf("mail %q", m.Raw)
				}
			}
		}
	})
}
