package dmarc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

func verdict(t testing.TB, z *zone, mode Mode, from From, ids Identifiers) Result {
	t.Helper()
	c, err := New(z, mode)
	if err != nil {
		t.Fatal(err)
	}
	return c.Check(t.Context(), from, ids)
}

func zoneOf(records ...string) *zone {
	z := newZone()
	for _, r := range records {
		z.record(r)
	}
	return z
}

func spfPass(domain string) Identifiers {
	return Identifiers{SPF: SPF{domain, authres.Pass}}
}

// TestSeveralAuthors: the worst of the domains counts.
func TestSeveralAuthors(t *testing.T) {
	z := func() *zone {
		return zoneOf("none.example p=none", "quarantine.example p=quarantine", "reject.example p=reject",
			"ill.example SERVFAIL", "test.example p=reject; t=y")
	}
	for _, tc := range []struct {
		from   string
		pass   string // domains with a DKIM pass
		result authres.Result
		domain string
		action Policy
	}{
		{"a@none.example, b@reject.example, c@quarantine.example", "", authres.Fail, "reject.example", Reject},
		{"a@reject.example, b@quarantine.example", "reject.example", authres.Fail, "quarantine.example", Quarantine},
		{"a@reject.example, b@quarantine.example", "reject.example quarantine.example", authres.Pass, "reject.example", None},
		{"a@reject.example, b@other.example", "reject.example", authres.None, "other.example", None},
		{"a@other.example, b@reject.example", "other.example", authres.Fail, "reject.example", Reject},
		{"a@ill.example, b@reject.example", "", authres.Fail, "reject.example", Reject},
		{"a@none.example, b@ill.example", "", authres.TempError, "ill.example", None},
		{"a@test.example, b@none.example", "", authres.Fail, "test.example", Quarantine},
		{"a@[192.0.2.1], b@reject.example", "reject.example", authres.None, "", None},
		{"a@[192.0.2.1], b@reject.example", "", authres.Fail, "reject.example", Reject},
		// A doubt never passes and never saves from the policy.
		{"a@reject.example, b b@c", "", authres.Fail, "reject.example", Reject},
		{"a@reject.example, b b@c", "reject.example", authres.PermError, "reject.example", Quarantine},
		{"a@other.example, b b@c", "", authres.PermError, "other.example", Quarantine},
		{"a@ill.example\x00", "", authres.PermError, "", Quarantine},
		{"a@1.x,a@2.x,a@3.x,a@4.x,a@5.x,a@reject.example", "", authres.PermError, "1.x", Quarantine},
		{"", "reject.example", authres.PermError, "", Quarantine},
	} {
		var ids Identifiers
		for d := range strings.FieldsSeq(tc.pass) {
			ids.DKIM = append(ids.DKIM, DKIM{Domain: d, Result: authres.Pass})
		}
		r := verdict(t, z(), ModeTree, ReadFrom([]byte(tc.from)), ids)
		if r.Result != tc.result || r.Domain != tc.domain || r.Action() != tc.action {
			t.Errorf("%q, pass %q: %s (%s) about %q, %s, want %s, %q, %s", tc.from, tc.pass, r.Result, r.Reason, r.Domain, r.Action(), tc.result, tc.domain, tc.action)
		}
	}
}

func TestPartialNeverAligns(t *testing.T) {
	for _, res := range []authres.Result{authres.Pass, authres.TempError} {
		ids := Identifiers{DKIM: []DKIM{{Domain: "example.com", Result: res, Partial: true}}}
		r := verdict(t, zoneOf("example.com p=reject"), ModeTree, ReadFrom([]byte("a@example.com")), ids)
		if r.Result != authres.Fail || len(r.Aligned) > 0 {
			t.Errorf("%s: %+v", res, r)
		}
	}
}

// TestNoIdentifier: what is no domain is no identifier.
func TestNoIdentifier(t *testing.T) {
	for _, d := range []string{"", ".", "example.com\x00", "example.com (x)", " example.com", "example..com", "[192.0.2.1]", `"example.com"`, "example.com/"} {
		ids := Identifiers{SPF: SPF{d, authres.Pass}, DKIM: []DKIM{{Domain: d, Result: authres.Pass}}}
		if r := verdict(t, zoneOf("example.com p=reject"), ModeTree, ReadFrom([]byte("a@example.com")), ids); r.Result != authres.Fail {
			t.Errorf("%q: %+v", d, r)
		}
	}
}

// TestOddNames: a name that DNS cannot hold does not save from the policy.
func TestOddNames(t *testing.T) {
	for name, domain := range map[string]string{
		"long label":        strings.Repeat("a", 64) + ".example.com",
		"long name":         strings.Repeat("a.", 118) + "example.com",
		"long with prefix":  strings.Repeat("a.", 119) + "example.com",
		"long name of long": strings.Repeat(strings.Repeat("a", 60)+".", 3) + strings.Repeat("b", 56) + ".example.com",
	} {
		z := zoneOf("example.com p=none; sp=quarantine; np=reject", "name "+domain+" nxdomain")
		r := verdict(t, z, ModeTree, ReadFrom([]byte("a@"+domain)), Identifiers{})
		if r.Result != authres.Fail || r.Applied.Effective != Reject || r.Applied.Domain != "example.com" {
			t.Errorf("%s: %+v", name, r)
		}
		for _, q := range z.asked {
			q, exists := strings.CutPrefix(q, "exists ")
			if !exists {
				q = "_dmarc." + q
			}
			if len(q) > 253 || strings.Contains(q, strings.Repeat("a", 64)) {
				t.Errorf("%s: asks %q", name, q)
			}
		}
	}
}

// TestQuestionsAreBounded counts what a message can make us ask.
func TestQuestionsAreBounded(t *testing.T) {
	var from []string
	var ids Identifiers
	z := newZone()
	z.record("com p=none; np=reject")
	for i := range 300 {
		d := fmt.Sprintf("%d.x.x.x.x.x.x.x.x.x.com", i)
		from = append(from, "a@from"+d)
		ids.DKIM = append(ids.DKIM, DKIM{Domain: "dkim" + strings.ReplaceAll(d, "x", fmt.Sprint(i)), Result: authres.Pass})
	}
	ids.SPF = SPF{"spf.com", authres.Pass}
	r := verdict(t, z, ModeTree, ReadFrom([]byte(strings.Join(from, ","))), ids)
	limit := (MaxAuthors+MaxIdentifiers)*8 + MaxAuthors
	if len(z.asked) > limit || len(z.asked) < MaxIdentifiers*7 {
		t.Errorf("%d questions, want at most %d", len(z.asked), limit)
	}
	seen := slices.Clone(z.asked)
	slices.Sort(seen)
	if len(slices.Compact(seen)) != len(z.asked) {
		t.Errorf("asks twice: %q", z.asked)
	}
	if r.Result == authres.Pass {
		t.Errorf("%+v", r)
	}
}

// TestBegin: what is asked early is asked whatever SPF and DKIM say, and no
// more, so that the order stays the same.
func TestBegin(t *testing.T) {
	for _, v := range readVectors(t) {
		c, err := New(v.zone, ModeTree)
		if err != nil {
			t.Fatal(err)
		}
		e := c.Begin(t.Context(), v.in.From)
		early := len(v.zone.asked)
		e.Finish(t.Context(), Identifiers{})
		if early != len(v.zone.asked) {
			t.Errorf("%s: without identifiers asks %q, of these %d early", v.name, v.zone.asked, early)
		}
	}
}

func TestPolicy(t *testing.T) {
	c, err := New(zoneOf("example.com p=reject; sp=quarantine"), ModeTree)
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]string{
		"Example.COM.":    "example.com example.com p reject [_dmarc.example.com _dmarc.com]",
		"www.example.com": "example.com example.com sp quarantine [_dmarc.www.example.com _dmarc.example.com _dmarc.com]",
		"example.net":     "example.net    [_dmarc.example.net _dmarc.net]",
	} {
		r, err := c.Policy(t.Context(), domain)
		var asked []string
		for _, a := range r.Asked {
			asked = append(asked, a.Question.String())
		}
		got := fmt.Sprintf("%s %s %s %s %s", r.OrgDomain, r.Applied.Domain, r.Applied.Tag, r.Applied.Effective, asked)
		if err != nil || got != want {
			t.Errorf("Policy(%s) = %q, %v, want %q", domain, got, err, want)
		}
	}
	for _, domain := range []string{"", ".", "a b", "[192.0.2.1]", "a..b", "a\x00.b"} {
		if r, err := c.Policy(t.Context(), domain); err == nil {
			t.Errorf("Policy(%q) = %+v", domain, r)
		}
	}
}

func TestNewRefusesMode(t *testing.T) {
	if c, err := New(newZone(), "auto"); err == nil {
		t.Errorf("New = %+v", c)
	}
}

// TestEndedContext: no answer is temperror, never none.
func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err := New(ended{}, ModeTree)
	if err != nil {
		t.Fatal(err)
	}
	r := c.Check(ctx, ReadFrom([]byte("a@example.com")), spfPass("example.com"))
	if r.Result != authres.TempError || r.Action() != None {
		t.Errorf("%+v", r)
	}
}

type ended struct{}

func (ended) LookupTXT(ctx context.Context, _ string) ([]string, error) { return nil, ctx.Err() }
func (ended) Exists(ctx context.Context, _ string) (bool, error)        { return false, ctx.Err() }

// FuzzDecide makes a small tree of records and names out of octets: there is a
// result within the bound of questions, and nothing that does not align passes.
func FuzzDecide(f *testing.F) {
	f.Add([]byte("\x01\x02\x03"), "a.b.c", "b.c", "x.b.c", uint8(0))
	f.Add([]byte{200, 3, 77, 140, 9}, "b.c", "c", "c", uint8(3))
	texts := []string{"p=reject", "p=none; psd=y", "p=quarantine; psd=n", "p=none; sp=reject; np=none", "SERVFAIL", `"v=spf1"`, "rua=x", "p=reject; adkim=s; t=y", "psd=y"}
	f.Fuzz(func(t *testing.T, tree []byte, from, spf, dkim string, flags uint8) {
		z := newZone()
		for i, b := range tree {
			for _, start := range []string{from, spf, dkim} {
				if d, ok := canonical(start); ok {
					parts := strings.Split(d, ".")
					d = strings.Join(parts[int(b>>4)%len(parts):], ".")
					if i < 10 {
						z.record(d + " " + texts[int(b&15)%len(texts)])
					}
				}
			}
		}
		mode := []Mode{ModeTree, ModePSL}[flags&1]
		ids := Identifiers{SPF: SPF{spf, authres.Pass}, DKIM: []DKIM{{Domain: dkim, Result: authres.Pass, Partial: flags&2 != 0}}}
		author := ReadFrom([]byte(from + "@" + from))
		r := verdict(t, z, mode, author, ids)
		if r.Result == "" || len(z.asked) > 3*8+1 {
			t.Fatalf("%+v after %q", r, z.asked)
		}
		if r.Result == authres.Pass && (author.Doubt != "" || len(r.Aligned) == 0 || r.Applied.Record == nil) {
			t.Fatalf("passes: %+v", r)
		}
		for _, a := range r.Aligned {
			if a.Domain != r.Domain && topLabel(a.Domain) != topLabel(r.Domain) {
				t.Fatalf("aligned: %+v", r)
			}
		}
	})
}

// BenchmarkCheck is one message whose answers are in a cache.
func BenchmarkCheck(b *testing.B) {
	for name, v := range map[string]struct {
		from string
		ids  Identifiers
	}{
		"equal":   {"example.com", spfPass("example.com")},
		"relaxed": {"news.example.com", Identifiers{SPF: SPF{"bounce.example.com", authres.Pass}, DKIM: []DKIM{{Domain: "example.com", Result: authres.Pass}}}},
	} {
		b.Run(name, func(b *testing.B) {
			c, err := New(cache(zoneOf("example.com p=reject; sp=quarantine; rua=mailto:d@example.com").txt), ModeTree)
			if err != nil {
				b.Fatal(err)
			}
			value := []byte("Ann <ann@" + v.from + ">")
			b.ReportAllocs()
			for b.Loop() {
				if r := c.Check(b.Context(), ReadFrom(value), v.ids); r.Result != authres.Pass {
					b.Fatal(r)
				}
			}
		})
	}
}

type cache map[string][]string

func (c cache) LookupTXT(_ context.Context, name string) ([]string, error) {
	return c[strings.TrimPrefix(name, prefix)], nil
}

func (c cache) Exists(context.Context, string) (bool, error) { return true, nil }
