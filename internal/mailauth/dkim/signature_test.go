package dkim

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"math/bits"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

func TestParseTags(t *testing.T) {
	for _, tc := range []struct{ in, want, bad string }{
		{"a=1", "a=1", ""},
		{" a = 1 ; b=2 3;\r\n", "a=1|b=2 3", ""},
		{"a=;", "a=", ""},
		{"a=b=c", "a=b=c", ""},
		{"_a=1", "", "malformed tags"},
		{"a_1=x", "a_1=x", ""},
		{"1a=x", "", "malformed tags"},
		{"a=1;;b=2", "a=1", "malformed tags"},
		{"a=1;a=2", "a=1", "tag a stands twice"},
		{"a=1;A=2", "a=1|A=2", ""},
		{"", "", "malformed tags"},
		{";", "", "malformed tags"},
		{"a", "", "malformed tags"},
		{"a b=1", "", "malformed tags"},
		{"a=\x00", "", "malformed tags"},
		{"a=b\rc", "", "malformed tags"},
		{"a=b\r\n c", "a=b\r\n c", ""},
		{"a=ö", "a=ö", ""},
	} {
		list, bad := parseTags(tc.in)
		var got []string
		for _, t := range list {
			got = append(got, t.name+"="+t.value)
		}
		if s := strings.Join(got, "|"); s != tc.want || bad != tc.bad {
			t.Errorf("parseTags(%q) = %q, %q, want %q, %q", tc.in, s, bad, tc.want, tc.bad)
		}
	}
	var many strings.Builder
	for i := range maxTags + 1 {
		fmt.Fprintf(&many, "a%d=1;", i)
	}
	if _, bad := parseTags(many.String()); bad != "too many tags" {
		t.Errorf("%d tags: %q", maxTags+1, bad)
	}
}

func FuzzParseTags(f *testing.F) {
	for _, s := range []string{"v=1; a=rsa-sha256;\r\n b=ab cd;", "a=;b", "p=\t x ;", "a==;", "v=DKIM1; p="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, _ := parseTags(s)
		for _, tag := range list {
			if tag.start < 0 || tag.end > len(s) || tag.start > tag.end || strings.Trim(s[tag.start:tag.end], fws) != tag.value {
				t.Fatalf("parseTags(%q): %+v", s, tag)
			}
			if tag.start == 0 || s[tag.start-1] != '=' || tag.end < len(s) && s[tag.end] != ';' {
				t.Fatalf("parseTags(%q): value of %s is not between = and ;", s, tag.name)
			}
		}
	})
}

func TestParseKey(t *testing.T) {
	full, ed := testKey(t, "rsa"), testKey(t, "ed25519")
	p := full.record[strings.Index(full.record, "p="):]
	short := "p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALgSoqXVSEmfcIsOzw7oRuCCOwsmtX/SJnTWxYyj2leFxfS/AVJ+dYfY+hXqMsT7l+MZvvh/R1WzN4MO/kI/7XsCAwEAAQ=="
	for _, tc := range []struct {
		name, txt, bad  string
		testing, strict bool
	}{
		{"as we print it", full.record, "", false, false},
		{"p= alone", p, "", false, false},
		{"blanks and tabs in p=", p[:40] + " \t " + p[40:], "", false, false},
		{"Ed25519", ed.record, "", false, false},
		{"flags", "v=DKIM1; t = y : s ; " + p, "", true, true},
		{"other flag", "t=x; " + p, "", false, false},
		{"final semicolon", p + " ; ", "", false, false},
		{"revoked", "v=DKIM1; t=y; p=", "key revoked", true, false},
		{"empty record", "", "malformed key", false, false},
		{"no p=", "v=DKIM1; k=rsa", "malformed key", false, false},
		{"not base64", "p=A-_A", "malformed key", false, false},
		{"padding missing", strings.TrimRight(ed.record, "="), "malformed key", false, false},
		{"version", "v=DKIM2; " + p, "key of another version", false, false},
		{"version not first", "k=rsa; v=DKIM1; " + p, "key of another version", false, false},
		{"twice", "k=rsa; k=rsa; " + p, "malformed key", false, false},
		{"type", "k=dsa; " + p, "key of an unknown type", false, false},
		{"type and key differ", "k=ed25519; " + p, "malformed key", false, false},
		{"hash", "h=sha1; " + p, "key is not for sha256", false, false},
		{"hashes", "h=sha1 : sha256; " + p, "", false, false},
		{"service", "s=chat; " + p, "key is not for mail", false, false},
		{"tlsrpt", "s=tlsrpt; " + p, "key is not for mail", false, false},
		{"services", "s=chat:email; " + p, "", false, false},
		{"any service", "s=*; " + p, "", false, false},
		{"512 bits", short, "key is too short", false, false},
		{"4096 bits", rsaRecord(t, 4096, 65537), "", false, false},
		{"4097 bits", rsaRecord(t, 4097, 65537), "key is too long", false, false},
		{"65536 bits", rsaRecord(t, 65536, 65537), "key is too long", false, false},
		{"exponent 3", rsaRecord(t, 2048, 3), "", false, false},
		{"largest exponent", rsaRecord(t, 2048, 1<<31-1), "", false, false},
		{"exponent 1", rsaRecord(t, 2048, 1), "key has a bad exponent", false, false},
		{"exponent 2", rsaRecord(t, 2048, 2), "key has a bad exponent", false, false},
		{"even exponent", rsaRecord(t, 2048, 65536), "key has a bad exponent", false, false},
		{"exponent of 32 bits", rsaRecord(t, 2048, 1<<32-1), "malformed key", false, false},
		{"exponent of 33 bits", rsaRecord(t, 2048, 1<<32+1), "malformed key", false, false},
		{"negative exponent", rsaRecord(t, 2048, -3), "malformed key", false, false},
		{"g= is of the past", "g=nobody; " + p, "", false, false},
	} {
		k, bad := parseKey(tc.txt)
		if bad != tc.bad || k.testing != tc.testing || k.strict != tc.strict {
			t.Errorf("%s: parseKey(%q) = %q, testing %v, strict %v, want %q, %v, %v", tc.name, tc.txt, bad, k.testing, k.strict, tc.bad, tc.testing, tc.strict)
		}
	}
}

// rsaRecord is a record of an RSA key of that size, in the form of PKCS #1.
func rsaRecord(t testing.TB, bits int, exponent int64) string {
	t.Helper()
	n := new(big.Int).SetBit(big.NewInt(1), bits-1, 1)
	der, err := asn1.Marshal(struct{ N, E *big.Int }{n, big.NewInt(exponent)})
	if err != nil {
		t.Fatal(err)
	}
	return "p=" + base64.StdEncoding.EncodeToString(der)
}

// TestVerifyIsBounded: the slowest key that is taken costs 62 multiplications of
// 4096 bits; what is longer costs none.
func TestVerifyIsBounded(t *testing.T) {
	for _, tc := range []struct {
		bits     int
		exponent int64
		most     int
	}{{4096, 1<<31 - 1, 62}, {4096, 65537, 19}, {8192, 65537, 0}, {4096, 1<<32 + 1, 0}} {
		k, bad := parseKey(rsaRecord(t, tc.bits, tc.exponent))
		steps := 0
		if bad == "" {
			e := uint64(k.public.(*rsa.PublicKey).E)
			steps = bits.Len64(e) + bits.OnesCount64(e)
		}
		if steps != tc.most {
			t.Errorf("%d bits, exponent %d: %d multiplications (%s), want %d", tc.bits, tc.exponent, steps, bad, tc.most)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
	f.Add("p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALgSoqXVSEmfcIsOzw7oRuCCOwsmtX/SJnTWxYyj2leFxfS/AVJ+dYfY+hXqMsT7l+MZvvh/R1WzN4MO/kI/7XsCAwEAAQ==")
	f.Add("k=rsa; t=y:s; h=sha1:sha256; s=*; p=")
	f.Fuzz(func(t *testing.T, txt string) {
		k, bad := parseKey(txt)
		usable := k.public != nil && k.bits <= maxBits && (k.typ != "rsa" || k.bits >= minBits)
		if pub, ok := k.public.(*rsa.PublicKey); ok {
			usable = usable && pub.E >= 3 && pub.E%2 == 1
		}
		if (bad == "") != usable {
			t.Fatalf("parseKey(%q) = %+v, %q", txt, k, bad)
		}
		if bad == "" && k.verify([32]byte{}, []byte(txt)) {
			t.Fatalf("parseKey(%q): the record is a signature of nothing", txt)
		}
	})
}

func FuzzSignature(f *testing.F) {
	f.Add(template, "x")
	f.Add("v=1; a=ed25519-sha256; d=a; s=b; h=From; bh=; b=; l=3; i==40@a; t=1; x=2; q=dns/txt; c=simple", "b")
	f.Fuzz(func(t *testing.T, value, body string) {
		msg := []byte("DKIM-Signature: " + value + "\r\nFrom: a\r\n\r\n" + body)
		raw := rawmsg.Scan(msg, rawmsg.Default())
		for i := range raw.Fields {
			for kind := DKIM; kind <= ARCSeal; kind++ {
				s := ParseSignature(kind, raw, i)
				if s.Bad == "" && (!isDomain(s.Domain) || !isDomain(s.Selector) || len(s.Names) > MaxNames || strings.ContainsAny(s.Identifier, "\r\n\x00")) {
					t.Fatalf("ParseSignature(%q) = %+v", value, s)
				}
			}
		}
		m := NewMessage(raw)
		keys := NewKeys(zone)
		v := Start(context.Background(), m, keys, testTime)
		if err := m.ReadBody(context.Background(), bytes.NewReader(msg)); err != nil {
			t.Fatal(err)
		}
		for _, r := range v.Results() {
			if r.Result == "pass" {
				t.Fatalf("a signature out of nothing passes: %q", value)
			}
			_, _ = Explain(raw, &r)
		}
	})
}
