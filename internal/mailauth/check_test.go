package mailauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dkim"
	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/unit"
)

// anyHash is a body hash that is none.
const anyHash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// hashOf is bh= of a body that is canonical as it stands.
func hashOf(canonical string) string {
	sum := sha256.Sum256([]byte(canonical))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// fakeDNS is DNS as maps. A name in ill has no answer; one in hang answers
// when the context ends. It counts what is asked.
type fakeDNS struct {
	txt       map[string][]string
	ip        map[string][]string
	mx        map[string][]string
	ptr       map[string][]string // by address
	ill, hang map[string]bool
	panics    string

	mu    sync.Mutex
	asked []string
}

func (f *fakeDNS) ask(ctx context.Context, typ, name string) error {
	name = strings.ToLower(name)
	f.mu.Lock()
	f.asked = append(f.asked, typ+" "+name)
	f.mu.Unlock()
	if f.panics != "" && strings.Contains(name, f.panics) {
		panic("planted")
	}
	if f.hang[name] || f.hang["*"] {
		<-ctx.Done()
	}
	if ctx.Err() != nil || f.ill[name] {
		return mailerr.With(mailerr.Transient, errors.New("no server answered"))
	}
	return nil
}

func (f *fakeDNS) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if err := f.ask(ctx, "TXT", name); err != nil {
		return nil, err
	}
	return f.txt[strings.ToLower(name)], nil
}

func (f *fakeDNS) LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	if err := f.ask(ctx, network, name); err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, s := range f.ip[strings.ToLower(name)] {
		a := netip.MustParseAddr(s)
		if network == "ip" || a.Is4() == (network == "ip4") {
			out = append(out, a)
		}
	}
	return out, nil
}

func (f *fakeDNS) LookupMX(ctx context.Context, name string) ([]resolver.MX, error) {
	if err := f.ask(ctx, "MX", name); err != nil {
		return nil, err
	}
	var out []resolver.MX
	for _, h := range f.mx[strings.ToLower(name)] {
		out = append(out, resolver.MX{Host: h})
	}
	return out, nil
}

func (f *fakeDNS) LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error) {
	if err := f.ask(ctx, "PTR", addr.String()); err != nil {
		return nil, err
	}
	return f.ptr[addr.String()], nil
}

func (f *fakeDNS) Exists(ctx context.Context, name string) (bool, error) {
	if err := f.ask(ctx, "exists", name); err != nil {
		return false, err
	}
	name = strings.ToLower(name)
	return f.txt[name] != nil || f.ip[name] != nil || f.mx[name] != nil, nil
}

func checker(t testing.TB, dns dnsResolver) *Checker {
	t.Helper()
	c, err := New(dns, Default(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func address(t testing.TB, s string) mailaddr.Address {
	t.Helper()
	a, err := mailaddr.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// input returns an Input with the message msg.
func input(msg string) Input {
	return Input{Raw: rawmsg.Scan([]byte(msg), rawmsg.Default()), Body: func() io.Reader { return strings.NewReader(msg) }}
}

func TestIPRev(t *testing.T) {
	dns := &fakeDNS{
		ptr: map[string][]string{
			"192.0.2.1": {"other.example", "good.example"}, "192.0.2.2": {"other.example"}, "192.0.2.4": {"ill.example", "other.example"},
			"192.0.2.5": {"ill.example", "good5.example"}, "2001:db8::1": {"six.example"}, "192.0.2.6": {"four.example"},
		},
		ip: map[string][]string{
			"other.example": {"198.51.100.1"}, "good.example": {"198.51.100.2", "192.0.2.1"}, "good5.example": {"192.0.2.5"},
			"six.example": {"2001:db8::1"}, "four.example": {"::ffff:192.0.2.6"},
		},
		ill: map[string]bool{"192.0.2.3": true, "ill.example": true},
	}
	for i := range 40 {
		dns.ptr["192.0.2.7"] = append(dns.ptr["192.0.2.7"], fmt.Sprintf("n%d.example", i))
	}
	dns.ip["n39.example"] = []string{"192.0.2.7"}
	for _, tc := range []struct {
		addr, name string
		want       authres.Result
		wantName   string
	}{
		{"192.0.2.1", "", authres.Pass, "good.example"},
		{"::ffff:192.0.2.1", "unknown", authres.Pass, "good.example"},
		{"192.0.2.2", "", authres.Fail, ""},
		{"192.0.2.3", "", authres.TempError, ""},
		{"192.0.2.4", "", authres.TempError, ""},
		{"192.0.2.5", "", authres.Pass, "good5.example"},
		{"192.0.2.6", "", authres.Fail, ""},
		{"192.0.2.7", "", authres.Fail, ""},
		{"192.0.2.99", "", authres.PermError, ""},
		{"2001:db8::1", "", authres.Pass, "six.example"},
		{"192.0.2.99", "Known.Example.", authres.Pass, "known.example"},
		{"192.0.2.99", "[192.0.2.99]", authres.PermError, ""},
		{"192.0.2.99", "localhost", authres.PermError, ""},
	} {
		dns.asked = nil
		got := checker(t, dns).Check(t.Context(), Input{ClientAddr: netip.MustParseAddr(tc.addr), ClientName: tc.name}).IPRev
		if got.Result != tc.want || got.Name != tc.wantName {
			t.Errorf("iprev of %s %q = %+v, want %s %q", tc.addr, tc.name, got, tc.want, tc.wantName)
		}
		if len(dns.asked) > 1+maxNames {
			t.Errorf("iprev of %s asked %d times", tc.addr, len(dns.asked))
		}
	}
}

func TestSPF(t *testing.T) {
	many := make([]string, 0, 12)
	for i := range 12 {
		many = append(many, fmt.Sprintf("mx%d.example", i))
	}
	dns := &fakeDNS{
		txt: map[string][]string{
			"pass.example": {"unrelated", "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"}, "fail.example": {"v=spf1 -all"},
			"soft.example": {"v=spf1 ~all"}, "neutral.example": {"v=spf1 ?all"}, "empty.example": {"v=spf1"},
			"mx.example": {"v=spf1 mx -all"}, "a.example": {"v=spf1 a -all"}, "exists.example": {"v=spf1 exists:%{l}.%{ir}.%{d} -all"},
			"ptr.example": {"v=spf1 ptr -all"}, "two.example": {"v=spf1 -all", "v=spf1 +all"}, "bad.example": {"v=spf1 nonsense -all"},
			"include.example": {"v=spf1 include:pass.example -all"}, "includeill.example": {"v=spf1 include:ill.example -all"},
			"includenone.example": {"v=spf1 include:none.example -all"}, "illa.example": {"v=spf1 a:ill.example -all"},
			"loop.example": {"v=spf1 redirect=loop.example"}, "loop2.example": {"v=spf1 include:loop2.example -all"},
			"void.example":          {"v=spf1 a:x1.example a:x2.example a:x3.example a:x4.example +all"},
			"manymx.example":        {"v=spf1 mx +all"},
			"flood.example":         {"v=spf1 " + strings.Repeat("a:a.example ", 5000) + "+all"},
			"xn--mller-kva.example": {"v=spf1 +all"}, "helo.example": {"v=spf1 ip4:192.0.2.1 -all"},
			"local.example": {"v=spf1 exists:%{l}.l.example -all"},
		},
		ip: map[string][]string{
			"a.example": {"192.0.2.1", "2001:db8::1"}, "mx1.mx.example": {"192.0.2.1"}, "bob.1.2.0.192.exists.example": {"127.0.0.2"},
			"host.ptr.example": {"192.0.2.1"}, "a@b.l.example": {"127.0.0.2"},
		},
		mx:  map[string][]string{"mx.example": {"mx0.mx.example", "mx1.mx.example"}, "manymx.example": many},
		ptr: map[string][]string{"192.0.2.1": {"host.ptr.example"}},
		ill: map[string]bool{"ill.example": true},
	}
	const client = "192.0.2.1"
	for _, tc := range []struct {
		name, addr, helo, from string
		want                   authres.Result
		reason                 string
	}{
		{"pass", client, "", "<bob@pass.example>", authres.Pass, ""},
		{"pass by IPv6", "2001:db8::5", "", "<bob@pass.example>", authres.Pass, ""},
		{"fail", client, "", "<bob@fail.example>", authres.Fail, ""},
		{"softfail", client, "", "<bob@soft.example>", authres.SoftFail, ""},
		{"neutral", client, "", "<bob@neutral.example>", authres.Neutral, ""},
		{"empty record", client, "", "<bob@empty.example>", authres.Neutral, ""},
		{"none", client, "", "<bob@none.example>", authres.None, ""},
		{"no answer", client, "", "<bob@ill.example>", authres.TempError, "lookup had no answer"},
		{"no answer below", client, "", "<bob@includeill.example>", authres.TempError, "lookup had no answer"},
		{"no address answer", client, "", "<bob@illa.example>", authres.TempError, "lookup had no answer"},
		{"include of none", client, "", "<bob@includenone.example>", authres.PermError, "record cannot be evaluated"},
		{"two records", client, "", "<bob@two.example>", authres.PermError, "more than one record"},
		{"bad record", client, "", "<bob@bad.example>", authres.PermError, "record cannot be evaluated"},
		{"mx", client, "", "<bob@mx.example>", authres.Pass, ""},
		{"a", client, "", "<bob@a.example>", authres.Pass, ""},
		{"a by IPv6", "2001:db8::1", "", "<bob@a.example>", authres.Pass, ""},
		{"macros", client, "", "<bob@exists.example>", authres.Pass, ""},
		{"ptr", client, "", "<bob@ptr.example>", authres.Pass, ""},
		{"include", client, "", "<bob@include.example>", authres.Pass, ""},
		{"redirect to itself", client, "", "<bob@loop.example>", authres.PermError, "too many lookups"},
		{"include of itself", client, "", "<bob@loop2.example>", authres.PermError, "too many lookups"},
		{"void lookups", client, "", "<bob@void.example>", authres.PermError, "too many void lookups"},
		{"many MX", client, "", "<bob@manymx.example>", authres.PermError, "too many MX records"},
		{"many mechanisms", "198.51.100.1", "", "<bob@flood.example>", authres.PermError, "too many lookups"},
		{"U-label", client, "", "<bob@müller.example>", authres.Pass, ""},
		{"address literal", client, "", "<bob@[192.0.2.1]>", authres.None, ""},
		{"local part only", client, "", "<postmaster>", authres.None, ""},
		{"one label", client, "", "<bob@localhost>", authres.None, ""},
		{"quoted at sign does not move the domain", client, "", `<"bob@pass.example"@fail.example>`, authres.Fail, ""},
		{"quoted at sign is part of the local part to macros", client, "", `<"a@b"@local.example>`, authres.Pass, ""},
		{"null path: HELO", client, "Pass.Example", "<>", authres.Pass, ""},
		{"null path: HELO fails", client, "fail.example", "<>", authres.Fail, ""},
		{"HELO does not help MAIL FROM", client, "pass.example", "<bob@fail.example>", authres.Fail, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dns.asked = nil
			in := Input{ClientAddr: netip.MustParseAddr(tc.addr), ClientName: "known.example", Helo: tc.helo, MailFrom: address(t, tc.from)}
			got := checker(t, dns).Check(t.Context(), in).SPF
			if got.MailFrom.Result != tc.want || got.MailFrom.Reason != tc.reason {
				t.Errorf("MAIL FROM %+v, want %s %q", got.MailFrom, tc.want, tc.reason)
			}
			if null := tc.from == "<>"; got.MailFrom.NullPath != null {
				t.Errorf("NullPath = %v", got.MailFrom.NullPath)
			}
			if len(dns.asked) > 40 {
				t.Errorf("%d questions", len(dns.asked))
			}
		})
	}
	t.Run("both identities", func(t *testing.T) {
		got := checker(t, dns).Check(t.Context(), Input{ClientAddr: netip.MustParseAddr(client), Helo: "helo.example", MailFrom: address(t, "<bob@fail.example>")}).SPF
		if got.Helo.Result != authres.Pass || got.Helo.Domain != "helo.example" || got.MailFrom.Result != authres.Fail || got.MailFrom.Domain != "fail.example" {
			t.Errorf("SPF = %+v", got)
		}
	})
	t.Run("hostile HELO with a null path", func(t *testing.T) {
		for _, helo := range []string{"", "a", "pass.example(x", "pass.example\x00", "[192.0.2.1]", "192.0.2.1", "a@pass.example", "pass .example", strings.Repeat("a.", 200) + "example"} {
			r := checker(t, dns).Check(t.Context(), Input{ClientAddr: netip.MustParseAddr(client), Helo: helo})
			if r.SPF.Helo.Result != authres.None || r.SPF.MailFrom.Result != authres.None {
				t.Errorf("HELO %q: %+v", helo, r.SPF)
			}
			if _, err := authres.Encode("mx", r.ResInfo()...); err != nil {
				t.Errorf("HELO %q: %v", helo, err)
			}
		}
	})
}

// TestRunsAtOnce: with a second for each answer, everything is done when the
// longest chain of questions is.
func TestRunsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &slowDNS{fakeDNS: fakeDNS{
			txt: map[string][]string{"a.example": {"v=spf1 ip4:192.0.2.1 -all"}, "b.example": {"v=spf1 -all"}},
			ptr: map[string][]string{"192.0.2.1": {"n1.example", "n2.example", "n3.example"}},
			ip:  map[string][]string{"n3.example": {"192.0.2.1"}},
		}}
		in := input(strings.Repeat("DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=s; h=from; bh="+anyHash+"; b=AAAA\r\n", 20) + "From: a@b\r\n\r\n")
		in.ClientAddr, in.Helo, in.MailFrom = netip.MustParseAddr("192.0.2.1"), "b.example", address(t, "<x@a.example>")
		begin := time.Now()
		r := checker(t, dns).Check(t.Context(), in)
		if took := time.Since(begin); took != 2*time.Second || r.Took != took {
			t.Errorf("took %v (%v), want 2s", took, r.Took)
		}
		if r.IPRev.Result != authres.Pass || r.SPF.MailFrom.Result != authres.Pass || r.SPF.Helo.Result != authres.Fail || len(r.DKIM) != dkim.MaxSignatures || r.DKIMSkipped != 12 {
			t.Errorf("Check = %+v", r)
		}
	})
}

// slowDNS takes a second for each answer.
type slowDNS struct{ fakeDNS }

func (s *slowDNS) LookupTXT(ctx context.Context, name string) ([]string, error) {
	time.Sleep(time.Second)
	return s.fakeDNS.LookupTXT(ctx, name)
}

func (s *slowDNS) LookupAddr(ctx context.Context, a netip.Addr) ([]string, error) {
	time.Sleep(time.Second)
	return s.fakeDNS.LookupAddr(ctx, a)
}

func (s *slowDNS) LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	time.Sleep(time.Second)
	return s.fakeDNS.LookupIP(ctx, network, name)
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &fakeDNS{hang: map[string]bool{"*": true}}
		in := input("DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=s; h=from; bh=" + hashOf("\r\n") + "; b=AAAA\r\nFrom: a@b\r\n\r\n")
		in.ClientAddr, in.Helo, in.MailFrom = netip.MustParseAddr("192.0.2.1"), "b.example", address(t, "<x@a.example>")
		cfg := Default()
		cfg.Timeout = unit.Duration(3 * time.Second)
		c, err := New(dns, cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		r := c.Check(t.Context(), in)
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
		for _, res := range r.ResInfo() {
			if res.Result != authres.TempError {
				t.Errorf("%+v, want temperror", res)
			}
		}
		if len(r.ResInfo()) != 5 {
			t.Errorf("ResInfo() = %+v", r.ResInfo())
		}
	})
}

func TestPanicCostsOneResult(t *testing.T) {
	var log strings.Builder
	dns := &fakeDNS{panics: "panic", txt: map[string][]string{"a.example": {"v=spf1 +all"}}, ptr: map[string][]string{"192.0.2.1": {"x.example"}}}
	c, err := New(dns, Default(), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	in := input("DKIM-Signature: v=1; a=rsa-sha256; d=panic.example; s=s; h=from; bh=" + hashOf("\r\n") + "; b=AAAA\r\nFrom: a@b\r\n\r\n")
	in.ClientAddr, in.Helo, in.MailFrom = netip.MustParseAddr("192.0.2.1"), "panic.example", address(t, "<x@a.example>")
	r := c.Check(t.Context(), in)
	if r.DKIM[0].Result != authres.TempError || r.SPF.Helo.Result != authres.TempError || r.SPF.MailFrom.Result != authres.Pass {
		t.Errorf("Check = %+v", r)
	}
	if n := strings.Count(log.String(), "authentication check panicked"); n != 2 {
		t.Errorf("%d panics in the log, want 2", n)
	}
}

func TestResInfo(t *testing.T) {
	if got := (Results{}).ResInfo(); len(got) != 0 {
		t.Errorf("zero Results give %+v", got)
	}
	r := Results{
		IPRev: IPRev{Result: authres.Pass, Addr: netip.MustParseAddr("2001:db8::1"), Name: "a.example"},
		SPF: SPF{
			MailFrom: SPFMailFrom{Result: authres.Pass, Domain: "b.example", Sender: `"x y"@b.example`},
			Helo:     SPFHelo{Result: authres.None, Domain: "bad\x00helo"},
		},
		DKIM: []DKIM{{Result: authres.Pass, Domain: "c.example", Selector: "s", Algorithm: "rsa-sha256", B: "AbCdEfGh"}},
	}
	got, err := authres.Encode("mx.example", r.ResInfo()...)
	want := "mx.example;\n\tiprev=pass policy.iprev=\"2001:db8::1\";\n\tspf=pass smtp.mailfrom=\"\\\"x y\\\"@b.example\";\n\tspf=none;\n" +
		"\tdkim=pass header.d=c.example header.s=s header.a=rsa-sha256\n\theader.b=AbCdEfGh"
	if err != nil || got != want {
		t.Errorf("Encode = %q, %v, want %q", got, err, want)
	}
	null := Results{SPF: SPF{MailFrom: SPFMailFrom{Result: authres.Pass, NullPath: true}, Helo: SPFHelo{Result: authres.Pass, Domain: "h.example"}}, DKIMChecked: true}
	if got, err := authres.Encode("mx", null.ResInfo()...); err != nil || got != "mx;\n\tspf=pass smtp.helo=h.example;\n\tdkim=none" {
		t.Errorf("Encode = %q, %v", got, err)
	}
}

// TestLongTagName: a message whose reason no field can carry has a field all the
// same, and is not put off for ever.
func TestLongTagName(t *testing.T) {
	name := strings.Repeat("a", 300)
	tag := name + "=1; " + name + "=2"
	head := "DKIM-Signature: " + tag + "\r\nARC-Authentication-Results: i=1; x; none\r\n" +
		"ARC-Message-Signature: i=1; " + tag + "\r\nARC-Seal: i=1; " + tag + "\r\n"
	r := checker(t, &fakeDNS{}).Check(t.Context(), input(head+"From: a@d.example\r\n\r\n"))
	if len(r.DKIM) != 1 || r.DKIM[0].Result != authres.PermError || len(r.DKIM[0].Reason) > 50 || len(r.ARC.Reason) > 50 {
		t.Errorf("DKIM = %+v, ARC = %s %q", r.DKIM, r.ARC.Result, r.ARC.Reason)
	}
	for _, reason := range []string{r.DKIM[0].Reason, name, "\x00"} {
		r.DKIM[0].Reason = reason
		if got, err := authres.Encode("mx.example", r.ResInfo()...); err != nil || !strings.Contains(got, "dkim=permerror") {
			t.Errorf("Encode = %q, %v", got, err)
		}
	}
}

func TestIsHost(t *testing.T) {
	good := []string{"a.example", "A-1.b_c.example.", "1.2.example"}
	for _, s := range append(good, "", "a", ".", "a..b", ".a.b", "a b.c", "a.b;", "1.2.3.4", "a.é", "a.b\x00") {
		if got := isHost(s); got != slices.Contains(good, s) {
			t.Errorf("isHost(%q) = %v", s, got)
		}
	}
}

// TestChangedBodyNeedsNoKey: a stranger who names a selector of a broken zone
// gets fail for a body that nobody signed, not temperror.
func TestChangedBodyNeedsNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(&fakeDNS{hang: map[string]bool{"*": true}}, Default(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for hash, want := range map[string]authres.Result{anyHash: authres.Fail, hashOf("\r\n"): authres.TempError} {
			in := input("DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=s; h=from; bh=" + hash + "; b=AAAA\r\nFrom: a@b\r\n\r\n")
			if r := c.Check(t.Context(), in); len(r.DKIM) != 1 || r.DKIM[0].Result != want {
				t.Errorf("bh=%s: %+v, want %s", hash, r.DKIM, want)
			}
		}
	})
}
