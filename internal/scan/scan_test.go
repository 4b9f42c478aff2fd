package scan

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// noon is when the messages of testdata arrive.
var noon = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

func read(t testing.TB, path string) *rawmsg.Message {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", path))
	if err != nil {
		t.Fatal(err)
	}
	return rawmsg.Scan(b, rawmsg.Default())
}

// parse scans a message that is written with LF.
func parse(s string) *rawmsg.Message { return rawmsg.Scan([]byte(s), rawmsg.Default()) }

func find(lines []verdict.Line, name string) (verdict.Line, bool) {
	i := slices.IndexFunc(lines, func(l verdict.Line) bool { return l.Name == name })
	if i < 0 {
		return verdict.Line{}, false
	}
	return lines[i], true
}

func helo(s string) Message { return Message{Client: Client{Helo: s}} }

func auth(r mailauth.Results) Message { return Message{Auth: r} }

func spfIs(r authres.Result) Message {
	return auth(mailauth.Results{SPF: mailauth.SPF{MailFrom: mailauth.SPFMailFrom{Result: r, Domain: "sender.example"}}})
}

func dkimIs(rs ...authres.Result) Message {
	var sigs []mailauth.DKIM
	for _, r := range rs {
		sigs = append(sigs, mailauth.DKIM{Result: r, Domain: "sender.example"})
	}
	return auth(mailauth.Results{DKIM: sigs, DKIMChecked: true})
}

func dmarcIs(r authres.Result, p dmarc.Policy) Message {
	d := dmarc.Result{Result: r, Domain: "sender.example"}
	d.Applied = dmarc.Applied{Domain: "sender.example", Tag: "p", Published: p, Effective: p}
	return auth(mailauth.Results{DMARC: d, DMARCChecked: true})
}

// forwarded is mail that fails and was passed on by one who is trusted.
func forwarded(p dmarc.Policy) Message {
	m := dmarcIs(authres.Fail, p)
	m.Auth.Forwarder = mailauth.Forwarder{Domain: "lists.example", Method: authres.ARC}
	return m
}

func iprev(r authres.Result) Message { return auth(mailauth.Results{IPRev: mailauth.IPRev{Result: r}}) }

// TestRules holds every rule against a message that it is about and one that
// is near to that. Rules about the session get their facts here.
func TestRules(t *testing.T) {
	facts := map[string][2]Message{ // hit, miss
		"HELO_IP":      {helo("[198.51.100.7]"), helo("mx.sender.example")},
		"HELO_BARE":    {helo("user"), helo("[IPv6:2001:db8::1]")},
		"PTR_MISSING":  {iprev(authres.PermError), iprev(authres.TempError)},
		"PTR_UNKNOWN":  {iprev(authres.TempError), iprev(authres.Fail)},
		"SPF_PASS":     {spfIs(authres.Pass), spfIs(authres.Neutral)},
		"SPF_FAIL":     {spfIs(authres.Fail), spfIs(authres.TempError)},
		"SPF_SOFTFAIL": {spfIs(authres.SoftFail), spfIs(authres.None)},
		"SPF_UNKNOWN":  {spfIs(authres.TempError), spfIs(authres.PermError)},
		"DKIM_PASS":    {dkimIs(authres.Fail, authres.Pass), dkimIs(authres.Fail)},
		"DKIM_FAIL":    {dkimIs(authres.Fail, authres.PermError), dkimIs(authres.Fail, authres.TempError)},
		"DKIM_UNKNOWN": {dkimIs(authres.Fail, authres.TempError), dkimIs(authres.TempError, authres.Pass)},

		"DMARC_PASS":            {dmarcIs(authres.Pass, dmarc.Reject), dmarcIs(authres.None, "")},
		"DMARC_FAIL_REJECT":     {dmarcIs(authres.Fail, dmarc.Reject), forwarded(dmarc.Reject)},
		"DMARC_FAIL_QUARANTINE": {dmarcIs(authres.Fail, dmarc.Quarantine), dmarcIs(authres.Pass, dmarc.Quarantine)},
		"DMARC_FAIL_NONE":       {dmarcIs(authres.Fail, dmarc.None), forwarded(dmarc.None)},
		"DMARC_FROM_UNCLEAR":    {dmarcIs(authres.PermError, ""), dmarcIs(authres.TempError, "")},
		"DMARC_UNKNOWN":         {dmarcIs(authres.TempError, ""), dmarcIs(authres.PermError, "")},
		"FORWARDED_TRUSTED":     {forwarded(dmarc.Reject), dmarcIs(authres.Fail, dmarc.Reject)},
	}
	for _, r := range Rules() {
		t.Run(r.Name, func(t *testing.T) {
			for i, kind := range []string{"hit", "miss"} {
				m, now := readCase(t, "rules/"+r.Name+"."+kind+".eml")
				if have, ok := facts[r.Name]; ok {
					raw := m.Raw
					m = have[i]
					m.Raw = raw
				}
				res := Scan(Default(), m, now)
				l, ok := find(res.Lines, r.Name)
				if ok != (kind == "hit") {
					t.Errorf("%s: lines %+v", kind, res.Lines)
				}
				if ok && (math.Abs(l.Score) > math.Abs(r.Score) || l.Score*r.Score < 0 || l.Group != r.Group || l.Text != r.Text) {
					t.Errorf("line %+v, want that of %+v", l, r)
				}
			}
		})
	}
}

func TestRulesAreWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for i, r := range Rules() {
		if seen[r.Name] || r.Name != strings.ToUpper(r.Name) || r.Group == "" || !strings.HasSuffix(r.Text, ".") {
			t.Errorf("rule %+v", r)
		}
		seen[r.Name] = true
		if rules[i].fact != (guessed[i].Score == 0) {
			t.Errorf("rule %s scores %v and fact is %v", r.Name, r.Score, rules[i].fact)
		}
	}
	files, err := filepath.Glob("testdata/rules/*.eml")
	if err != nil || len(files) != 2*len(seen) {
		t.Errorf("%d files for %d rules, %v", len(files), len(seen), err)
	}
}

// variants are forms of one rule that its two files do not show.
func TestRuleVariants(t *testing.T) {
	const head = "From: a@sender.example\nTo: b@example.org\nSubject: x\n"
	const pattern = gtubePattern
	for _, tc := range []struct {
		rule, name string
		m          Message
		want       bool
	}{
		{"GTUBE", "subject", Message{Raw: parse("Subject: " + pattern + "\n\n")}, true},
		{"GTUBE", "base64", Message{Raw: parse("Content-Transfer-Encoding: base64\n\nWEpTKkM0SkRCUUFETjEuTlNCTjMqMklETkVOKkdUVUJFLVNUQU5EQVJELUFOVEktVUJFLVRFU1QtRU1BSUwqQy4zNFg=\n")}, true},
		{"GTUBE", "HTML", Message{Raw: parse("Content-Type: text/html\n\n<b>" + pattern + "</b>")}, true},
		{"GTUBE", "second part", Message{Raw: parse("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b\n\n" + pattern + "\n--b--\n")}, true},
		{"GTUBE", "not in another field", Message{Raw: parse("X-A: " + pattern + "\n\n")}, false},
		{"GTUBE", "not in an attached message, which may be our refusal", Message{Raw: parse("Content-Type: message/rfc822\n\nSubject: x\n\n" + pattern)}, false},
		{"MULTIPLE_FROM", "two mailboxes", Message{Raw: parse("From: a@b.example, c@d.example\n\n")}, true},
		{"FROM_NAME_ADDRESS", "no quotes", Message{Raw: parse("From: service@paypal.com <x@sender.example>\n\n")}, true},
		{"FROM_NAME_ADDRESS", "encoded-word", Message{Raw: parse("From: =?utf-8?q?service=40paypal.com?= <x@sender.example>\n\n")}, true},
		{"FROM_NAME_ADDRESS", "a list speaks for its author", Message{Raw: parse("From: 'a@author.com' via list <list@lists.org>\nList-Id: <list.lists.org>\n\n")}, false},
		{"FROM_NAME_ADDRESS", "no address", Message{Raw: parse("From: \"Alice @ home\" <x@sender.example>\n\n")}, false},
		{"FROM_INVALID", "local part alone", Message{Raw: parse("From: root\n\n")}, true},
		{"SUBJECT_ALL_CAPS", "short", Message{Raw: parse("Subject: URGENT\n\n")}, false},
		{"SUBJECT_ALL_CAPS", "letters without case", Message{Raw: parse("Subject: 会議の議事録について\n\n")}, false},
		{"SUBJECT_ALL_CAPS", "Cyrillic", Message{Raw: parse("Subject: СРОЧНО ОПЛАТИТЕ СЧЁТ\n\n")}, true},
		{"LINK_MISMATCH", "bare host as text", Message{Raw: parse(head + "Content-Type: text/html\n\n<a href=http://a.example>www.paypal.com</a>")}, true},
		{"LINK_MISMATCH", "user part looks like the host", Message{Raw: parse("Content-Type: text/html\n\n<a href='https://www.paypal.com@a.example/'>www.paypal.com</a>")}, true},
		{"LINK_MISMATCH", "backslash", Message{Raw: parse("Content-Type: text/html\n\n<a href='https:\\\\a.example\\www.paypal.com'>www.paypal.com</a>")}, true},
		{"LINK_MISMATCH", "words as text", Message{Raw: parse("Content-Type: text/html\n\n<a href=http://a.example>go to paypal.com now</a>")}, false},
		{"LINK_MISMATCH", "file name as text", Message{Raw: parse("Content-Type: text/html\n\n<a href=http://a.example>report.docx</a>")}, false},
		{"LINK_MISMATCH", "address as text", Message{Raw: parse("Content-Type: text/html\n\n<a href=mailto:a@b.com>a@b.com</a>")}, false},
		{"LINK_MISMATCH", "who is shown has signed", Message{
			Raw:  parse("Content-Type: text/html\n\n<a href=http://clicks.example>shop.com</a>"),
			Auth: mailauth.Results{DKIM: []mailauth.DKIM{{Result: authres.Pass, Domain: "mail.shop.com"}}}}, false},
		{"LINK_MISMATCH", "who is shown has not signed rightly", Message{
			Raw:  parse("Content-Type: text/html\n\n<a href=http://clicks.example>shop.com</a>"),
			Auth: mailauth.Results{DKIM: []mailauth.DKIM{{Result: authres.Fail, Domain: "mail.shop.com"}}}}, true},
		{"URL_NUMERIC", "one number", Message{Raw: parse("\nhttp://3325256713/x")}, true},
		{"URL_NUMERIC", "IPv6", Message{Raw: parse("\nhttp://[2001:db8::1]:80/x")}, true},
		{"EXECUTABLE", "blanks and dots behind the name", Message{Raw: parse("Content-Type: application/x; name=\"a.exe. .\"\n\n")}, true},
		{"EXECUTABLE", "in an attached message", Message{Raw: parse("Content-Type: message/rfc822\n\nContent-Type: application/x; name=a.js\n\n")}, true},
		{"DOUBLE_EXTENSION", "turned writing", Message{Raw: parse("Content-Type: application/x; name*=utf-8''annex%E2%80%AEfdp.exe\n\n")}, true},
		{"MISSING_MIME_VERSION", "plain text with a type", Message{Raw: parse("Content-Type: text/plain\n\n")}, false},
		{"HELO_IP", "bare", helo("198.51.100.7"), true},
		{"HELO_IP", "IPv6 literal", helo("[IPv6:2001:db8::1]"), true},
		{"HELO_BARE", "localhost", helo("localhost.localdomain"), true},
		{"HELO_BARE", "no HELO known", helo(""), false},
		{"RECEIVED_ILLEGAL", "UTF-8", Message{Raw: parse("Received: from почта.рф by x\n\n")}, false},
		{"RECEIVED_ILLEGAL", "control", Message{Raw: parse("Received: from \x01 by x\n\n")}, true},
		{"FAKE_REPLY", "Exchange", Message{Raw: parse("Subject: AW: x\nThread-Index: AQHb\n\n")}, false},
		{"PARTLY_SCANNED", "cut", Message{Raw: parse("\nx"), Size: 100}, true},
		{"PARTLY_SCANNED", "whole", Message{Raw: parse("\nx"), Size: 2}, false},
	} {
		t.Run(tc.rule+" "+tc.name, func(t *testing.T) {
			res := Scan(Default(), tc.m, noon)
			if _, ok := find(res.Lines, tc.rule); ok != tc.want {
				t.Errorf("Scan lines %+v, want %s: %v", res.Lines, tc.rule, tc.want)
			}
		})
	}
}

// TestVerdict: thresholds, directions, GTUBE.
func TestVerdict(t *testing.T) {
	bad := read(t, "suspicious.eml")
	test := read(t, "rules/GTUBE.hit.eml")
	off := func(c *Config) { c.Rules = map[string]RuleConfig{"GTUBE": {Mode: unit.Off}} }
	observe := func(c *Config) { c.Rules = map[string]RuleConfig{"GTUBE": {Mode: unit.Observe}} }
	for _, tc := range []struct {
		name string
		raw  *rawmsg.Message
		dir  Direction
		set  func(*Config)
		want verdict.Verdict
	}{
		{"suspicious from a stranger", bad, Inbound, nil, verdict.Mark},
		{"suspicious, mark off", bad, Inbound, func(c *Config) { c.Mark = 0 }, verdict.Accept},
		{"suspicious, low reject", bad, Inbound, func(c *Config) { c.Mark, c.Reject = 3, 8 }, verdict.Reject},
		{"suspicious, reject off", bad, Inbound, func(c *Config) { c.Mark, c.Reject = 3, 0 }, verdict.Mark},
		{"suspicious from a user is never marked", bad, Outbound, nil, verdict.Accept},
		{"suspicious from a user, low reject", bad, Outbound, func(c *Config) { c.Mark, c.Reject = 3, 8 }, verdict.Reject},
		{"suspicious from this host", bad, Local, func(c *Config) { c.Mark, c.Reject = 1, 2 }, verdict.Accept},
		{"GTUBE", test, Inbound, nil, verdict.Reject},
		{"GTUBE from a user", test, Outbound, nil, verdict.Reject},
		{"GTUBE from this host", test, Local, nil, verdict.Accept},
		{"GTUBE from our spool", test, Own, nil, verdict.Accept},
		{"GTUBE off", test, Inbound, off, verdict.Accept},
		{"GTUBE observed", test, Inbound, observe, verdict.Accept},
		{"GTUBE with thresholds off", test, Inbound, func(c *Config) { c.Mark, c.Reject = 0, 0 }, verdict.Reject},
		{"one letter of GTUBE changed", read(t, "rules/GTUBE.miss.eml"), Inbound, nil, verdict.Accept},
		{"nothing at all", nil, Inbound, nil, verdict.Mark},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := Default()
			if tc.set != nil {
				tc.set(&cfg)
			}
			res := Scan(cfg, Message{Direction: tc.dir, Raw: tc.raw}, noon)
			if res.Verdict != tc.want || res.Score != verdict.Sum(res.Lines) {
				t.Errorf("Scan = %v, %v, lines %+v, want %v", res.Verdict, res.Score, res.Lines, tc.want)
			}
			if wants := tc.raw == test && res.Verdict == verdict.Reject; wants != (res.Reject != "") {
				t.Errorf("Scan wants to say %q", res.Reject)
			}
			if (tc.dir == Local || tc.dir == Own) && (res.Lines != nil || res.Score != 0) {
				t.Errorf("%v mail has lines %+v", tc.dir, res.Lines)
			}
		})
	}
}

// TestSuspicious: the message that demonstrations use is marked, now and in
// years, from a stranger of whom nothing is known; from one who is not good it
// may be refused.
func TestSuspicious(t *testing.T) {
	worst := auth(mailauth.Results{
		IPRev: mailauth.IPRev{Result: authres.PermError},
		SPF:   mailauth.SPF{MailFrom: mailauth.SPFMailFrom{Result: authres.None}},
	})
	worst.Client = Client{Addr: netip.MustParseAddr("198.51.100.9"), Helo: "stranger"}
	for _, m := range []Message{{}, spfIs(authres.None), worst} {
		m.Raw = read(t, "suspicious.eml")
		for _, now := range []time.Time{noon, noon.AddDate(5, 0, 0)} {
			if res := Scan(Default(), m, now); res.Score < 6.5 || res.Verdict < verdict.Mark || !m.Client.Addr.IsValid() && res.Verdict != verdict.Mark {
				t.Errorf("Scan at %v = %v, %+v", now, res.Score, res.Lines)
			}
		}
	}
}

// TestUnknownNeverScores: what could not be asked adds nothing, and neither
// does what was not asked.
func TestUnknownNeverScores(t *testing.T) {
	raw := read(t, "rules/DKIM_UNKNOWN.hit.eml")
	plain := Scan(Default(), Message{Raw: raw}, noon)
	m := dkimIs(authres.TempError, authres.Fail)
	m.Raw = raw
	m.Auth.SPF.MailFrom.Result = authres.TempError
	m.Auth.SPF.Helo.Result = authres.TempError
	m.Auth.IPRev.Result = authres.TempError
	m.Auth.DMARC.Result = authres.TempError
	res := Scan(Default(), m, noon)
	if plain.Score != 0 || res.Score != 0 || len(plain.Lines) != 0 || len(res.Lines) != 4 {
		t.Errorf("Scan with nothing asked = %+v, with nothing answered = %+v", plain, res)
	}
}

// TestPolicyAlone: p=reject alone marks, also a list's mail that has passes of
// its own, and refuses nobody: neither that, nor a plain forward that broke the
// signature. p=none changes nothing.
func TestPolicyAlone(t *testing.T) {
	spf := func(m Message, r authres.Result) Message {
		m.Auth.SPF.MailFrom = mailauth.SPFMailFrom{Result: r, Domain: "lists.example"}
		return m
	}
	dkim := func(m Message, r authres.Result) Message {
		m.Auth.DKIM = []mailauth.DKIM{{Result: r, Domain: "lists.example"}}
		return m
	}
	reject := dmarcIs(authres.Fail, dmarc.Reject)
	for _, tc := range []struct {
		name string
		m    Message
		want verdict.Verdict
	}{
		{"alone", reject, verdict.Mark},
		{"list", dkim(spf(reject, authres.Pass), authres.Pass), verdict.Mark},
		{"forward", dkim(spf(reject, authres.Fail), authres.Fail), verdict.Mark},
		{"quarantine alone", dmarcIs(authres.Fail, dmarc.Quarantine), verdict.Accept},
		{"quarantine, and SPF fails", spf(dmarcIs(authres.Fail, dmarc.Quarantine), authres.Fail), verdict.Mark},
		{"trusted forwarder", forwarded(dmarc.Reject), verdict.Accept},
	} {
		tc.m.Raw = read(t, "rules/DKIM_UNKNOWN.hit.eml") // no rule about its text hits
		if res := Scan(Default(), tc.m, noon); res.Verdict != tc.want {
			t.Errorf("%s: %v with %v, want %v", tc.name, res.Verdict, res.Score, tc.want)
		}
	}
	none := dmarcIs(authres.Fail, dmarc.None)
	none.Raw = read(t, "rules/DKIM_UNKNOWN.hit.eml")
	if res := Scan(Default(), none, noon); res.Score != 0 || len(res.Lines) != 1 {
		t.Errorf("p=none: %+v, want a line of 0 points", res)
	}
}

// TestScoreIsSum takes random rules off, observes some and changes scores of
// others: the score stays the sum of the lines, and what is off or observed
// gives neither score nor verdict.
func TestScoreIsSum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	files, err := filepath.Glob("testdata/*/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	sigs := dkimIs(authres.Fail)
	for range 500 {
		cfg := Default()
		cfg.Rules = map[string]RuleConfig{}
		for _, r := range Rules() {
			rc := RuleConfig{Mode: []unit.Mode{"", unit.Off, unit.Observe, unit.Enforce}[rnd.IntN(4)]}
			if s := float64(rnd.IntN(2000)-1000) / 100; rnd.IntN(2) == 0 && r.Score != 0 {
				rc.Score = &s
			}
			cfg.Rules[r.Name] = rc
		}
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		m := sigs
		m.Client.Helo = "x"
		m.Auth.SPF.MailFrom.Result = authres.SoftFail
		m.Raw = read(t, strings.TrimPrefix(files[rnd.IntN(len(files))], "testdata/"))
		res := Scan(cfg, m, noon)
		if res.Score != verdict.Sum(res.Lines) {
			t.Fatalf("score %v, lines %+v", res.Score, res.Lines)
		}
		gtube := false
		for _, l := range res.Lines {
			mode := cfg.Rules[l.Name].Mode
			if mode == unit.Off || mode == unit.Observe && l.Score != 0 {
				t.Fatalf("mode %s, line %+v", mode, l)
			}
			gtube = gtube || l.Name == "GTUBE" && mode != unit.Observe
		}
		if want := newLevels(cfg).server.byScore(Inbound, res.Score); res.Verdict != want && !gtube || gtube && res.Verdict != verdict.Reject {
			t.Fatalf("verdict %v for %v, lines %+v", res.Verdict, res.Score, res.Lines)
		}
		if again := Scan(cfg, m, noon); !reflect.DeepEqual(res, again) {
			t.Fatalf("the same message gives %+v, then %+v", res, again)
		}
	}
}

func FuzzScan(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.hit.eml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "mx.example")
	}
	f.Fuzz(func(t *testing.T, raw []byte, helo string) {
		m := Message{Raw: rawmsg.Scan(raw, rawmsg.Default()), Client: Client{Helo: helo}}
		res := Scan(Default(), m, noon)
		if res.Score != verdict.Sum(res.Lines) {
			t.Fatalf("score %v, lines %+v", res.Score, res.Lines)
		}
		for _, l := range res.Lines {
			for _, o := range l.Options {
				if len(o) > maxOption || len(l.Options) > maxOptions {
					t.Fatalf("line %+v", l)
				}
			}
		}
	})
}
