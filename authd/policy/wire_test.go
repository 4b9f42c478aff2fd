package policy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestParseRequest(t *testing.T) {
	const head = `{"device_id":"","login":"alice@example.org","protocol":"imap","pwhash":"0fd0","remote":"192.0.2.5","session_id":"s1"`
	base := request{login: "alice@example.org", protocol: "imap", pwhash: "0fd0", session: "s1", remote: netip.MustParseAddr("192.0.2.5")}
	with := func(edit func(*request)) request {
		r := base
		edit(&r)
		return r
	}
	for _, tc := range []struct {
		name, body string
		want       request
	}{
		{"allow of 2.3", head + `,"tls":false}`, base},
		{"success", head + `,"success":true,"policy_reject":false,"tls":false}`, with(func(r *request) { r.success = true })},
		{"refused", head + `,"success":false,"policy_reject":true,"tls":true}`, with(func(r *request) { r.rejected = true })},
		{"report of 2.4", head + `,"fail_type":"account","success":false,"policy_reject":false}`, with(func(r *request) { r.failType = "account" })},
		{"nested", head + `,"attrs":{"cos":"premium","login":"mallory@example.org","a":[{}]}}`, base},
		{"nested where a text belongs", `{"login":{"login":"x"},"pwhash":["a"],"remote":7,"protocol":null,"success":"true"}`, request{success: true}},
		{"IPv6", `{"remote":"2001:db8::1"}`, request{remote: netip.MustParseAddr("2001:db8::1")}},
		{"mapped", `{"remote":"::ffff:192.0.2.5"}`, request{remote: netip.MustParseAddr("192.0.2.5")}},
		{"no address", `{"remote":"","login":""}`, request{}},
		{"invalid UTF-8", "{\"login\":\"al\xffice@example.org\"}", request{login: "al\ufffdice@example.org"}},
		{"escapes", `{"login":"a\u0000\t\u0001@example.org"}`, request{login: "a\x00\t\x01@example.org"}},
		{"device id", `{"device_id":"\"name\" \"TestMUA\"","login":"a@b.example"}`, request{login: "a@b.example"}},
		{"a login too long", `{"login":"` + strings.Repeat("a", 400) + `@example.org"}`, request{}},
		{"a protocol that is no word", `{"protocol":"im ap\n"}`, request{}},
		{"the last of two", `{"login":"a","login":"b"}`, request{login: "b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, err := parseRequest([]byte(tc.body)); err != nil || got != tc.want {
				t.Errorf("parseRequest(%q) = %+v, %v, want %+v", tc.body, got, err, tc.want)
			}
		})
	}
	for name, body := range map[string]string{
		"nothing": "", "an array": "[]", "a string": `"hunter2"`, "half": `{"login":"hunter2`, "more": `{} {}`, "no JSON": "login=hunter2",
		"deep": strings.Repeat(`{"a":`, 12000) + "1" + strings.Repeat("}", 12000),
	} {
		r, err := parseRequest([]byte(body))
		if !errors.Is(err, errRequest) {
			t.Errorf("%s: parseRequest = %+v, %v, want an error", name, r, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error quotes what was typed: %v", name, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"device_id":"","login":"alice","protocol":"imap","pwhash":"0fd0","remote":"192.0.2.5","session_id":"sess1","success":true,"policy_reject":false,"tls":false}`))
	f.Add([]byte(`{"login":"al\u0000ice@example.org","remote":"2001:db8::1%eth0","attrs":{"a":{"b":[1,2,{"c":null}]}},"fail_type":"credentials"}`))
	f.Add([]byte("{\"login\":\"\xff\xfe\",\"pwhash\":1}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseRequest(body)
		if err != nil {
			return // refused is fine, a panic is not
		}
		if len(r.login) > maxLogin || len(r.pwhash) > maxHash || len(r.session) > maxSession || len(r.protocol) > maxWord {
			t.Fatalf("parseRequest let too much through: %+v", r)
		}
		again, err := r.body()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseRequest(again); err != nil || back != r {
			t.Errorf("parseRequest(body(%+v)) = %+v, %v", r, back, err)
		}
		_ = userName(r.login, "example.org")
	})
}

func TestSentKey(t *testing.T) {
	for _, tc := range []struct {
		name         string
		apiKey, auth []string
		want         string
		ok           bool
	}{
		{"X-API-Key", []string{"k"}, nil, "k", true},
		{"two blanks", []string{"  k"}, nil, "k", true},
		{"bearer", nil, []string{"Bearer k"}, "k", true},
		{"basic", nil, []string{"Basic d2ZvcmNlOms="}, "k", true},
		{"basic of another kind", nil, []string{"basic  d2ZvcmNlOms="}, "k", true},
		{"two fields", []string{"k", "k"}, nil, "", false},
		{"both fields", []string{"k"}, []string{"Bearer k"}, "", false},
		{"none", nil, nil, "", false},
		{"broken base64", nil, []string{"Basic !"}, "", false},
		{"no colon", nil, []string{"Basic d2ZvcmNl"}, "", false},
		{"another scheme", nil, []string{"Digest k"}, "", false},
	} {
		if got, ok := sentKey(tc.apiKey, tc.auth); got != tc.want || ok != tc.ok {
			t.Errorf("%s: sentKey = %q, %v, want %q, %v", tc.name, got, ok, tc.want, tc.ok)
		}
	}
}

func BenchmarkParseRequest(b *testing.B) {
	body := []byte(`{"device_id":"","login":"alice@example.org","protocol":"imap","pwhash":"0fd0","remote":"192.0.2.5","session_id":"sess1","tls":false}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseRequest(body); err != nil {
			b.Fatal(err)
		}
	}
}
