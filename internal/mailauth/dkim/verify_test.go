package dkim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

const (
	body0    = "Hi Bob,\r\n\r\nwe lost the game.\r\n"
	template = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=rsa; h=From:To:Subject:Date; bh=BH; b=B64"
)

func TestVerify(t *testing.T) {
	rsa, weak, ed := testKey(t, "rsa"), testKey(t, "rsa1024"), testKey(t, "ed25519")
	tag := func(old, new string) string { return strings.Replace(template, old, new, 1) }
	plus := func(more string) string { return template + "; " + more }
	at := func(name string) string { return name + "._domainkey.example.org" }
	z := &txtZone{txt: map[string][]string{
		at("rsa"): {rsa.record}, at("rsa1024"): {weak.record}, at("ed25519"): {ed.record},
		at("testing"): {rsa.record + "; t=y"}, at("strict"): {rsa.record + "; t=s"}, at("revoked"): {"v=DKIM1; p="},
		at("two"): {ed.record, rsa.record}, at("wildcard"): {"v=spf1 -all", rsa.record}, at("spf"): {"v=spf1 -all"},
		at("chat"): {rsa.record + "; s=chat"}, at("other"): {"v=DKIM1; p=" + strings.SplitN(weak.record, "p=", 2)[1]},
	}, broken: map[string]bool{at("broken"): true}}
	for _, tc := range []struct {
		name     string
		template string
		key      signer
		want     authres.Result
		reason   string
	}{
		{"plain", template, rsa, "pass", ""},
		{"simple", tag("c=relaxed/relaxed; ", ""), rsa, "pass", ""},
		{"relaxed header only", tag("relaxed/relaxed", "relaxed"), rsa, "pass", ""},
		{"simple header, relaxed body", tag("relaxed/relaxed", "simple/relaxed"), rsa, "pass", ""},
		{"Ed25519", strings.Replace(tag("rsa-sha256", "ed25519-sha256"), "s=rsa", "s=ed25519", 1), ed, "pass", ""},
		{"1024 bits", tag("s=rsa", "s=rsa1024"), weak, "pass", "weak key of 1024 bits"},
		{"upper case in a=, c=, d=, s=", "v=1; a=RSA-SHA256; c=Relaxed/RELAXED; d=Example.ORG; s=RSA; h=from:to; bh=BH; b=B64", rsa, "pass", ""},
		{"i= in another case", plus("i=@EXAMPLE.ORG"), rsa, "pass", ""},
		{"i= of a subdomain", plus("i=joe@News.example.org"), rsa, "pass", ""},
		{"i= encoded", plus("i=j=6Fe=40x@example.org"), rsa, "pass", ""},
		{"i= of another domain", plus("i=@example.com"), rsa, "permerror", "identifier is not of the domain"},
		{"i= that only ends alike", plus("i=@badexample.org"), rsa, "permerror", "identifier is not of the domain"},
		{"i= above", plus("i=@org"), rsa, "permerror", "identifier is not of the domain"},
		{"i= with a line end", plus("i=a=0D=0AX:@example.org"), rsa, "permerror", "malformed identifier"},
		{"i= badly encoded", plus("i=a=4@example.org"), rsa, "permerror", "malformed identifier"},
		{"i= without @", plus("i=example.org"), rsa, "permerror", "malformed identifier"},
		{"unknown tags", plus("foo=bar; x_y=1"), rsa, "pass", ""},
		{"b= stands in z=", "v=1; z=From:x|b=abc; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=rsa; h=From; bh=BH; b=B64", rsa, "pass", ""},
		{"b= first, folded", "b=B64;\r\n\tv=1; a=rsa-sha256; d=example.org;\r\n s=rsa; h=From :\r\n To; bh=BH;", rsa, "pass", ""},
		{"q=dns/txt", plus("q=foo:dns/txt"), rsa, "pass", ""},
		{"q= of another kind", plus("q=dns"), rsa, "permerror", "unknown query method"},
		{"rsa-sha1", tag("rsa-sha256", "rsa-sha1"), rsa, "permerror", "rsa-sha1 is not accepted"},
		{"unknown algorithm", tag("rsa-sha256", "rsa-md5"), rsa, "permerror", "unknown algorithm"},
		{"algorithm of another key", tag("rsa-sha256", "ed25519-sha256"), rsa, "permerror", "key is not for this algorithm"},
		{"no version", tag("v=1; ", ""), rsa, "permerror", "tag v is missing"},
		{"version 0.5", tag("v=1", "v=0.5"), rsa, "permerror", "signature of another version"},
		{"no h=", tag("h=From:To:Subject:Date; ", ""), rsa, "permerror", "tag h is missing"},
		{"From is not signed", tag("From:", ""), rsa, "permerror", "From is not signed"},
		{"empty name in h=", tag("From:To", "From::To"), rsa, "permerror", "malformed tag h"},
		{"oversigned", tag("From:To", "From:From:To:Reply-To"), rsa, "pass", ""},
		{"h= covers DKIM-Signature", tag("From:To", "From:DKIM-Signature:DKIM-Signature"), rsa, "pass", ""},
		{"twice", plus("d=example.org"), rsa, "permerror", "tag d stands twice"},
		{"domain with a parenthesis", tag("d=example.org", "d=example.org(.evil.example"), rsa, "permerror", "malformed domain or selector"},
		{"domain with a blank", tag("d=example.org", "d=example .org"), rsa, "permerror", "malformed domain or selector"},
		{"domain with NUL", tag("d=example.org", "d=example.org\x00.evil"), rsa, "permerror", "malformed tags"},
		{"domain with a final dot", tag("d=example.org", "d=example.org."), rsa, "permerror", "malformed domain or selector"},
		{"selector with a quote", tag("s=rsa", "s=rs\"a"), rsa, "permerror", "malformed domain or selector"},
		{"canonicalization", tag("relaxed/relaxed", "nowsp"), rsa, "permerror", "unknown canonicalization"},
		{"body canonicalization", tag("relaxed/relaxed", "relaxed/"), rsa, "permerror", "unknown canonicalization"},
		{"bh= too short", tag("bh=BH", "bh=AAAA"), rsa, "permerror", "malformed tag bh"},
		{"b= empty", tag("b=B64", "b="), rsa, "permerror", "malformed tag b"},
		{"t= with a blank", plus("t=1 2"), rsa, "permerror", "malformed tag t"},
		{"t= just ahead", plus(fmt.Sprintf("t=%d", testTime.Unix()+200)), rsa, "pass", ""},
		{"t= in the future", plus(fmt.Sprintf("t=%d", testTime.Unix()+400)), rsa, "permerror", "signature is from the future"},
		{"x= not yet", plus(fmt.Sprintf("x=%d", testTime.Unix()+1)), rsa, "pass", ""},
		{"x= over", plus(fmt.Sprintf("x=%d", testTime.Unix()-1)), rsa, "permerror", "signature expired"},
		{"x= before t=", plus("t=200; x=100"), rsa, "permerror", "signature expired before it was made"},
		{"x= of 12 digits and more", plus("x=" + strings.Repeat("9", 40)), rsa, "pass", ""},
		{"x= negative", plus("x=-1"), rsa, "permerror", "malformed tag x"},
		{"l= all", plus("l=30"), rsa, "pass", ""},
		{"l= part", plus("l=9"), rsa, "policy", "only 9 of 30 octets of the body are signed"},
		{"l=0", plus("l=0"), rsa, "policy", "only 0 of 30 octets of the body are signed"},
		{"l= too long", plus("l=1000"), rsa, "fail", "body is shorter than what was signed"},
		{"l= malformed", plus("l=-1"), rsa, "permerror", "malformed tag l"},
		{"no key", tag("s=rsa", "s=none"), rsa, "permerror", "no key"},
		{"no answer", tag("s=rsa", "s=broken"), rsa, "temperror", "key lookup had no answer"},
		{"revoked", tag("s=rsa", "s=revoked"), rsa, "permerror", "key revoked"},
		{"key of another service", tag("s=rsa", "s=chat"), rsa, "permerror", "key is not for mail"},
		{"another key", tag("s=rsa", "s=other"), rsa, "fail", "signature does not match"},
		{"two keys", tag("s=rsa", "s=two"), rsa, "pass", ""},
		{"SPF under a wildcard", tag("s=rsa", "s=wildcard"), rsa, "pass", ""},
		{"SPF alone", tag("s=rsa", "s=spf"), rsa, "permerror", "key of another version"},
		{"t=s and i= of a subdomain", tag("s=rsa", "s=strict") + "; i=@a.example.org", rsa, "permerror", "identifier is not of the key's domain"},
		{"t=s and i= of the domain", tag("s=rsa", "s=strict") + "; i=a@Example.org", rsa, "pass", ""},
		{"t=y", tag("s=rsa", "s=testing"), rsa, "pass", ""},
		{"name too long for DNS", strings.Replace(tag("s=rsa", "s="+strings.Repeat("a.", 100)+"a"), "d=example.org", "d="+strings.Repeat("b.", 100)+"b", 1), rsa, "permerror", "no key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			msg := sign(t, tc.key, tc.template, testHeader, body0)
			rs := verifyAt(t, z, msg, testTime)
			if len(rs) != 1 || rs[0].Result != tc.want || rs[0].Reason != tc.reason {
				t.Fatalf("Verify(%s) = %s, want %s (%s)", tc.template, words(rs), tc.want, tc.reason)
			}
			if r := rs[0]; r.Testing != strings.Contains(tc.template, "s=testing") {
				t.Errorf("Testing = %v", r.Testing)
			}
		})
	}
}

func TestVerifyFacts(t *testing.T) {
	msg := sign(t, testKey(t, "rsa"), template+"; i=j=6Fe@Example.org; t=100; x=99999999999", testHeader, body0)
	r := verifyAt(t, zone, msg, testTime)[0]
	if r.Result != "pass" || r.Domain != "example.org" || r.Selector != "rsa" || r.Algorithm != "rsa-sha256" || r.Identifier != "joe@Example.org" ||
		len(r.B) != 8 || r.Bits != 2048 || r.Header != Relaxed || r.Body != Relaxed || r.Length != Whole || r.BodySize != 30 ||
		!slices.Equal(r.Names, []string{"From", "To", "Subject", "Date"}) || r.Time.Unix() != 100 || r.Expiration.Unix() != 99999999999 {
		t.Errorf("Verify = %+v", r)
	}
}

// A message that is changed after signing, each change against each
// canonicalization.
func TestVerifyChanged(t *testing.T) {
	for _, tc := range []struct {
		name, old, new  string
		simple, relaxed authres.Result
	}{
		{"nothing", "", "", "pass", "pass"},
		{"body", "lost", "won", "fail", "fail"},
		{"blank in the body", "we lost", "we  lost", "fail", "pass"},
		{"blank at a line end", "Bob,\r\n", "Bob, \r\n", "fail", "pass"},
		{"empty lines at the end", "game.\r\n", "game.\r\n\r\n\r\n", "pass", "pass"},
		{"subject", "Subject: a", "Subject: b", "fail", "fail"},
		{"folding of the subject", "folded", "\r\n folded", "fail", "pass"},
		{"case of a name", "Subject: a", "SUBJECT: a", "fail", "pass"},
		{"field that is not signed", "MIME-Version: 1.0", "MIME-Version: 2.0", "pass", "pass"},
		{"another From below", "Date:", "From: eve@example.com\r\nDate:", "fail", "fail"},
		{"another From on top", "Received:", "From: eve@example.com\r\nReceived:", "pass", "pass"},
		{"tag of the signature", "DKIM-Signature: v=1; a", "DKIM-Signature: v=1; x_y=1; a", "fail", "fail"},
	} {
		for c, want := range map[string]authres.Result{"simple": tc.simple, "relaxed": tc.relaxed} {
			msg := sign(t, testKey(t, "rsa"), strings.ReplaceAll(template, "relaxed", c), testHeader, body0)
			msg = bytes.Replace(msg, []byte(tc.old), []byte(tc.new), 1)
			if r := verifyAt(t, zone, msg, testTime)[0]; r.Result != want {
				t.Errorf("%s, %s: %s (%s), want %s", tc.name, c, r.Result, r.Reason, want)
			}
		}
	}
}

func TestVerifyNoBody(t *testing.T) {
	for _, msg := range []string{testHeader, testHeader + "\r\n"} {
		signed := sign(t, testKey(t, "rsa"), template, testHeader, "")
		signed = append(signed[:bytes.Index(signed, []byte("Received:"))], msg...)
		if r := verifyAt(t, zone, signed, testTime)[0]; r.Result != "pass" || r.BodySize != 0 {
			t.Errorf("message without a body: %s (%s)", r.Result, r.Reason)
		}
	}
}

// One body, read once, and one question for each name, whatever the number of
// signatures.
func TestVerifyShares(t *testing.T) {
	msg := []byte(testHeader + "\r\n" + body0)
	for _, tmpl := range []string{template, template + "; l=5", strings.ReplaceAll(template, "relaxed", "simple"), template} {
		m := sign(t, testKey(t, "rsa"), tmpl, testHeader, body0)
		msg = append(bytes.Clone(m[:bytes.Index(m, []byte("Received:"))]), msg...)
	}
	z := &txtZone{txt: zone.txt}
	m := NewMessage(rawmsg.Scan(msg, rawmsg.Default()))
	keys := NewKeys(z)
	v := Start(context.Background(), m, keys, testTime)
	r := &countReader{r: bytes.NewReader(msg)}
	if err := m.ReadBody(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range v.Results() {
		got = append(got, string(r.Result))
	}
	if s := strings.Join(got, " "); s != "pass pass policy pass" {
		t.Errorf("results %s", s)
	}
	if len(z.asked) != 1 || keys.Names() != 1 || r.n != len(msg) {
		t.Errorf("asked %q, read %d of %d octets", z.asked, r.n, len(msg))
	}
}

type countReader struct {
	r io.Reader
	n int
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestVerifyTrouble(t *testing.T) {
	msg := sign(t, testKey(t, "rsa"), template, testHeader, body0)
	start := func(res txtResolver) (*Message, *Verifier, *Keys) {
		m := NewMessage(rawmsg.Scan(msg, rawmsg.Default()))
		keys := NewKeys(res)
		return m, Start(context.Background(), m, keys, testTime), keys
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for name, read := range map[string]func(m *Message) error{
		"not read":  func(*Message) error { return errors.New("nobody read") },
		"too short": func(m *Message) error { return m.ReadBody(context.Background(), strings.NewReader("From: a")) },
		"cancelled": func(m *Message) error { return m.ReadBody(done, bytes.NewReader(msg)) },
		"broken": func(m *Message) error {
			return m.ReadBody(context.Background(), io.MultiReader(bytes.NewReader(msg), badReader{}))
		},
	} {
		m, v, _ := start(zone)
		if err := read(m); err == nil {
			t.Errorf("%s: no error", name)
		}
		if r := v.Results()[0]; r.Result != "temperror" || r.Reason != "message could not be read" {
			t.Errorf("%s: %s (%s)", name, r.Result, r.Reason)
		}
	}
	m, v, keys := start(panicResolver{})
	if err := m.ReadBody(context.Background(), bytes.NewReader(msg)); err != nil {
		t.Fatal(err)
	}
	if r := v.Results()[0]; r.Result != "temperror" || keys.Err() == nil {
		t.Errorf("panic in the resolver: %s (%s), Err %v", r.Result, r.Reason, keys.Err())
	}
}

type badReader struct{}

func (badReader) Read([]byte) (int, error) { return 0, errors.New("bad disk") }

type panicResolver struct{}

func (panicResolver) LookupTXT(context.Context, string) ([]string, error) { panic("oh no") }
