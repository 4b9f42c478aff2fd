package mailaddr

import (
	"errors"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     Address
		wire     string
		err      error
	}{
		{"plain", "<alice@example.org>", Address{"alice", "example.org"}, "alice@example.org", nil},
		{"null reverse-path", "<>", Address{}, "", nil},
		{"without brackets", "alice@example.org", Address{"alice", "example.org"}, "alice@example.org", nil},
		{"domain in capitals, final dot", "<Alice@Example.ORG.>", Address{"Alice", "example.org"}, "Alice@example.org", nil},
		{"quoted", `<"a b"@example.org>`, Address{"a b", "example.org"}, `"a b"@example.org`, nil},
		{"quoted without need", `<"ab"@example.org>`, Address{"ab", "example.org"}, "ab@example.org", nil},
		{"quoted at sign", `<"a@b"@example.org>`, Address{"a@b", "example.org"}, `"a@b"@example.org`, nil},
		{"internal form with blank", "a b@example.org", Address{"a b", "example.org"}, `"a b"@example.org`, nil},
		{"escaped quote", `<"a\"b"@example.org>`, Address{`a"b`, "example.org"}, `"a\"b"@example.org`, nil},
		{"bare local part", "<postmaster>", Address{"postmaster", ""}, "postmaster", nil},
		{"literal", "<a@[192.0.2.1]>", Address{"a", "[192.0.2.1]"}, "a@[192.0.2.1]", nil},
		{"UTF-8", "<дмитрий@почта.рф>", Address{"дмитрий", "почта.рф"}, "дмитрий@почта.рф", nil},
		{"source route", "<@a.example,@b.example:c@d.example>", Address{"c", "d.example"}, "c@d.example", nil},
		{"open bracket", "<a@example.org", Address{}, "", ErrSyntax},
		{"NUL", "<a\x00@example.org>", Address{}, "", ErrSyntax},
		{"LF", "<a@example.org\n>", Address{}, "", ErrSyntax},
		{"no local part", "<@example.org>", Address{}, "", ErrSyntax},
		{"empty label", "<a@example..org>", Address{}, "", ErrSyntax},
		{"slash in domain", "<a@../../etc>", Address{}, "", ErrSyntax},
		{"long local part", "<" + strings.Repeat("a", 65) + "@example.org>", Address{}, "", ErrTooLong},
		{"long path", "<" + strings.Repeat("a", 600) + ">", Address{}, "", ErrTooLong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParsePath(tc.in)
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Fatalf("ParsePath(%q) = %+v, %v, want %+v, %v", tc.in, got, err, tc.want, tc.err)
			}
			if err == nil && got.String() != tc.wire {
				t.Errorf("String() = %q, want %q", got.String(), tc.wire)
			}
		})
	}
}

func TestCutDetail(t *testing.T) {
	for _, tc := range []struct{ in, base, detail string }{
		{"info+box@d.example", "info@d.example", "box"},
		{"info+a+b@d.example", "info@d.example", "a+b"},
		{"+box@d.example", "+box@d.example", ""},
		{"info@d.example", "info@d.example", ""},
	} {
		a, err := Parse(tc.in)
		if err != nil {
			t.Fatal(err)
		}
		base, detail, _ := a.CutDetail("+")
		if base.String() != tc.base || detail != tc.detail {
			t.Errorf("CutDetail(%s) = %s, %q, want %s, %q", tc.in, base, detail, tc.base, tc.detail)
		}
	}
}

func TestText(t *testing.T) {
	for _, s := range []string{"alice@example.org", "@example.org", "", `"a b"@example.org`} {
		var a Address
		if err := a.UnmarshalText([]byte(s)); err != nil || a.String() != s {
			t.Errorf("UnmarshalText(%q) = %+v, %v", s, a, err)
		}
	}
	var a Address
	if err := a.UnmarshalText([]byte("@a b")); err == nil {
		t.Errorf("UnmarshalText(@a b) = %+v", a)
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"<a@b.example>", "<>", `<"a\"b"@c>`, "<@a:b@c>", "a b@c", "<a@[::1]>", `"\`, "<\"a\"@>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParsePath(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(a.Path(), "\r\n\x00") {
			t.Fatalf("ParsePath(%q).Path() = %q holds a line end", s, a.Path())
		}
		again, err := ParsePath(a.Path())
		if err != nil || again != a {
			t.Fatalf("ParsePath(%q) = %+v, %v, want %+v", a.Path(), again, err, a)
		}
	})
}

func TestFolded(t *testing.T) {
	for in, want := range map[string]string{
		"Alice": "alice", "GRÜN": "grün", "\u212aate": "\u212aate", "\u212aATE": "\u212aate", "\u0130stanbul": "\u0130stanbul", "ÉTÉ": "été",
	} {
		if got := (Address{LocalPart: in, Domain: "example.org"}).Folded(); got.LocalPart != want {
			t.Errorf("Folded(%q) = %q, want %q", in, got.LocalPart, want)
		}
	}
}
