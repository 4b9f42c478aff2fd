package authres

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func res(m Method, r Result, props ...string) ResInfo {
	info := ResInfo{Method: m, Result: r}
	for i := 0; i < len(props); i += 2 {
		info.Props = append(info.Props, Prop{Property(props[i]), props[i+1]})
	}
	return info
}

func because(reason string, r ResInfo) ResInfo {
	r.Reason = reason
	return r
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name, value, id string
		want            []ResInfo
	}{
		// RFC 8601, Appendix B.
		{"B.2", "example.org 1; none", "example.org", nil},
		{"B.3", "example.com;\r\n          spf=pass smtp.mailfrom=example.net", "example.com", []ResInfo{res(SPF, Pass, "smtp.mailfrom", "example.net")}},
		{"B.4", "example.com;\n\tauth=pass (cram-md5) smtp.auth=sender@example.net;\n\tspf=pass smtp.mailfrom=example.net", "example.com",
			[]ResInfo{res(Auth, Pass, "smtp.auth", "sender@example.net"), res(SPF, Pass, "smtp.mailfrom", "example.net")}},
		{"B.6", "example.com;\r\n dkim=pass reason=\"good signature\"\r\n  header.i=@mail-router.example.net;\r\n dkim=fail reason=\"bad signature\"\r\n  header.i=@newyork.example.com", "example.com",
			[]ResInfo{because("good signature", res(DKIM, Pass, "header.i", "@mail-router.example.net")), because("bad signature", res(DKIM, Fail, "header.i", "@newyork.example.com"))}},
		{"B.7, comments everywhere", `foo.example.net (foobar) 1 (baz);
    dkim (Because I like it) / 1 (One yay) = (wait for it) fail
      policy (A dot can go here) . (like that) expired
      (this surprised me) = (as I wasn't expecting it) 1362471462`, "foo.example.net",
			[]ResInfo{res(DKIM, Fail, "policy.expired", "1362471462")}},

		{"Google", ` mx.google.com;
       dkim=pass header.i=@github.com header.s=pf2023 header.b=LxAbCdEf;
       dkim=pass header.i=@sendgrid.info header.s=s20150108 header.b="qL+/4x=";
       spf=pass (google.com: domain of noreply@github.com designates 192.0.2.17 as permitted sender) smtp.mailfrom=noreply@github.com;
       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=github.com
`, "mx.google.com", []ResInfo{
			res(DKIM, Pass, "header.i", "@github.com", "header.s", "pf2023", "header.b", "LxAbCdEf"),
			res(DKIM, Pass, "header.i", "@sendgrid.info", "header.s", "s20150108", "header.b", "qL+/4x="),
			res(SPF, Pass, "smtp.mailfrom", "noreply@github.com"),
			res(DMARC, Pass, "header.from", "github.com")}},
		{"Microsoft", "spf=pass (sender IP is 192.0.2.17)\r\n smtp.mailfrom=example.com; dkim=pass (signature was verified)\r\n header.d=example.com;dmarc=pass action=none\r\n header.from=example.com;compauth=pass reason=100", "", []ResInfo{
			res(SPF, Pass, "smtp.mailfrom", "example.com"),
			res(DKIM, Pass, "header.d", "example.com"),
			res(DMARC, Pass, "action", "none", "header.from", "example.com"),
			because("100", res("compauth", Pass))}},
		{"Microsoft, with the name between", "spf=pass (sender IP is 192.0.2.194)\r\n smtp.mailfrom=example.com; hotmail.com; dkim=test (signature was verified)\r\n header.d=example.com;hotmail.com; dmarc=pass action=none\r\n header.from=example.com;", "", []ResInfo{
			res(SPF, Pass, "smtp.mailfrom", "example.com"),
			res(DKIM, "test", "header.d", "example.com"),
			res(DMARC, Pass, "action", "none", "header.from", "example.com")}},
		{"Yahoo", "atlas104.mail.example.com;\r\n dkim=pass header.i=@example.com header.s=s2048;\r\n spf=pass smtp.mailfrom=example.com;\r\n dmarc=pass(p=REJECT) header.from=example.com;", "atlas104.mail.example.com", []ResInfo{
			res(DKIM, Pass, "header.i", "@example.com", "header.s", "s2048"), res(SPF, Pass, "smtp.mailfrom", "example.com"), res(DMARC, Pass, "header.from", "example.com")}},
		{"Fastmail", `mx2.messagingengine.com;
    x-tls=pass smtp.version=TLSv1.3 smtp.cipher=TLS_AES_256_GCM_SHA384 smtp.bits=256/256;
    iprev=pass policy.iprev=2001:db8::1 (mail.example.org);
    dkim=pass (2048-bit rsa key sha256) header.d=example.org header.i=@example.org header.b=a1/b2+c= header.a=rsa-sha256 x-bits=2048`, "mx2.messagingengine.com", []ResInfo{
			res("x-tls", Pass, "smtp.version", "TLSv1.3", "smtp.cipher", "TLS_AES_256_GCM_SHA384", "smtp.bits", "256/256"),
			res(IPRev, Pass, "policy.iprev", "2001:db8::1"),
			res(DKIM, Pass, "header.d", "example.org", "header.i", "@example.org", "header.b", "a1/b2+c=", "header.a", "rsa-sha256", "x-bits", "2048")}},
		{"version of a method", "mx; dkim/1=pass header.d=a.example; dkim/2=pass header.d=b.example", "mx", []ResInfo{res(DKIM, Pass, "header.d", "a.example")}},
		{"upper case", "MX.example; SPF=Pass SMTP.MailFrom=A@B.example", "MX.example", []ResInfo{res(SPF, Pass, "smtp.mailfrom", "A@B.example")}},
		{"quoted everything", `"mx example"; spf=pass reason="a; dkim=pass \"x\\" smtp.mailfrom="a;b"`, "mx example", []ResInfo{because(`a; dkim=pass "x\`, res(SPF, Pass, "smtp.mailfrom", "a;b"))}},
		{"quoted local part", `mx; spf=pass smtp.mailfrom="a b"@example.com`, "mx", []ResInfo{res(SPF, Pass, "smtp.mailfrom", `"a b"@example.com`)}},
		{"a comment hides results", `mx; spf=fail (; dkim=pass (nested \) ) ) smtp.helo=a`, "mx", []ResInfo{res(SPF, Fail, "smtp.helo", "a")}},
		{"comment first", "(x) mx(y);(z)none(w)", "mx", nil},
		{"nothing between", `mx;spf=pass smtp.helo=a smtp.mailfrom="b"policy.x=c`, "mx", []ResInfo{res(SPF, Pass, "smtp.helo", "a", "smtp.mailfrom", "b", "policy.x", "c")}},
		{"empty values", `mx; spf=none smtp.helo="" smtp.mailfrom=; dkim=none`, "mx", []ResInfo{res(SPF, None, "smtp.helo", "", "smtp.mailfrom", ""), res(DKIM, None)}},
		{"null reverse-path", "mx; spf=none smtp.mailfrom=<>", "mx", []ResInfo{res(SPF, None, "smtp.mailfrom", "<>")}},
		{"UTF-8", "mx; auth=pass smtp.auth=дмитрий@почта.рф", "mx", []ResInfo{res(Auth, Pass, "smtp.auth", "дмитрий@почта.рф")}},
		{"unknown words", "mx; x-foo=perm_fail x-p.q_r=s", "mx", []ResInfo{res("x-foo", "perm_fail", "x-p.q_r", "s")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Parse([]byte(tc.value))
			if err != nil || got.AuthservID != tc.id || !reflect.DeepEqual(got.Results, tc.want) {
				t.Errorf("Parse = %+v, %v, want %q %+v", got, err, tc.id, tc.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct{ name, value string }{
		{"nothing", ""},
		{"blank", " \r\n "},
		{"id only", "mx"},
		{"no result", "mx;"},
		{"no id and no result", "; none"},
		{"open comment", "mx; spf=pass (x"},
		{"open comment in the id", "(mx; spf=pass"},
		{"open quote", `mx; spf=pass reason="x`},
		{"quote that ends in a backslash", `mx; spf=pass reason="x\`},
		{"closing bracket", "mx; spf=pass)"},
		{"bracket in a value", "mx; dkim=pass header.d=a)b"},
		{"backslash in a value", `mx; dkim=pass header.d=a\b`},
		{"quote in a value", `mx; dkim=pass header.d=a"b"`},
		{"NUL", "mx; spf=pass smtp.helo=a\x00b"},
		{"NUL in a comment", "mx; spf=pass (\x00)"},
		{"NUL in quotes", "mx; spf=pass reason=\"\x00\""},
		{"bare CR", "mx; spf=pass\rsmtp.helo=a"},
		{"bare LF", "mx; spf=pass\ndkim=pass"},
		{"second field", "mx; spf=pass\r\nAuthentication-Results: mx; dkim=pass"},
		{"line end in quotes", "mx; spf=pass reason=\"a\r\nb\""},
		{"line end in a comment", "mx; spf=pass (a\r\nb)"},
		{"not UTF-8", "mx; spf=pass smtp.helo=\xff"},
		{"two words as id", "mx other; spf=pass"},
		{"no result of a method", "mx; spf="},
		{"no method", "mx; =pass"},
		{"word without =", "mx; spf"},
		{"property without =", "mx; spf=pass smtp.helo"},
		{"property without a name", "mx; spf=pass smtp.=a"},
		{"method with a dot", "mx; s.pf=pass"},
		{"a property where a value belongs", "mx; spf=pass smtp.mailfrom= smtp.helo=a"},
		{"two reasons", "mx; spf=pass reason=a reason=b"},
		{"none and more", "mx; none; spf=pass"},
		{"more and none", "mx; spf=pass; none"},
		{"empty result", "mx; ; spf=pass"},
		{"too long", "mx; spf=pass smtp.helo=" + strings.Repeat("a", MaxField)},
		{"too many results", "mx" + strings.Repeat("; spf=pass", MaxResults+1)},
		{"too many properties", "mx; spf=pass" + strings.Repeat(" a.b=c", MaxProps+1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, err := Parse([]byte(tc.value)); !errors.Is(err, ErrSyntax) || got.AuthservID != "" || got.Results != nil {
				t.Errorf("Parse = %+v, %v, want ErrSyntax", got, err)
			}
		})
	}
	if got, err := Parse([]byte("mx 2; spf=pass")); !errors.Is(err, ErrVersion) {
		t.Errorf("version 2: %+v, %v", got, err)
	}
}

func TestParseARC(t *testing.T) {
	for _, value := range []string{
		"i=1; mx.example; spf=pass smtp.helo=a",
		" i = 1 ;mx.example 1;\r\n spf=pass (x) smtp.helo=a",
		"(c) i=1(c);(c)mx.example; spf=pass smtp.helo=a;",
	} {
		i, f, err := ParseARC([]byte(value))
		if err != nil || i != 1 || f.AuthservID != "mx.example" || !reflect.DeepEqual(f.Results, []ResInfo{res(SPF, Pass, "smtp.helo", "a")}) {
			t.Errorf("ParseARC(%q) = %d, %+v, %v", value, i, f, err)
		}
	}
	for _, value := range []string{"", "i=1", "i=1;", "i=0; mx; none", "i=51; mx; none", "i=x; mx; none", "j=1; mx; none", "mx; none", "i=1 mx; none", "i=00001; mx; none", "i=1; mx; none\x00"} {
		if i, f, err := ParseARC([]byte(value)); err == nil || i != 0 || f.Results != nil {
			t.Errorf("ParseARC(%q) = %d, %+v, %v", value, i, f, err)
		}
	}
	if i, _, err := ParseARC([]byte("i=50; mx; none")); i != 50 || err != nil {
		t.Errorf("i=50: %d, %v", i, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("mx.example 1; dkim/1=pass (x) reason=\"a\\\"b\" header.d=a.example header.b=\"x=\"; spf=fail smtp.mailfrom=\"a b\"@c"))
	f.Add([]byte("spf=pass (a) smtp.mailfrom=b; c; dmarc=pass action=none;\r\n compauth=pass reason=100"))
	f.Add([]byte("i=1; mx; none"))
	f.Add([]byte("(((\\"))
	f.Fuzz(func(t *testing.T, value []byte) {
		if _, _, err := ParseARC(append([]byte("i=7;"), value...)); err == nil {
			if _, err := Parse(value); err != nil {
				t.Fatalf("ParseARC takes %q, and Parse says %v", value, err)
			}
		}
		got, err := Parse(value)
		if err != nil {
			return
		}
		wire, err := Encode(got.AuthservID, got.Results...)
		if err != nil {
			return // what we do not write ourselves
		}
		if again, err := Parse([]byte(wire)); err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("Parse(%q) = %+v, %v, want %+v", wire, again, err, got)
		}
	})
}

// FuzzEncodeParse reads back what Encode wrote.
func FuzzEncodeParse(f *testing.F) {
	f.Add("mx.example", "a@b", "why")
	f.Add("m x;", `"a b"@c`, `x\"; dkim=pass (`)
	f.Fuzz(func(t *testing.T, id, v, reason string) {
		want := []ResInfo{
			{Method: SPF, Result: Fail, Reason: reason, Props: []Prop{{SMTPMailFrom, v}, {SMTPHelo, v}}},
			{Method: DKIM, Result: PermError, Props: []Prop{{HeaderD, v}}},
		}
		wire, err := Encode(id, want...)
		if err != nil {
			return
		}
		got, err := Parse([]byte(wire))
		if err != nil || got.AuthservID != id || !reflect.DeepEqual(got.Results, want) {
			t.Fatalf("Parse(%q) = %+v, %v, want %q %+v", wire, got, err, id, want)
		}
	})
}

// TestParseIsLinear reads the largest fields of the worst shapes: each octet is
// looked at a few times at most, so that this ends at once.
func TestParseIsLinear(t *testing.T) {
	for name, value := range map[string]string{
		"brackets":    "mx; spf=pass " + strings.Repeat("(", MaxField-20),
		"comments":    "mx; spf=pass " + strings.Repeat("()", MaxField/2-20) + " smtp.helo=a",
		"backslashes": `mx; spf=pass reason="` + strings.Repeat(`\`, MaxField-40) + `"`,
		"folds":       "mx; spf=pass" + strings.Repeat("\r\n ", MaxField/3-20) + "smtp.helo=a",
		"semicolons":  "mx" + strings.Repeat(";", MaxField-20),
	} {
		if got, err := Parse([]byte(value)); err != nil && !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	value := []byte(" mx.google.com;\r\n       dkim=pass header.i=@github.com header.s=pf2023 header.b=LxAbCdEf;\r\n       spf=pass (google.com: domain of noreply@github.com designates 192.0.2.17 as permitted sender) smtp.mailfrom=noreply@github.com;\r\n       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=github.com")
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(value); err != nil {
			b.Fatal(err)
		}
	}
}
