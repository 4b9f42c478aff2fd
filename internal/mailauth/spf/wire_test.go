package spf

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"v=spf1", "v=spf1"},
		{"V=SpF1   -ALL  ", "v=spf1 -all"},
		{"v=spf1 +a ?MX ~ptr", "v=spf1 a ?mx ~ptr"},
		{"v=spf1 a/24//64 mx:Example.org/0 a:example.org//0 a/32//128", "v=spf1 a/24//64 mx:Example.org/0 a:example.org//0 a"},
		{"v=spf1 ip4:192.0.2.1 ip4:192.0.2.1/32 ip4:192.0.2.7/24", "v=spf1 ip4:192.0.2.1 ip4:192.0.2.1 ip4:192.0.2.7/24"},
		{"v=spf1 ip6:2001:DB8::1/64 ip6:::ffff:192.0.2.1", "v=spf1 ip6:2001:db8::1/64 ip6:::ffff:192.0.2.1"},
		{"v=spf1 exp=e.example redirect=r.example a", "v=spf1 a redirect=r.example exp=e.example"},
		{"v=spf1 foo= b-A_r.1=x:y/z%{D2r-}", "v=spf1 foo= b-A_r.1=x:y/z%{D2r-}"},
		{"v=spf1 exists:%{l1r+-}.%%%_%-%{ir}.example.org. include:%{h}", "v=spf1 exists:%{l1r+-}.%%%_%-%{ir}.example.org. include:%{h}"},
		{"v=spf1 a:%{d}/24 a:foo:bar/1.example a:a.1-2", "v=spf1 a:%{d}/24 a:foo:bar/1.example a:a.1-2"},
		{"v=spf1 a:%{d/}/8//9", "v=spf1 a:%{d/}/8//9"},
	} {
		r, err := Parse(tc.in)
		if err != nil || r.String() != tc.want {
			t.Errorf("Parse(%q) = %q, %v, want %q", tc.in, r, err, tc.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, term := range []string{
		"moo", "-", "+", "--all", "- all", "all:", "all/8", "all.", "-exp=e.example", "include", "include:", "include/8", "include:a.example/24", "exists", "exists:a.b/8",
		"a:", "a:museum", "a:museum.", "a:a.b..", "a:.", "a:a.-b", "a:a.b-", "a:a.1", "a:a.b_c", "a:%{d}.", "a:%{d}x", "a:a.b%", "a:a.%b", "a:a.%(d)", "a:%{d", "a:%{}", "a:%{1}",
		"a:%{x}", "a:%{c}", "a:%{r}", "a:%{t}", "a:%{d0}", "a:%{d00}", "a:%{dr1}", "a:%{d!}", "a:%{d.r}", "a:%{{d}", "a:a.\x7f", "a:a.b\x00", "a:a.bé", "a:a.b\t",
		"a/", "a/33", "a/032", "a/00", "a//", "a//129", "a/24/64", "a/24//064", "a//64/24", "a/+1", "a/x", "a/256", "a/99999999999999999999", "ax", "a.b", "a=b\x00", "mx:/24", "mx/",
		"ptr/24", "ptr:", "ptr:a.b/24", "ip4", "ip4:", "ip4:1.2.3", "ip4:1.2.3.4.5", "ip4:01.2.3.4", "ip4:1.2.3.256", "ip4:1.2.3.4/", "ip4:1.2.3.4/33", "ip4:1.2.3.4//8", "ip4:::1", "ip4/8",
		"ip4:1.2.3.4/8/8", "ip4:1.2.3.4:25", "ip6", "ip6:", "ip6:1.2.3.4", "ip6:::1/129", "ip6:::1/064", "ip6:::1//64", "ip6:fe80::1%eth0", "ip6:::g",
		"redirect=", "redirect=%{c}", "redirect=a", "redirect:a.example", "exp=", "exp=%{r}.example.org", "=all", "1up=x", "x=%", "x=%a", "x=%{t}", "redirect", "exp",
	} {
		text := "v=spf1 ip4:192.0.2.1 " + term + " -all"
		r, err := Parse(text)
		if err == nil {
			t.Errorf("Parse(%q) = %q, want an error", text, r)
			continue
		}
		for _, c := range []byte(err.Error()) {
			if c < ' ' || c > '~' {
				t.Errorf("Parse(%q): error %q is not plain", text, err)
			}
		}
	}
	for _, twice := range []string{"v=spf1 exp=a.b EXP=c.d", "v=spf1 redirect=a.b redirect=a.b", "v=spf10", "v=spf1\ta", " v=spf1", "v=spf", "", "v=spf1" + strings.Repeat(" a", maxTerms+1)} {
		if r, err := Parse(twice); err == nil {
			t.Errorf("Parse(%.40q) = %.40q, want an error", twice, r)
		}
	}
	if _, err := Parse("v=spf1" + strings.Repeat("  a", maxTerms)); err != nil {
		t.Errorf("Parse of %d terms: %v", maxTerms, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"v=spf1", "v=spf1 -all", "V=spf1 a mx/24//64 ptr:example.org exists:%{l1r-+}.%{d2}.example.org. ip4:192.0.2.0/24 ip6:::ffff:1.2.3.4/96 ?all exp=%{d} redirect=a.b x=%%%_%-",
		"v=spf1 a:%{d}/24//64", "v=spf1 a:foo:bar/baz.example", "v=spf1 A:%{D/}/8", "v=spf1 a:b.c//0 exp=", "v=spf1 a:\xff.b",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		wire := r.String()
		again, err := Parse(wire)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("Parse(%q) = %+v; Parse(%q) = %+v, %v", s, r, wire, again, err)
		}
		if len(wire) > len(s)+40*len(r.Directives) {
			t.Errorf("%d octets became %d", len(s), len(wire))
		}
	})
}

func FuzzExpand(f *testing.F) {
	f.Add("%{l1r-}.%{D2}.%%%_%-x", "strong-bad")
	f.Add("%{s9999999999999999999r.-+,/_=}", "a@b.c-d+e,f/g_h=i")
	f.Fuzz(func(t *testing.T, s, v string) {
		if checkMacros(s, inExplanation) != nil {
			return
		}
		n := 0
		b, err := MacroString(s).expand(nil, func(byte) (string, error) { n += 3*len(v) + 1; return v, nil })
		if err != nil || len(b) > 2*len(s)+n { // %- is "%20"
			t.Errorf("expand(%q) of %q = %q, %v", s, v, b, err)
		}
		name := fit(string(b))
		if len(name) > len(b) || len(name) > maxName+1 || !strings.HasSuffix(strings.TrimSuffix(string(b), "."), name) {
			t.Errorf("fit(%q) = %q", b, name)
		}
	})
}
