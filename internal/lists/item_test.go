package lists

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/message"
)

// all is a list that takes everything.
func all(of ...Of) List {
	if of == nil {
		of = kinds
	}
	return List{Name: "ALL", Zone: "all.list.net", Of: of, Hash: "sha1",
		Codes: []Code{{at(0, 0, 2), "", 1, ""}}, TestListed: none, TestNotListed: none}
}

// asked returns the labels that a set asks for.
func asked(t *testing.T, cfg Config, q Query) []string {
	t.Helper()
	s, err := compile(cfg, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, qu := range s.plan(s.items(q)).questions {
		out = append(out, strings.TrimSuffix(qu.name, ".all.list.net"))
	}
	return out
}

func addr(t testing.TB, s string) mailaddr.Address {
	t.Helper()
	a, err := mailaddr.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestQuestions(t *testing.T) {
	for _, tc := range []struct {
		name string
		list List
		q    Query
		want string
	}{
		{"client", all(Client), client("9.8.7.6"), "6.7.8.9"},
		{"client by IPv4 only", all(Client4), client("2a00::1"), ""},
		{"private IPv6", all(Client), client("fd00::1"), ""},
		{"documentation", all(Client), client("2001:db8::1"), ""},
		{"loopback", all(Client), client("127.0.0.2"), ""},
		{"multicast", all(Client), client("224.0.0.1"), ""},
		{"shared", all(Client), client("100.64.1.1"), ""},
		{"names", all(Helo, PTR, Sender), Query{Helo: "Mail.Bulk.net.", ClientName: "host.provider.com", MailFrom: addr(t, "a@b.news.org")},
			"provider.com bulk.net news.org"},
		{"whole names", all(Helo, PTR, Host), Query{Helo: "mail.bulk.net", ClientName: "host.provider.com"}, "host.provider.com mail.bulk.net"},
		{"names that are none", all(Helo, PTR), Query{Helo: "[192.0.2.1]", ClientName: "x_y.local"}, ""},
		{"domain and host", all(URI, Host), Query{Text: links("http://a.b.spam.net/")}, "spam.net a.b.spam.net"},
		{"suffix of the private section", all(URI), Query{Text: links("http://bad.github.io/")}, "bad.github.io"},
		{"known too well", all(), Query{Text: links("https://www.google.com/x", "https://docs.google.com/"), From: []mailaddr.Address{addr(t, "x@gmail.com")}},
			hashed(hashes["sha1"], addr(t, "x@gmail.com"))},
		{"ours", all(), Query{Text: links("https://www.ours.net/", "https://notours.net/"), From: []mailaddr.Address{addr(t, "x@sub.ours.net")},
			OwnDomains: []string{"ours.net"}}, "notours.net"},
		{"other schemes", all(URI), Query{Text: links("mailto:a@spam.net", "cid:x@y.net", "tel:+49", "javascript:a.net")}, ""},
		{"address in a link, in disguise", all(URIAddr), Query{Text: links("http://0x08.8.8.8/", "http://134744072/", "http://10.1.1.1/")}, "8.8.8.8"},
		{"IDN", all(URI), Query{Text: links("http://www.bücher.de/")}, "xn--bcher-kva.de"},
		{"what means something in a zone file", all(URI), Query{Text: links(`http://a"b.net/`, "http://a;b.net/", "http://a(b.net")}, ""},
		{"too long", all(URI, Host), Query{Text: links("http://" + strings.Repeat("abcdefghi.", 24) + "net/")}, "abcdefghi.net"},
		{"addresses in text", all(Email), Query{Text: &message.Message{
			Text:  []string{"write to Foo.Bar+x@GoogleMail.com, (or foobar@gmail.com)."},
			Links: []message.Link{{URL: "mailto:foobar@gmail.com?subject=x"}}}},
			hashed(hashes["sha1"], addr(t, "foobar@gmail.com"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := with(tc.list)
			if got := strings.Join(asked(t, cfg, tc.q), " "); got != tc.want {
				t.Errorf("asks for %q, want %q", got, tc.want)
			}
		})
	}
}

// TestFlood: neither a flood of links before nor one behind what counts hides
// it, what looks odd comes first, and the number of questions is bounded.
func TestFlood(t *testing.T) {
	var flood []string
	for i := range 1000 {
		flood = append(flood, fmt.Sprintf("https://www.flood%d.net/", i))
	}
	cfg := with(all(URI))
	for name, urls := range map[string][]string{
		"before": append(slices.Clone(flood), "https://spam.net/"),
		"behind": append([]string{"https://spam.net/"}, flood...),
		"odd":    append(append(slices.Clone(flood), "https://paypal.com@spam.net/"), flood...),
	} {
		got := asked(t, cfg, Query{Text: links(urls...)})
		if len(got) != cfg.MaxDomains || !slices.Contains(got, "spam.net") {
			t.Errorf("%s: %d questions, %v", name, len(got), got)
		}
		if name == "odd" && got[0] != "spam.net" {
			t.Errorf("%s: %s is asked about first", name, got[0])
		}
	}
	cfg.MaxQuestions = 5
	s, err := compile(cfg, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if p := s.plan(s.items(Query{Text: links(flood...)})); len(p.questions) != 5 || p.left != cfg.MaxDomains-5 {
		t.Errorf("%d questions, %d left", len(p.questions), p.left)
	}
	var text strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&text, "a%d@spam.net ", i)
	}
	cfg.Lists[0] = all(Email)
	cfg.MaxQuestions = 100
	if got := asked(t, cfg, Query{Text: &message.Message{Text: []string{text.String()}}}); len(got) != cfg.MaxEmails {
		t.Errorf("%d addresses, want %d", len(got), cfg.MaxEmails)
	}
}

// TestHashes: the digests are those of sha1sum(1), md5sum(1), sha256sum(1) and
// base32(1).
func TestHashes(t *testing.T) {
	a := addr(t, "User+Tag@Example.COM")
	for name, want := range map[string]string{
		"md5":           "b58996c504c5638798eb6b511e6f49af",
		"sha1":          "63a710569261a24b3766275b7000ce8d7b32e2f7",
		"md5-base32":    "wweznrieyvrypghlnnir432jv4",
		"sha1-base32":   "motravusmgrewn3ge5nxaagorv5tfyxx",
		"sha256-base32": "wte2fcjshmq2ahb6sqhrkdvzxdcuewd7dk75r4hbzqp7yxshkuka",
	} {
		if got := hashed(hashes[name], a); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"Bob@Example.Org":        "bob@example.org",
		"bob+list@example.org":   "bob@example.org",
		"+bob@example.org":       "+bob@example.org",
		"f.o.o+x@googlemail.com": "foo@gmail.com",
		"f.o.o@example.org":      "f.o.o@example.org",
	} {
		if got := canonical(addr(t, in)); got != want {
			t.Errorf("canonical(%s) = %s, want %s", in, got, want)
		}
	}
}

func TestPublic(t *testing.T) {
	for a, want := range map[string]bool{
		"8.8.8.8": true, "192.0.2.1": false, "172.31.0.1": false, "172.32.0.1": true, "255.255.255.255": false,
		"2a00:1450::1": true, "fe80::1": false, "::1": false, "2001:0:1::1": false, "::": false, "0.0.0.0": false,
	} {
		if got := public(netip.MustParseAddr(a)); got != want {
			t.Errorf("public(%s) = %v", a, got)
		}
	}
}

func FuzzItems(f *testing.F) {
	f.Add("http://a.b.net/", "x@y.net", "mail.a.net")
	f.Add("http://[::1]@\\\\9.9.9.9:8/", "@@@", "[")
	s, err := compile(with(all()), time.Unix(0, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, url, text, name string) {
		m := links(url, text)
		m.Text = []string{text}
		q := Query{Helo: name, ClientName: url, Text: m, From: []mailaddr.Address{{LocalPart: text, Domain: name}}}
		for _, qu := range s.plan(s.items(q)).questions {
			if len(qu.name) > maxName || !hostname(qu.name) || strings.Contains(qu.name, "..") {
				t.Errorf("asks for %q", qu.name)
			}
		}
	})
}
