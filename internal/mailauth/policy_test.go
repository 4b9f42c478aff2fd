package mailauth

import (
	"context"
	"crypto/rsa"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/mailauth/arc"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	sig "github.com/gatepost/gatepost/internal/mailauth/dkim"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/unit"

	"github.com/emersion/go-msgauth/dkim"
)

const (
	// home is the author's client, relay that of a forwarder.
	home, relay = "192.0.2.1", "198.51.100.1"
	body        = "Hello.\r\n"
)

// policies has p=reject at d.example, which allows home, and forwarders with a
// key and SPF each.
func (k testKeys) policies(t testing.TB) *fakeDNS {
	dns := k.zone(t)
	for name, txt := range map[string]string{
		"_dmarc.d.example": "v=DMARC1; p=reject; sp=quarantine", "d.example": "v=spf1 ip4:" + home + " -all",
		"_dmarc.test.example": "v=DMARC1; p=reject; t=y", "_dmarc.none.example": "v=DMARC1; p=none",
		"one.example": "v=spf1 ip4:" + relay + " -all", "two.example": "v=spf1 -all",
		"s._domainkey.one.example": rsaRecord(t, &k.rsa2048.PublicKey),
		"s._domainkey.two.example": rsaRecord(t, &k.rsa1024.PublicKey),
	} {
		dns.txt[name] = []string{txt}
	}
	return dns
}

// from returns a message with a header of these From fields.
func from(authors ...string) string {
	return "From: " + strings.Join(authors, "\r\nFrom: ") + "\r\nTo: bob@example.net\r\nSubject: a\r\n\r\n" + body
}

// mailOf is a message that came by SMTP.
func mailOf(t testing.TB, client, helo, mailFrom, msg string) Input {
	in := input(msg)
	in.ClientAddr, in.ClientName, in.Helo, in.MailFrom = netip.MustParseAddr(client), "known.example", helo, address(t, mailFrom)
	return in
}

func TestDMARC(t *testing.T) {
	k := makeKeys(t)
	const me = "Alice <alice@d.example>"
	signed := sign(t, from(me), "r", k.rsa2048)
	huge := "X: " + strings.Repeat("a", 300<<10) + "\r\n"
	for _, tc := range []struct {
		name                         string
		client, helo, mailFrom, text string
		want                         authres.Result
		policy                       dmarc.Policy
	}{
		{"SPF vouches", home, "", "<alice@d.example>", from(me), authres.Pass, dmarc.None},
		{"a subdomain without SPF", home, "", "<alice@x.d.example>", from(me), authres.Fail, dmarc.Reject},
		{"DKIM vouches", relay, "", "<list@one.example>", signed, authres.Pass, dmarc.None},
		{"nobody vouches", relay, "", "<list@one.example>", from(me), authres.Fail, dmarc.Reject},
		{"policy of subdomains", relay, "", "<list@one.example>", from("a@x.d.example"), authres.Fail, dmarc.Quarantine},
		{"test mode", relay, "", "<list@one.example>", from("a@test.example"), authres.Fail, dmarc.Quarantine},
		{"p=none", relay, "", "<list@one.example>", from("a@none.example"), authres.Fail, dmarc.None},
		{"no record", relay, "", "<list@one.example>", from("a@other.example"), authres.None, dmarc.None},
		{"HELO in place of a null path", home, "d.example", "<>", from(me), authres.Pass, dmarc.None},
		{"HELO beside MAIL FROM", home, "d.example", "<list@one.example>", from(me), authres.Fail, dmarc.Reject},
		{"body changed", relay, "", "<list@one.example>", signed + "x", authres.Fail, dmarc.Reject},
		{"SPF had no answer", home, "", "<a@ill.example>", from(me), authres.Fail, dmarc.Reject},
		{"no From", home, "", "<alice@d.example>", "To: a@b.example\r\n\r\n" + body, authres.PermError, dmarc.Quarantine},
		{"two From fields", home, "", "<alice@d.example>", from(me, me), authres.PermError, dmarc.Quarantine},
		{"two From fields, one forged", home, "", "<a@one.example>", from(me, "a@one.example"), authres.Fail, dmarc.Reject},
		{"two authors", home, "", "<alice@d.example>", from(me + ", a@none.example"), authres.Fail, dmarc.None},
		{"blank before the colon", relay, "", "<a@one.example>", strings.Replace(from(me), "From:", "From :", 1), authres.Fail, dmarc.Reject},
		{"header too large", home, "", "<alice@d.example>", strings.Replace(from(me), "\r\n", "\r\n"+huge, 1), authres.PermError, dmarc.Quarantine},
		{"header too large, forged", relay, "", "<a@one.example>", strings.Replace(from(me), "\r\n", "\r\n"+huge, 1), authres.Fail, dmarc.Reject},
		{"Sender is no author", home, "", "<alice@d.example>", "Sender: " + me + "\r\n" + from("a@x.d.example"), authres.Pass, dmarc.None},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dns := k.policies(t)
			dns.ill["ill.example"] = true
			got := checker(t, dns).Check(t.Context(), mailOf(t, tc.client, tc.helo, tc.mailFrom, tc.text))
			if got.DMARC.Result != tc.want || got.Policy() != tc.policy {
				t.Errorf("DMARC = %+v, policy %s, want %s %s", got.DMARC, got.Policy(), tc.want, tc.policy)
			}
			if _, err := authres.Encode("mx", got.ResInfo()...); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("l= shorter than the body", func(t *testing.T) {
		r := Results{DMARCChecked: true, DKIM: []DKIM{{Result: authres.Pass, Domain: "d.example", Partial: true}}}
		in := mailOf(t, relay, "", "<list@one.example>", from(me))
		c := checker(t, k.policies(t))
		p := policy{from: readFrom(in.Raw)}
		var wg sync.WaitGroup
		c.beginPolicy(t.Context(), &wg, c.set.Load(), &p)
		wg.Wait()
		c.finishPolicy(t.Context(), c.set.Load(), in, p, &r)
		if r.DMARC.Result != authres.Fail {
			t.Errorf("DMARC = %+v, want fail", r.DMARC)
		}
	})
	t.Run("client not known", func(t *testing.T) {
		in := input(from(me))
		in.MailFrom = address(t, "<alice@d.example>")
		if got := checker(t, k.policies(t)).Check(t.Context(), in); got.DMARC.Result != authres.TempError {
			t.Errorf("DMARC = %+v, want temperror: SPF was not asked", got.DMARC)
		}
	})
	t.Run("psl", func(t *testing.T) {
		cfg := Default()
		cfg.DMARC.Mode = dmarc.ModePSL
		c, err := New(k.policies(t), cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		got := c.Check(t.Context(), mailOf(t, relay, "", "<a@one.example>", from("a@a.b.d.example")))
		if got.DMARC.Result != authres.Fail || got.DMARC.OrgDomain != "d.example" || len(got.DMARC.Asked) != 2 {
			t.Errorf("DMARC = %+v, want fail by d.example with two questions", got.DMARC)
		}
	})
}

// TestSlowStranger: DNS of the envelope sender never answers, and the policy
// of the forged author still does.
func TestSlowStranger(t *testing.T) {
	k := makeKeys(t)
	synctest.Test(t, func(t *testing.T) {
		dns := k.policies(t)
		dns.hang = map[string]bool{"evil.example": true, "s._domainkey.evil.example": true}
		cfg := Default()
		cfg.Timeout = unit.Duration(3 * time.Second)
		c, err := New(dns, cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		signature := "DKIM-Signature: v=1; a=rsa-sha256; d=evil.example; s=s; h=from; bh=" + hashOf(body) + "; b=AAAA\r\n"
		// An identifier below the author's domain makes the last questions.
		in := mailOf(t, home, "evil.example", "<x@sub.d.example>", signature+from("a@x.d.example"))
		dns.txt["sub.d.example"] = []string{"v=spf1 +all"}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		r := c.Check(ctx, in)
		if r.SPF.Helo.Result != authres.TempError || r.DKIM[0].Result != authres.TempError || r.DMARC.Result != authres.Pass {
			t.Errorf("Check = %+v, want DMARC pass: sub and x are of one organization", r)
		}
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("took %v, want 2s: a third is kept for DMARC", took)
		}
		in.MailFrom = address(t, "<x@evil.example>")
		if r := c.Check(t.Context(), in); r.DMARC.Result != authres.Fail || r.Policy() != dmarc.Quarantine {
			t.Errorf("DMARC = %+v, want fail", r.DMARC)
		}
	})
}

// TestPanicIsNoFail: what broke may have been what vouches.
func TestPanicIsNoFail(t *testing.T) {
	k := makeKeys(t)
	for _, tc := range []struct {
		panics string
		body   func() io.Reader
		want   authres.Result
	}{
		{"_dmarc.", nil, authres.TempError},
		{"_domainkey.", nil, authres.TempError},
		{"", func() io.Reader { panic("planted") }, authres.TempError},
		{"", func() io.Reader { return errReader{} }, authres.TempError},
		{"", nil, authres.Pass},
	} {
		var log strings.Builder
		dns := k.policies(t)
		dns.panics = tc.panics
		c, err := New(dns, Default(), slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		in := mailOf(t, relay, "", "<a@one.example>", sign(t, from("alice@d.example"), "r", k.rsa2048))
		if tc.body != nil {
			in.Body = tc.body
		}
		r := c.Check(t.Context(), in)
		if r.DMARC.Result != tc.want {
			t.Errorf("panic at %q: DMARC = %+v, want %s", tc.panics, r.DMARC, tc.want)
		}
		if _, err := authres.Encode("mx", r.ResInfo()...); err != nil || strings.Contains(log.String(), "panicked") != (tc.panics != "" || tc.want != authres.Pass && log.Len() > 0) {
			t.Errorf("panic at %q: %v, log %q", tc.panics, err, log.String())
		}
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("bad disk") }

// seal has a forwarder change the subject and add its set, whose results say
// what text says.
func (k testKeys) seal(t testing.TB, dns dnsResolver, msg, domain, says string) string {
	t.Helper()
	key := map[string]*rsa.PrivateKey{"one.example": k.rsa2048, "two.example": k.rsa1024}[domain]
	before := chainOf(t, dns, msg)
	msg = strings.Replace(msg, "Subject: ", "Subject: [x] ", 1)
	m := sig.NewMessage(rawmsg.Scan([]byte(msg), rawmsg.Default()))
	hash := m.Body(sig.Relaxed, sig.Whole)
	if err := m.ReadBody(t.Context(), strings.NewReader(msg)); err != nil {
		t.Fatal(err)
	}
	s := arc.Sealer{Domain: domain, Selector: "s", Key: key, Names: []string{"From", "Subject"}}
	fields, err := s.Seal(m, hash, before, domain+"; "+says, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var head strings.Builder
	for _, f := range fields {
		head.WriteString(strings.ReplaceAll(f.String(), "\n", "\r\n") + "\r\n")
	}
	return head.String() + msg
}

func chainOf(t testing.TB, dns dnsResolver, msg string) arc.Result {
	return checker(t, dns).Check(t.Context(), input(msg)).ARC
}

func TestForwarder(t *testing.T) {
	k := makeKeys(t)
	dns := k.policies(t)
	const pass = "dmarc=pass (p=REJECT) header.from=d.example"
	author := from("alice@d.example")
	one := func(says string) string { return k.seal(t, dns, author, "one.example", says) }
	byOne := func(o *dkim.SignOptions) { o.Domain = "one.example" }
	bySignature := sign(t, author, "s", k.rsa2048, byOne)
	resigned := sign(t, one("dmarc=fail header.from=d.example"), "s", k.rsa2048, byOne)
	for _, tc := range []struct {
		name, mailFrom, msg string
		trusted             []string
		want                Forwarder
	}{
		{"nobody is trusted", "<l@one.example>", one(pass), nil, Forwarder{}},
		{"sealer", "<l@x.example>", one(pass), []string{"one.example"}, Forwarder{"one.example", authres.ARC}},
		{"sealer among others", "<l@x.example>", one("spf=pass smtp.mailfrom=a@b.example; " + pass), []string{"two.example", "one.example"}, Forwarder{"one.example", authres.ARC}},
		{"another sealer", "<l@x.example>", one(pass), []string{"two.example"}, Forwarder{}},
		{"name below", "<l@x.example>", one(pass), []string{"a.one.example"}, Forwarder{}},
		{"sealer saw it fail", "<l@x.example>", one("dmarc=fail header.from=d.example"), []string{"one.example"}, Forwarder{}},
		{"sealer saw it fail, SPF of the sealer", "<l@one.example>", one("dmarc=fail header.from=d.example"), []string{"one.example"}, Forwarder{}},
		{"sealer says nothing of DMARC", "<l@x.example>", one("spf=pass"), []string{"one.example"}, Forwarder{}},
		{"sealer says nothing of DMARC, SPF", "<l@one.example>", one("spf=pass"), []string{"one.example"}, Forwarder{"one.example", authres.SPF}},
		{"sealer saw another author", "<l@x.example>", one("dmarc=pass header.from=e.example"), []string{"one.example"}, Forwarder{}},
		{"sealer does not say of whom", "<l@x.example>", one("dmarc=pass"), []string{"one.example"}, Forwarder{}},
		{"changed after the seal", "<l@x.example>", one(pass) + "x", []string{"one.example"}, Forwarder{}},
		{"another Subject on top", "<l@x.example>", "Subject: pay now\r\n" + one(pass), []string{"one.example"}, Forwarder{}},
		{"another To on top", "<l@x.example>", "To: carol@example.net\r\n" + one(pass), []string{"one.example"}, Forwarder{"one.example", authres.ARC}},
		{"first sealer, both trusted", "<l@x.example>", k.seal(t, dns, one(pass), "two.example", "dmarc=fail header.from=d.example"), []string{"one.example", "two.example"}, Forwarder{"one.example", authres.ARC}},
		{"first sealer, last is not trusted", "<l@x.example>", k.seal(t, dns, one(pass), "two.example", "arc=pass"), []string{"one.example"}, Forwarder{}},
		{"last sealer, first is not trusted", "<l@x.example>", k.seal(t, dns, one(pass), "two.example", "arc=pass"), []string{"two.example"}, Forwarder{}},
		{"SPF", "<l@one.example>", author, []string{"one.example"}, Forwarder{"one.example", authres.SPF}},
		{"DKIM", "<l@x.example>", bySignature, []string{"one.example"}, Forwarder{"one.example", authres.DKIM}},
		{"DKIM that does not hold", "<l@x.example>", bySignature + "x", []string{"one.example"}, Forwarder{}},
		{"two authors", "<l@one.example>", from("a@d.example, a@e.example"), []string{"one.example"}, Forwarder{}},
		{"two From fields", "<l@one.example>", from("a@d.example", "a@d.example"), []string{"one.example"}, Forwarder{}},
		{"nothing to outweigh", "<l@one.example>", from("a@none.invalid"), []string{"one.example"}, Forwarder{}},
		{"arc: sealer", "<l@x.example>", one(pass), []string{"arc:one.example"}, Forwarder{"one.example", authres.ARC}},
		{"arc: SPF", "<l@one.example>", author, []string{"arc:one.example"}, Forwarder{}},
		{"arc: DKIM", "<l@x.example>", bySignature, []string{"arc:one.example"}, Forwarder{}},
		{"dkim: DKIM", "<l@x.example>", bySignature, []string{"dkim:one.example"}, Forwarder{"one.example", authres.DKIM}},
		{"dkim: SPF", "<l@one.example>", author, []string{"dkim:one.example"}, Forwarder{}},
		{"dkim: sealer", "<l@x.example>", one(pass), []string{"dkim:one.example"}, Forwarder{}},
		{"dkim: sealer saw it fail", "<l@one.example>", resigned, []string{"dkim:one.example"}, Forwarder{}},
		{"spf: SPF", "<l@one.example>", author, []string{"spf:one.example"}, Forwarder{"one.example", authres.SPF}},
		{"spf: DKIM", "<l@x.example>", bySignature, []string{"spf:one.example"}, Forwarder{}},
		{"spf: sealer, and SPF", "<l@one.example>", one(pass), []string{"spf:one.example"}, Forwarder{"one.example", authres.SPF}},
		{"two methods of three", "<l@x.example>", bySignature, []string{"spf:one.example", "dkim:one.example"}, Forwarder{"one.example", authres.DKIM}},
		{"arc: before one that only signs", "<l@x.example>", k.seal(t, dns, one(pass), "two.example", "arc=pass"), []string{"arc:one.example", "dkim:two.example"}, Forwarder{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := Default()
			cfg.TrustedForwarders = tc.trusted
			c, err := New(dns, cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			r := c.Check(t.Context(), mailOf(t, relay, "", tc.mailFrom, tc.msg))
			policy := dmarc.None
			if tc.want.Domain == "" && r.DMARC.Result == authres.Fail {
				policy = dmarc.Reject
			}
			if r.Forwarder != tc.want || r.Policy() != policy {
				t.Errorf("Forwarder = %+v, policy %s, want %+v; ARC %s %q", r.Forwarder, r.Policy(), tc.want, r.ARC.Result, r.ARC.Reason)
			}
		})
	}
}

// TestSealWithoutFrom: a seal that leaves the author open speaks for nobody.
func TestSealWithoutFrom(t *testing.T) {
	k := makeKeys(t)
	dns := k.policies(t)
	msg := k.seal(t, dns, from("a@d.example"), "one.example", "dmarc=pass header.from=d.example")
	m := rawmsg.Scan([]byte(msg), rawmsg.Default())
	r := Results{ARC: chainOf(t, dns, msg)}
	if _, res := r.sealed(readForwarders([]string{"one.example"}), "d.example", m); res != authres.Pass {
		t.Errorf("sealed = %q, want pass", res)
	}
	r.ARC.Sets[0].Message.Names = []string{"Subject"}
	if _, res := r.sealed(readForwarders([]string{"one.example"}), "d.example", m); res != "" {
		t.Errorf("sealed = %q, want none", res)
	}
}

func TestARCInResults(t *testing.T) {
	k := makeKeys(t)
	dns := k.policies(t)
	msg := k.seal(t, dns, from("alice@d.example"), "one.example", "spf=pass")
	var opened int
	in := mailOf(t, relay, "", "<l@x.example>", sign(t, msg, "r", k.rsa2048))
	open := in.Body
	in.Body = func() io.Reader { opened++; return open() }
	got, err := authres.Encode("mx", checker(t, dns).Check(t.Context(), in).ResInfo()...)
	if want := "arc=pass reason=\"i=1, sealed by one.example\" header.oldest-pass=0;"; err != nil || !strings.Contains(strings.Join(strings.Fields(got), " "), want) {
		t.Errorf("Encode = %q, %v, want %q in it", got, err, want)
	}
	if want := "dmarc=pass header.from=d.example policy.dmarc=reject"; !strings.HasSuffix(got, want) {
		t.Errorf("Encode = %q, want %q at its end", got, want)
	}
	if opened != 1 {
		t.Errorf("the body was opened %d times for a signature and a chain", opened)
	}
	got, err = authres.Encode("mx", checker(t, dns).Check(t.Context(), mailOf(t, relay, "", "<l@x.example>", msg+"x")).ResInfo()...)
	if want := "arc=fail reason=\"message signature: body was changed\";"; err != nil || !strings.Contains(strings.Join(strings.Fields(got), " "), want) {
		t.Errorf("Encode = %q, %v, want %q in it", got, err, want)
	}
}

func TestConfig(t *testing.T) {
	for _, d := range []string{"Example.org", "example.org.", "localhost", "bücher.example", "a b.example", "", "arc:", "arc:localhost", "dmarc:example.org", "arc:dkim:example.org", "ARC:example.org", "arc: example.org"} {
		cfg := Default()
		cfg.TrustedForwarders = []string{"example.org", d}
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "trusted_forwarders[1]") {
			t.Errorf("trusted_forwarders %q: %v", d, err)
		}
	}
	cfg := Default()
	cfg.TrustedForwarders = []string{"arc:example.org", "dkim:example.org", "spf:example.org", "xn--bcher-kva.example"}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	cfg = Default()
	cfg.DMARC.Mode = "list"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "dmarc.mode") {
		t.Errorf("mode %q: %v", cfg.DMARC.Mode, err)
	}
}
