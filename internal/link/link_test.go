package link

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		in, scheme, host, port, path string
		odd                          Odd
	}{
		{"https://Example.ORG/a?b#c", "https", "example.org", "", "/a?b#c", 0},
		{" http://example.org:8080 ", "http", "example.org", "8080", "", 0},
		{"http:example.org", "http", "example.org", "", "", 0},
		{"http:////example.org", "http", "example.org", "", "", 0},
		{`https:\\example.org\x`, "https", "example.org", "", `\x`, Backslash},
		{"https://www.paypal.com@evil.example/", "https", "evil.example", "", "/", UserInfo},
		{"https://a@b:c@evil.example/", "https", "evil.example", "", "/", UserInfo | ManyAt},
		{"https://evil.example\\@paypal.com/", "https", "evil.example", "", `\@paypal.com/`, Backslash},
		{"https://ex\tample.org/", "https", "example.org", "", "/", Split},
		{"https://example.org/a\n/b", "https", "example.org", "", "/a/b", 0},
		{"http://198.51.100.7/", "http", "198.51.100.7", "", "/", Numeric},
		{"http://3325256711/", "http", "198.51.100.7", "", "/", Numeric | Disguised},
		{"http://0xc6336407/", "http", "198.51.100.7", "", "/", Numeric | Disguised},
		{"http://0306.063.0144.07/", "http", "198.51.100.7", "", "/", Numeric | Disguised},
		{"http://198.51.25607/", "http", "198.51.100.7", "", "/", Numeric | Disguised},
		{"http://198.51.100.7./", "http", "198.51.100.7", "", "/", Numeric},
		{"http://256.1.1.1/", "http", "256.1.1.1", "", "/", Numeric | BadHost},
		{"http://1.2.3.4.5/", "http", "1.2.3.4.5", "", "/", Numeric | BadHost},
		{"http://10.0.0.1/", "http", "10.0.0.1", "", "/", Numeric | Private},
		{"http://[2001:DB8::1]:80/", "http", "2001:db8::1", "80", "/", Numeric},
		{"http://[::1]/", "http", "::1", "", "/", Numeric | Private},
		{"http://[x]/", "http", "x", "", "/", BadHost},
		{"https://ex%61mple.org/", "https", "example.org", "", "/", Encoded},
		{"https://bücher.example/", "https", "xn--bcher-kva.example", "", "/", 0},
		{"https://ＥＸＡＭＰＬＥ。org/", "https", "example.org", "", "/", 0},
		{"https://exa\u200bmple.org/", "https", "example.org", "", "/", Invisible},
		{"https://example.org\u202e/", "https", "example.org", "", "/", Turned},
		{"https:///", "https", "", "", "", BadHost},
		{"mailto:Alice@Example.ORG?subject=x", "mailto", "example.org", "", "Alice@Example.ORG?subject=x", 0},
		{"javascript:alert(1)", "javascript", "", "", "alert(1)", 0},
	} {
		u, ok := Parse(tc.in)
		if !ok || u.Scheme != tc.scheme || u.Host != tc.host || u.Port != tc.port || u.Path != tc.path || u.Odd != tc.odd {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", tc.in, u, ok, tc)
		}
	}
	for _, in := range []string{"", "example.org", "//example.org", "/a:b", ":", "1a:b", strings.Repeat("a", 100) + ":"} {
		if u, ok := Parse(in); ok {
			t.Errorf("Parse(%q) = %+v", in, u)
		}
	}
}

func TestFind(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"see https://a.example/x, or (http://b.example/y).", "https://a.example/x http://b.example/y"},
		{"HTTP://A.example", "HTTP://A.example"},
		{"<https://a.example/(x)>", "https://a.example/(x)"},
		{"[1]: https://a.example/x]", "https://a.example/x"},
		{"www.example.org. www.", "www.example.org"},
		{"go to example.org/login now", "go:example.org/login"},
		{"example.org alone, readme.md, v1.2/3, e.g./i.e., and/or, 1.2.3.4/24", ""},
		{"hxxp://evil.example/x", "hxxp://evil.example/x"},
		{"请访问https://a.example/x。谢谢www", "https://a.example/x"},
		{"mail alice@example.org, mailto:bob@example.org.", "alice@example.org mailto:bob@example.org"},
		{"a@b @ x@ @y.org", ""},
		{"x:http://a.example", "http://a.example"},
		{"http:// http://. ://x", ""},
		{"http:\\\\a.example\\x", "http:\\\\a.example\\x"},
		{"ftp://a.example/x file:///etc/x", "ftp://a.example/x file:///etc/x"},
	} {
		var got []string
		found, _ := Find(nil, tc.in, 100)
		for _, f := range found {
			got = append(got, tc.in[f.Start:f.End])
		}
		if want := strings.TrimPrefix(tc.want, "go:"); strings.Join(got, " ") != want {
			t.Errorf("Find(%q) = %q, want %q", tc.in, got, want)
		}
	}
}

// TestLinear: many links, and words that nearly are links, cost the same for
// each byte.
func TestLinear(t *testing.T) {
	for _, piece := range []string{"https://a.example/x ", "http:", "://", "a.b@", "www.", "http://a.example/http://", "x.example/", "（http://a.example", "((((", "a.example/x\u3002"} {
		s := strings.Repeat(piece, 100000)
		found, work := Find(nil, s, 100000)
		if work > 6*len(s) {
			t.Errorf("%q: %d steps for %d bytes", piece, work, len(s))
		}
		if piece == "https://a.example/x " && len(found) != 100000 {
			t.Errorf("%d links", len(found))
		}
	}
}

func TestHosts(t *testing.T) {
	for _, tc := range []struct{ in, registered, label string }{
		{"www.example.co.uk", "example.co.uk", "example"}, {"example.org", "example.org", "example"},
		{"a.github.io", "a.github.io", "a"}, {"198.51.100.7", "198.51.100.7", "198"}, {"localhost", "localhost", "localhost"},
	} {
		if r, l := Registered(tc.in), Label(tc.in); r != tc.registered || l != tc.label {
			t.Errorf("%q: registered %q, label %q", tc.in, r, l)
		}
	}
	if !Same("www.Bücher.de", "xn--bcher-kva.de") || Same("a.example.org", "b.example.com") {
		t.Error("Same")
	}
	for in, want := range map[string]string{
		"https://www.example.org/x": "www.example.org", "(www.Example.org).": "www.example.org", "example.org/x": "example.org",
		"report.docx": "", "v1.2": "", "go to example.org": "", "a@example.org": "", "198.51.100.7": "", "": "", "12.30": "",
	} {
		if got := Shown(in); got != want {
			t.Errorf("Shown(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestScripts(t *testing.T) {
	for _, tc := range []struct {
		in       string
		mixed    bool
		disguise string
	}{
		{"pаypal.com", true, "paypal.com"}, {"аррӏе.com", false, "apple.com"}, {"ρaypal.com", true, "paypal.com"},
		{"müller.de", false, ""}, {"dvořák.cz", false, ""}, {"győző.hu", false, ""}, {"ışık.com.tr", false, ""},
		{"ελλάδα.gr", false, ""}, {"москва.рф", false, ""}, {"日本語ドメイン名example.jp", false, ""}, {"한국test.kr", false, ""},
		{"example.com", false, ""}, {"việtnam.vn", false, ""}, {"łódź.pl", false, ""},
	} {
		if m, d := Mixed(ToASCII(tc.in)), Disguise(ToASCII(tc.in)); m != tc.mixed || d != tc.disguise {
			t.Errorf("%q: mixed %v, disguise %q, want %v, %q", tc.in, m, d, tc.mixed, tc.disguise)
		}
	}
	for a, b := range map[string]string{"PayPaI": "paypai", "g00gle": "google", "rnicrosoft": "microsoft", "раураӏ": "paypal", "ｐａｙｐａｌ": "paypal", "pay\u200bpal": "paypal", "vvells": "wells"} {
		if got := Skeleton(a); got != b {
			t.Errorf("Skeleton(%q) = %q, want %q", a, got, b)
		}
	}
}

func TestService(t *testing.T) {
	for in, want := range map[string]Service{
		"https://bit.ly/x": Shortener, "https://www.bit.ly/x": Shortener, "https://a.bit.ly/": Unknown, "https://notbit.ly/": Unknown,
		"https://x.weebly.com/": FreeSite, "https://www.google.de/url?q=x": Redirector, "https://www.google.de/search?q=/url": Unknown,
		"https://notgoogle.com/url?q=x": Unknown, "https://google.example.net/url?q=x": Unknown, "https://a.b.google.co.uk/amp/x": Redirector,
		"https://ad.doubleclick.net/pcs/click?x": Redirector, "https://www.google.de/redirect?x": Unknown, "https://google.google.de/url?q=x": Redirector,
		"https://x.example/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG/a": IPFS, "https://x.example/ipfs/readme": Unknown,
		"https://storage.googleapis.com/b/x.html": Storage, "mailto:a@bit.ly": Unknown,
	} {
		u, _ := Parse(in)
		if got := u.Service(); got != want {
			t.Errorf("Service(%q) = %v, want %v", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"https://a@b:1/x", `http:\\x`, "http://0x7f.1", "mailto:a@b", "https://[::1", "https://аррӏе.com/%", "http://%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, ok := Parse(s)
		if !ok {
			return
		}
		if u.Scheme == "" || len(u.Host) > 4*MaxURL {
			t.Fatalf("Parse(%q) = %+v", s, u)
		}
		_, _, _, _ = Registered(u.Host), Disguise(u.Host), Mixed(u.Host), u.Service()
		if u.Web() && u.Odd == 0 {
			again, ok := Parse(u.Scheme + "://" + u.Host + u.Path)
			if !ok || again.Host != u.Host {
				t.Fatalf("Parse(%q) = %+v, again %+v", s, u, again)
			}
		}
	})
}

func FuzzFind(f *testing.F) {
	for _, s := range []string{"see https://a.example/x, (www.b.example)", "a@b.org:http://x。http://y", "http:\\\\x\ty"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		found, work := Find(nil, s, 1000)
		if work > 6*len(s)+1 {
			t.Fatalf("%d steps for %d bytes", work, len(s))
		}
		last := 0
		for _, x := range found {
			if x.Start < last || x.End <= x.Start || x.End > len(s) {
				t.Fatalf("Find(%q) = %+v", s, found)
			}
			last = x.End
			_ = x.URL(s)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	s := strings.Repeat("The minutes of our meeting are ready, please read them before Friday: https://sender.example/minutes now.\n", 300)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	var room []Found
	for b.Loop() {
		room, _ = Find(room[:0], s, 1000)
	}
}
