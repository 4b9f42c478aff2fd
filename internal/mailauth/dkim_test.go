package mailauth

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/gatepost/gatepost/internal/dnstest"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/mailauth/spf"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/resolver"
)

// testKeys are made once: RSA keys cost time.
type testKeys struct {
	rsa2048, rsa1024 *rsa.PrivateKey
	ed               ed25519.PrivateKey
}

func makeKeys(t testing.TB) testKeys {
	t.Helper()
	var k testKeys
	var err1, err2, err3 error
	k.rsa2048, err1 = rsa.GenerateKey(rand.Reader, 2048)
	k.rsa1024, err2 = rsa.GenerateKey(rand.Reader, 1024)
	_, k.ed, err3 = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaRecord(t testing.TB, pub *rsa.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
}

// zone has every key under a selector of its own, below d.example.
func (k testKeys) zone(t testing.TB) *fakeDNS {
	ed := "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(k.ed.Public().(ed25519.PublicKey))
	full := rsaRecord(t, &k.rsa2048.PublicKey)
	short := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 511, 1), E: 65537}
	long := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 8192, 1), E: 65537}
	records := map[string][]string{
		"r": {full}, "r1024": {rsaRecord(t, &k.rsa1024.PublicKey)}, "e": {ed},
		"pkcs1":   {"p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&k.rsa2048.PublicKey))},
		"testing": {full + "; t=y"}, "strict": {full + "; t=y : s"}, "revoked": {"v=DKIM1; p="}, "two": {full, full},
		"garbage": {"hello"}, "short": {rsaRecord(t, short)}, "long": {rsaRecord(t, long)}, "other": {rsaRecord(t, &k.rsa1024.PublicKey)},
	}
	dns := &fakeDNS{txt: make(map[string][]string), ill: map[string]bool{"ill._domainkey.d.example": true}}
	for s, txt := range records {
		dns.txt[s+"._domainkey.d.example"] = txt
	}
	return dns
}

const mail = "From: Alice <alice@d.example>\r\nTo: bob@example.net\r\nSubject:  a   b \r\n\tc\r\n\r\n"

// sign returns msg with one more signature before it.
func sign(t testing.TB, msg, selector string, key crypto.Signer, change ...func(*dkim.SignOptions)) string {
	t.Helper()
	opt := &dkim.SignOptions{
		Domain: "d.example", Selector: selector, Signer: key, HeaderKeys: []string{"From", "To", "Subject", "From"},
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	}
	for _, c := range change {
		c(opt)
	}
	var b bytes.Buffer
	if err := dkim.Sign(&b, strings.NewReader(msg), opt); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDKIM(t *testing.T) {
	k := makeKeys(t)
	dns := k.zone(t)
	body := "Hello \t there  \r\n\r\n\r\nbye\r\n\r\n\r\n"
	r := k.rsa2048
	simple := func(o *dkim.SignOptions) {
		o.HeaderCanonicalization, o.BodyCanonicalization = dkim.CanonicalizationSimple, dkim.CanonicalizationSimple
	}
	identity := func(i string) func(*dkim.SignOptions) { return func(o *dkim.SignOptions) { o.Identifier = i } }
	signed := sign(t, mail+body, "r", r)
	for _, tc := range []struct {
		name, msg string
		want      authres.Result
		reason    string
	}{
		{"RSA", signed, authres.Pass, ""},
		{"RSA simple", sign(t, mail+body, "r", r, simple), authres.Pass, ""},
		{"RSA 1024", sign(t, mail+body, "r1024", k.rsa1024), authres.Pass, "weak key of 1024 bits"},
		{"Ed25519", sign(t, mail+body, "e", k.ed), authres.Pass, ""},
		{"key in PKCS #1", sign(t, mail+body, "pkcs1", r), authres.Pass, ""},
		{"key of a tester", sign(t, mail+body, "testing", r), authres.Pass, ""},
		{"empty body", sign(t, mail, "r", r), authres.Pass, ""},
		{"empty body, simple", sign(t, mail, "r", r, simple), authres.Pass, ""},
		{"header without blank line", strings.TrimSuffix(sign(t, mail, "r", r), "\r\n"), authres.Pass, ""},
		{"bare LF", strings.ReplaceAll(signed, "\r\n", "\n"), authres.Pass, ""},
		{"more line ends", signed + strings.Repeat("\r\n", 1<<20), authres.Pass, ""},
		{"more line ends, simple", sign(t, mail+body, "r", r, simple) + strings.Repeat("\r\n", 1<<20), authres.Pass, ""},
		{"field added above that is not signed", "X: y\r\n" + signed, authres.Pass, ""},
		{"strict key, same domain", sign(t, mail+body, "strict", r, identity("a@d.example")), authres.Pass, ""},
		{"loose key, subdomain", sign(t, mail+body, "r", r, identity("a@sub.d.example")), authres.Pass, ""},
		{"strict key, subdomain", sign(t, mail+body, "strict", r, identity("a@sub.d.example")), authres.PermError, "identifier is not of the key's domain"},
		{"body changed", strings.Replace(signed, "bye", "byE", 1), authres.Fail, "body was changed"},
		{"header changed", strings.Replace(signed, "bob@", "eve@", 1), authres.Fail, "signature does not match"},
		{"second From", "From: eve@d.example\r\n" + signed, authres.Fail, "signature does not match"},
		{"another key", sign(t, mail+body, "other", r), authres.Fail, "signature does not match"},
		{"key of another kind", sign(t, mail+body, "e", r), authres.PermError, "key is not for this algorithm"},
		{"no answer", sign(t, mail+body, "ill", r), authres.TempError, "key lookup had no answer"},
		{"no key", sign(t, mail+body, "none", r), authres.PermError, "no key"},
		{"revoked", sign(t, mail+body, "revoked", r), authres.PermError, "key revoked"},
		{"two keys", sign(t, mail+body, "two", r), authres.Pass, ""},
		{"garbage for a key", sign(t, mail+body, "garbage", r), authres.PermError, "malformed key"},
		{"RSA 512", sign(t, mail+body, "short", r), authres.PermError, "key is too short"},
		{"RSA 8193", sign(t, mail+body, "long", r), authres.PermError, "key is too long"},
		{"rsa-sha1", strings.Replace(signed, "rsa-sha256", "rsa-sha1", 1), authres.PermError, "rsa-sha1 is not accepted"},
		{"l= added", strings.Replace(signed, " d=d.example", " l=5; d=d.example", 1), authres.Fail, "body was changed"},
		{"expired before it was made", sign(t, mail+body, "r", r, func(o *dkim.SignOptions) { o.Expiration = time.Unix(1e9, 0) }), authres.PermError, "signature expired before it was made"},
		{"expired long ago", "DKIM-Signature: v=1; a=rsa-sha256; d=d.example; s=r; t=1; x=2; h=From; bh=" + anyHash + "; b=AAAA\r\n" + mail, authres.PermError, "signature expired"},
		{"not a tag list", "DKIM-Signature: hello\r\n" + mail, authres.PermError, "malformed tags"},
		{"empty", "DKIM-Signature:\r\n" + mail, authres.PermError, "malformed tags"},
		{"From not signed", "DKIM-Signature: v=1; a=rsa-sha256; d=d.example; s=r; h=To; bh=" + anyHash + "; b=AAAA\r\n" + mail, authres.PermError, "From is not signed"},
		{"identifier of another domain", "DKIM-Signature: v=1; a=rsa-sha256; d=d.example; i=@e.example; s=r; h=From; bh=" + anyHash + "; b=AAAA\r\n" + mail, authres.PermError, "identifier is not of the domain"},
		{"covers signatures", "DKIM-Signature: v=1; a=rsa-sha256; d=d.example; s=r; h=From:dkim-signature; bh=" + anyHash + "; b=AAAA\r\n" + mail, authres.Fail, "body was changed"},
		{"NUL in d=", strings.Replace(signed, "d=d.example", "d=d.example\x00.evil.example", 1), authres.PermError, "malformed tags"},
		{"comment in d=", strings.Replace(signed, "d=d.example", "d=d.example(.evil.example", 1), authres.PermError, "malformed domain or selector"},
		{"quote in s=", strings.Replace(signed, "s=r", `s=r"; header.d=x`, 1), authres.PermError, "malformed tags"},
		{"odd blank in d=", strings.Replace(signed, "d=d.example", "d=d\u00a0.example", 1), authres.PermError, "malformed domain or selector"},
		{"no-break blank in s=", strings.Replace(signed, "s=r", "s=\u0085r", 1), authres.PermError, "malformed domain or selector"},
		{"tag twice", strings.Replace(signed, " s=r;", " s=r; s=r;", 1), authres.PermError, "tag s stands twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := checker(t, dns).Check(t.Context(), input(tc.msg))
			if len(got.DKIM) != 1 || got.DKIM[0].Result != tc.want || got.DKIM[0].Reason != tc.reason {
				t.Fatalf("DKIM = %+v, want %s %q", got.DKIM, tc.want, tc.reason)
			}
			value, err := authres.Encode("mx", got.ResInfo()...)
			if err != nil || strings.Count(value, "dkim=") != 1 {
				t.Errorf("Encode = %q, %v", value, err)
			}
		})
	}
}

func TestDKIMTellsTheSignature(t *testing.T) {
	k := makeKeys(t)
	msg := sign(t, mail+"x\r\n", "r1024", k.rsa1024)
	msg = sign(t, msg, "e", k.ed, func(o *dkim.SignOptions) { o.Expiration = time.Unix(4e9, 0) })
	msg = sign(t, msg, "testing", k.rsa2048, func(o *dkim.SignOptions) { o.Domain = "D.Example"; o.Identifier = "me@D.Example" })
	got := checker(t, k.zone(t)).Check(t.Context(), input(msg)).DKIM
	if len(got) != 3 {
		t.Fatalf("DKIM = %+v", got)
	}
	for i, want := range []DKIM{
		{Result: authres.Pass, Domain: "d.example", Selector: "testing", Identifier: "me@D.Example", Algorithm: "rsa-sha256", Bits: 2048, Testing: true},
		{Result: authres.Pass, Domain: "d.example", Selector: "e", Identifier: "@d.example", Algorithm: "ed25519-sha256", Bits: 256, Expiration: time.Unix(4e9, 0).UTC()},
		{Result: authres.Pass, Domain: "d.example", Selector: "r1024", Identifier: "@d.example", Algorithm: "rsa-sha256", Bits: 1024},
	} {
		g := got[i]
		if len(g.B) != 8 || time.Since(g.Time) > time.Hour || strings.Join(g.Names, ":") != "From:To:Subject:From" {
			t.Errorf("DKIM[%d] = %+v", i, g)
		}
		g.B, g.Time, g.Names = "", time.Time{}, nil
		if g.Result != want.Result || g.Domain != want.Domain || g.Selector != want.Selector || g.Identifier != want.Identifier ||
			g.Algorithm != want.Algorithm || g.Bits != want.Bits || g.Testing != want.Testing || !g.Expiration.Equal(want.Expiration) {
			t.Errorf("DKIM[%d] = %+v, want %+v", i, g, want)
		}
	}
}

// TestHostile counts the work that a message can make: questions, and octets
// of the body that are read.
func TestHostile(t *testing.T) {
	k := makeKeys(t)
	valid := "DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=d.example; s=r; h=From; bh=" + anyHash + "; b=AAAA\r\n"
	names := func(n int) string { return "From" + strings.Repeat(":X", n-1) }
	crlf := strings.Repeat("\r\n", 4<<20)
	for _, tc := range []struct {
		name, msg        string
		want             authres.Result
		reason           string
		n, skipped, asks int
		bodies           int64 // times the body is read at most: once, whatever the number of signatures
	}{
		{"16,000 names in h=", strings.Replace(valid, "h=From", "h="+names(16000), 1) + strings.Repeat("X: y\r\n", 900) + mail, authres.PermError, "too many signed fields", 1, 0, 0, 0},
		{"200 names in h=", strings.Replace(valid, "h=From", "h="+names(200), 1) + mail + "x", authres.Fail, "body was changed", 1, 0, 1, 1},
		{"3,900 fields", valid + strings.Repeat("X: y\r\n", 3900) + mail + "x", authres.Fail, "body was changed", 1, 0, 1, 1},
		{"header block of 10 MB", valid + "X: " + strings.Repeat("a", 10<<20) + "\r\n" + mail, authres.PermError, "header too large", 1, 0, 0, 0},
		{"990 signatures", strings.Repeat(valid, 990) + mail + "x", authres.Fail, "body was changed", 8, 982, 1, 1},
		{"8 MB of line ends", valid + valid + mail + "x\r\n" + crlf, authres.Fail, "body was changed", 2, 0, 1, 1},
		{"8 MB of line ends, then text", valid + valid + mail + "x\r\n" + crlf + "x", authres.Fail, "body was changed", 2, 0, 1, 1},
		{"4 MB of CR", valid + mail + "x" + strings.Repeat("\r", 4<<20), authres.Fail, "body was changed", 1, 0, 1, 1},
		{"64 KB tag", strings.Replace(valid, "h=From", "z="+strings.Repeat("b=", 30000)+"; h=From", 1) + mail, authres.Fail, "body was changed", 1, 0, 1, 1},
		{"10,000 tags", strings.Replace(valid, "h=From", strings.Repeat("y=;", 10000)+"h=From", 1) + mail, authres.PermError, "tag y stands twice", 1, 0, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dns := k.zone(t)
			in := input(tc.msg)
			var read atomic.Int64
			in.Body = func() io.Reader { return &counter{strings.NewReader(tc.msg), &read} }
			got := checker(t, dns).Check(t.Context(), in)
			if len(got.DKIM) != tc.n || got.DKIMSkipped != tc.skipped {
				t.Fatalf("%d results, %d skipped, want %d, %d", len(got.DKIM), got.DKIMSkipped, tc.n, tc.skipped)
			}
			for _, d := range got.DKIM {
				if d.Result != tc.want || d.Reason != tc.reason {
					t.Errorf("%s %q, want %s %q", d.Result, d.Reason, tc.want, tc.reason)
				}
			}
			asks := 0
			for _, q := range dns.asked {
				if strings.Contains(q, "_domainkey") {
					asks++
				}
			}
			if asks != tc.asks || len(dns.asked) > asks+2 || read.Load() > tc.bodies*int64(len(tc.msg)) {
				t.Errorf("%d questions, %d octets read of %d, want %d questions and %d times", asks, read.Load(), len(tc.msg), tc.asks, tc.bodies)
			}
		})
	}
}

type counter struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func TestBodyThatCannotBeRead(t *testing.T) {
	k := makeKeys(t)
	msg := sign(t, mail+"some text\r\n", "r", k.rsa2048)
	end := strings.Index(msg, "some")
	for name, body := range map[string]io.Reader{
		"in the body":   io.MultiReader(strings.NewReader(msg[:end+4]), iotest.ErrReader(errors.New("disk on fire"))),
		"in the header": io.MultiReader(strings.NewReader(msg[:20]), iotest.ErrReader(errors.New("disk on fire"))),
		"too short":     strings.NewReader(msg[:end-10]),
	} {
		in := input(msg)
		in.Body = func() io.Reader { return body }
		if got := checker(t, k.zone(t)).Check(t.Context(), in).DKIM[0]; got.Result != authres.TempError {
			t.Errorf("%s: %+v, want temperror", name, got)
		}
	}
}

func FuzzDKIM(f *testing.F) {
	k := makeKeys(f)
	dns := k.zone(f)
	f.Add([]byte(sign(f, mail+"x", "e", k.ed)))
	f.Add([]byte("DKIM-Signature: v=1; a=rsa-sha256; d=d.example; s=r; h=From:::; bh=; b=\r\n\r\n"))
	f.Add([]byte("DKIM-Signature:\n a=b;\n\tb=c\nDKIM-Signature : d=é;s= ;b=(\";=;\n"))
	c := checker(f, dns)
	f.Fuzz(func(t *testing.T, msg []byte) {
		in := Input{Raw: rawmsg.Scan(msg, rawmsg.Default()), Body: func() io.Reader { return bytes.NewReader(msg) }}
		got := c.Check(t.Context(), in)
		if _, err := authres.Encode("mx", got.ResInfo()...); err != nil {
			t.Fatal(err)
		}
		for _, d := range got.DKIM {
			if d.Result == "" || d.Result == authres.TempError || d.Result == authres.Pass && !isHost(d.Domain) {
				t.Fatalf("DKIM = %+v", d)
			}
		}
	})
}

// cached returns a resolver that has asked for what the benchmarks want.
func cached(b *testing.B, zone *dnstest.Zone) *resolver.Resolver {
	srv, err := dnstest.Start("127.0.0.1:0", zone)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = srv.Close() })
	cfg := resolver.Default()
	cfg.Servers = []string{srv.Addr()}
	res, err := resolver.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	return res
}

func BenchmarkVerify20KB(b *testing.B) {
	k := makeKeys(b)
	body := strings.Repeat("0123456789 0123456789 0123456789 0123456789\r\n", 20<<10/45)
	for name, key := range map[string]crypto.Signer{"rsa": k.rsa2048, "ed25519": k.ed} {
		b.Run(name, func(b *testing.B) {
			selector := map[string]string{"rsa": "r", "ed25519": "e"}[name]
			in := input(sign(b, mail+body, selector, key))
			zone := dnstest.NewZone()
			zone.AddTXT(selector+"._domainkey.d.example", k.zone(b).txt[selector+"._domainkey.d.example"][0])
			c := checker(b, cached(b, zone))
			b.ReportAllocs()
			for b.Loop() {
				if got := c.Check(b.Context(), in); got.DKIM[0].Result != authres.Pass {
					b.Fatal(got)
				}
			}
		})
	}
}

func BenchmarkSPFCached(b *testing.B) {
	zone := dnstest.NewZone()
	zone.MustAdd("a.example. IN TXT \"v=spf1 include:b.example -all\"\nb.example. IN TXT \"v=spf1 ip4:198.51.100.0/24 ip4:192.0.2.0/24 ~all\"")
	c := spf.New(resolver.NewShare(cached(b, zone), shareMailFrom), "")
	client := spf.Client{Addr: netip.MustParseAddr("192.0.2.1"), Helo: "mail.a.example"}
	from := address(b, "<bob@a.example>")
	b.ReportAllocs()
	for b.Loop() {
		if got := c.MailFrom(b.Context(), client, from); got.Result != authres.Pass {
			b.Fatal(got)
		}
	}
}

// BenchmarkDMARCCached is a message of a subdomain that DKIM vouches for: both
// questions of the author and those of the identifier are in the cache.
func BenchmarkDMARCCached(b *testing.B) {
	zone := dnstest.NewZone()
	zone.AddTXT("_dmarc.a.example", "v=DMARC1; p=reject")
	c := checker(b, cached(b, zone)).set.Load().policies
	author := readFrom(input("From: a@news.a.example\r\n\r\n").Raw)
	ids := dmarc.Identifiers{SPF: dmarc.SPF{Domain: "bounce.a.example", Result: authres.Pass}}
	b.ReportAllocs()
	for b.Loop() {
		if got := c.Check(b.Context(), author, ids); got.Result != authres.Pass {
			b.Fatal(got)
		}
	}
}
