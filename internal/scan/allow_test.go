package scan

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

func entryOf(t testing.TB, s string) Entry {
	t.Helper()
	var e Entry
	if err := e.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return e
}

func entriesOf(t testing.TB, all string) []Entry {
	var out []Entry
	for _, s := range strings.Fields(all) {
		out = append(out, entryOf(t, s))
	}
	return out
}

func TestEntry(t *testing.T) {
	for in, want := range map[string]string{
		"Ann@Example.ORG": "ann@example.org", "example.org": "example.org", ".Example.org": "example.org",
		"@example.org": "@example.org", "*@example.org": "@example.org", "192.0.2.0/24": "192.0.2.0/24", "192.0.2.1": "192.0.2.1", "2001:db8::/32": "2001:db8::/32",
	} {
		if e := entryOf(t, in); e.String() != want {
			t.Errorf("%s = %s, want %s", in, e, want)
		} else if again := entryOf(t, e.String()); again != e {
			t.Errorf("%s reads as %+v, then as %+v", in, e, again)
		}
	}
	for _, in := range []string{"", "@", "com", "a b", "a*@example.org", "ann@", "192.0.2.0/33", "ann@@"} {
		var e Entry
		if err := e.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is taken as %+v", in, e)
		}
	}
}

// from is a message of that author, proved by DMARC or not.
func from(author string, proved bool) Message {
	raw := "From: " + author + "\r\nTo: a@own.example\r\nSubject: x\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@x.example>\r\n\r\nhello\r\n"
	m := Message{Raw: rawmsg.Scan([]byte(raw), rawmsg.Default()), Client: Client{Addr: netip.MustParseAddr("192.0.2.7")}}
	m.RcptTo = []mailaddr.Address{{LocalPart: "a", Domain: "own.example"}}
	m.MailFrom = mailaddr.Address{LocalPart: "bounce", Domain: "esp.example"}
	if proved {
		m.Auth.DMARC = dmarc.Result{Result: authres.Pass, Domain: "news.example"}
		m.Auth.DMARCChecked = true
	}
	return m
}

func TestEntries(t *testing.T) {
	for _, tc := range []struct {
		name        string
		allow, deny string
		m           Message
		want        string // line and entry
	}{
		{"none", "other.example", "10.0.0.0/8", from("n@news.example", true), ""},
		{"address", "n@news.example", "", from("N@news.example", true), "ALLOWED n@news.example"},
		{"domain", "news.example", "", from("n@news.example", true), "ALLOWED news.example"},
		{"another domain", "s.example", "news.example.org", from("n@news.example", true), ""},
		{"what is below", "news.example", "", from("n@mail.news.example", true), "ALLOWED news.example"},
		{"the domain alone", "@news.example", "", from("n@mail.news.example", true), ""},
		{"no proof", "news.example", "", from("n@news.example", false), "ALLOW_UNPROVED news.example"},
		{"proof of another", "bank.example", "", from("n@bank.example", true), "ALLOW_UNPROVED bank.example"},
		{"two authors", "news.example", "", from("n@news.example, x@evil.example", true), "ALLOW_UNPROVED news.example"},
		{"client", "192.0.2.0/24", "", from("x@y.example", false), "ALLOWED 192.0.2.0/24"},
		{"deny needs no proof", "", "news.example", from("n@news.example", false), "DENIED news.example"},
		{"deny of one of two authors", "", "evil.example", from("n@news.example, x@evil.example", false), "DENIED evil.example"},
		{"deny of the envelope", "", "bounce@esp.example", from("n@news.example", false), "DENIED bounce@esp.example"},
		{"no allow by the envelope", "esp.example", "", from("n@news.example", true), ""},
		{"deny of the client", "", "192.0.2.7", from("n@news.example", true), "DENIED 192.0.2.7"},
		{"the nearer one: address", "n@news.example", "news.example", from("n@news.example", true), "ALLOWED n@news.example"},
		{"the nearer one: domain", "news.example", "mail.news.example", from("n@mail.news.example", true), "DENIED mail.news.example"},
		{"the nearer one: network", "192.0.2.7", "192.0.2.0/24", from("n@news.example", true), "ALLOWED 192.0.2.7"},
		{"an author is nearer than a network", "192.0.2.7", "news.example", from("n@news.example", true), "DENIED news.example"},
		{"as near: deny", "n@news.example", "bounce@esp.example", from("n@news.example", true), "DENIED bounce@esp.example"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := Default()
			cfg.Allow, cfg.Deny = entriesOf(t, tc.allow), entriesOf(t, tc.deny)
			res := Scan(cfg, tc.m, noon)
			got := ""
			for _, l := range res.Lines {
				if l.Group == "entry" {
					got += l.Name + " " + strings.Join(l.Options, ",")
				}
			}
			if got != tc.want || res.Score != verdict.Sum(res.Lines) {
				t.Errorf("Scan lines %+v, want %q", res.Lines, tc.want)
			}
			switch {
			case strings.HasPrefix(tc.want, "DENIED") && res.Verdict != verdict.Reject,
				!strings.HasPrefix(tc.want, "DENIED") && res.Verdict > verdict.Mark:
				t.Errorf("%s: %v with %v", tc.want, res.Verdict, res.Score)
			}
		})
	}
}

// TestProof: without DMARC an aligned signature or envelope sender does, and
// with a DMARC that fails nothing does.
func TestProof(t *testing.T) {
	cfg := Default()
	cfg.Allow = entriesOf(t, "news.example")
	dkim := func(domain string, r authres.Result, partial bool) mailauth.Results {
		return mailauth.Results{DKIMChecked: true, DKIM: []mailauth.DKIM{{Result: r, Domain: domain, Partial: partial}}}
	}
	spf := func(domain string, null bool) mailauth.Results {
		return mailauth.Results{SPF: mailauth.SPF{MailFrom: mailauth.SPFMailFrom{Result: authres.Pass, Domain: domain, NullPath: null}}}
	}
	failed := dkim("news.example", authres.Pass, false)
	failed.DMARC.Result, failed.DMARC.Domain = authres.Fail, "news.example"
	none := dkim("mail.news.example", authres.Pass, false)
	none.DMARC.Result = authres.None
	for _, tc := range []struct {
		name string
		auth mailauth.Results
		want string
	}{
		{"DKIM", dkim("news.example", authres.Pass, false), allowedRule},
		{"DKIM of the same organization", none, allowedRule},
		{"DKIM fails", dkim("news.example", authres.Fail, false), unprovedRule},
		{"DKIM of a part", dkim("news.example", authres.Pass, true), unprovedRule},
		{"DKIM of another", dkim("badnews.example", authres.Pass, false), unprovedRule},
		{"SPF", spf("news.example", false), allowedRule},
		{"SPF of another", spf("esp.example", false), unprovedRule},
		{"SPF of HELO", spf("news.example", true), unprovedRule},
		{"DMARC fails", failed, unprovedRule},
	} {
		m := from("n@news.example", false)
		m.Auth = tc.auth
		res := Scan(cfg, m, noon)
		if _, ok := find(res.Lines, tc.want); !ok {
			t.Errorf("%s: %+v, want %s", tc.name, res.Lines, tc.want)
		}
	}
}

// TestEntriesByRecipient: entries of a mailbox come before those of its domain
// and of the server; what does not hold for all is no part of the sum.
func TestEntriesByRecipient(t *testing.T) {
	cfg := Default()
	cfg.Deny = entriesOf(t, "news.example")
	cfg.Domains = map[string]RecipientConfig{"fan.example": {Allow: entriesOf(t, "news.example")}}
	cfg.Users = map[string]RecipientConfig{"ann@fan.example": {Deny: entriesOf(t, "n@news.example")}}
	for _, tc := range []struct {
		to    string
		score float64
		want  verdict.Verdict
		by    map[string]verdict.Verdict
	}{
		{"a@own.example", 100, verdict.Reject, nil},
		{"a@own.example ann@fan.example", 100, verdict.Reject, nil},
		{"bob@fan.example", -100, verdict.Accept, nil},
		{"ann+news@fan.example", 100, verdict.Reject, nil},
		{"bob@fan.example a@own.example", 0, verdict.Accept, map[string]verdict.Verdict{"a@own.example": verdict.Mark}},
		{"Bob@fan.example Ann@fan.example A@own.example", 0, verdict.Accept, map[string]verdict.Verdict{"a@own.example": verdict.Mark, "ann@fan.example": verdict.Mark}},
	} {
		m := from("n@news.example", true)
		m.RcptTo = nil
		for _, s := range strings.Fields(tc.to) {
			m.RcptTo = append(m.RcptTo, address(t, s))
		}
		res := Scan(cfg, m, noon)
		score := 0.0
		for _, l := range res.Lines {
			if l.Group == "entry" {
				score += l.Score
			}
		}
		if score != tc.score || res.Verdict != tc.want || !maps.Equal(res.ByRcpt, tc.by) || res.Score != verdict.Sum(res.Lines) {
			t.Errorf("to %s: %v %v, lines %+v", tc.to, res.Verdict, res.ByRcpt, res.Lines)
		}
	}
	cfg.Rules = map[string]RuleConfig{"DENIED": {Mode: unit.Observe}, "ALLOWED": {Mode: unit.Off}}
	m := from("n@news.example", true)
	res := Scan(cfg, m, noon)
	l, ok := find(res.Lines, deniedRule)
	if !ok || l.Score != 0 || !slices.Contains(l.Options, "observed, would add 100") || res.Verdict != verdict.Accept {
		t.Errorf("observed entries: %+v, %v", res.Lines, res.Verdict)
	}
	m.RcptTo = append(m.RcptTo, address(t, "bob@fan.example"))
	if res = Scan(cfg, m, noon); res.ByRcpt != nil || res.Verdict != verdict.Accept {
		t.Errorf("observed entries: %+v", res)
	}
}

// TestOthers: an alias leads to a mailbox that is no recipient here. What one
// recipient allows does not hold for it.
func TestOthers(t *testing.T) {
	entry := func(s string) (e Entry) {
		if err := e.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		return e
	}
	cfg := Default()
	cfg.Mark = 6
	cfg.AdminRules = []AdminRule{{Name: "SEVEN", When: "true", Score: 7}}
	cfg.Users = map[string]RecipientConfig{"bob@own.example": {Allow: []Entry{entry("news.example")}}}
	m := from("n@news.example", true)
	m.RcptTo = []mailaddr.Address{address(t, "bob@own.example"), address(t, "info@own.example")}
	res := Scan(cfg, m, noon)
	if res.Verdict != verdict.Accept || res.ByRcpt["info@own.example"] != verdict.Mark || res.Others != verdict.Mark {
		t.Errorf("one allows: %v, %v, others %v", res.Verdict, res.ByRcpt, res.Others)
	}
	cfg.Allow = []Entry{entry("news.example")}
	cfg.Users = map[string]RecipientConfig{"bob@own.example": {Deny: []Entry{entry("news.example")}}}
	if res = Scan(cfg, m, noon); res.ByRcpt["bob@own.example"] != verdict.Mark || res.Others != verdict.Accept {
		t.Errorf("one denies: %v, %v, others %v", res.Verdict, res.ByRcpt, res.Others)
	}
	m.RcptTo = m.RcptTo[:1]
	if res = Scan(cfg, m, noon); res.ByRcpt != nil || res.Others != verdict.Accept {
		t.Errorf("alone: %v, %v", res.ByRcpt, res.Others)
	}
}
