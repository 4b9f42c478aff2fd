package authres

import (
	"errors"
	"strings"
	"testing"
)

func TestEncode(t *testing.T) {
	for _, tc := range []struct {
		name string
		id   string
		res  []ResInfo
		want string
	}{
		{"nothing was checked", "mx.example.org", nil, "mx.example.org; none"},
		{"all methods", "mx.example.org", []ResInfo{
			{Method: IPRev, Result: Pass, Props: []Prop{{PolicyIPRev, "192.0.2.1"}}},
			{Method: Auth, Result: Pass, Props: []Prop{{SMTPAuth, "alice@example.org"}}},
			{Method: SPF, Result: SoftFail, Props: []Prop{{SMTPMailFrom, "bob@example.net"}}},
			{Method: SPF, Result: None, Props: []Prop{{SMTPHelo, "mail.example.net"}}},
			{Method: DKIM, Result: Fail, Reason: "body was changed", Props: []Prop{{HeaderD, "example.net"}, {HeaderS, "s1"}, {HeaderA, "rsa-sha256"}, {HeaderB, "dGVz/+=="}}},
		}, "mx.example.org;\n" +
			"\tiprev=pass policy.iprev=192.0.2.1;\n" +
			"\tauth=pass smtp.auth=alice@example.org;\n" +
			"\tspf=softfail smtp.mailfrom=bob@example.net;\n" +
			"\tspf=none smtp.helo=mail.example.net;\n" +
			"\tdkim=fail reason=\"body was changed\" header.d=example.net header.s=s1\n" +
			"\theader.a=rsa-sha256 header.b=\"dGVz/+==\""},
		{"IPv6 needs quotes", "mx", []ResInfo{{Method: IPRev, Result: TempError, Props: []Prop{{PolicyIPRev, "2001:db8::1"}}}},
			"mx;\n\tiprev=temperror policy.iprev=\"2001:db8::1\""},
		{"quotes, backslash, semicolon, comment", "mx", []ResInfo{{Method: SPF, Result: Fail, Props: []Prop{{SMTPMailFrom, `"a\b; dkim=fail (x"@example.org`}}}},
			"mx;\n\tspf=fail smtp.mailfrom=\"\\\"a\\\\b; dkim=fail (x\\\"@example.org\""},
		{"OpenDMARC's CVE-2020-12272", "mx", []ResInfo{{Method: DKIM, Result: Pass, Props: []Prop{{HeaderD, "example.net(.example.com"}}}},
			"mx;\n\tdkim=pass header.d=\"example.net(.example.com\""},
		{"UTF-8", "mx", []ResInfo{{Method: Auth, Result: Pass, Props: []Prop{{SMTPAuth, "дмитрий@почта.рф"}}}},
			"mx;\n\tauth=pass smtp.auth=\"дмитрий@почта.рф\""},
		{"two at signs", "mx", []ResInfo{{Method: Auth, Result: Pass, Props: []Prop{{SMTPAuth, "a@b@c"}}}}, "mx;\n\tauth=pass smtp.auth=\"a@b@c\""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Encode(tc.id, tc.res...)
			if err != nil || got != tc.want {
				t.Errorf("Encode = %q, %v, want %q", got, err, tc.want)
			}
			if !Own([]byte(got), tc.id) {
				t.Errorf("Own(%q) = false", got)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	prop := func(p Property, v string) ResInfo { return ResInfo{Method: SPF, Result: Pass, Props: []Prop{{p, v}}} }
	for _, tc := range []struct {
		name string
		id   string
		res  ResInfo
	}{
		{"no id", "", prop(SMTPHelo, "a")},
		{"line end in the id", "mx\r\nX-Injected: 1", prop(SMTPHelo, "a")},
		{"CRLF", "mx", prop(SMTPHelo, "a\r\nX-Injected: 1")},
		{"LF", "mx", prop(SMTPHelo, "a\nb")},
		{"CR", "mx", prop(SMTPHelo, "a\rb")},
		{"NUL", "mx", prop(SMTPHelo, "a\x00b")},
		{"tab", "mx", prop(SMTPHelo, "a\tb")},
		{"DEL", "mx", prop(SMTPHelo, "a\x7fb")},
		{"C1", "mx", prop(SMTPHelo, "a\u0085b")},
		{"line separator", "mx", prop(SMTPHelo, "a\u2028b")},
		{"text direction", "mx", prop(SMTPHelo, "a\u202eb")},
		{"not UTF-8", "mx", prop(SMTPHelo, "a\xffb")},
		{"text that spells a pass", "mx", prop(SMTPMailFrom, `"a; dkim = Pass header.d=x"@example.org`)},
		{"an address that spells a pass", "mx", prop(SMTPMailFrom, "dmarc=pass@example.org")},
		{"empty", "mx", prop(SMTPHelo, "")},
		{"long", "mx", prop(SMTPHelo, strings.Repeat("a", MaxValue+1))},
		{"unknown property", "mx", prop("smtp.rcptto", "a")},
		{"unknown method", "mx", ResInfo{Method: "x", Result: Pass}},
		{"unknown result", "mx", ResInfo{Method: SPF, Result: "pass; dkim=pass"}},
		{"no result", "mx", ResInfo{Method: SPF}},
		{"line end in the reason", "mx", ResInfo{Method: SPF, Result: Pass, Reason: "a\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, err := Encode(tc.id, tc.res); !errors.Is(err, ErrValue) || got != "" {
				t.Errorf("Encode = %q, %v, want ErrValue", got, err)
			}
		})
	}
}

func TestOwn(t *testing.T) {
	const id = "mx.example.org"
	for _, tc := range []struct {
		value string
		want  bool
	}{
		{" mx.example.org; spf=pass", true},
		{"mx.example.org", true},
		{"MX.Example.ORG ; none", true},
		{"mx.example.org 1; spf=pass", true},
		{"mx.example.org/1; spf=pass", true},
		{"mx.example.org.; spf=pass", true},
		{"\r\n\tmx.example.org;\r\n\tspf=pass", true},
		{"(a comment) mx.example.org; spf=pass", true},
		{"(a (nested; \\) ) comment) mx.example.org (x) 1 (y); spf=pass", true},
		{"mx.example.org(x);spf=pass", true},
		{`"mx.example.org"; spf=pass`, true},
		{`"mx\.exam\ple.org"; spf=pass`, true},
		{`"mx.example.org" 1; spf=pass`, true},
		{"mx.\r\n example.org; spf=pass", true},
		{"mx.exam(x)ple.org; spf=pass", true},
		{"mx.exam\x00ple.org; spf=pass", true},
		{"mx.example.org\x00; spf=pass", true},
		{"mx.example.org=1; spf=pass", true},
		{"mx.example.org, other; spf=pass", true},
		{"mx.example.org spf=pass", true},
		{"(mx.example.org; spf=pass", true},
		{`"mx.example.org; spf=pass`, true},
		{"x mx.example.org; spf=pass", true},
		{"i=1; mx.example.org; spf=pass", false}, // ARC-Authentication-Results has this shape, not ours
		{"other.example; spf=pass smtp.helo=mx.example.org", false},
		{"other.example; spf=pass (mx.example.org)", false},
		{"sub.mx.example.org; spf=pass", false},
		{"amx.example.org; spf=pass", false},
		{"a-mx.example.org; spf=pass", false},
		{"mx.example.org.example.net; spf=pass", false},
		{"mx.example.orgx; spf=pass", false},
		{"; mx.example.org", false},
		{"", false},
	} {
		if got := Own([]byte(tc.value), id); got != tc.want {
			t.Errorf("Own(%q) = %v, want %v", tc.value, got, tc.want)
		}
	}
	if Own([]byte("; none"), "") || Own([]byte("."), ".") {
		t.Error("Own takes an empty id")
	}
}

// readStrict reads a value as RFC 8601 §2.2 has it, without comments: the id
// and, for each result, its words. It is the reader that must not be fooled.
func readStrict(t *testing.T, value string) (id string, results [][]string) {
	t.Helper()
	for line := range strings.SplitSeq(value, "\n") {
		if strings.ContainsAny(line, "\r\x00") || len(line) > 998-len("Authentication-Results: ") {
			t.Fatalf("line %q", line)
		}
	}
	for i, line := range strings.Split(value, "\n") {
		if i > 0 && !strings.HasPrefix(line, "\t") {
			t.Fatalf("line %q of %q is no continuation", line, value)
		}
	}
	s := strings.ReplaceAll(value, "\n\t", " ")
	var words []string
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		var w strings.Builder
		quoted := false
		i := 0
	word:
		for ; i < len(s); i++ {
			switch c := s[i]; {
			case quoted && c == '\\':
				i++
				w.WriteByte(s[i])
			case c == '"':
				quoted = !quoted
			case !quoted && (c == ' ' || c == ';'):
				break word
			default:
				w.WriteByte(c)
			}
		}
		if quoted {
			t.Fatalf("open quote in %q", value)
		}
		if w.Len() > 0 {
			words = append(words, w.String())
		}
		s = s[i:]
		if strings.HasPrefix(s, ";") {
			results = append(results, words)
			words, s = nil, s[1:]
		}
	}
	results = append(results, words)
	return results[0][0], results[1:]
}

func FuzzEncode(f *testing.F) {
	f.Add("mx.example.org", "a@b.example", "why")
	f.Add("mx", "a\"b\\;(\x00", "")
	f.Add("m x;", "дмитрий@почта.рф", "x; dkim=pass")
	f.Add("A(b", strings.Repeat(`\`, 400), "\\")
	f.Fuzz(func(t *testing.T, id, v, reason string) {
		res := []ResInfo{
			{Method: SPF, Result: Fail, Reason: reason, Props: []Prop{{SMTPMailFrom, v}, {SMTPHelo, v}}},
			{Method: DKIM, Result: PermError, Props: []Prop{{HeaderD, v}}},
		}
		got, err := Encode(id, res...)
		if err != nil {
			if got != "" {
				t.Fatalf("Encode gives %q with %v", got, err)
			}
			return
		}
		if !Carries(v) || !Carries(id) {
			t.Fatalf("Encode takes %q and %q", id, v)
		}
		gotID, results := readStrict(t, got)
		want := []string{"spf=fail"}
		if reason != "" {
			want = append(want, "reason="+reason)
		}
		want = append(want, "smtp.mailfrom="+v, "smtp.helo="+v)
		if gotID != id || len(results) != 2 || strings.Join(results[0], "|") != strings.Join(want, "|") ||
			strings.Join(results[1], "|") != "dkim=permerror|header.d="+v {
			t.Fatalf("Encode(%q, %q, %q) = %q, which reads as %q %q", id, v, reason, got, gotID, results)
		}
		if strings.Trim(id, ".") != "" && !Own([]byte(got), id) {
			t.Fatalf("Own(%q, %q) = false", got, id)
		}
	})
}

func FuzzOwn(f *testing.F) {
	f.Add([]byte(" mx.example.org; spf=pass"), "mx.example.org")
	f.Add([]byte("(((((\\"), "x")
	f.Add([]byte(`"\`), "x")
	f.Add([]byte(`\`), `\`)
	f.Fuzz(func(t *testing.T, value []byte, id string) {
		got := Own(value, id)
		// What a reader of the simplest kind takes for us is ours.
		first, _, _ := strings.Cut(string(value), ";")
		if simple := strings.Trim(first, " \t\r\n"); simple != "" && simple == id && strings.Trim(id, ".") != "" && !got {
			t.Fatalf("Own(%q, %q) = false", value, id)
		}
	})
}
