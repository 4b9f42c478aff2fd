package maps

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

const (
	hashOfBob   = "686b5e4cf4f963adf8f51468a48028ef8d15bd02fa335f821279a3d1678c9615" // of bob@example.org
	hashOfEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func TestFind(t *testing.T) {
	for _, tc := range []struct {
		name  string
		kind  Kind
		file  string
		value string
		want  string // key and points, "" for none
	}{
		{"address", Address, "Bob@Example.org 2 # a note", "bob@EXAMPLE.ORG", "bob@example.org 2"},
		{"quoted address", Address, `"a b"@example.org`, `"a b"@example.org`, ""},
		{"no address", Address, "bob@example.org", "bob", ""},
		{"domain", Domain, "example.org\tNaN", "x", "!"},
		{"subdomain", Domain, "example.org 2\nmail.example.org -1", "x.mail.example.org", "mail.example.org -1"},
		{"domain of an address", Domain, "example.org", "bob@a.example.org", "example.org NaN"},
		{"not the end of a label", Domain, "example.org", "anexample.org", ""},
		{"IDN", Domain, "bücher.example 1", "www.BÜCHER.example.", "xn--bcher-kva.example 1"},
		{"top level", Domain, "zip 1", "a.zip", "zip 1"},
		{"network", Network, "192.0.2.0/24 1\n192.0.2.128/25 2\n192.0.2.129 3", "192.0.2.129", "192.0.2.129/32 3"},
		{"longest", Network, "192.0.2.129 3\n192.0.2.0/24 1\n192.0.2.128/25 2", "192.0.2.130", "192.0.2.128/25 2"},
		{"IPv6", Network, "2001:db8::/32 1", "2001:db8::1", "2001:db8::/32 1"},
		{"mapped", Network, "192.0.2.0/24 1", "::ffff:192.0.2.1", "192.0.2.0/24 1"},
		{"other family", Network, "0.0.0.0/0 1", "2001:db8::1", ""},
		{"all", Network, "::/0 1", "2001:db8::1", "::/0 1"},
		{"no network", Network, "192.0.2.0/24", "bob", ""},
		{"expression", Regexp, `/cheap\s+wat(ch|ches)\/x/i 4 # a / b`, "CHEAP  watches/x", `/cheap\s+wat(ch|ches)\/x/i 4`},
		{"two", Regexp, "/a b/ 1\n/c/ 2", "c", "/c/ 2"},
		{"hash", Hash, strings.ToUpper(hashOfEmpty) + " 7", hashOfEmpty, hashOfEmpty + " 7"},
		{"comments only", Domain, "# nothing", "example.org", ""},
		{"line ends of Windows", Domain, "example.org 1\r", "example.org", "example.org 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tab, err := parse("f", tc.kind, []byte(tc.file+"\n"))
			if tc.want == "!" || strings.Contains(tc.file, `"`) {
				if err == nil {
					t.Fatal("no error")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			e, key, ok := tab.find(tc.value)
			got := ""
			if ok {
				got = fmt.Sprintf("%s %v", key, e.score)
			}
			if got != tc.want {
				t.Errorf("find(%q) = %q, want %q", tc.value, got, tc.want)
			}
		})
	}
}

func TestAddressHash(t *testing.T) {
	tab, err := parse("f", Hash, []byte(addressHash("bob@example.org")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := tab.find("Bob@Example.org"); !ok {
		t.Error("the hash of an address is not found")
	}
	if addressHash("bob@example.org") != hashOfBob {
		t.Errorf("hash %s", addressHash("bob@example.org"))
	}
}

func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name string
		kind Kind
		file string
		want string
	}{
		{"empty", Domain, "", "f: the file is empty"},
		{"half", Domain, "a.example\nb.exam", "f:2: the last line has no line end"},
		{"two faults", Network, "192.0.2.1/24\n\n10.0.0.0/8\nx\n", "f:1: \"192.0.2.1/24\" has bits behind its length: did you mean 192.0.2.0/24?\nf:4: \"x\" is not an address or a network"},
		{"twice", Address, "a@b.example\nA@B.example\n", "f:2: \"a@b.example\" is in the file twice"},
		{"network twice", Network, "10.0.0.0/8\n10.0.0.0/8\n", "f:2: 10.0.0.0/8 is in the file twice"},
		{"points", Domain, "a.example five\n", "f:1: \"five\" is not a score"},
		{"no slash", Regexp, "cheap\n", "f:1: a regular expression stands between slashes"},
		{"no end", Regexp, "/cheap\n", "f:1: the regular expression has no slash at its end"},
		{"flag", Regexp, "/cheap/x\n", "f:1: \"x\" is not a flag"},
		{"behind", Regexp, "/cheap/1\n", "f:1: \"1\" follows the regular expression"},
		{"expression", Regexp, "/a(/\n", "f:1: error parsing regexp"},
		{"nothing", Regexp, "//\n", "f:1: the regular expression is empty"},
		{"matches all at a time", Regexp, strings.Repeat("/((a{200}){5}b){1}/\n", 2000), "too large together"},
		{"hash", Hash, "abc\n", "f:1: \"abc\" is not a SHA-256"},
		{"control", Domain, "a.example\x00\n", "f:1: the line has a control character"},
		{"encoding", Domain, "a\xff.example\n", "f:1: the line is not UTF-8"},
		{"long", Domain, strings.Repeat("a", maxLine+1) + "\n", "f:1: the line is longer"},
		{"large", Domain, strings.Repeat("#\n", maxFile/2+1), "the file is larger than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := parse("f", tc.kind, []byte(tc.file))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

// FuzzParse: no input makes a panic, and what a file holds is found.
func FuzzParse(f *testing.F) {
	for _, k := range []struct {
		kind byte
		file string
	}{{0, "bob@example.org 2 # x\n"}, {1, "example.org\n"}, {2, "192.0.2.0/24 1\n2001:db8::/32\n"}, {3, "/a\\/b/i 2 # x\n"}, {4, hashOfEmpty + "\n"}} {
		f.Add(k.kind, k.file)
	}
	all := []Kind{Address, Domain, Network, Regexp, Hash}
	f.Fuzz(func(t *testing.T, kind byte, file string) {
		if len(file) > 10000 {
			return
		}
		tab, err := parse("f", all[int(kind)%len(all)], []byte(file))
		if err != nil {
			return
		}
		if tab.count != len(tab.exact)+len(tab.networks)+len(tab.patterns) {
			t.Errorf("%d entries, but %d, %d and %d", tab.count, len(tab.exact), len(tab.networks), len(tab.patterns))
		}
		for key, e := range tab.exact {
			got, at, ok := tab.find(key)
			if !ok || at != key || got.score != e.score && !math.IsNaN(e.score) {
				t.Errorf("find(%q) = %+v, %q, %v", key, got, at, ok)
			}
		}
		for p, e := range tab.networks {
			if got, at, ok := tab.find(p.Addr().String()); !ok || at == p.String() && got.score != e.score && !math.IsNaN(e.score) {
				t.Errorf("find(%s) = %+v, %q, %v", p.Addr(), got, at, ok)
			}
		}
	})
}

// lines returns a file of n entries.
func lines(kind Kind, n int) []byte {
	var b strings.Builder
	for i := range n {
		switch kind {
		case Address:
			fmt.Fprintf(&b, "user%d@example%d.net 1 # seen\n", i, i%100)
		case Domain:
			fmt.Fprintf(&b, "host%d.example.net 1\n", i)
		case Network:
			fmt.Fprintf(&b, "10.%d.%d.0/%d 1\n", i/256%256, i%256, 24+i/65536)
		}
	}
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	for _, kind := range []Kind{Address, Domain, Network} {
		data := lines(kind, 100_000)
		b.Run(string(kind), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parse("f", kind, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFind(b *testing.B) {
	for kind, value := range map[Kind]string{Address: "user777@example77.net", Domain: "a.b.c.host777.example.net", Network: "10.1.2.3"} {
		tab, err := parse("f", kind, lines(kind, 100_000))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(kind), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, ok := tab.find(value); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}
