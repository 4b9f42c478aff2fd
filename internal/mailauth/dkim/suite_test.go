package dkim

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	library "github.com/emersion/go-msgauth/dkim"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/shared"
)

// crlf makes CRLF of every line end.
func crlf(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// words joins results and their reasons.
func words(rs []Result) string {
	var s []string
	for _, r := range rs {
		s = append(s, fmt.Sprintf("%s (%s)", r.Result, r.Reason))
	}
	return strings.Join(s, ", ")
}

func anyOf(rs []Result, want authres.Result) bool {
	return slices.ContainsFunc(rs, func(r Result) bool { return r.Result == want })
}

// Reasons of exceptions.
const (
	sha1Only    = "signed with rsa-sha1 only, which RFC 8301 §3.1 forbids to accept"
	oldVersion  = "of a draft older than RFC 4871 (no v=1)"
	domainKeys  = "DomainKeys (RFC 4870), historic, not spoken here"
	keyNotThere = "its key is not in the suite"
)

// because returns the exceptions of a reason; names are without the directory
// and the ending.
func because(reason, format string, names string) map[string]string {
	out := map[string]string{}
	for n := range strings.FieldsSeq(names) {
		out[fmt.Sprintf(format, n)] = reason
	}
	return out
}

func join(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}

// perlExceptions are the files that Mail::DKIM accepts and we may not.
var perlExceptions = join(
	because(domainKeys, "corpus/%s.txt", `dk_headers_1 dk_headers_2 dk_multiple_1 good_dk_1 good_dk_2 good_dk_3 good_dk_4
		good_dk_5 good_dk_6 good_dk_7 good_dk_gmail good_dk_yahoo`),
	because(oldVersion, "corpus/%s.txt", `good_ietf00_1 good_ietf00_2 good_ietf00_3 good_ietf00_4 good_ietf00_5 good_ietf01_1
		good_ietf01_2 mine_ietf01_1 mine_ietf01_2 mine_ietf01_3 mine_ietf01_4 mine_ietf05_1 multiple_1 no_body_1 no_body_2 no_body_3`),
	because(sha1Only, "corpus/%s.txt", `good_1878523 good_83176 good_rfc4871_3 good_rfc4871_4 multiple_2`),
	because(sha1Only+"; its key has 512 bits", "corpus/%s.txt", `good_qp_1 good_qp_2 good_qp_3 goodkey_1 goodkey_2 goodkey_3 goodkey_4`),
)

// The corpus of Mail::DKIM. A file's name says what its verdict is: good, mine,
// multiple, no_body and dk pass by one signature at least, the others by none.
func TestMailDKIMSuite(t *testing.T) {
	dir := shared.Path(t, "data/conformance/mail-dkim-perl")
	z := fakeDNS(t, filepath.Join(dir, "FAKE_DNS.dat"))
	files, err := filepath.Glob(filepath.Join(dir, "corpus", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	suite := shared.NewSuite("mail-dkim-perl", perlExceptions)
	for _, file := range files {
		msg, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rs := verifyAt(t, z, msg, testTime)
		name, _ := filepath.Rel(dir, file)
		kind, _, _ := strings.Cut(filepath.Base(file), "_")
		good := slices.Contains([]string{"good", "goodkey", "mine", "multiple", "no", "dk"}, kind)
		err = nil
		if anyOf(rs, authres.Pass) != good {
			err = fmt.Errorf("%s, want a pass: %v", words(rs), good)
		}
		suite.Case(t, name, err)
	}
	suite.Report(t)
}

// fakeDNS reads the zone of Mail::DKIM.
func fakeDNS(t *testing.T, file string) *txtZone {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z := &txtZone{txt: map[string][]string{}, broken: map[string]bool{}}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		name, txt, ok := strings.Cut(s.Text(), " ")
		txt = strings.TrimSpace(txt)
		switch {
		case !ok || strings.HasPrefix(name, "#"):
		case strings.HasPrefix(txt, "~~"):
			z.broken[name] = true
		case txt == `""`:
			z.txt[name] = []string{""}
		case txt != "NXDOMAIN":
			z.txt[name] = []string{txt}
		}
	}
	return z
}

// Signatures of the drafts that only lack v= are a standard's in all else: with
// that forgiven, those of other signers than ours hold.
func TestMailDKIMDrafts(t *testing.T) {
	dir := shared.Path(t, "data/conformance/mail-dkim-perl")
	z := fakeDNS(t, filepath.Join(dir, "FAKE_DNS.dat"))
	for _, name := range []string{"mine_ietf01_3.txt", "mine_ietf01_4.txt"} {
		msg, err := os.ReadFile(filepath.Join(dir, "corpus", name))
		if err != nil {
			t.Fatal(err)
		}
		m := NewMessage(rawmsg.Scan(msg, rawmsg.Default()))
		keys := NewKeys(z)
		s := ParseSignature(DKIM, m.Raw(), m.Named("dkim-signature")[0])
		if s.Bad != "tag v is missing" {
			t.Fatalf("%s: %q", name, s.Bad)
		}
		s.Bad = ""
		h := Prepare(context.Background(), m, keys, s, testTime)
		if err := m.ReadBody(context.Background(), bytes.NewReader(msg)); err != nil {
			t.Fatal(err)
		}
		if r := Verify(m, keys, s, h); r.Result != authres.Pass {
			t.Errorf("%s: %s (%s)", name, r.Result, r.Reason)
		}
	}
}

// Most signatures of that corpus are rsa-sha1, and refused before their key is
// looked at; so the keys have a test of their own.
func TestMailDKIMKeys(t *testing.T) {
	z := fakeDNS(t, shared.Path(t, "data/conformance/mail-dkim-perl/FAKE_DNS.dat"))
	for name, want := range map[string]string{
		"testbad1._domainkey.messiah.edu":                 "key of another version",
		"testbad2._domainkey.messiah.edu":                 "malformed key",
		"testbad3._domainkey.messiah.edu":                 "key of an unknown type",
		"testbad4._domainkey.messiah.edu":                 "key is not for mail",
		"testbad7._domainkey.messiah.edu":                 "key is not for sha256",
		"testrevoked._domainkey.messiah.edu":              "key revoked",
		"test1._domainkey.messiah.edu":                    "key is too short",
		"test6._domainkey.messiah.edu":                    "",
		"selector1._domainkey.messiah.edu":                "",
		"s1024._domainkey.yahoo.com":                      "",
		"2023-05-ed25519._domainkey.wander.science":       "",
		"2023-05-ed25519-empty._domainkey.wander.science": "malformed key",
		"invalid._domainkey.wander.science":               "malformed key",
	} {
		if _, bad := parseKey(z.txt[name][0]); bad != want {
			t.Errorf("%s: %q, want %q", name, bad, want)
		}
	}
}

// dkimpy's data has no list of verdicts: its tests make them. Each file of it
// is a case here: a key record is good or bad, a private key signs what its
// record verifies, a signed message verifies, any other is signed and verified
// in every canonicalization.
func TestDkimpySuite(t *testing.T) {
	dir := shared.Path(t, "data/conformance/dkimpy-data")
	d := dkimpy{read: func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	suite := shared.NewSuite("dkimpy-data", nil)
	for _, e := range entries {
		if !e.IsDir() {
			suite.Case(t, e.Name(), d.check(t, e.Name()))
		}
	}
	suite.Report(t)
}

type dkimpy struct{ read func(name string) []byte }

// badRecords are the key records that are of no use.
var badRecords = map[string]string{
	"badk.txt": "key of an unknown type", "badversion.txt": "key of another version", "test_bad.txt": "malformed key", "test_tlsrpt.txt": "key is not for mail",
}

// recordOf names the record of each private key.
var recordOf = map[string]string{
	"1024_testkey.key": "1024_testkey_wo_markers.pub.txt", "2048_testkey.key": "2048_testkey_wo_markers.pub.rsa.txt",
	"2048_testkey_PKCS8.key": "2048_testkey_PKCS8.key.pub.txt", "ed25519test.key": "ed25519test.dns",
	"test.private": "test.txt", "test2.private": "test2.txt", "rfc8032_7_1.key": "",
}

func (d dkimpy) check(t *testing.T, name string) error {
	switch filepath.Ext(name) {
	case ".txt", ".dns":
		if _, bad := parseKey(string(d.read(name))); bad != badRecords[name] {
			return fmt.Errorf("key record: %q, want %q", bad, badRecords[name])
		}
		return nil
	case ".key", ".private":
		return d.pair(t, name, d.read("rfc6376.msg"))
	}
	msg := crlf(d.read(name))
	switch name {
	case "rfc6376.signed.no_t.msg":
		// The text of another signature with its t= taken off: the tags are
		// right, the signature is not.
		rs := verifyAt(t, &txtZone{txt: map[string][]string{"test._domainkey.football.example.com": {string(d.read("test.txt"))}}}, msg, testTime)
		if len(rs) != 1 || rs[0].Reason != "signature does not match" {
			return fmt.Errorf("signatures: %s", words(rs))
		}
		return nil
	case "rfc6376.signed.msg", "rfc6376.signed.rsa.msg", "ed25519test2.msg":
		// The zone: RFC 8463 §A.2, and Exim's.
		seed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(d.read("rfc8032_7_1.key"))))
		if err != nil {
			return err
		}
		public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
		rs := verifyAt(t, &txtZone{txt: map[string][]string{
			"brisbane._domainkey.football.example.com": {"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)},
			"test._domainkey.football.example.com":     {string(d.read("test.txt"))},
			"sed._domainkey.test.ex":                   {string(d.read("eximtest.dns"))},
		}}, msg, testTime)
		if len(rs) == 0 || slices.ContainsFunc(rs, func(r Result) bool { return r.Result != authres.Pass }) {
			return fmt.Errorf("signatures: %s", words(rs))
		}
		return nil
	case "test.message.baddomain":
		if rs := verifyAt(t, &txtZone{}, msg, testTime); len(rs) != 1 || rs[0].Reason != "malformed domain or selector" {
			return fmt.Errorf("signatures: %s", words(rs))
		}
		return nil
	case "test_nofrom.message":
		k := signer{d.private("test.private"), "test", ""}
		if rs := verifyAt(t, &txtZone{}, sign(t, k, "v=1; a=rsa-sha256; d=example.com; s=test; h=To; bh=BH; b=B64", "", string(msg)), testTime); rs[0].Reason != "From is not signed" {
			return fmt.Errorf("signatures: %s", words(rs))
		}
		return nil
	}
	return d.pair(t, "test.private", msg)
}

// pair signs msg with a private key, and verifies it with the record.
func (d dkimpy) pair(t *testing.T, name string, msg []byte) error {
	key := d.private(name)
	if key == nil {
		return errors.New("not a private key")
	}
	var record string
	if r := recordOf[name]; r != "" {
		record = string(d.read(r))
	} else {
		record = "k=ed25519; p=" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	}
	z := &txtZone{txt: map[string][]string{"test._domainkey.example.com": {record}}}
	head, body, _ := bytes.Cut(crlf(msg), []byte("\r\n\r\n"))
	for _, hc := range []library.Canonicalization{library.CanonicalizationSimple, library.CanonicalizationRelaxed} {
		for _, bc := range []library.Canonicalization{library.CanonicalizationSimple, library.CanonicalizationRelaxed} {
			m := signed(t, string(head)+"\r\n", body, signer{key, "test", ""}, func(o *library.SignOptions) {
				o.Domain, o.HeaderCanonicalization, o.BodyCanonicalization = "example.com", hc, bc
			})
			if rs := verifyAt(t, z, m, testTime.AddDate(10, 0, 0)); rs[0].Result != authres.Pass {
				return fmt.Errorf("%s/%s: %s", hc, bc, words(rs))
			}
		}
	}
	return nil
}

func (d dkimpy) private(name string) crypto.Signer {
	text := d.read(name)
	block, _ := pem.Decode(text)
	if block == nil {
		seed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
		if err != nil || len(seed) != ed25519.SeedSize {
			return nil
		}
		return ed25519.NewKeyFromSeed(seed)
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k
	}
	k, _ := x509.ParsePKCS8PrivateKey(block.Bytes)
	rsaKey, _ := k.(*rsa.PrivateKey)
	return rsaKey
}

// SpamAssassin's messages are signed by sa-test.spamassassin.org, whose keys
// are in DNS and not in the suite; what can be said without them is said.
func TestSpamAssassinSuite(t *testing.T) {
	dir := shared.Path(t, "data/conformance/spamassassin-tdata/t/data")
	suite := shared.NewSuite("spamassassin-dkim", spamassassinExceptions)
	for _, pattern := range []string{"dkim/*.msg", "dkim/arc/*.eml", "nice/dkim/*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(dir, file)
			suite.Case(t, name, spamassassin(t, name, crlf(b)))
		}
	}
	suite.Report(t)
}

// spamassassinExceptions: that a message without its key is not accepted says
// nothing, so those that are to fail do not count as passed either.
var spamassassinExceptions = join(
	because(keyNotThere, "dkim/%s.msg", `test-fail-02 test-fail-03 test-fail-04 test-fail-05 test-fail-07 test-fail-08
		test-pass-09 test-pass-10 test-pass-11 test-pass-12 test-pass-13 test-pass-14 test-pass-15 test-pass-16`),
	because(keyNotThere+", and has less than 1024 bits, which RFC 8301 §3.2 forbids to accept", "dkim/%s.msg", `test-pass-02 test-pass-03 test-pass-04
		test-pass-05 test-pass-06 test-pass-07 test-pass-08 test-pass-17 test-pass-18 test-pass-19 test-pass-20 test-pass-21 test-pass-22 test-pass-23`),
	because(sha1Only, "dkim/%s.msg", "test-pass-01"),
	because(keyNotThere, "dkim/arc/%s.eml", "ok01"),
	because(oldVersion, "nice/dkim/%s", `AddedVtag_07 BasicTest_01 MIMEnowsp_05 MIMEsimple_04 MultipleReceived_08 MultipleSig_06
		NonExistingHeader_09 Nowsp_03 Simple_02`),
)

// spamassassin returns what is wrong with the verdict about a file.
func spamassassin(t *testing.T, name string, msg []byte) error {
	rs := verifyAt(t, &txtZone{}, msg, testTime)
	base := filepath.Base(name)
	switch {
	case strings.HasPrefix(base, "test-adsp"), base == "test-fail-01.msg", base == "MultipleAuthRes_10":
		if len(rs) != 0 {
			return fmt.Errorf("%s, want no signature", words(rs))
		}
		return nil
	case base == "ko01.eml":
		// It is about ARC: there is no chain.
		m := NewMessage(rawmsg.Scan(msg, rawmsg.Default()))
		if len(m.Named("arc-seal")) > 0 {
			return errors.New("there is a chain")
		}
		return nil
	case base == "test-fail-06.msg" || base == "test-fail-09.msg":
		// A key that is not in DNS is what these are about.
		if len(rs) != 1 || rs[0].Reason != "no key" {
			return fmt.Errorf("signatures: %s", words(rs))
		}
		return nil
	}
	if strings.HasPrefix(base, "test-fail") || !anyOf(rs, authres.Pass) {
		return fmt.Errorf("signatures: %s", words(rs))
	}
	return nil
}

// The body hash needs no key: it holds in every message of SpamAssassin's that
// is to pass and whose algorithm we know.
func TestSpamAssassinBodies(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(shared.Path(t, "data/conformance/spamassassin-tdata/t/data/dkim"), "test-pass-*.msg"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		raw := rawmsg.Scan(crlf(b), rawmsg.Default())
		for _, i := range NewMessage(raw).Named("dkim-signature") {
			s := ParseSignature(DKIM, raw, i)
			if s.Bad != "" {
				continue
			}
			checked++
			if hashBody(raw.Raw[raw.HeaderEnd:], s.Body, s.Length) != s.bodyHash {
				t.Errorf("%s: body hash does not match", filepath.Base(file))
			}
		}
	}
	if checked < 15 {
		t.Errorf("only %d body hashes were checked", checked)
	}
}
