package arc

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

var testTime = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const message = "From: Alice <alice@example.org>\r\nTo: list@example.net\r\nSubject: Hi\r\nDate: Fri, 20 Nov 2026 12:00:00 +0000\r\n\r\nHi all.\r\n"

// hosts are three handlers with a key each.
var hosts = sync.OnceValue(func() []*Sealer {
	// The same in every run, as fuzzing needs.
	ed := ed25519.NewKeyFromSeed([]byte("thirty-two octets for tests only"))
	out := []*Sealer{{Domain: "one.example", Key: ed}}
	for _, domain := range []string{"two.example", "three.example"} {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		out = append(out, &Sealer{Domain: domain, Key: k})
	}
	for _, s := range out {
		s.Selector, s.Names = "s", []string{"From", "To", "Subject", "Date"}
	}
	return out
})

// zone has the keys of hosts.
func zone() txtZone {
	z := txtZone{txt: map[string]string{}, broken: map[string]bool{}}
	for _, s := range hosts() {
		z.txt["s._domainkey."+s.Domain] = record(s.Key)
	}
	return z
}

func record(k crypto.Signer) string {
	if pub, ok := k.Public().(ed25519.PublicKey); ok {
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(pub)
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		panic(err)
	}
	return "v=DKIM1; p=" + base64.StdEncoding.EncodeToString(der)
}

// hop has s add its set to msg.
func hop(t testing.TB, s *Sealer, msg string) string { return list(t, s, msg, "") }

// list has s add a footer to msg, which comes in good order, and its set.
func list(t testing.TB, s *Sealer, msg, footer string) string {
	t.Helper()
	_, _, chain := check(t, zone(), []byte(msg), testTime)
	msg += footer
	m, body, _ := check(t, zone(), []byte(msg), testTime)
	fields, err := s.Seal(m, body, chain, s.Domain+"; arc="+string(chain.Result)+"; dkim=pass\n\theader.d=example.org", testTime)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(fields) - 1; i >= 0; i-- {
		msg = strings.ReplaceAll(fields[i].String(), "\n", "\r\n") + "\r\n" + msg
	}
	return msg
}

func TestChain(t *testing.T) {
	h := hosts()
	one := hop(t, h[0], message)
	three := hop(t, h[2], hop(t, h[1], one))
	withFooter := hop(t, h[2], list(t, h[1], one, "-- \r\nfooter\r\n"))
	for _, tc := range []struct {
		name   string
		msg    string
		want   authres.Result
		reason string
		oldest int
		sets   int
	}{
		{"no chain", message, "none", "", 0, 0},
		{"one", one, "pass", "", 0, 1},
		{"three", three, "pass", "", 0, 3},
		{"list", withFooter, "pass", "", 2, 3},
		{"changed after the last", strings.Replace(three, "Hi all", "Hi you", 1), "fail", "message signature: body was changed", 4, 3},
		{"header changed after the last", strings.Replace(three, "Subject: Hi", "Subject: Ho", 1), "fail", "message signature: signature does not match", 4, 3},
		{"word of the first changed", strings.Replace(three, "one.example; arc=none; dkim=pass", "one.example; arc=none; dkim=fail", 1), "fail", "seal 1: signature does not match", 0, 3},
		{"first set lost", three[:strings.Index(three, "ARC-Seal: a=ed25519")] + message, "fail", "instances are not in a row", 0, 0},
		{"seal lost", strings.Replace(three, "ARC-Seal: a=ed25519", "X-ARC-Seal: a=ed25519", 1), "fail", "an instance lacks a field", 0, 0},
		{"seal twice", three[:strings.Index(three, "ARC-Message")] + three, "fail", "an instance has a field twice", 0, 0},
		{"cv=none in the middle", strings.Replace(three, "cv=pass; d=two", "cv=none; d=two", 1), "fail", "a seal has the wrong cv=", 0, 3},
		{"broken before", strings.Replace(three, "cv=pass; d=three", "cv=fail; d=three", 1), "fail", "a handler before us found the chain broken", 0, 3},
		{"h= in a seal", strings.Replace(three, "cv=pass; d=three", "cv=pass; h=from; d=three", 1), "fail", "tag h must not be there", 0, 0},
		{"results without an instance", strings.Replace(three, "i=3; three", "three", 1), "fail", "results without an instance", 0, 0},
	} {
		_, _, r := check(t, zone(), []byte(tc.msg), testTime)
		if r.Result != tc.want || r.Reason != tc.reason || r.OldestPass != tc.oldest || len(r.Sets) != tc.sets || r.Temporary {
			t.Errorf("%s: %s (%s), oldest pass %d, %d sets, temporary %v; want %s (%s), %d, %d",
				tc.name, r.Result, r.Reason, r.OldestPass, len(r.Sets), r.Temporary, tc.want, tc.reason, tc.oldest, tc.sets)
		}
	}
	_, _, r := check(t, zone(), []byte(withFooter), testTime)
	for i, s := range r.Sets {
		if s.Instance != i+1 || s.AuthservID != h[i].Domain || s.Seal.Domain != h[i].Domain || s.Seal.Result != "pass" || !strings.Contains(s.Results, "dkim=pass") {
			t.Errorf("set %d = %+v", i+1, s)
		}
	}
	if r.Sets[0].Message.Result != "fail" || r.Sets[1].Message.Result != "pass" {
		t.Errorf("message signatures: %s, %s", r.Sets[0].Message.Result, r.Sets[1].Message.Result)
	}
}

func TestTemporary(t *testing.T) {
	h := hosts()
	msg := hop(t, h[1], hop(t, h[0], message))
	z := zone()
	z.broken["s._domainkey.one.example"] = true
	m, body, r := check(t, z, []byte(msg), testTime)
	if r.Result != "fail" || !r.Temporary || r.Reason != "seal 1: key lookup had no answer" {
		t.Errorf("no answer for a seal: %+v", r)
	}
	if _, err := h[2].Seal(m, body, r, "x; none", testTime); !errors.Is(err, ErrChain) {
		t.Errorf("Seal after a timeout: %v", err)
	}
	// What is wrong for good is not called temporary.
	_, _, r = check(t, z, []byte(strings.Replace(msg, "Hi all", "Ho all", 1)), testTime)
	if r.Result != "fail" || r.Temporary || r.Reason != "message signature: body was changed" {
		t.Errorf("no answer, and changed: %+v", r)
	}
	z.broken["s._domainkey.two.example"] = true
	delete(z.txt, "s._domainkey.one.example")
	z.broken["s._domainkey.one.example"] = false
	_, _, r = check(t, z, []byte(msg), testTime)
	if r.Result != "fail" || r.Temporary || r.Reason != "seal 1: no key" {
		t.Errorf("no answer, and no key: %+v", r)
	}
}

// A chain found broken gets one more set, which says so and covers itself only;
// then nobody may add to it.
func TestSealBroken(t *testing.T) {
	h := hosts()
	msg := strings.Replace(hop(t, h[0], message), "Hi all", "Ho all", 1)
	msg = hop(t, h[1], msg)
	if !strings.Contains(msg, "cv=fail; d=two.example; i=2;") {
		t.Errorf("no cv=fail in %q", msg)
	}
	m, body, r := check(t, zone(), []byte(msg), testTime)
	if r.Result != "fail" {
		t.Errorf("result %s", r.Result)
	}
	if _, err := h[2].Seal(m, body, r, "x; none", testTime); !errors.Is(err, ErrChain) {
		t.Errorf("Seal = %v", err)
	}
	if _, err := h[2].Seal(m, body, Result{}, "x; none", testTime); !errors.Is(err, ErrChain) {
		t.Errorf("Seal of a chain that nobody verified = %v", err)
	}
}

// 50 sets are a chain, and the end of it.
func TestSealMany(t *testing.T) {
	msg := message
	for range MaxSets {
		msg = hop(t, hosts()[0], msg)
	}
	m, body, r := check(t, zone(), []byte(msg), testTime)
	if r.Result != "pass" || len(r.Sets) != MaxSets {
		t.Fatalf("50 sets: %s (%s)", r.Result, r.Reason)
	}
	if _, err := hosts()[1].Seal(m, body, r, "x; none", testTime); !errors.Is(err, ErrChain) {
		t.Errorf("51st set: %v", err)
	}
	if max := int64(60 * len(msg)); m.Work > max {
		t.Errorf("%d steps for %d octets, more than %d", m.Work, len(msg), max)
	}
}

func TestHostile(t *testing.T) {
	set := func(i int) string {
		return fmt.Sprintf("ARC-Seal: i=%d; a=rsa-sha256; cv=pass; d=d%d.example; s=s; b=AAAA\r\n"+
			"ARC-Message-Signature: i=%d; a=rsa-sha256; d=e%d.example; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"+
			"ARC-Authentication-Results: i=%d; x; none\r\n", i, i, i, i, i)
	}
	var fifty, thousand strings.Builder
	for i := range 1000 {
		if i < 50 {
			fifty.WriteString(strings.Replace(set(i+1), "i=1; a=rsa-sha256; cv=pass", "i=1; a=rsa-sha256; cv=none", 1))
		}
		thousand.WriteString(set(i%60 + 1))
	}
	for _, tc := range []struct {
		name, msg, reason string
		asked             int
	}{
		{"50 sets of 100 domains", fifty.String() + message, "message signature: too many keys in one message", 32},
		{"1,000 sets", thousand.String() + message, "too many sets", 0},
		{"5,000 seals", strings.Repeat("ARC-Seal: i=1\r\n", 5000) + message, "header too large", 0},
		{"16,000 names", "ARC-Message-Signature: i=1; a=rsa-sha256; d=d.example; s=s; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA; h=" + strings.Repeat("x:", 16000) + "from\r\n" + message, "too many signed fields", 0},
	} {
		z := &countZone{}
		m, r := checkWith(t, z, []byte(tc.msg))
		if r.Result != "fail" || r.Reason != tc.reason {
			t.Errorf("%s: %s (%s), want %s", tc.name, r.Result, r.Reason, tc.reason)
		}
		if z.n != tc.asked {
			t.Errorf("%s: asked %d times, want %d", tc.name, z.n, tc.asked)
		}
		if max := int64(10 * len(tc.msg)); m.Work > max {
			t.Errorf("%s: %d steps for %d octets", tc.name, m.Work, len(tc.msg))
		}
	}
}

func TestSealRefuses(t *testing.T) {
	good := hosts()[1]
	m, body, chain := check(t, zone(), []byte(message), testTime)
	for _, tc := range []struct {
		name    string
		change  func(s *Sealer)
		results string
	}{
		{"no From", func(s *Sealer) { s.Names = []string{"To"} }, "x; none"},
		{"ARC field", func(s *Sealer) { s.Names = []string{"From", "ARC-Seal"} }, "x; none"},
		{"name with a line end", func(s *Sealer) { s.Names = []string{"From", "To\r\nX"} }, "x; none"},
		{"results with a NUL", func(*Sealer) {}, "x; dkim=pass\x00"},
		{"domain with a line end", func(s *Sealer) { s.Domain = "x\r\nSubject: y" }, "x; none"},
	} {
		s := *good
		tc.change(&s)
		if f, err := s.Seal(m, body, chain, tc.results, testTime); err == nil {
			t.Errorf("%s: Seal = %q", tc.name, f)
		}
	}
	// A line end in the results is folding, and never ends the field.
	f, err := good.Seal(m, body, chain, "x; dkim=pass\r\nSubject: y", testTime)
	if err != nil || strings.Contains(f[2].Value, "\nSubject") {
		t.Errorf("Seal = %q, %v", f, err)
	}
}

func TestResults(t *testing.T) {
	for _, tc := range []struct{ name, head, want string }{
		{"none", "", "mx.example; none"},
		{"one", "Authentication-Results: mx.example; spf=pass;\r\n dkim=pass ;\r\n", "mx.example; spf=pass; dkim=pass"},
		{"several", "Authentication-Results: MX.example; spf=pass\r\nAuthentication-Results: other; dkim=pass\r\nAuthentication-Results: mx.example; arc=none\r\n", "mx.example; spf=pass; arc=none"},
		{"empty", "Authentication-Results: mx.example; none\r\nAuthentication-Results: mx.example\r\n", "mx.example; none"},
	} {
		m, _, _ := check(t, zone(), []byte(tc.head+message), testTime)
		if got := resultsOf(m, "mx.example"); got != tc.want {
			t.Errorf("%s: Results = %q, want %q", tc.name, got, tc.want)
		}
	}
}

// FuzzChain changes a chain that passes: either it still does, or it is fail or
// none, and what Seal adds to it never makes another verdict than its cv=.
func FuzzChain(f *testing.F) {
	msg := hop(f, hosts()[0], hop(f, hosts()[0], message))
	f.Add([]byte(msg))
	f.Add([]byte("ARC-Seal: i=1; cv=fail\r\nARC-Authentication-Results: i=2\r\n" + message))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) > 0 && (msg[0] == ' ' || msg[0] == '\t') || bytes.HasPrefix(msg, []byte("From ")) {
			return // what stands on top of it would become another message
		}
		m, body, r := check(t, zone(), msg, testTime)
		if r.Result == "" || (r.Result == "pass") != (r.Reason == "") && r.Result != "none" {
			t.Fatalf("%q: %s (%s)", msg, r.Result, r.Reason)
		}
		if r.Result == "none" && len(m.Named("arc-seal")) > 0 || len(r.Sets) > MaxSets {
			t.Fatalf("%q: %s, %d sets", msg, r.Result, len(r.Sets))
		}
		fields, err := hosts()[0].Seal(m, body, r, "x; none", testTime)
		if err != nil {
			return
		}
		var out bytes.Buffer
		for _, f := range fields {
			fmt.Fprintf(&out, "%s\r\n", strings.ReplaceAll(f.String(), "\n", "\r\n"))
		}
		out.Write(msg)
		_, _, again := check(t, zone(), out.Bytes(), testTime)
		if want := r.Result != "fail"; (again.Result == "pass") != want && again.Reason != "header too large" {
			t.Fatalf("%q was %s (%s), and is %s (%s) with our set", msg, r.Result, r.Reason, again.Result, again.Reason)
		}
	})
}
