package publicsuffix

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/idna"

	"github.com/gatepost/gatepost/internal/shared"
)

func TestNames(t *testing.T) {
	for _, tc := range []struct {
		name, suffix, org string
	}{
		{"www.Example.COM.", "com", "example.com"},
		{"example.com", "com", "example.com"},
		{"com", "com", ""},
		{"a.b.example.co.uk", "co.uk", "example.co.uk"},
		{"foo.github.io", "github.io", "foo.github.io"}, // the private section counts
		{"a.b.unlisted-tld", "unlisted-tld", "b.unlisted-tld"},
		{"bücher.example", "example", "xn--bcher-kva.example"},
		{"192.0.2.1", "", ""},
		{"2001:db8::1", "", ""},
		{"", "", ""},
		{".", "", ""},
		{".example.com", "", ""},
		{"a..example.com", "", ""},
		{"example.com..", "", ""},
		{strings.Repeat("a.", 130) + "com", "", ""},
	} {
		suffix, _ := Suffix(tc.name)
		org, _ := Organization(tc.name)
		if suffix != tc.suffix || org != tc.org {
			t.Errorf("%q: suffix %q, organization %q, want %q, %q", tc.name, suffix, org, tc.suffix, tc.org)
		}
	}
	if Version() == "" {
		t.Error("no version of the list")
	}
}

// call is one case in test_psl.txt. Those that are commented out are none.
var call = regexp.MustCompile(`(?m)^checkPublicSuffix\((null|'[^']*'), (null|'[^']*')\);`)

// TestConformancePSL runs the tests that come with the list, in both forms in
// which they come.
func TestConformancePSL(t *testing.T) {
	s := shared.NewSuite("psl", nil)
	for i, m := range call.FindAllStringSubmatch(string(shared.Read(t, "data/conformance/psl/tests/test_psl.txt")), -1) {
		check(t, s, fmt.Sprintf("test_psl.txt:%d:%s", i+1, m[1]), strings.Trim(m[1], "'"), strings.Trim(m[2], "'"))
	}
	n := 0
	for line := range strings.SplitSeq(string(shared.Read(t, "data/conformance/psl/tests/tests.txt")), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "//") {
			continue
		}
		n++
		name, want, ok := strings.Cut(line, " ")
		if !ok {
			t.Fatalf("line %q", line)
		}
		check(t, s, fmt.Sprintf("tests.txt:%d:%s", n, name), name, want)
	}
	s.Report(t)
}

func check(t *testing.T, s *shared.Suite, id, name, want string) {
	if name == "null" {
		name = ""
	}
	if want == "null" {
		want = ""
	}
	// The suite wants U-labels for U-labels; here all are A-labels.
	want, err := idna.Lookup.ToASCII(want)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := Organization(name)
	if got != want || ok != (want != "") {
		err = fmt.Errorf("organization of %q is %q, want %q", name, got, want)
	}
	s.Case(t, id, err)
}

func FuzzOrganization(f *testing.F) {
	for _, s := range []string{"a.b.co.uk", "é.com", "..", "1.2.3.4", "xn--.com", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		org, ok := Organization(name)
		if !ok {
			return
		}
		if again, ok := Organization(org); !ok || again != org {
			t.Fatalf("Organization(%q) = %q, and of that %q", name, org, again)
		}
		if suffix, ok := Suffix(name); !ok || !strings.HasSuffix(org, "."+suffix) {
			t.Fatalf("Organization(%q) = %q, Suffix = %q", name, org, suffix)
		}
	})
}

func BenchmarkOrganization(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Organization("mail.news.example.co.uk"); !ok {
			b.Fatal("no organization")
		}
	}
}
