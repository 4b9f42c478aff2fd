package scan

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// withRules returns the default configuration with these rules.
func withRules(t testing.TB, text string) Config {
	t.Helper()
	cfg := Default()
	if err := config.Decode("t.yaml", []byte(text), &cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func admin(when string) AdminRule { return AdminRule{Name: "OURS", When: when, Score: 1} }

// TestFacts: what each name means to a rule.
func TestFacts(t *testing.T) {
	m, now := readCase(t, "admin.eml")
	m.Listed = []verdict.Line{{Name: "RBL_X", Group: "list", Score: 1.5}}
	m.Client.TLS = true
	m.Known.First = true
	m.Learned = Learned{Logit: 3, Weight: 0.5}
	m.Auth.SPF.MailFrom.Result, m.Auth.SPF.MailFrom.Domain = authres.Pass, "esp.example"
	for _, when := range []string{
		`direction == "inbound"`,
		`from == "news@shop.example" and from_domain == "shop.example" and from_name == "Bjørn's Shop"`,
		`reply_to == "answers@free.example"`,
		`to == ["ann@own.example", "bob@own.example"]`,
		`subject == "Grüße from the shop"`,
		`text contains "very cheap" and text contains "Click here"`,
		`size > 200 and size < 3000`,
		`mail_from == "bounce@esp.example" and rcpt_to == ["ann@own.example"]`,
		`under(domain_of(mail_from), "esp.example")`,
		`"own.example" in own_domains`,
		`client_ip == "192.0.2.7" and ip_in(client_ip, "192.0.2.0/24")`,
		`client_name == "mx.esp.example" and helo == "mx.esp.example" and tls and user == ""`,
		`auth.spf == "pass" and auth.dmarc == "" and auth.arc == "" and not auth.proved`,
		`"esp.example" in auth.dkim`,
		`known.first and not known.reply and not known.correspondent`,
		`learned.spam > 0.95 and learned.weight == 0.5`,
		`any(links, .domain == "shop.example" and .host == "click.shop.example" and .url startsWith "https://" and .text == "Click here")`,
		`any(attachments, .name == "Invoice.PDF.exe" and .ext == "exe" and .type == "application/octet-stream" and .size > 0)`,
		`header("X-Mailer") == "Shop 1.0" and header("x-mailer") != "" and header("X-None") == ""`,
		`len(headers("X-Twice")) == 2 and "two" in headers("X-Twice")`,
		`hit("RBL_X") and "RBL_X" in hits and not hit("GTUBE")`,
		`score >= 1.5`,
	} {
		cfg := Default()
		cfg.AdminRules = []AdminRule{admin(when)}
		if err := cfg.Validate(); err != nil {
			t.Errorf("%v", err)
			continue
		}
		res := Scan(cfg, m, now)
		if _, ok := find(res.Lines, "OURS"); !ok || res.Score != verdict.Sum(res.Lines) {
			t.Errorf("%s is not true: %+v", when, res.Lines)
		}
	}
	// Each fact that a rule may name is in the list above.
	b, err := os.ReadFile("admin_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for i := range reflect.TypeFor[env]().NumField() {
		if name := reflect.TypeFor[env]().Field(i).Tag.Get("expr"); name != "" && !strings.Contains(string(b), name) {
			t.Errorf("no test of %s", name)
		}
	}
}

func TestAdminRules(t *testing.T) {
	m, now := readCase(t, "admin.eml")
	base := Scan(Default(), m, now)
	for _, tc := range []struct {
		name, rules string
		want        Result
	}{
		{"a score", `{name: A, when: tls or true, score: 2.5}`, Result{Score: 2.5}},
		{"false", `{name: A, when: tls, score: 2.5}`, Result{}},
		{"off", `{name: A, when: true, score: 2.5, mode: off}`, Result{}},
		{"observed", `{name: A, when: true, score: 20, verdict: reject, tag: x, mode: observe}`, Result{}},
		{"reject", `{name: A, when: true, verdict: reject, reply: no faxes}`, Result{Verdict: verdict.Reject, Reject: "no faxes"}},
		{"defer", `{name: A, when: true, verdict: defer}`, Result{Verdict: verdict.Defer}},
		{"the worst counts", `{name: A, when: true, verdict: defer}, {name: B, when: true, verdict: reject, reply: B}, {name: C, when: true, verdict: reject, reply: C}`,
			Result{Verdict: verdict.Reject, Reject: "B"}},
		{"mark", `{name: A, when: true, verdict: mark}`, Result{Verdict: verdict.Mark}},
		{"quarantine", `{name: A, when: true, verdict: quarantine}`, Result{Verdict: verdict.Quarantine}},
		{"discard", `{name: A, when: true, verdict: discard}`, Result{Discard: true}},
		{"tags", `{name: A, when: true, tag: fax}, {name: B, when: true, tag: list}, {name: C, when: true, tag: fax}`, Result{Tags: []string{"fax", "list"}}},
		{"rules see those before", `{name: A, when: true, score: 1}, {name: B, when: hit("A") and score > 0.9, score: 1}, {name: C, when: hit("D"), score: 9}, {name: D, when: true, score: 1}`,
			Result{Score: 3}},
		{"a failure counts nothing", `{name: A, when: 'to[7] == "x"', score: 9, verdict: reject}`, Result{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := withRules(t, "reject: 0\nmark: 0\ngreylist: 0\nadmin_rules: ["+tc.rules+"]")
			res := Scan(cfg, m, now)
			if verdict.Round(res.Score-base.Score) != tc.want.Score || res.Verdict != tc.want.Verdict || res.Discard != tc.want.Discard ||
				res.Reject != tc.want.Reject || !slices.Equal(res.Tags, tc.want.Tags) || res.Score != verdict.Sum(res.Lines) {
				t.Errorf("Scan = %+v, want %+v", res, tc.want)
			}
		})
	}
	cfg := withRules(t, `admin_rules: [{name: A, when: 'to[7] == "x"', score: 9}, {name: B, when: true, score: 3, verdict: mark, mode: observe}]`)
	e, err := New(cfg, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	res := e.Scan(m, now)
	if l, _ := find(res.Lines, "A"); l.Score != 0 || !strings.Contains(l.Text, "failed") || !strings.Contains(l.Options[0], "index out of range") {
		t.Errorf("line of a rule that fails: %+v", l)
	}
	if l, _ := find(res.Lines, "B"); !slices.Equal(l.Options, []string{"observed, would add 3", "would mark"}) {
		t.Errorf("line of a rule in observe: %+v", l)
	}
	all := e.Rules()
	if a, b := all[len(all)-2], all[len(all)-1]; a.Failed != 1 || a.Hits != 0 || b.Hits != 1 || b.Mode != unit.Observe || len(all) != len(lineNames())+2 {
		t.Errorf("Rules() end with %+v, %+v", a, b)
	}
}

func TestAdminConfig(t *testing.T) {
	for _, tc := range []struct{ rules, want string }{
		{`{name: A, when: 'frm == "x"', score: 1}`, "t.yaml:1:25: admin_rules[0].when: there is no \"frm\", did you mean \"from\"? (line 1, column 1)\n    frm == \"x\"\n    ^"},
		{`{name: a, when: tls, score: 1}`, `admin_rules[0].name: "a" is not a name`},
		{`{when: tls, score: 1}`, `admin_rules[0].name: "" is not a name`},
		{`{name: A, score: 1}`, "admin_rules[0].when: a condition is missing"},
		{`{name: GTUBE, when: tls, score: 1}`, "there is a rule GTUBE already"},
		{`{name: A, when: tls, score: 1}, {name: A, when: tls, score: 1}`, "admin_rules[1].name: there is a rule A already"},
		{`{name: A, when: tls, score: 20000}`, "20000 is not a score"},
		{`{name: A, when: tls, verdict: accept}`, `"accept" is not a verdict`},
		{`{name: A, when: tls, verdict: mark, reply: x}`, "only verdict: reject tells the sender a text"},
		{`{name: A, when: tls, verdict: reject, reply: "a\r\nb"}`, "admin_rules[0].reply"},
		{`{name: A, when: tls, tag: "a b"}`, `"a b" is not a word`},
		{`{name: A, when: tls}`, "the rule does nothing"},
		{`{name: A, when: 'hit("SPF_FIAL")', score: 1}`, `there is no rule "SPF_FIAL", did you mean "SPF_FAIL"?`},
		{`{name: A, when: 'hit("spf_fail")', score: 1}`, `there is no rule "spf_fail", did you mean "SPF_FAIL"?`},
		{`{name: A, when: 'hit("SPF_FAI")', score: 1}`, `did you mean "SPF_FAIL"?`},
		{`{name: A, when: 'hit("SPF_FALL_X")', score: 1}`, ""},
		{`{name: A, when: 'hit("spamhaus zen")', score: 1}`, `there is no rule "spamhaus zen"`},
		{`{name: A, when: 'header("To:") == ""', score: 1}`, `"To:" is not the name of a header field`},
		{`{name: A, when: 'hit("MY_LIST") and hit("A")', score: 1}`, ""},
		{`{name: A, when: 'in_map("any", from)', score: 1}`, ""},
	} {
		cfg := Default()
		err := config.Decode("t.yaml", []byte("admin_rules: ["+tc.rules+"]"), &cfg)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.rules, err, tc.want)
		}
	}
	cfg := withRules(t, `admin_rules: [{name: A, when: 'in_map("partner", from)', score: 1}]`)
	if _, err := New(cfg, Deps{Maps: testMaps{}}); err == nil || !strings.Contains(err.Error(), `did you mean "partners"?`) {
		t.Errorf("New with an unknown map: %v", err)
	}
	cfg.AdminRules[0].When = `in_map("partners", from)`
	e, err := New(cfg, Deps{Maps: testMaps{}})
	if err != nil {
		t.Fatal(err)
	}
	m, now := readCase(t, "admin.eml")
	if _, ok := find(e.Scan(m, now).Lines, "A"); !ok {
		t.Error("the map is not asked")
	}
}

type testMaps struct{}

func (testMaps) Names() []string { return []string{"partners"} }

func (testMaps) Has(_, value string) bool { return value == "news@shop.example" }

// TestSumOfAll: whatever hits, the score is the sum of the lines, Total is near
// to it, and equal arguments give equal results.
func TestSumOfAll(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	files, err := filepath.Glob("testdata/rules/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	conditions := []string{`true`, `score > 3`, `len(links) > 0`, `hit("A0")`, `to[5] == "x"`, `any(hits, # startsWith "S")`, `not known.first`}
	verdicts := []string{"", "", "", "mark", "quarantine", "defer", "reject", "discard"}
	modes := []unit.Mode{"", unit.Off, unit.Observe, unit.Enforce}
	for range 300 {
		cfg := Default()
		cfg.Quarantine = 12
		cfg.Allow, cfg.Deny = entriesOf(t, "sender.example"), entriesOf(t, "198.51.100.0/24")
		cfg.Users = map[string]RecipientConfig{"ann@own.example": {Deny: nil}, "bob@own.example": {Deny: entriesOf(t, "sender.example")}}
		for i := range rnd.IntN(4) {
			cfg.AdminRules = append(cfg.AdminRules, AdminRule{
				Name: "A" + string(rune('0'+i)), When: conditions[rnd.IntN(len(conditions))], Score: float64(rnd.IntN(4000)-2000)/300 + 0.001,
				Verdict: verdicts[rnd.IntN(len(verdicts))], Mode: modes[rnd.IntN(len(modes))],
			})
		}
		m, now := readCase(t, strings.TrimPrefix(files[rnd.IntN(len(files))], "testdata/"))
		for range rnd.IntN(3) {
			m.RcptTo = append(m.RcptTo, address(t, []string{"ann@own.example", "bob@own.example", "x@own.example"}[rnd.IntN(3)]))
		}
		for range rnd.IntN(3) {
			m.Listed = append(m.Listed, verdict.Line{Name: "L", Score: rnd.Float64() * 7})
		}
		m.Learned = Learned{Logit: rnd.NormFloat64() * 4, Weight: rnd.Float64(), Ham: 50, Spam: 50}
		e, err := New(cfg, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		res := e.Scan(m, now)
		if d := res.Total - res.Score; res.Score != verdict.Sum(res.Lines) || d*d > 0.0001*float64(len(res.Lines)*len(res.Lines)+1) {
			t.Fatalf("score %v, total %v, lines %+v", res.Score, res.Total, res.Lines)
		}
		if res.Discard && res.Verdict >= verdict.Defer || res.ByRcpt != nil && res.Verdict >= verdict.Quarantine {
			t.Fatalf("Scan = %+v", res)
		}
		for key, v := range res.ByRcpt {
			if v == res.Verdict || v > verdict.Mark {
				t.Fatalf("%s: %v beside %v", key, v, res.Verdict)
			}
		}
		if again := e.Scan(m, now); !reflect.DeepEqual(res, again) {
			t.Fatalf("the same message gives %+v, then %+v", res, again)
		}
	}
}

// FuzzConfig: whatever stands in the file, a configuration that is taken judges.
func FuzzConfig(f *testing.F) {
	f.Add("mark: 5\nquarantine: 10\ndomains: {own.example: {mark: 2, allow: [a@b.example], deny: [192.0.2.0/24]}}\nusers: {ann@own.example: {reject: 3}}")
	f.Add("admin_rules: [{name: A, when: 'any(links, .host matches \"x\") or score > 3', score: 1, verdict: discard, tag: t}]")
	f.Add("allow: [example.com, '@example.org', '::/0']\nrules: {DENIED: {score: 8, mode: observe}}")
	f.Add("users: {'a b@c': {mark: .nan}}")
	m, now := readCase(f, "admin.eml")
	f.Fuzz(func(t *testing.T, text string) {
		cfg := Default()
		if config.Decode("t.yaml", []byte(text), &cfg) != nil {
			return
		}
		e, err := New(cfg, Deps{})
		if err != nil {
			t.Fatalf("Validate takes %q, New says %v", text, err)
		}
		if res := e.Scan(m, now); res.Score != verdict.Sum(res.Lines) {
			t.Fatalf("score %v, lines %+v", res.Score, res.Lines)
		}
	})
}
