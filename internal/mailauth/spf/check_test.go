package spf

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/resolver"
)

// worstQuestions is what RFC 7208 §4.6.4 lets one check ask: the first record,
// ten terms of an mx with ten hosts each, the client's ten names, exp.
const worstQuestions = 1 + 10*11 + 11 + 1

func addrs(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// check evaluates local@domain for a client, with the explanation, and holds
// the cost against the limits.
func check(t testing.TB, z *zone, client, local, domain string) Verdict {
	t.Helper()
	z.asked = 0
	c := New(z, "mx.receiver.example")
	c.now = func() time.Time { return time.Unix(1234567890, 0) }
	v := c.MailFrom(t.Context(), Client{Addr: netip.MustParseAddr(client), Helo: "helo.example.net", Explain: true}, mailaddr.Address{LocalPart: local, Domain: domain}).Verdict
	bounded(t, z, v)
	return v
}

func bounded(t testing.TB, z *zone, v Verdict) {
	t.Helper()
	if v.Cost.Questions != z.asked || z.asked > worstQuestions || v.Cost.Lookups > maxLookups+1 || v.Cost.Voids > maxVoids+1 || v.Cost.Octets > 11<<16+2*maxOctets {
		t.Errorf("%s: cost %+v, %d questions were asked", v.Domain, v.Cost, z.asked)
	}
}

// TestMacros holds the examples of RFC 7208 §7.4.
func TestMacros(t *testing.T) {
	z := newZone()
	z.ptr["3.2.0.192.in-addr.arpa"] = []string{"mx.example.org"}
	z.ip["mx.example.org"] = addrs("192.0.2.3")
	for _, tc := range []struct{ in, want string }{
		{"%{s}", "strong-bad@email.example.com"}, {"%{o}", "email.example.com"}, {"%{d}", "email.example.com"}, {"%{d4}", "email.example.com"},
		{"%{d3}", "email.example.com"}, {"%{d2}", "example.com"}, {"%{d1}", "com"}, {"%{dr}", "com.example.email"}, {"%{d2r}", "example.email"},
		{"%{l}", "strong-bad"}, {"%{l-}", "strong.bad"}, {"%{lr}", "strong-bad"}, {"%{lr-}", "bad.strong"}, {"%{l1r-}", "strong"},
		{"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"}, {"%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
		{"%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"},
		{"%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"},
		{"%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"},
		{"%{p}", "mx.example.org"}, {"%{h}", "helo.example.net"}, {"%{c}", "192.0.2.3"}, {"%{r}", "mx.receiver.example"}, {"%{t}", "1234567890"},
		{"%{S}", "strong-bad%40email.example.com"}, {"%{L1R-}", "strong"}, {"a %% b%_c%-d.", "a % b c%20d."}, {"%{d999999999999999999999}", "email.example.com"},
	} {
		z.txt["email.example.com"] = []string{"v=spf1 -all exp=e.example"}
		z.txt["e.example"] = []string{tc.in}
		if v := check(t, z, "192.0.2.3", "strong-bad", "email.example.com"); string(v.Explanation) != tc.want {
			t.Errorf("%s = %q, want %q", tc.in, v.Explanation, tc.want)
		}
	}
	z.txt["e.example"] = []string{"%{ir}.%{v}._spf.%{d2} %{c} %{p}"}
	v := check(t, z, "2001:db8::cb01", "x", "email.example.com")
	if want := "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com 2001:db8::cb01 unknown"; !strings.EqualFold(string(v.Explanation), want) {
		t.Errorf("IPv6: %q, want %q", v.Explanation, want)
	}
}

// TestNameOfClient is the order of preference of %{p} (RFC 7208 §7.3).
func TestNameOfClient(t *testing.T) {
	list := names{list: []string{"other.example", "a.b.example", "c.b.example", "b.example"}}
	for domain, want := range map[string]string{"B.example": "b.example", "example.net": "other.example", "b.b.example": "other.example", "a.B.example": "a.b.example", "": "other.example"} {
		if got := list.best(domain); got != want {
			t.Errorf("best(%q) = %q, want %q", domain, got, want)
		}
	}
	list.list = list.list[:3]
	if got := list.best("b.example"); got != "a.b.example" {
		t.Errorf("best below = %q", got)
	}
	if got := (&names{}).best("b.example"); got != "unknown" {
		t.Errorf("best of none = %q", got)
	}
	if list.below("le") || !list.below("EXAMPLE") || list.below("b.b.example") {
		t.Error("below cuts labels")
	}
}

func TestCheck(t *testing.T) {
	z := newZone()
	for name, text := range map[string]string{
		"mx.example": "v=spf1 mx -all", "a6.example": "v=spf1 a/32//64 -all", "ptr.example": "v=spf1 ptr -all", "illptr.example": "v=spf1 ptr ?all", "illexists.example": "v=spf1 exists:ill.example -all",
		"inc.example": "v=spf1 include:pass.example -all", "pass.example": "v=spf1 ip4:192.0.2.1 -all exp=never.example", "incill.example": "v=spf1 include:ill.example +all",
		"incbad.example": "v=spf1 include:bad.example +all", "bad.example": "v=spf1 oops", "redbad.example": "v=spf1 redirect=bad.example", "redill.example": "v=spf1 redirect=ill.example",
		"red.example": "v=spf1 a:nx.example redirect=pass.example", "redh.example": "v=spf1 redirect=%{h}", "after.example": "v=spf1 +all bad:", "mxill.example": "v=spf1 mx -all",
		"mxhalf.example": "v=spf1 mx -all", "utf.example": "v=spf1 exists:%{l}.x.example ?include:%{s}.y.example -all exp=%{l}.example", "xn--mller-kva.example": "v=spf1 +all",
		"long.example": "v=spf1 exists:" + strings.Repeat("%{d}.", 40) + "a.example -all", "hosts.example": "v=spf1 a:%{h} -all", "v6.example": "v=spf1 ip4:0.0.0.0/0 -ip6:::/0", "inc1.example": "v=spf1 include:%{l} +all",
	} {
		z.txt[name] = []string{"other", text}
	}
	z.txt["two.example"] = []string{"v=spf1 +all", "v=SPF1"}
	z.mx["mx.example"] = []resolver.MX{{Host: "m1.example"}, {Host: "m2.example"}}
	z.mx["mxhalf.example"] = []resolver.MX{{Host: "ill.example"}, {Host: "m2.example"}}
	z.mx["mxill.example"] = []resolver.MX{{Host: "ill.example"}, {Host: "m1.example"}}
	z.ip["m1.example"], z.ip["m2.example"] = addrs("192.0.2.9"), addrs("192.0.2.8", "192.0.2.1")
	z.ip["a6.example"] = addrs("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.66")
	z.ill["ill.example"] = true
	z.ptr["1.2.0.192.in-addr.arpa"] = []string{"ill.example.", "NOT.ptr.example", "Deep.Ptr.Example."}
	z.ip["deep.ptr.example"] = addrs("192.0.2.1")
	z.ip["not.ptr.example"] = addrs("192.0.2.2")
	z.ill["99.2.0.192.in-addr.arpa"] = true
	long := fit(strings.Repeat("long.example.", 40) + "a.example")
	z.ip[long] = addrs("127.0.0.2")
	for _, tc := range []struct {
		client, local, domain string
		want                  authres.Result
		term, reason          string
	}{
		{"192.0.2.1", "x", "mx.example", authres.Pass, "mx", ""},
		{"192.0.2.2", "x", "mx.example", authres.Fail, "-all", ""},
		{"192.0.2.1", "x", "mxhalf.example", authres.Pass, "mx", ""},
		{"192.0.2.1", "x", "mxill.example", authres.TempError, "mx", reasonNoAnswer},
		{"2001:db8::ffff", "x", "a6.example", authres.Pass, "a//64", ""},
		{"2001:db8:0:1::1", "x", "a6.example", authres.Fail, "-all", ""},
		{"::ffff:192.0.2.1", "x", "a6.example", authres.Pass, "a//64", ""},
		{"192.0.2.1", "x", "ptr.example", authres.Pass, "ptr", ""},
		{"192.0.2.2", "x", "ptr.example", authres.Fail, "-all", ""},
		{"192.0.2.99", "x", "illptr.example", authres.Neutral, "?all", ""},
		{"192.0.2.1", "x", "illexists.example", authres.TempError, "exists:ill.example", reasonNoAnswer},
		{"192.0.2.1", "x", "inc.example", authres.Pass, "include:pass.example", ""},
		{"192.0.2.2", "x", "inc.example", authres.Fail, "-all", ""},
		{"192.0.2.1", "x", "incill.example", authres.TempError, "include:ill.example", reasonNoAnswer},
		{"192.0.2.1", "x", "incbad.example", authres.PermError, "", reasonRecord},
		{"192.0.2.1", "x", "redbad.example", authres.PermError, "", reasonRecord},
		{"192.0.2.1", "x", "redill.example", authres.TempError, "redirect=ill.example", reasonNoAnswer},
		{"192.0.2.1", "x", "red.example", authres.Pass, "ip4:192.0.2.1", ""},
		{"192.0.2.1", "x", "redh.example", authres.PermError, "redirect=%{h}", reasonRecord},
		{"192.0.2.1", "x", "after.example", authres.PermError, "", reasonRecord},
		{"192.0.2.1", "x", "two.example", authres.PermError, "", reasonRecords},
		{"192.0.2.1", "x", "ill.example", authres.TempError, "", reasonNoAnswer},
		{"192.0.2.1", "x", "none.example", authres.None, "", ""},
		{"192.0.2.1", "x", "müller.example", authres.Pass, "all", ""},
		{"192.0.2.1", "é", "utf.example", authres.Fail, "-all", ""},
		{"192.0.2.1", "x", "long.example", authres.Pass, firstTerm(t, z.txt["long.example"][1]), ""},
		{"192.0.2.1", "x", "hosts.example", authres.Fail, "-all", ""},
		{"192.0.2.1", "x", "v6.example", authres.Pass, "ip4:0.0.0.0/0", ""},
		{"2001:db8::1", "x", "v6.example", authres.Fail, "-ip6:::/0", ""},
		{"::ffff:1.2.3.4", "x", "v6.example", authres.Pass, "ip4:0.0.0.0/0", ""},
		{"192.0.2.1", "one-label", "inc1.example", authres.PermError, "include:%{l}", reasonRecord},
	} {
		v := check(t, z, tc.client, tc.local, tc.domain)
		if v.Result != tc.want || v.Term != tc.term || v.Reason != tc.reason {
			t.Errorf("%s for %s: %s by %q, %q (%s), want %s by %q, %q", tc.domain, tc.client, v.Result, v.Term, v.Reason, v.Problem, tc.want, tc.term, tc.reason)
		}
		if v.Reason != "" && v.Problem == "" || strings.ContainsAny(v.Problem, "\r\n\x00") {
			t.Errorf("%s: problem %q", tc.domain, v.Problem)
		}
	}
	if v := check(t, z, "192.0.2.1", "x", "red.example"); v.Source != "pass.example" || v.Record != z.txt["pass.example"][1] || v.Cost != (Cost{2, 1, 3, len(v.Record) + len(z.txt["red.example"][1])}) {
		t.Errorf("redirect: %+v", v)
	}
}

// TestCost counts terms and void look-ups as the package's words say.
func TestCost(t *testing.T) {
	z := newZone()
	z.mx["full.example"] = []resolver.MX{{Host: "nx.example"}, {Host: "host.example"}}
	z.mx["empty.example"] = []resolver.MX{{Host: "nx.example"}, {Host: "nx2.example"}}
	z.mx["null.example"] = []resolver.MX{{Host: ""}}
	z.ip["host.example"] = addrs("192.0.2.200")
	z.txt["leaf.example"] = []string{"v=spf1 a:nx.example"}
	nine := strings.Repeat(" a:host.example", 9)
	for _, tc := range []struct {
		record         string
		lookups, voids int
		want           authres.Result
	}{
		{"ip4:192.0.2.3 all:", 0, 0, authres.PermError},
		{"a:nx.example mx:nx.example ?all", 2, 2, authres.Neutral},
		{"a:nx.example mx:nx.example exists:nx.example ?all", 3, 3, authres.PermError},
		{"mx:full.example mx:null.example mx:empty.example", 3, 1, authres.Neutral},
		{"ptr:nx.example ptr:nx.example ptr:nx.example", 3, 0, authres.Neutral},
		{"a:a..example a:%{h}.example a:a..example", 3, 1, authres.Neutral},
		{"include:leaf.example include:leaf.example include:leaf.example +all", 6, 3, authres.PermError},
		{"a" + nine[2:] + " exists:%{p}.x.example", 11, 0, authres.PermError},
		{"a" + nine[2:] + " ptr -all exp=%{p}.x.example", 10, 0, authres.Fail},
		{"ptr" + nine[:len(nine)-len(" a:host.example")] + " ?exists:%{p}.x.example", 10, 1, authres.Neutral},
		{"redirect=" + strings.Repeat("%{S}", 4000), 1, 0, authres.PermError},
	} {
		z.txt["a.example"] = []string{"v=spf1 " + tc.record}
		v := check(t, z, "192.0.2.1", "bob", "a.example")
		if v.Result != tc.want || v.Cost.Lookups != tc.lookups || v.Cost.Voids != tc.voids {
			t.Errorf("%.60s: %s with %+v (%s), want %+v", tc.record, v.Result, v.Cost, v.Problem, tc)
		}
	}
}

func TestFit(t *testing.T) {
	x := strings.Repeat("x", 300)
	for in, want := range map[string]string{
		"": "", ".": "", "a.": "a", "a..": "a.", x: x[:254], x + ".b.example": "b.example", "a." + x[:251]: "a." + x[:251], "a." + x[:252]: x[:252], "b.a." + x[:251]: "a." + x[:251],
	} {
		if got := fit(in); got != want {
			t.Errorf("fit(%.20q, %d octets) = %.20q, %d octets", in, len(in), got, len(got))
		}
	}
}

// firstTerm returns the first directive of text.
func firstTerm(t *testing.T, text string) string {
	t.Helper()
	r, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r.Directives[0].String()
}

// TestNoDomain: what is no domain name is "none", and nothing is asked.
func TestNoDomain(t *testing.T) {
	z := newZone()
	for _, d := range []string{
		"", ".", "a", "a.", "localhost", "[192.0.2.1]", "192.0.2.1", "[IPv6:2001:db8::1]", "2001:db8::1", "a..example", ".example.org", "a b.example", "a@b.example", "a.example(x", "a.example\x00", "a.example\r\nx",
		"a;b.example", `"a".example`, "é\xff.example", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 130) + "example", "a.-example", "..",
	} {
		if v := check(t, z, "192.0.2.1", "x", d); v.Result != authres.None || v.Cost != (Cost{}) {
			t.Errorf("%q: %+v", d, v)
		}
		h := New(z, "").Helo(t.Context(), Client{Addr: netip.MustParseAddr("192.0.2.1"), Helo: d})
		if h.Result != authres.None || z.asked != 0 {
			t.Errorf("HELO %q: %+v", d, h)
		}
	}
}

// TestIdentities: each identity is asked by its own name, and a null
// reverse-path is postmaster at HELO.
func TestIdentities(t *testing.T) {
	z := newZone()
	z.txt["helo.example"] = []string{"v=spf1 exists:%{l}.%{o}.%{h}.x.example -all"}
	z.txt["from.example"] = []string{"v=spf1 -all"}
	z.ip["postmaster.helo.example.helo.example.x.example"] = addrs("127.0.0.2")
	c := New(z, "")
	client := Client{Addr: netip.MustParseAddr("192.0.2.1"), Helo: "helo.example"}
	if h := c.Helo(t.Context(), client); h.Result != authres.Pass || h.Domain != "helo.example" {
		t.Errorf("Helo = %+v", h)
	}
	null := c.MailFrom(t.Context(), client, mailaddr.Address{})
	if null.Result != authres.Pass || !null.NullPath || !reflect.DeepEqual(null, c.Helo(t.Context(), client).AsMailFrom()) {
		t.Errorf("MailFrom of <> = %+v", null)
	}
	from := c.MailFrom(t.Context(), client, mailaddr.Address{LocalPart: "a@helo.example", Domain: "from.example"})
	if from.Result != authres.Fail || from.NullPath || from.Domain != "from.example" {
		t.Errorf("MailFrom = %+v", from)
	}
	if none := c.MailFrom(t.Context(), client, mailaddr.Address{LocalPart: "postmaster"}); none.Result != authres.None || none.NullPath {
		t.Errorf("MailFrom of <postmaster> = %+v", none)
	}
}

// TestHostile: each has its bound in counters; check holds the common ones.
func TestHostile(t *testing.T) {
	z := newZone()
	big := func(term string) string {
		return "v=spf1" + strings.Repeat(" "+term, (64<<10-6)/(len(term)+1))
	}
	z.txt["redirect.example"] = []string{"v=spf1 redirect=redirect.example"}
	z.txt["include.example"] = []string{"v=spf1 include:include.example -all"}
	z.txt["ping.example"], z.txt["pong.example"] = []string{"v=spf1 include:pong.example"}, []string{"v=spf1 redirect=ping.example"}
	z.txt["wide.example"] = []string{"v=spf1" + strings.Repeat(" include:leaf.example", 4000)}
	z.txt["leaf.example"] = []string{"v=spf1 -all"}
	for i := range 10 {
		z.txt[fmt.Sprintf("tree%d.example", i)] = []string{fmt.Sprintf("v=spf1 include:tree%d.example include:tree%d.example", i+1, i+1)}
	}
	z.txt["tree10.example"] = []string{"v=spf1 -all"}
	z.txt["voids.example"] = []string{"v=spf1" + strings.Repeat(" a:nx.example", 4000)}
	z.txt["mxs.example"] = []string{"v=spf1" + strings.Repeat(" mx:hosts.example", 4000) + " -all exp=e.example"}
	for i := range 10 {
		h := fmt.Sprintf("h%d.hosts.example", i)
		z.mx["hosts.example"] = append(z.mx["hosts.example"], resolver.MX{Host: h})
		z.ip[h] = addrs("192.0.2.200")
	}
	z.mx["many.example"] = append(append([]resolver.MX{}, z.mx["hosts.example"]...), resolver.MX{Host: "x.example"})
	z.txt["many.example"] = []string{"v=spf1 mx +all"}
	z.txt["ptrs.example"] = []string{"v=spf1" + strings.Repeat(" ptr:a.example", 10) + " -all exp=e.example"}
	for i := range 500 {
		n := fmt.Sprintf("n%d.example.net", i)
		z.ptr["1.2.0.192.in-addr.arpa"] = append(z.ptr["1.2.0.192.in-addr.arpa"], n)
		z.ip[n] = addrs("192.0.2.2")
	}
	z.ip["n499.example.net"] = addrs("192.0.2.1")
	z.txt["late.example"] = []string{"v=spf1 ptr:n499.example.net -all"}
	z.txt["ps.example"] = []string{"v=spf1" + strings.Repeat(" exists:%{p}.%{p}.x.example", 4) + " -all"}
	z.txt["terms.example"] = []string{big("a")}
	z.txt["ip4.example"] = []string{big("ip4:198.51.100.99") + " -all"}
	z.txt["octets.example"] = []string{"v=spf1 a:" + strings.Repeat("a.", 30<<10) + "example -all"}
	z.txt["open.example"] = []string{"v=spf1 a:" + strings.Repeat("%{l", 20<<10) + "}.example -all"}
	z.txt["blow.example"] = []string{"v=spf1 exists:" + strings.Repeat("%{S}", 16<<10) + ".example -all"}
	z.txt["blows.example"] = []string{"v=spf1 include:blow1.example -all"}
	z.txt["delims.example"] = []string{"v=spf1 exists:" + strings.Repeat("%{l1r.-+,/_=}", 4<<10) + ".example -all"}
	z.txt["text.example"], z.txt["e.example"] = []string{"v=spf1 -all exp=e.example"}, []string{strings.Repeat("%{s}", 1000)}
	z.txt["records.example"] = []string{}
	for range 1000 {
		z.txt["records.example"] = append(z.txt["records.example"], "v=spf1 +all")
	}
	local := strings.Repeat("a.b-c+", 40)
	for _, tc := range []struct {
		domain       string
		want         authres.Result
		reason       string
		lookups, ask int // at most
	}{
		{"redirect.example", authres.PermError, reasonLookups, 11, 11},
		{"include.example", authres.PermError, reasonLookups, 11, 11},
		{"ping.example", authres.PermError, reasonLookups, 11, 11},
		{"wide.example", authres.PermError, reasonLookups, 11, 11},
		{"tree0.example", authres.PermError, reasonLookups, 11, 11},
		{"voids.example", authres.PermError, reasonVoids, 3, 4},
		{"mxs.example", authres.PermError, reasonLookups, 11, 111},
		{"many.example", authres.PermError, reasonHosts, 1, 2},
		{"ptrs.example", authres.Fail, "", 10, 13},
		{"late.example", authres.Fail, "", 1, 12},
		{"ps.example", authres.PermError, reasonVoids, 5, 15},
		{"terms.example", authres.PermError, reasonRecord, 0, 1},
		{"ip4.example", authres.Fail, "", 0, 1},
		{"octets.example", authres.Fail, "", 1, 2},
		{"open.example", authres.PermError, reasonRecord, 0, 1},
		{"blow.example", authres.PermError, reasonRecord, 1, 1},
		{"delims.example", authres.PermError, reasonRecord, 1, 1},
		{"text.example", authres.Fail, "", 0, 2},
		{"records.example", authres.PermError, reasonRecords, 0, 1},
	} {
		v := check(t, z, "192.0.2.1", local, tc.domain)
		if v.Result != tc.want || v.Reason != tc.reason || v.Cost.Lookups > tc.lookups || v.Cost.Questions > tc.ask || v.Explanation != "" {
			t.Errorf("%s: %s %q with %+v %.50q, want %+v", tc.domain, v.Result, v.Reason, v.Cost, v.Explanation, tc)
		}
	}
	for _, domain := range []string{"wide.example", "ip4.example", "tree0.example"} {
		v := New(z, "").MailFrom(t.Context(), Client{Addr: netip.MustParseAddr("192.0.2.1"), Trace: true}, mailaddr.Address{LocalPart: "x", Domain: domain})
		if len(v.Steps) > maxSteps {
			t.Errorf("%s: %d steps", domain, len(v.Steps))
		}
	}
}

// TestExplanation: what macros bring in cannot leave the line, nor ASCII.
func TestExplanation(t *testing.T) {
	z := newZone()
	z.txt["f.example"] = []string{"v=spf1 -all exp=e.example"}
	z.txt["inc.example"] = []string{"v=spf1 include:f.example -all"}
	z.txt["red.example"] = []string{"v=spf1 redirect=f.example exp=other.example"}
	explain := func(domain, helo, text string) Explanation {
		z.txt["e.example"] = []string{text}
		return New(z, "").MailFrom(t.Context(), Client{Addr: netip.MustParseAddr("192.0.2.1"), Helo: helo, Explain: true}, mailaddr.Address{LocalPart: "x", Domain: domain}).Explanation
	}
	for _, tc := range []struct{ domain, helo, text, want string }{
		{"f.example", "h", "no %{h} at %{r}", "no h at unknown"},
		{"f.example", "h\r\n250 ok", "no %{h}", ""},
		{"f.example", "h\r\n250 ok", "no %{H}", "no h%0D%0A250%20ok"},
		{"f.example", "\x00", "no %{h}", ""},
		{"f.example", "é", "no %{h}", ""},
		{"f.example", "h", "no\r\n250 ok", ""},
		{"f.example", "h", "né", ""},
		{"f.example", "h", "100%", ""},
		{"f.example", "h", "", ""},
		{"f.example", "h", strings.Repeat("x", 500), strings.Repeat("x", 500)},
		{"f.example", "h", strings.Repeat("x", 501), ""},
		{"inc.example", "h", "text", ""},
		{"red.example", "h", "%{d} for %{o}", "f.example for red.example"},
	} {
		if got := explain(tc.domain, tc.helo, tc.text); string(got) != tc.want {
			t.Errorf("%s, HELO %q, %.20q: %q, want %q", tc.domain, tc.helo, tc.text, got, tc.want)
		}
	}
	z.asked = 0
	v := New(z, "").MailFrom(t.Context(), Client{Addr: netip.MustParseAddr("192.0.2.1")}, mailaddr.Address{LocalPart: "x", Domain: "f.example"})
	if v.Explanation != "" || z.asked != 1 {
		t.Errorf("not asked for: %q after %d questions", v.Explanation, z.asked)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "reply", Explanation(`a "b" level=ERROR`))
	if !strings.Contains(log.String(), `reply="\"a \\\"b\\\" level=ERROR\""`) {
		t.Errorf("log line %s", log.String())
	}
}

func TestSteps(t *testing.T) {
	z := newZone()
	z.txt["a.example"] = []string{"v=spf1 mx a:nx.%{d} include:b.example -all"}
	z.txt["b.example"] = []string{"v=spf1 ip4:192.0.2.7 redirect=c.example"}
	z.txt["c.example"] = []string{"v=spf1 ip4:192.0.2.1"}
	v := New(z, "").MailFrom(t.Context(), Client{Addr: netip.MustParseAddr("192.0.2.1"), Trace: true}, mailaddr.Address{LocalPart: "x", Domain: "a.example"})
	want := []Step{
		{0, "a.example", z.txt["a.example"][0], "", "record", 0, 0},
		{0, "a.example", "mx", "a.example", "no match", 1, 1},
		{0, "a.example", "a:nx.%{d}", "nx.a.example", "no match", 2, 2},
		{1, "b.example", z.txt["b.example"][0], "", "record", 3, 2},
		{1, "b.example", "ip4:192.0.2.7", "", "no match", 3, 2},
		{1, "b.example", "redirect=c.example", "c.example", "redirect", 4, 2},
		{2, "c.example", z.txt["c.example"][0], "", "record", 4, 2},
		{2, "c.example", "ip4:192.0.2.1", "", "match", 4, 2},
		{0, "a.example", "include:b.example", "b.example", "match", 4, 2},
	}
	if v.Result != authres.Pass || v.Term != "include:b.example" || v.Source != "a.example" || !reflect.DeepEqual(v.Steps, want) {
		t.Errorf("%+v", v)
	}
}

// TestTimeIsOver: what was not answered in time is temperror, never fail.
func TestTimeIsOver(t *testing.T) {
	for _, text := range []string{"v=spf1 -all", "v=spf1 ptr -all", "v=spf1 exists:%{p}.example -all", "v=spf1 mx -all", "v=spf1 a -all", "v=spf1 include:b.example -all", "v=spf1 redirect=b.example"} {
		ctx, cancel := context.WithCancel(t.Context())
		z := &endingDNS{zone: newZone(), cancel: cancel}
		z.txt["a.example"] = []string{text}
		v := New(z, "").MailFrom(ctx, Client{Addr: netip.MustParseAddr("192.0.2.1")}, mailaddr.Address{LocalPart: "x", Domain: "a.example"})
		want := authres.TempError
		if text == "v=spf1 -all" {
			want = authres.Fail
		}
		if v.Result != want {
			t.Errorf("%s: %s, want %s", text, v.Result, want)
		}
		cancel()
	}
}

// endingDNS ends the context when the first record was read.
type endingDNS struct {
	*zone
	cancel context.CancelFunc
}

func (e *endingDNS) LookupTXT(ctx context.Context, name string) ([]string, error) {
	txt, err := e.zone.LookupTXT(ctx, name)
	e.cancel()
	return txt, err
}

// TestPanicReachesTheCaller: one in a look-up of its own goroutine too, so
// that the caller's recover can turn it into a result.
func TestPanicReachesTheCaller(t *testing.T) {
	z := &panickyDNS{newZone()}
	z.txt["a.example"] = []string{"v=spf1 mx -all"}
	z.mx["a.example"] = []resolver.MX{{Host: "b.example"}, {Host: "c.example"}}
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "planted") {
			t.Errorf("recover() = %v", v)
		}
	}()
	New(z, "").MailFrom(t.Context(), Client{Addr: netip.MustParseAddr("192.0.2.1")}, mailaddr.Address{LocalPart: "x", Domain: "a.example"})
}

type panickyDNS struct{ *zone }

func (panickyDNS) LookupIP(context.Context, string, string) ([]netip.Addr, error) { panic("planted") }

// FuzzCheck: no record makes a check cost more than the limits say.
func FuzzCheck(f *testing.F) {
	f.Add("v=spf1 include:b.example mx ptr:%{p} -all exp=%{l}.example", "v=spf1 redirect=%{h}.%{o2} a:%{d}", "%{S} %{t}", "x", "a.example", false)
	f.Add("v=spf1 redirect=a.example", "v=spf1 include:a.example", "", "é", "", true)
	f.Fuzz(func(t *testing.T, a, b, exp, local, helo string, six bool) {
		z := newZone()
		z.txt["a.example"], z.txt["b.example"], z.txt["x.example"] = []string{a}, []string{b}, []string{exp}
		z.mx["a.example"] = []resolver.MX{{Host: "b.example"}, {Host: ""}, {Host: "c.example"}}
		z.ip["b.example"] = addrs("192.0.2.9", "2001:db8::9")
		z.ptr["1.2.0.192.in-addr.arpa"] = []string{"b.example", helo}
		client := "192.0.2.1"
		if six {
			client = "2001:db8::1"
		}
		cl := Client{Addr: netip.MustParseAddr(client), Helo: helo, Explain: true, Trace: true}
		v := New(z, "").MailFrom(t.Context(), cl, mailaddr.Address{LocalPart: local, Domain: "a.example"})
		bounded(t, z, v.Verdict)
		if !IsRecord(a) && v.Result != authres.None {
			t.Errorf("%q is no record: %+v", a, v)
		}
		for _, c := range []byte(string(v.Explanation) + v.Problem + v.Reason) {
			if c < ' ' || c > '~' {
				t.Errorf("%q, %q", v.Explanation, v.Problem)
			}
		}
	})
}

func BenchmarkCheckInclude(b *testing.B) {
	z := newZone()
	z.txt["example.org"] = []string{"v=spf1 ip4:198.51.100.0/24 ip6:2001:db8:1::/48 a:mail.example.org include:_spf.example.net -all"}
	z.txt["_spf.example.net"] = []string{"v=spf1 ip4:203.0.113.0/24 ip4:192.0.2.0/28 ip4:192.0.2.64/26 ip4:192.0.2.128/25 ~all"}
	z.ip["mail.example.org"] = addrs("198.51.100.7")
	c := New(z, "mx.example.com")
	client := Client{Addr: netip.MustParseAddr("192.0.2.130"), Helo: "mail.example.org"}
	from := mailaddr.Address{LocalPart: "bob", Domain: "example.org"}
	b.ReportAllocs()
	for b.Loop() {
		if v := c.MailFrom(context.Background(), client, from); v.Result != authres.Pass {
			b.Fatal(v)
		}
	}
}
