package sieve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// costly are scripts whose steps once cost more time than they counted. Each
// runs its line again and again, by includes, until the budget ends it.
func costly() map[string]struct{ require, line, raw string } {
	long := strings.Repeat("x", 90000)
	many := func(n int, s string) string { return strings.Repeat(s, n) }
	names := make([]string, maxCached)
	for i := range names {
		names[i] = fmt.Sprintf("%q", fmt.Sprint("X-", i))
	}
	fill := "if header [" + strings.Join(names, ",") + `] "q" {}`
	return map[string]struct{ require, line, raw string }{
		"references to empty variables": {`"variables"`, `set "x" "` + many(100000, "${a}") + `";`, letterText},
		"addresses that are counted":    {`"relational"`, `if address :count "eq" "to" "1" {}`, "To: a@b.c" + many(20000, ",a@b.c") + "\r\n\r\n"},
		"values that are counted":       {`"relational"`, fill + `if header :count "eq" "subject" "2" {}`, "Subject: =?utf-8?q?" + long + "?=\r\n\r\n"},
		"parameters of a long field":    {`"mime"`, `if header :mime :type "x-a" "q" {}`, "X-A: a/b; c=" + long + "\r\n\r\n"},
		"dates among many fields":       {`"date"`, `if date "x-date" "year" "1" {}`, many(3900, "X: y\r\n") + "\r\n"},
		"flags that are none":           {`"imap4flags"`, `addflag "` + many(30000, "( ") + `";`, letterText},
		"text that is cut":              {`"variables", "foreverypart", "extracttext"`, `foreverypart { extracttext "x"; }`, "Content-Type: text/plain\r\n\r\n" + many(1<<20, "x")},
		"size of many fields":           {`"editheader"`, `addheader "X-A" "b"; if size :over 1G {}`, many(3900, "X: y\r\n") + "\r\n"},
		"headers of attached mail":      {`"body", "relational"`, `if body :content "message/rfc822" :count "eq" "9" {}`, "Content-Type: message/rfc822\r\n\r\nX: " + long + "\r\n\r\n"},
		"modifiers":                     {`"variables", "regex"`, `set :quoteregex "x" "` + many(4000, "*") + `";`, letterText},
		"unicode":                       {`"body"`, `if body :raw :comparator "i;unicode-casemap" :contains "q" {}`, "X: y\r\n\r\n" + many(200000, "ﬃ")},
		"a regular expression made new": {`"variables", "regex"`, `set "r" "` + many(1, `[B-\\x{1e942}]`) + `"; if header :regex "subject" "${r}" {}`, letterText},
	}
}

// TestStepsAreNotCheap: the budget of steps ends a script within seconds,
// whatever the steps are. A second here stood for minutes.
func TestStepsAreNotCheap(t *testing.T) {
	for name, tc := range costly() {
		t.Run(name, func(t *testing.T) {
			include := func(_ bool, name string) (string, error) {
				n := 0
				_, _ = fmt.Sscanf(name, "s%d", &n) // zero will do
				src := `require ["include", ` + tc.require + `];`
				if n == 7 {
					return src + tc.line, nil
				}
				return src + strings.Repeat(fmt.Sprintf(`include "s%d";`, n+1), 12), nil
			}
			s, err := Compile(`require "include"; include "s0";`, Options{Include: include})
			if err != nil {
				return // refused: that is cheap
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			env := testEnv()
			env.Limits.Steps /= 10
			start := time.Now()
			if _, err = Run(ctx, s, env, message(tc.raw), nil); !errors.Is(err, ErrBudget) {
				t.Errorf("Run = %v, want ErrBudget", err)
			}
			t.Log(time.Since(start))
		})
	}
}

// TestCostlyRegexes: what compiles is compiled soon, and small.
func TestCostlyRegexes(t *testing.T) {
	for name, expr := range map[string]string{
		"wide ranges":         strings.Repeat(`[B-\\x{1e942}]`, 270),
		"wide ranges of text": strings.Repeat("[B-\U0001e942]", 500),
		"classes of Unicode":  strings.Repeat(`\\pL`, 1300),
	} {
		start := time.Now()
		if _, err := Compile(`require "regex"; if header :regex "subject" "`+expr+`" {}`, Options{}); err == nil {
			t.Errorf("%s: compiled after %s, want an error", name, time.Since(start))
		}
	}
	for _, expr := range []string{"[a-zäöü0-9]+", "Größe-übel", `[^\\t-\\r]*`, "[À-ÿ]", `\\pL+`} {
		compile(t, `require "regex"; if header :regex "subject" "`+expr+`" {}`)
	}
}
