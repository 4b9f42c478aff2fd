package dmarc

import (
	"slices"
	"strings"
	"testing"
)

// TestReadFrom: mail programs differ in how they read what has a doubt here.
func TestReadFrom(t *testing.T) {
	for _, tc := range []struct {
		name, field string
		domains     string
		literal     bool
		plain       bool
	}{
		{"bare", "a@example.com", "example.com", false, true},
		{"name and brackets", "Ann <a@example.com>", "example.com", false, true},
		{"quoted name", `"a@evil.example" <a@example.com>`, "example.com", false, true},
		{"folded", " Ann\r\n <a@example.com>\r\n", "example.com", false, true},
		{"folded with LF", "Ann\n\t<a@example.com>\n", "example.com", false, true},
		{"comments", "(x) Ann (y) <a@example.com> (z, <b@evil.example>)", "example.com", false, true},
		{"comment as name", "a@example.com (Ann)", "example.com", false, true},
		{"capitals, final dot", "<a@EXAMPLE.com.>", "example.com", false, true},
		{"name with dots and specials", "Dr. A. N. Other [x] <a@example.com>", "example.com", false, true},
		{"name that repeats the address", "a@Example.com <a@example.com>", "example.com", false, true},
		{"encoded name", "=?utf-8?q?Ann_=40_home?= <a@example.com>", "example.com", false, true},
		{"quoted local part", `"a@evil.example"@example.com`, "example.com", false, true},
		{"quoted local part in brackets", `<"a b"@example.com>`, "example.com", false, true},
		{"two of one domain", "a@example.com, B <b@example.com>", "example.com", false, true},
		{"two domains", "a@example.com, b@example.net", "example.com example.net", false, true},
		{"group", "all: a@example.com, b@example.net;", "example.com example.net", false, true},
		{"empty entries", ",a@example.com,,", "example.com", false, true},
		{"A-label of a U-label", "a@bücher.example", "xn--bcher-kva.example", false, true},
		{"address", "a@[192.0.2.1]", "", true, true},
		{"address and domain", "a@[192.0.2.1], b@example.com", "example.com", true, true},

		{"nothing", "", "", false, false},
		{"name only", `"Test User"`, "", false, false},
		{"no domain", "<postmaster>", "", false, false},
		{"empty group", "undisclosed-recipients:;", "", false, false},
		{"NUL", "a@example.com\x00@evil.example", "", false, false},
		{"NUL in the name", "Ann\x00 <a@example.com>", "example.com", false, false},
		{"bare CR", "a@example.com\r,b@evil.example", "example.com evil.example", false, false},
		{"bare LF", "a@example.com\n,b@evil.example", "example.com evil.example", false, false},
		{"two at signs", "<a@example.com@evil.example>", "evil.example", false, false},
		{"two at signs, bare", "a@example.com@evil.example", "evil.example", false, false},
		{"route", "<@example.com:a@evil.example>", "evil.example", false, false},
		{"route of two", "<@a.example,@b.example:c@evil.example>", "evil.example", false, false},
		{"two in brackets", "<a@example.com> <b@evil.example>", "example.com", false, false},
		{"nested brackets", "<a@example.com<b@evil.example>>", "evil.example", false, false},
		{"text behind brackets", "<a@example.com>b@evil.example", "example.com", false, false},
		{"comment in brackets", "<a(@example.com)@evil.example>", "evil.example", false, false},
		{"comment in an address", "a@(example.com)evil.example", "evil.example", false, false},
		{"open comment", "a@example.com (", "example.com", false, false},
		{"open quote", `"a <a@example.com>`, "", false, false},
		{"open bracket", "<a@example.com", "example.com", false, false},
		{"another address as name", "a@example.com <b@evil.example>", "evil.example", false, false},
		{"encoded address", "<=?utf-8?q?a?=@example.com>", "example.com", false, false},
		{"all encoded", "=?utf-8?q?a=40example.com?=", "", false, false},
		{"quoted pair outside of quotes", `<a\@example.com@evil.example>`, "evil.example", false, false},
		{"blank in the domain", "<a@example.com evil.example>", "example.comevil.example", false, false},
		{"semicolon without a group", "a@example.com; b@evil.example", "example.com evil.example", false, false},
		{"one that cannot be read", "a@example.com, b b@c", "example.com", false, false},
		{"not UTF-8", "a@b\xff.example", "", false, false},
		{"bad U-label", "a@\u202ebad.example", "", false, false},
		{"too many", "a@1.a,a@2.a,a@3.a,a@4.a,a@5.a,a@6.a", "1.a 2.a 3.a 4.a 5.a", false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := ReadFrom([]byte(tc.field))
			if strings.Join(f.Domains, " ") != tc.domains || f.Literal != tc.literal || (f.Doubt == "") != tc.plain {
				t.Errorf("ReadFrom(%q) = %+v", tc.field, f)
			}
		})
	}
	if f := ReadFrom(); f.Doubt == "" {
		t.Error("no From is no doubt")
	}
	if f := ReadFrom([]byte("a@example.com"), []byte("b@example.net")); f.Doubt == "" || !slices.Equal(f.Domains, []string{"example.com", "example.net"}) {
		t.Errorf("two fields: %+v", f)
	}
}

func FuzzReadFrom(f *testing.F) {
	for _, s := range []string{`"a\"" <a@b.example>, x: c@d (e (f) \));`, "<a@[::1]>", "a@é.example", "<\"", "(\\", "=?x?q?y?= <@a:b@c>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		got := ReadFrom(value)
		if len(got.Domains) == 0 && !got.Literal && got.Doubt == "" || len(got.Domains) > MaxAuthors {
			t.Fatalf("ReadFrom(%q) = %+v", value, got)
		}
		for _, d := range got.Domains {
			if again, ok := canonical(d); !ok || again != d {
				t.Fatalf("ReadFrom(%q): domain %q", value, d)
			}
		}
		if got.Doubt == "" && strings.ContainsAny(strings.TrimRight(string(value), "\r\n"), "\x00\x7f") {
			t.Fatalf("ReadFrom(%q) has no doubt", value)
		}
	})
}
