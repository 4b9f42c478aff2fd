package mysql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

var alice = mailaddr.Address{LocalPart: "alice", Domain: "example.org"}

func TestCompile(t *testing.T) {
	for _, tc := range []struct{ in, text, args string }{
		{"SELECT 1", "SELECT 1", "[]"},
		{"SELECT domain FROM d WHERE name = %d", "SELECT domain FROM d WHERE name = ?", "[example.org]"},
		{"SELECT x FROM u WHERE email='%s'", "SELECT x FROM u WHERE email=?", "[alice@example.org]"},
		{`a='%u@%d' OR b="%u"`, "a=? OR b=?", "[alice@example.org alice]"},
		{"a='it''s %u, 100%%' AND b=5 %% 2", "a=? AND b=5 % 2", "[it's alice, 100%]"},
		{"a='x' AND b=''", "a=? AND b=?", "[x ]"},
		{"`a b`.`c` = 'é%u'", "`a b`.`c` = ?", "[éalice]"},
	} {
		q, err := compile(tc.in)
		if err != nil || q.text != tc.text || fmt.Sprint(q.args(alice)) != tc.args {
			t.Errorf("compile(%s) = %s, %v, %v, want %s, %s", tc.in, q.text, q.args(alice), err, tc.text, tc.args)
		}
	}
	for _, in := range []string{
		"", "  ", "SELECT 1; DROP TABLE users", "SELECT ?", "SELECT '", "SELECT 'a\\'", "SELECT `a", "SELECT `a?`", "a -- b", "a # b", "a /* b */",
		"SELECT %", "SELECT %x", "LIKE '%x'", "'%",
	} {
		if q, err := compile(in); err == nil {
			t.Errorf("compile(%q) = %+v, want an error", in, q)
		}
	}
}

// A catch-all is asked for as Postfix asks: %u is empty and %s is "@domain".
func TestArgsOfCatchAll(t *testing.T) {
	q, err := compile("%s %u %d")
	if got := fmt.Sprintf("%q", q.args(mailaddr.Address{Domain: "example.org"})); err != nil || got != `["@example.org" "" "example.org"]` {
		t.Errorf("args of a catch-all are %s, %v", got, err)
	}
	if got := fmt.Sprintf("%q", q.args(mailaddr.Address{})); got != `["" "" ""]` {
		t.Errorf("args of all are %s", got)
	}
}

// Whatever a query is, no byte of an address gets into its text.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{"SELECT x FROM u WHERE email='%s'", "a='%u@%d''%%'", "`a`", "'", "%", "\xff'%u"} {
		f.Add(s, "o'b\\", "example.org")
	}
	f.Fuzz(func(t *testing.T, text, local, domain string) {
		q, err := compile(text)
		if err != nil {
			return
		}
		if n := strings.Count(q.text, "?"); n != len(q.values) {
			t.Errorf("compile(%q) = %q with %d values", text, q.text, len(q.values))
		}
		if strings.ContainsAny(q.text, ";'\"") {
			t.Errorf("compile(%q) = %q", text, q.text)
		}
		if args := q.args(mailaddr.Address{LocalPart: local, Domain: domain}); len(args) != len(q.values) {
			t.Errorf("%d arguments for %q", len(args), q.text)
		}
	})
}

func TestTargets(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "[]",
		"bob@example.org":                 "[bob@example.org]",
		" bob@Example.org ,\n@x.example,": "[bob@example.org @x.example]",
		`"a, b"@x.example,c@x.example`:    `["a, b"@x.example c@x.example]`,
		`"a\"b"@x.example`:                `["a\"b"@x.example]`,
	} {
		got, err := targets(in)
		var names []string
		for _, a := range got {
			names = append(names, account.AliasName(a))
		}
		if err != nil || fmt.Sprint(names) != want {
			t.Errorf("targets(%q) = %s, %v, want %s", in, names, err, want)
		}
	}
	for _, in := range []string{"root", "|/bin/sh", "/var/mail/x", `"a@x.example`, "a@x.example,b", ":include:/x"} {
		if got, err := targets(in); err == nil {
			t.Errorf("targets(%q) = %v, want an error", in, got)
		}
	}
}

func FuzzTargets(f *testing.F) {
	f.Add(`a@b.example, "c,d"@e.example`)
	f.Add(`"\`)
	f.Fuzz(func(t *testing.T, s string) {
		all, err := targets(s)
		if err != nil {
			return
		}
		for _, a := range all {
			if a.Domain == "" {
				t.Errorf("targets(%q) has %v", s, a)
			}
		}
	})
}

func TestColumns(t *testing.T) {
	q := namedQuery{name: "user", needs: []string{"address", "password"}, mayBe: userMayHave}
	for _, tc := range []struct {
		have string
		ok   bool
	}{
		{"address password", true}, {"password id address enabled quota", true},
		{"address", false}, {"address password mail", false}, {"", false},
	} {
		if err := q.columns(strings.Fields(tc.have)); (err == nil) != tc.ok {
			t.Errorf("columns(%s) = %v", tc.have, err)
		}
	}
}

func TestTheirID(t *testing.T) {
	bob := mailaddr.Address{LocalPart: "bob", Domain: "example.org"}
	ids := map[int64]bool{theirID(alice, "1"): true, theirID(alice, "2"): true, theirID(bob, "1"): true, theirID(alice, ""): true}
	if len(ids) != 4 || !ids[theirID(mailaddr.Address{LocalPart: "alice", Domain: "example.org"}, "1")] {
		t.Errorf("ids are %v", ids)
	}
	for id := range ids {
		if id <= 0 {
			t.Errorf("id %d", id)
		}
	}
}
