package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/dnstest"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// goldenMail has messages, and the zone with the keys that they are signed with.
const goldenMail = "../../internal/mailauth/testdata/golden/"

// trace is on top of a message that example.com handed over.
const trace = "Return-Path: <any@example.com>\r\n" +
	"Received: from mail.example.com (mail.example.com [192.0.2.66])\r\n\tby mx.example.org (Postfix) with ESMTP id 4XYZ; Fri, 20 Nov 2026 10:00:00 +0000\r\n"

// withDNS returns a machine whose DNS has the golden zone, and that one; about
// the names in ill it knows nothing now.
func withDNS(t *testing.T, zone string, ill ...string) *machine {
	t.Helper()
	z := dnstest.NewZone()
	if err := z.Add(golden(t, "zone") + zone); err != nil {
		t.Fatal(err)
	}
	for _, name := range ill {
		z.Fail(name, dnstest.ServFail)
	}
	srv, err := dnstest.Start("127.0.0.1:0", z)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	m := newMachine(t)
	m.configure(t, "resolver:\n  servers: [\""+srv.Addr()+"\"]\n")
	return m
}

func golden(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(goldenMail + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// check runs "auth check" over a message on stdin.
func (m *machine) check(t *testing.T, msg string, args ...string) answer {
	t.Helper()
	return m.runWith(t, msg, append([]string{"auth", "check", "-"}, args...)...)
}

// has reports what of want is not in got, line by line and in that order.
func has(got, want string) (missing string) {
	lines := strings.Split(got, "\n")
	for w := range strings.SplitSeq(want, "\n") {
		i := slices.Index(lines, w)
		if i < 0 {
			return w
		}
		lines = lines[i+1:]
	}
	return ""
}

func TestAuthSPF(t *testing.T) {
	m := withDNS(t, `
big.example.org. TXT "v=spf1 a:none.example.org include:example.com include:mail.example.com exp=why.example.org -all"
why.example.org. TXT "%{i} is no server of ours"
bad.example.org. TXT "v=spf1 ip4:300.1.1.1"
moved.example.org. TXT "v=spf1 redirect=example.com"
`)
	for _, tc := range []struct {
		args string
		code int
		want string
	}{
		{"big.example.org --ip 198.51.100.9 --helo example.com", 1, `SPF for MAIL FROM postmaster@big.example.org: fail
  record of big.example.org: v=spf1 a:none.example.org include:example.com include:mail.example.com exp=why.example.org -all
    a:none.example.org, asked of none.example.org: no match
    include:example.com, asked of example.com: no match
      record of example.com: v=spf1 ip4:192.0.2.66 -all
        ip4:192.0.2.66: no match
        -all: match
    include:mail.example.com, asked of mail.example.com: no match
      record of mail.example.com: v=spf1 ip4:192.0.2.66 -all
        ip4:192.0.2.66: no match
        -all: match
    -all: match
  decided by -all in the record of big.example.org
  look-ups: 3 of at most 10, of which void 1 of at most 2
  the domain explains: 198.51.100.9 is no server of ours
SPF for HELO example.com: fail
  record of example.com: v=spf1 ip4:192.0.2.66 -all
    ip4:192.0.2.66: no match
    -all: match
  decided by -all in the record of example.com
  look-ups: 0 of at most 10, of which void 0 of at most 2
`},
		{"moved.example.org --ip 192.0.2.66 --from a@moved.example.org", 0, `SPF for MAIL FROM a@moved.example.org: pass
  record of moved.example.org: v=spf1 redirect=example.com
    redirect=example.com, asked of example.com: redirect
      record of example.com: v=spf1 ip4:192.0.2.66 -all
        ip4:192.0.2.66: match
  decided by ip4:192.0.2.66 in the record of example.com
  look-ups: 1 of at most 10, of which void 0 of at most 2
`},
		{"bad.example.org --ip 192.0.2.66", 1, `SPF for MAIL FROM postmaster@bad.example.org: permerror: record cannot be evaluated
  record of bad.example.org: v=spf1 ip4:300.1.1.1
`},
		{"none.example.org --ip 192.0.2.66", 1, `SPF for MAIL FROM postmaster@none.example.org: none
  record of none.example.org: none
  look-ups: 0 of at most 10, of which void 0 of at most 2
`},
		{"localhost --ip 192.0.2.66", 1, `SPF for MAIL FROM postmaster@localhost: none
  localhost is not a domain that could have a record
`},
	} {
		a := m.run(t, append([]string{"auth", "spf"}, strings.Fields(tc.args)...)...)
		if !strings.HasPrefix(a.out, tc.want) || a.code != tc.code {
			t.Errorf("auth spf %s: exit %d\n%s%s\nwant %d\n%s", tc.args, a.code, a.out, a.talk, tc.code, tc.want)
		}
	}
	var got []spfReport
	a := m.run(t, "auth", "spf", "example.com", "--ip", "192.0.2.66", "--json")
	if err := json.Unmarshal([]byte(a.out), &got); err != nil || len(got) != 1 || got[0].Term != "ip4:192.0.2.66" || a.code != 0 {
		t.Errorf("--json: exit %d, %v, %s", a.code, err, a.out)
	}
}

func TestAuthDMARC(t *testing.T) {
	m := withDNS(t, `
_dmarc.t.example.net. TXT "v=DMARC1; p=reject; t=y; rua=x"
`)
	for _, tc := range []struct {
		domain string
		code   int
		want   string
	}{
		{"a.b.T.example.net", 0, `DMARC of a.b.t.example.net
  _dmarc.a.b.t.example.net: no record
  _dmarc.b.t.example.net: no record
  _dmarc.t.example.net: v=DMARC1; p=reject; t=y; rua=x
  _dmarc.example.net: no record
  _dmarc.net: no record
  organizational domain: t.example.net
  record that holds: v=DMARC1; p=reject; t=y of t.example.net
  fault in the record: bad value of rua
  policy: quarantine, by p=reject in test mode (t=y)
`},
		{"nosuch.example.org", 0, `DMARC of nosuch.example.org
  _dmarc.nosuch.example.org: no record
  _dmarc.example.org: v=DMARC1; p=reject; sp=reject; np=reject
  _dmarc.org: no record
  organizational domain: example.org
  record that holds: v=DMARC1; p=reject; sp=reject; np=reject of example.org
  policy: reject, by sp=
`},
		{"other.example", 1, `DMARC of other.example
  _dmarc.other.example: no record
  _dmarc.example: no record
  organizational domain: other.example
  policy: none was found
  no record
`},
	} {
		if a := m.run(t, "auth", "dmarc", tc.domain); a.out != tc.want || a.code != tc.code {
			t.Errorf("auth dmarc %s: exit %d\n%s%s\nwant %d\n%s", tc.domain, a.code, a.out, a.talk, tc.code, tc.want)
		}
	}
	var got policyReport
	a := m.run(t, "auth", "dmarc", "example.org", "--json")
	if err := json.Unmarshal([]byte(a.out), &got); err != nil || got.Policy != "reject" || len(got.Asked) == 0 || a.code != 0 {
		t.Errorf("--json: exit %d, %v, %s", a.code, err, a.out)
	}
}

// TestAuthCheckOpen: a dead delegation in MAIL FROM leaves open what a
// receiver does with the message.
func TestAuthCheckOpen(t *testing.T) {
	m := withDNS(t, "", "dead.example.org")
	msg := "From: Alice <alice@example.org>\r\nSubject: a\r\n\r\nHello.\r\n"
	args := []string{"--ip", "192.0.2.66", "--helo", "mail.example.com", "--from", "x@dead.example.org"}
	a := m.check(t, msg, args...)
	want := "  a receiver that honours policies has the sender try again: reject if nothing vouches for the message then\n"
	if !strings.Contains(a.out, "DMARC for example.org: temperror") || !strings.Contains(a.out, want) || a.code != 1 {
		t.Errorf("auth check: exit %d\n%s%s\nwant\n%s", a.code, a.out, a.talk, want)
	}
	var got authReport
	a = m.check(t, msg, append(args, "--json")...)
	if err := json.Unmarshal([]byte(a.out), &got); err != nil || got.DMARC.Open != "reject" || got.DMARC.Action != "none" {
		t.Errorf("--json: %v, %+v", err, got.DMARC)
	}
}

func TestAuthCheck(t *testing.T) {
	m := withDNS(t, "")
	good := golden(t, "control-dkim.in")
	const head = `note: --ip is missing: the client's address is that of the topmost Received
note: --helo is missing: the name is that of the topmost Received
note: --from is missing: MAIL FROM is that of Return-Path
From: Alice <alice@example.org>

client 192.0.2.66, HELO mail.example.com
iprev: pass: the address is that of mail.example.com

SPF for MAIL FROM any@example.com: pass
  record of example.com: v=spf1 ip4:192.0.2.66 -all
    ip4:192.0.2.66: match
  decided by ip4:192.0.2.66 in the record of example.com
  look-ups: 0 of at most 10, of which void 0 of at most 2

SPF for HELO mail.example.com: pass
`
	const key = "  d=example.org s=s1 a=ed25519-sha256\n  key of 256 bits at s1._domainkey.example.org\n  c=relaxed/relaxed\n"
	for _, tc := range []struct {
		name, msg string
		args      []string
		code      int
		want      string // lines, in that order
	}{
		{"good", trace + good, nil, 0, head + `
DKIM signature 1: pass
` + key + `  signed fields: from to subject date message-id
  not signed: Return-Path Received
  body hash: right, over 21 octets

ARC chain: none

DMARC for example.org: pass
  _dmarc.example.org: v=DMARC1; p=reject; sp=reject; np=reject
  record that holds: v=DMARC1; p=reject; sp=reject; np=reject of example.org
  policy: reject, by p=
  spf example.com (pass): not aligned: another organization than that of example.org
  dkim example.org (pass): aligned
  a receiver that honours policies does: none

Authentication-Results:
  mx.example.org;
  iprev=pass policy.iprev=192.0.2.66;
  spf=pass smtp.mailfrom=any@example.com;
  spf=pass smtp.helo=mail.example.com;
  dkim=pass header.d=example.org header.s=s1 header.a=ed25519-sha256
  dmarc=pass header.from=example.org policy.dmarc=reject`},
		{"footer", trace + good + "-- \r\nthe list\r\n", nil, 1, head + `
DKIM signature 1: fail: body was changed
` + key + `  body hash: wrong, the body is not what was signed
    over 35 octets it is 6IMVzgtOXj6ClrUnKthZYCxODigSQ04my2D3sdGDQgE=
    first line hashed: Please pay at once.
    last line hashed: the list
    why: text was added at the end after signing (2 lines, 14 octets)
DMARC for example.org: fail: no identifier is aligned
  dkim example.org (fail): not aligned: only a pass counts
  a receiver that honours policies does: reject`},
		{"changed text", strings.Replace(good, "at once", "at 0nce", 1), nil, 1,
			"    why: none of the changes that mail programs are known for; somebody changed the text"},
		{"changed field", strings.Replace(good, "an invoice", "a bill", 1), nil, 1, `DKIM signature 1: fail: signature does not match
  body hash: right, over 21 octets
  why: a signed field was changed, or the key is not the one that signed`},
		{"l=", golden(t, "replay-l.in"), nil, 1, `DKIM signature 1: policy: only 21 of 51 octets of the body are signed
  body hash: right, over the first 21 of 51 octets (l=)
  dkim example.org (policy): not aligned: only a part of the message is signed`},
		{"oversigned", golden(t, "replay-subject-oversigned.in"), nil, 1, "  none may be added of: from to date message-id"},
		{"chain", golden(t, "arc-of-attacker.in"), nil, 1, `ARC chain: pass
  set 1, by mx.example.com
    it found: dmarc=pass header.from=example.org; dkim=pass header.d=example.org
    message signature: pass, d=example.com s=s1
    seal: pass, d=example.com s=s1`},
		{"options come first", trace + good, []string{"--ip", "198.51.100.25", "--helo", "mail.example.org", "--from", "alice@example.org"}, 0,
			"  spf example.org (pass): aligned"},
		{"null path", good, []string{"--ip", "198.51.100.25", "--helo", "example.org", "--from", "<>"}, 0, `SPF for MAIL FROM <>: pass
SPF for HELO example.org: pass, as above`},
		{"nothing known", good, nil, 0, `note: --ip is missing, and the topmost Received has no client address: iprev and SPF are left out
note: --from is missing, and so is Return-Path: iprev and SPF are left out
client: not known
DMARC for example.org: pass`},
		{"no path", good, []string{"--ip", "192.0.2.66"}, 0, `note: --helo is missing: the HELO name is taken for empty
iprev: left out
SPF: left out, as MAIL FROM is not known`},
		{"no author", "Sender: a@example.org\r\n\r\n", nil, 1, "DMARC for none: permerror: there is no From"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := m.check(t, tc.msg, tc.args...)
			if missing := has(a.out, tc.want); missing != "" || a.code != tc.code {
				t.Errorf("exit %d, want %d; in its place is no line %q:\n%s%s", a.code, tc.code, missing, a.out, a.talk)
			}
			var got map[string]any
			j := m.check(t, tc.msg, append(tc.args, "--json")...)
			if err := json.Unmarshal([]byte(j.out), &got); err != nil || j.code != tc.code {
				t.Errorf("--json: exit %d, %v: %s%s", j.code, err, j.out, j.talk)
			}
		})
	}
}

// TestAuthMisuse: what cannot be asked is said before DNS is.
func TestAuthMisuse(t *testing.T) {
	m := newMachine(t)
	for args, want := range map[string]string{
		"auth spf example.org":                                     "gatepost: error: --ip is missing\n",
		"auth spf example.org --ip host":                           "gatepost: error: --ip: \"host\" is not an address such as 192.0.2.7 or 2001:db8::7\n",
		"auth spf a..b --ip 192.0.2.7":                             "gatepost: error: \"a..b\" is not a domain such as example.org\n",
		"auth spf example.org --ip 192.0.2.7 --from a@example.net": "gatepost: error: --from: a@example.net is not an address of example.org\n",
		"auth check - --from a@b@":                                 "gatepost: error: --from: \"a@b@\" is not an address such as alice@example.org, or <>\n",
		"auth dmarc [192.0.2.7]":                                   "gatepost: error: \"[192.0.2.7]\" is not a domain\n",
		"auth dmarc a..b":                                          "gatepost: error: \"a..b\" is not a domain such as example.org\n",
		"auth nonsense":                                            "gatepost: error: unknown command \"nonsense\" for \"gatepost auth\"\n",
	} {
		if a := m.run(t, strings.Fields(args)...); a.code != exitMisuse || !strings.HasPrefix(a.talk, want) || a.out != "" {
			t.Errorf("%s: exit %d\n%s%s\nwant %s", args, a.code, a.out, a.talk, want)
		}
	}
	for _, args := range []string{"auth check /nonexistent", "auth dmarc example.org --config /nonexistent"} {
		if a := m.run(t, strings.Fields(args)...); a.code != exitFailed || !strings.Contains(a.talk, "no such file") {
			t.Errorf("%s: exit %d: %s", args, a.code, a.talk)
		}
	}
	if _, err := os.Stat(defaultConfig); err != nil {
		if cfg, _, err := (&app{configPath: defaultConfig}).asker(); err != nil || cfg.AuthservID == "" {
			t.Errorf("without the default file: %+v, %v", cfg, err)
		}
	}
}

// TestAuthIsSafeOnATerminal: what strangers wrote, in the message and in DNS,
// neither moves the cursor nor begins a line.
func TestAuthIsSafeOnATerminal(t *testing.T) {
	m := withDNS(t, `
evil.example.com. TXT "v=spf1 exp=evil.example.com \027[2J\155 -all"
_dmarc.evil.example.com. TXT "v=DMARC1; p=none; \027]0;x\007 \010DMARC for evil: pass"
`)
	file := filepath.Join(t.TempDir(), "m")
	msg := "DKIM-Signature: v=1; a=\x1b[2J; d=a\x1b[31m; s=\x9b; i=\x07@x; h=from\x1b:to; bh=; b=\r\n" +
		"ARC-Authentication-Results: i=1; \x1b[2J; \x07\r\nFrom: \x1b[2J\u202e <a@evil.example.com>\r\n\r\n\x1b[2J\r\n"
	if err := os.WriteFile(file, []byte(msg), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"auth", "check", file, "--ip", "192.0.2.66", "--helo", "\x1b[2J\nDMARC: pass", "--from", "a@evil.example.com"},
		{"auth", "spf", "evil.example.com", "--ip", "192.0.2.66", "--helo", "\x1b[2J"}, {"auth", "dmarc", "evil.example.com"},
	} {
		for _, more := range [][]string{nil, {"--json"}} {
			a := m.run(t, append(args, more...)...)
			for _, r := range a.out + a.talk {
				if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0x202e {
					t.Errorf("%q: %U in %q", args, r, a.out+a.talk)
					break
				}
			}
			if strings.Contains(a.out, "\nDMARC: pass") || strings.Contains(a.out, "\nDMARC for evil: pass") || a.out == "" {
				t.Errorf("%q writes %q %q", args, a.out, a.talk)
			}
		}
	}
}

func TestTopReceived(t *testing.T) {
	const postfix = "Received: from helo.example (name.example [192.0.2.7])\r\n\t(using TLSv1.3)\r\n\tby mx (Postfix) with ESMTPS id 1; d\r\n"
	const lmtp = "Received: from mx.example\r\n\tby mx.example with LMTP\r\n\tid 1\r\n\t(envelope-from <a@b>); d\r\n"
	for _, tc := range []struct{ name, fields, addr, helo string }{
		{"Postfix", postfix, "192.0.2.7", "helo.example"},
		{"below our delivery", lmtp + postfix, "192.0.2.7", "helo.example"},
		{"IPv6", "Received: from h (unknown [IPv6:2001:db8::7]) by mx; d\r\n", "2001:db8::7", "h"},
		{"IPv4 within IPv6", "Received: from h (unknown [::ffff:192.0.2.7]) by mx; d\r\n", "192.0.2.7", "h"},
		{"literal for HELO", "Received: from [10.0.0.1] (n.example [192.0.2.7]) by mx; d\r\n", "192.0.2.7", "[10.0.0.1]"},
		{"none", "To: a@b\r\n", "", ""},
		{"pickup", "Received: by mx (Postfix, from userid 0) id 1; d\r\n" + postfix, "", ""},
		{"empty", "Received:\r\n", "", ""},
		{"an address that is none", "Received: from h (n [nonsense]) by mx; d\r\n" + postfix, "", ""},
		{"brackets the wrong way round", "Received: from h (n ]192.0.2.7[) by mx; d\r\n", "", ""},
		{"no end", "Received: from h (n [192.0.2.7] by mx; d\r\n", "", ""},
	} {
		got, ok := topReceived(rawmsg.Scan([]byte(tc.fields+"\r\n"), rawmsg.Default()))
		var want received
		if tc.addr != "" {
			want = received{netip.MustParseAddr(tc.addr), tc.helo}
		}
		if ok != (tc.addr != "") || ok && got != want {
			t.Errorf("%s: %+v %v, want %+v", tc.name, got, ok, want)
		}
	}
}

// TestAuthSecureKey: a key that DNSSEC vouches for says so.
func TestAuthSecureKey(t *testing.T) {
	z := dnstest.NewZone()
	z.MustAdd(golden(t, "zone"))
	z.Secure("s1._domainkey.example.org")
	srv, err := dnstest.Start("127.0.0.1:0", z)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	m := newMachine(t)
	m.configure(t, "resolver:\n  servers: [\""+srv.Addr()+"\"]\n")
	msg := trace + golden(t, "control-dkim.in")
	const want = "  key of 256 bits (DNSSEC) at s1._domainkey.example.org"
	if a := m.check(t, msg); has(a.out, want) != "" {
		t.Errorf("auth check = %s, lacks %q", a.out, want)
	}
	if a := m.check(t, msg, "--json"); !strings.Contains(a.out, `"key_dnssec": true`) {
		t.Errorf("auth check --json = %s, lacks key_dnssec", a.out)
	}
}

// TestAuthFacts: what a program may read in two ways is told.
func TestAuthFacts(t *testing.T) {
	m := withDNS(t, "")
	good := golden(t, "control-dkim.in")
	got := m.check(t, strings.Replace(good, "From:", "X-Odd: \xe4\x00\rX-More: 1\nFrom:", 1)+
		strings.Repeat("x\r\n", 3)+"y\n")
	const want = `note: line ends are mixed: 14 CRLF, 2 bare LF, 1 bare CR; programs may see different messages
note: 1 NUL bytes; programs may stop at the first one
note: 1 bytes above 127 in the header`
	if missing := has(got.out, want); missing != "" {
		t.Errorf("auth check lacks %q:\n%s", missing, got.out)
	}
	lines := "Content-Transfer-Encoding: base64\r\n\r\n!!!!\r\n"
	if got := m.check(t, lines); has(got.out, "note: limit exceeded: base64 that is none") != "" {
		t.Errorf("auth check of %q:\n%s", lines, got.out)
	}
}

// TestSecondOpinion: where another verifier reads a signature otherwise, the
// page says so; where both agree it says nothing.
func TestSecondOpinion(t *testing.T) {
	m := withDNS(t, "")
	const disagrees = "another verifier (go-msgauth) does not agree"
	if a := m.check(t, golden(t, "replay-subject-added.in")); !strings.Contains(a.out, disagrees+": pass") {
		t.Errorf("a replay with another Subject on top: want %q in\n%s", disagrees+": pass", a.out)
	}
	if a := m.check(t, golden(t, "control-dkim.in")); strings.Contains(a.out, disagrees) {
		t.Errorf("a good signature: the two do not agree:\n%s", a.out)
	}
}
