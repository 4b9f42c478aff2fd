package sieve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

// hostile are scripts that want more than their share, as seeds and as tests.
func hostile() map[string]string {
	deep := strings.Repeat
	return map[string]string{
		"blocks":            deep("if true {", 10000),
		"closed blocks":     deep("if true {", 10000) + deep("}", 10000),
		"tests":             "if " + deep("not ", 10000) + "true {}",
		"lists of tests":    "if " + deep("anyof(", 10000) + "true" + deep(")", 10000) + "{}",
		"brackets":          "keep " + deep("[", 10000),
		"braces":            deep("}", 10000),
		"comments":          deep("/*", 10000),
		"strings":           `require "fileinto"; if header "a" [` + deep(`"",`, 300000) + `"x"] {}`,
		"arguments":         "keep " + deep(`"x" `, 10000) + ";",
		"garbage":           deep("$ ", 10000),
		"one string":        `require "fileinto"; fileinto "` + deep("x", maxScript-40) + `";`,
		"regex of the size": `require "regex"; if header :regex "subject" "((((a{100}){10}){10}){10}){10}" {}`,
		"many regexes":      `require "regex";` + deep(`if header :regex "subject" "(a{900}){4}" {}`, 1000),
		"long regex":        `require "regex"; if header :regex "subject" "` + deep("(a|b)", 5000) + `" {}`,
		"nested regex":      `require "regex"; if header :regex "subject" "` + deep("(", 1500) + deep(")", 1500) + `" {}`,
		"variables":         `require "variables";` + deep(`set "v" "${v}${v}x";`, 1000),
		"names":             `require "variables";` + manyNames(5000),
		"nul":               "keep\x00;\"\x00\";text:\n\x00\n.\n;",
		"no line feed":      "text:",
		"actions":           `require "fileinto";` + manyFolders(100),
		"headers":           `require ["editheader", "variables"];` + deep(`addheader "X-A" "b";`, 5000),
		"stars":             `if header :matches "subject" "` + deep("*a", 100000) + `" {}`,
		"question marks":    `if header :matches "subject" "` + deep("?*", 100000) + `b" {}`,
		"unicode":           `require "encoded-character"; redirect "${unicode:` + deep("0", 10000) + `}";`,
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `set "v%d" "x";`, i)
	}
	return b.String()
}

func manyFolders(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `fileinto "f%d";`, i)
	}
	return b.String()
}

// TestHostile: each ends with an error or a result inside its limits, and the
// list of errors is bounded.
func TestHostile(t *testing.T) {
	msg := message("Subject: " + strings.Repeat("a", 60000) + "\r\n\r\nx\r\n")
	for name, src := range hostile() {
		t.Run(name, func(t *testing.T) {
			s, err := Compile(src, Options{})
			var es Errors
			if errors.As(err, &es) && len(es) > MaxErrors+1 {
				t.Fatalf("%d errors", len(es))
			}
			if err != nil {
				return
			}
			if res, err := Run(context.Background(), s, testEnv(), msg, nil); err != nil && !errors.Is(err, ErrBudget) && !errors.Is(err, ErrScript) {
				t.Errorf("Run = %v, %v", res, err)
			}
		})
	}
}

// TestBudget: what runs too long ends with ErrBudget and leaves no result.
func TestBudget(t *testing.T) {
	double := func(_ bool, name string) (string, error) {
		n := 0
		if _, err := fmt.Sscanf(name, "s%d", &n); err != nil || n > 8 {
			return "", fs.ErrNotExist
		}
		return `require ["include", "variables"];` + strings.Repeat(fmt.Sprintf(`include :optional "s%d"; set "x" "y";`, n+1), 12), nil
	}
	body := "Subject: x\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 16000)
	for _, tc := range []struct{ name, src, raw string }{
		{"includes that double", `require "include"; include "s1";`, letterText},
		{"regex on a body", `require ["regex", "body"]; if body :raw :regex "(a?){50}(a?){50}(a?){50}(a?){50}b$" { discard; }`, body},
		{"regex of a variable", `require ["regex", "variables"]; set "r" "(a?){900}(a?){900}(a?){900}(a?){900}(a?){900}"; if header :regex "subject" "${r}" { discard; }`, letterText},
		{"glob on a body", `require "body"; if body :raw :matches "*` + strings.Repeat("a", 30000) + `?b*" { discard; }`, strings.ReplaceAll(body, "\r\n", "a")[:20] + "\r\n\r\n" + strings.Repeat("a", 1<<20)},
		{"keys on a body", `require "body"; if body :raw :contains [` + strings.Repeat(`"q",`, 9000) + `"b"] { discard; }`, body},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := Compile(tc.src, Options{Include: double})
			if err != nil {
				t.Fatal(err)
			}
			if res, err := Run(context.Background(), s, testEnv(), message(tc.raw), nil); !errors.Is(err, ErrBudget) || res != nil {
				t.Errorf("Run = %v, %v, want ErrBudget", res, err)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, compile(t, "keep;"), testEnv(), message(letterText), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Run with a context that ended = %v", err)
	}
}
