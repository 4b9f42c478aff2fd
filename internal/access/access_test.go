package access

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func addr(t testing.TB, s string) mailaddr.Address {
	t.Helper()
	a, err := mailaddr.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestStorable(t *testing.T) {
	for in, ok := range map[string]bool{"0.0.0.0/0": false, "::/0": false, "128.0.0.0/1": true, "192.0.2.7": true, "example.com": true, "com": false} {
		if e, err := (Entry{Name: in}).Storable(); (err == nil) != ok || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("Storable(%q) = %q, %v, want stored: %t", in, e.Name, err, ok)
		}
	}
	if e, err := (Entry{Name: "0.0.0.0/0"}).Normal(); err != nil || e.Name != "0.0.0.0/0" {
		t.Errorf("Normal(0.0.0.0/0) = %q, %v: could not be removed", e.Name, err)
	}
}

func TestNormal(t *testing.T) {
	for in, want := range map[string]string{
		"User@Example.COM":       "user@example.com",
		"example.com.":           "example.com",
		".example.com":           "example.com",
		"@Example.com":           "@example.com",
		"*@example.com":          "@example.com",
		"192.0.2.7":              "192.0.2.7",
		"192.0.2.0/24":           "192.0.2.0/24",
		"2001:db8::/32":          "2001:db8::/32",
		"::ffff:192.0.2.7":       "192.0.2.7",
		"HELO:Ylmf-PC":           "helo:ylmf-pc",
		"rdns:*.Dyn.Example.":    "rdns:*.dyn.example",
		`rdns:/^DSL-\d+/`:        `rdns:/^DSL-\d+/`,
		"Bücher.example":         "xn--bcher-kva.example",
		"a@bücher.example":       "a@xn--bcher-kva.example",
		"@bücher.example":        "@xn--bcher-kva.example",
		`"a b"@example.com`:      `"a b"@example.com`,
		" padded@example.com ":   "padded@example.com",
		"helo:[192.0.2.1]":       "helo:[192.0.2.1]",
		"":                       "",
		"com":                    "",
		"a b":                    "",
		"*.example.com@x":        "",
		"a*@example.com":         "",
		"192.0.2.1/24":           "",
		"rdns:/(/":               "",
		"rdns:":                  "",
		"helo:a\x00b":            "",
		strings.Repeat("a", 300): "",
	} {
		e, err := Entry{Name: in}.Normal()
		if want == "" {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("Normal(%q) = %q, %v, want ErrInvalid", in, e.Name, err)
			}
			continue
		}
		if err != nil || e.Name != want {
			t.Errorf("Normal(%q) = %q, %v, want %q", in, e.Name, err, want)
		}
	}
	for in, want := range map[string]string{
		"": "", "Alice@Example.org": "alice@example.org", "@example.org": "@example.org", "Example.org": "@example.org",
	} {
		if e, err := (Entry{Name: "example.com", For: in}).Normal(); err != nil || e.For != want {
			t.Errorf("Normal(for %q) = %q, %v, want %q", in, e.For, err, want)
		}
	}
	for _, e := range []Entry{
		{Name: "example.com", For: "a b"}, {Name: "example.com", For: "@"}, {Name: "example.com", For: "x@"},
		{Name: "example.com", Reason: "a\nb"}, {Name: "example.com", Reason: strings.Repeat("x", MaxReason+1)},
	} {
		if _, err := e.Normal(); !errors.Is(err, ErrInvalid) {
			t.Errorf("Normal(%+v) = %v, want ErrInvalid", e, err)
		}
	}
}

func TestProved(t *testing.T) {
	for name, want := range map[string]bool{
		"192.0.2.0/24": true, "rdns:*.example.org": true, "helo:mx.example.org": false, "a@example.org": false, "example.org": false, "": false,
	} {
		if got := (Entry{Name: name}).Proved(); got != want {
			t.Errorf("Proved(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	deny := func(name, scope string) Entry { return Entry{Deny: true, Name: name, For: scope} }
	allow := func(name, scope string) Entry { return Entry{Name: name, For: scope} }
	sub := Subject{
		MailFrom: addr(t, "News@mail.shop.example"), Client: netip.MustParseAddr("192.0.2.7"),
		ClientName: "dsl-17.dyn.isp.example", Helo: "Ylmf-PC", RcptTo: addr(t, "Alice+x@example.org"), Delimiter: "+",
	}
	for _, tc := range []struct {
		name    string
		entries []Entry
		want    string // "deny NAME", "allow NAME" or ""
	}{
		{"nothing", nil, ""},
		{"address", []Entry{deny("news@mail.shop.example", "")}, "deny news@mail.shop.example"},
		{"domain below", []Entry{deny("shop.example", "")}, "deny shop.example"},
		{"domain alone", []Entry{deny("@mail.shop.example", "")}, "deny @mail.shop.example"},
		{"domain alone is not below", []Entry{deny("@shop.example", "")}, ""},
		{"no part of a label", []Entry{deny("hop.example", "")}, ""},
		{"network", []Entry{deny("192.0.2.0/24", "")}, "deny 192.0.2.0/24"},
		{"host", []Entry{deny("192.0.2.8", "")}, ""},
		{"helo", []Entry{deny("helo:ylmf-pc", "")}, "deny helo:ylmf-pc"},
		{"helo glob", []Entry{deny("helo:y*-p?", "")}, "deny helo:y*-p?"},
		{"rdns glob", []Entry{deny("rdns:*.dyn.*", "")}, "deny rdns:*.dyn.*"},
		{"rdns pattern", []Entry{deny(`rdns:/^dsl-\d+\./`, "")}, `deny rdns:/^dsl-\d+\./`},
		{"rdns pattern in capitals", []Entry{deny(`rdns:/^DSL-\d+\./`, "")}, `deny rdns:/^DSL-\d+\./`},
		{"rdns is whole", []Entry{deny("rdns:dyn.isp.example", "")}, ""},
		{"longer domain", []Entry{deny("shop.example", ""), allow("mail.shop.example", "")}, "allow mail.shop.example"},
		{"address before network", []Entry{deny("192.0.2.7", ""), allow("shop.example", "")}, "allow shop.example"},
		{"longer network", []Entry{deny("192.0.0.0/16", ""), allow("192.0.2.0/24", "")}, "allow 192.0.2.0/24"},
		{"as near: deny", []Entry{allow("shop.example", ""), deny("shop.example", "")}, "deny shop.example"},
		{"patterns as near: deny", []Entry{allow("rdns:dsl*", ""), deny("rdns:*.example", "")}, "deny rdns:*.example"},
		{"mailbox before server", []Entry{deny("news@mail.shop.example", ""), allow("shop.example", "alice@example.org")}, "allow shop.example"},
		{"mailbox with its detail first", []Entry{allow("shop.example", "alice@example.org"), deny("shop.example", "alice+x@example.org")}, "deny shop.example"},
		{"mailbox before domain", []Entry{deny("shop.example", "@example.org"), allow("shop.example", "alice@example.org")}, "allow shop.example"},
		{"domain before server", []Entry{allow("shop.example", "@example.org"), deny("shop.example", "")}, "allow shop.example"},
		{"domain of a recipient", []Entry{deny("shop.example", "@example.org")}, "deny shop.example"},
		{"another mailbox", []Entry{deny("shop.example", "bob@example.org")}, ""},
		{"ended", []Entry{{Deny: true, Name: "shop.example", Until: noon}}, ""},
		{"not ended", []Entry{{Deny: true, Name: "shop.example", Until: noon.Add(1)}}, "deny shop.example"},
		{"ended deny does not hide", []Entry{{Deny: true, Name: "shop.example", Until: noon}, allow("shop.example", "")}, "allow shop.example"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, ok := New(tc.entries).Find(sub, noon)
			got := ""
			if ok {
				got = map[bool]string{true: "deny ", false: "allow "}[e.Deny] + e.Name
			}
			if got != tc.want {
				t.Errorf("Find() = %q, want %q", got, tc.want)
			}
		})
	}
	long := sub // a local part that is too long to be one
	long.MailFrom.LocalPart, long.RcptTo.LocalPart = "", ""
	if e, ok := New([]Entry{deny("shop.example", "@example.org")}).Find(long, noon); !ok {
		t.Errorf("without local parts Find() = %v", e)
	}
	unicode := sub // with SMTPUTF8 the same domain has two names
	for _, from := range []string{"x@mail.bücher.example", "x@mail.xn--bcher-kva.example"} {
		unicode.MailFrom = addr(t, from)
		for _, entry := range []string{"bücher.example", "xn--bcher-kva.example"} {
			if _, ok := New([]Entry{deny(entry, "")}).Find(unicode, noon); !ok {
				t.Errorf("%s is not found by the entry %s", from, entry)
			}
		}
	}
	null := sub
	null.MailFrom = mailaddr.Address{}
	if e, ok := New([]Entry{deny("shop.example", "")}).Find(null, noon); ok {
		t.Errorf("the null sender is found by %v", e)
	}
	var none *List
	if _, ok := none.Find(sub, noon); ok || none.Len() != 0 {
		t.Error("a nil List finds something")
	}
}

type fakeSource struct {
	version uint64
	asked   int
	entries []Entry
	err     error
	slow    time.Duration
}

func (f *fakeSource) Version() uint64 { return f.version }

func (f *fakeSource) Access(context.Context) ([]Entry, error) {
	f.asked++
	time.Sleep(f.slow)
	return f.entries, f.err
}

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("away")
		f := &fakeSource{err: away}
		c := NewCache(f)
		check := func(what string, n int, wanted error, asked int) {
			t.Helper()
			if l, err := c.List(t.Context()); l.Len() != n || !errors.Is(err, wanted) || f.asked != asked {
				t.Errorf("%s: List() = %d entries, %v after %d questions, want %d, %v, %d", what, l.Len(), err, f.asked, n, wanted, asked)
			}
		}
		check("away from the start", 0, away, 1)
		check("soon after", 0, away, 1)
		time.Sleep(retryAfter)
		f.err, f.entries = nil, []Entry{{Name: "shop.example"}}
		check("back", 1, nil, 2)
		check("no change", 1, nil, 2)
		f.version, f.err = 1, away
		check("away after a change", 1, away, 3)
		f.err, f.entries = nil, nil
		time.Sleep(retryAfter)
		check("changed", 0, nil, 4)
	})
}

// While one makes the new list, the others are not kept waiting.
func TestCacheDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSource{entries: []Entry{{Name: "shop.example"}}}
		c := NewCache(f)
		if _, err := c.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.version, f.slow = 1, time.Minute
		done := make(chan error)
		go func() { _, err := c.List(t.Context()); done <- err }()
		synctest.Wait()
		start := time.Now()
		if l, err := c.List(t.Context()); err != nil || l.Len() != 1 || time.Since(start) > 0 {
			t.Errorf("List() = %v, %v after %s", l, err, time.Since(start))
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// FuzzNormal: a normal entry is normal again, and can be looked for.
func FuzzNormal(f *testing.F) {
	for _, s := range []string{"a@b.example", "b.example", "@b.example", "*@b.example", "192.0.2.0/24", "helo:*x?", `rdns:/^a.*\.b$/`, "rdns:/[/", "::1"} {
		f.Add(s, "alice@example.org", "mx.b.example")
	}
	f.Fuzz(func(t *testing.T, name, scope, client string) {
		e, err := Entry{Name: name, For: scope}.Normal()
		if err != nil {
			return
		}
		again, err := e.Normal()
		if err != nil || again != e {
			t.Errorf("Normal(%+v) = %+v, %v", e, again, err)
		}
		l := New([]Entry{e})
		if l.Len() != 1 {
			t.Errorf("New(%+v) has no entry", e)
		}
		l.Find(Subject{ClientName: client, Helo: client, Client: netip.MustParseAddr("192.0.2.1")}, noon)
	})
}

func BenchmarkFind(b *testing.B) {
	var all []Entry
	for i := range 10_000 {
		all = append(all, Entry{Deny: true, Name: fmt.Sprintf("d%d.example", i)}, Entry{Deny: true, Name: fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)})
	}
	for i := range 20 {
		all = append(all, Entry{Deny: true, Name: fmt.Sprintf("rdns:*.dyn%d.example", i)})
	}
	l := New(all)
	sub := Subject{MailFrom: addr(b, "a@mail.shop.example"), Client: netip.MustParseAddr("192.0.2.7"),
		ClientName: "mx.shop.example", Helo: "mx.shop.example", RcptTo: addr(b, "alice@example.org"), Delimiter: "+"}
	b.ReportAllocs()
	for b.Loop() {
		l.Find(sub, noon)
	}
}
