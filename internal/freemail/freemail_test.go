package freemail

import (
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	for _, tc := range []struct {
		domain string
		want   Kind
	}{
		{"gmail.com", Free},
		{"hotmail.co.uk", Free},
		{"vip.163.com", Free},
		{"eu.163.com", Free},
		{"yopmail.com", Disposable},
		{"notgmail.com", None},
		{"gmail.com.example", None},
		{"com", None},
		{"", None},
	} {
		if got := Of(tc.domain); got != tc.want || Is(tc.domain) != (tc.want != None) {
			t.Errorf("Of(%q) = %v, want %v", tc.domain, got, tc.want)
		}
	}
}

func TestProvider(t *testing.T) {
	for _, tc := range []struct{ a, b string }{
		{"gmail.com", "googlemail.com"},
		{"hotmail.fr", "outlook.com"},
		{"yahoo.co.jp", "ymail.com"},
		{"qq.com", "foxmail.com"},
	} {
		if a, b := Provider(tc.a), Provider(tc.b); a == "" || a != b {
			t.Errorf("Provider(%q) = %q, Provider(%q) = %q, want one", tc.a, a, tc.b, b)
		}
	}
	if a, b := Provider("gmail.com"), Provider("gmx.de"); a == b {
		t.Errorf("Google and GMX are both %q", a)
	}
	if p := Provider("example.org"); p != "" {
		t.Errorf("example.org is of %q", p)
	}
}

func TestProves(t *testing.T) {
	if !Proves("gmail.com") || Proves("example.org") || Proves("libero.it") {
		t.Error("Proves is wrong about gmail.com, example.org or libero.it")
	}
}

// TestTables: each domain is one that can be asked for, stands once, and those
// that prove are mailboxes.
func TestTables(t *testing.T) {
	seen := map[string]bool{}
	for d := range strings.FieldsSeq(free + throwaway) {
		if seen[d] {
			t.Errorf("%s stands twice", d)
		}
		seen[d] = true
		if d != strings.ToLower(d) || !strings.Contains(d, ".") || strings.ContainsAny(d, "/@_") {
			t.Errorf("%q is no domain", d)
		}
	}
	for d := range strings.FieldsSeq(proving) {
		if table[d] != Free {
			t.Errorf("%s proves and gives no mailboxes", d)
		}
	}
}
