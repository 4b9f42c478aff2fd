package lists

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

func TestValidate(t *testing.T) {
	one := func(change func(l *List)) Config {
		l := ipList()
		change(&l)
		return with(l)
	}
	for _, tc := range []struct {
		name string
		cfg  Config
		want string // "" for a good one
	}{
		{"default", Default(), ""},
		{"good", with(ipList(), uriList()), ""},
		{"time", func() Config { c := with(); c.Timeout = unit.Duration(time.Millisecond); return c }(), "timeout: 1ms is not between"},
		{"one list may not refuse", func() Config { c := with(ipList()); c.MaxScore = 15; return c }(), "max_score: 15 is not below scan.reject"},
		{"numbers", func() Config { c := with(); c.MaxDomains, c.MaxEmails = 0, 1000; return c }(), "max_domains: 0 is not between"},
		{"never ask", func() Config { c := with(); c.NeverAsk = []string{"A b"}; return c }(), "never_ask[0]"},
		{"no such preset", with(List{Preset: "spamhaus-zem"}), `lists[0].preset: there is no preset of this name, did you mean "spamhaus-zen"?`},
		{"key", with(List{Preset: "spamhaus-dqs-zen"}), "lists[0].key_file: the zone {key}.zen.dq.spamhaus.net needs a key"},
		{"key of no use", with(List{Preset: "spamhaus-zen", KeyFile: "/k"}), "lists[0].zone"},
		{"name", one(func(l *List) { l.Name = "zen" }), "lists[0].name"},
		{"twice", with(ipList(), ipList()), "lists[1].name: IP is the name of lists[0] too"},
		{"zone", one(func(l *List) { l.Zone = "Zone" }), "lists[0].zone"},
		{"of nothing", one(func(l *List) { l.Of = nil }), "lists[0].of: says nothing"},
		{"of", one(func(l *List) { l.Of = []Of{"body"} }), `lists[0].of[0]: "body" is not one of client`},
		{"hash", one(func(l *List) { l.Of = []Of{Email} }), "lists[0].hash"},
		{"no codes", one(func(l *List) { l.Codes = nil }), "lists[0].codes: no answer counts"},
		{"code", one(func(l *List) { l.Codes = []Code{{}} }), "lists[0].codes[0].answer: is missing"},
		{"score", one(func(l *List) { l.Codes[0].Score = 1e9 }), "lists[0].codes[0].score"},
		{"scores", one(func(l *List) { l.Scores = map[string]float64{"X": 1} }), "lists[0].scores.X: the list has no code"},
		{"mode", one(func(l *List) { l.Mode = "on" }), "lists[0].mode"},
		{"test", one(func(l *List) { l.TestListed = "a@b.net" }), "lists[0].test_listed"},
	} {
		err := tc.cfg.Validate()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
}

// TestPresets: every preset is a good list, with terms to print.
func TestPresets(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range presets {
		l := List{Preset: p.name}
		if p.keyed() {
			l.KeyFile = "/key"
		}
		cfg := with(l)
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		if p.by == "" || p.free == "" || !strings.HasPrefix(p.url, "https://") || seen[p.name] {
			t.Errorf("%s: terms %+v", p.name, p.terms)
		}
		seen[p.name] = true
		for _, c := range p.list.Codes {
			if c.Text == "" || c.Score > cfg.MaxScore {
				t.Errorf("%s: code %+v", p.name, c)
			}
		}
		if got := cfg.Terms(); len(got) != 1 || got[0].Key != p.keyed() {
			t.Errorf("%s: terms %+v", p.name, got)
		}
	}
	if len(Default().Lists) != 0 {
		t.Error("somebody is asked by default")
	}
}

func TestPresetOverrides(t *testing.T) {
	m, err := List{Preset: "spamhaus-zen", Zone: "zen.mirror.net", Scores: map[string]float64{"PBL": 0}, Mode: unit.Observe}.merged()
	if err != nil {
		t.Fatal(err)
	}
	if m.Zone != "zen.mirror.net" || m.Name != "SPAMHAUS_ZEN" || m.Mode != unit.Observe {
		t.Errorf("merged %+v", m)
	}
	for _, c := range m.Codes {
		if c.Name == "PBL" && c.Score != 0 {
			t.Errorf("code %+v", c)
		}
	}
	if zenCodes[4].Score == 0 {
		t.Error("the table of presets was changed")
	}
}

func TestAnswer(t *testing.T) {
	for _, tc := range []struct{ pattern, yes, no string }{
		{"127.0.0.2", "127.0.0.2", "127.0.0.3 127.0.1.2 126.0.0.2"},
		{"127.0.0.4-7", "127.0.0.4 127.0.0.7", "127.0.0.3 127.0.0.8"},
		{"127.0.*.3", "127.0.0.3 127.0.255.3", "127.1.0.3 127.0.0.2"},
		{"127.0.2.0/24", "127.0.2.0 127.0.2.255", "127.0.3.1"},
		{"bit 8", "127.0.0.8 127.0.0.10 127.0.1.255", "127.0.0.4 8.0.0.8"},
		{"bit 0x100", "127.0.1.0", "127.0.0.255"},
	} {
		var a Answer
		if err := a.UnmarshalText([]byte(tc.pattern)); err != nil {
			t.Errorf("%s: %v", tc.pattern, err)
		}
		for _, s := range strings.Fields(tc.yes) {
			if !a.Match(netip.MustParseAddr(s)) {
				t.Errorf("%s does not match %s", tc.pattern, s)
			}
		}
		for _, s := range strings.Fields(tc.no) {
			if a.Match(netip.MustParseAddr(s)) {
				t.Errorf("%s matches %s", tc.pattern, s)
			}
		}
	}
	for _, s := range []string{"", "192.0.2.1", "127.0.0", "127.0.0.256", "127.0.0.7-4", "bit 0", "bit x", "bit 99999999", "10.0.0.0/8", "127.0.0.1/24", "127.0.0.0/4"} {
		if a, err := parseAnswer(s); err == nil {
			t.Errorf("parseAnswer(%q) = %+v", s, a)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"127.0.0.2", "127.0.0.4-7", "127.*.*.3", "127.0.0.0/8", "bit 8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAnswer(s)
		if err != nil {
			return
		}
		again, err := parseAnswer(a.String())
		if err != nil || again != a {
			t.Errorf("parseAnswer(%q) = %+v, %v; want %+v", a.String(), again, err, a)
		}
		if a.Match(netip.MustParseAddr("192.0.2.1")) {
			t.Errorf("%q matches an address outside 127.0.0.0/8", s)
		}
	})
}

// TestJudgeProperties: whatever lists answer, a line with points has a valid
// answer behind it, an answer that refuses gives none, and one list stays within
// its cap.
func TestJudgeProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		l := List{Name: "L", Blocked: []Answer{at(0, 0, 1)}, Mode: unit.Enforce}
		for i := range r.IntN(5) {
			l.Codes = append(l.Codes, Code{Answer: bit(byte(1 << i)), Name: string(rune('A' + i)), Score: float64(r.IntN(2000)-1000) / 100})
		}
		var answers []answer
		for range r.IntN(4) {
			a := answer{about: "x"}
			switch r.IntN(4) {
			case 0:
				a.err = errNever
			case 1:
			default:
				a.addrs = append(a.addrs, netip.AddrFrom4([4]byte{byte(126 + r.IntN(20)/19), byte(r.IntN(2)), 0, byte(r.IntN(64))}), netip.AddrFrom4([4]byte{127, 0, 0, byte(2 + r.IntN(60))}))
			}
			answers = append(answers, a)
		}
		most := float64(r.IntN(1000)) / 100
		lines, sum := judge(&l, most, answers)
		again, _ := judge(&l, most, answers)
		if told(again) != told(lines) {
			t.Fatalf("judge is not pure: %s, then %s", told(lines), told(again))
		}
		if (sum.refused != "" || sum.listed == 0) && len(lines) > 0 {
			t.Fatalf("%s without an answer: %+v", told(lines), answers)
		}
		for _, part := range [][]verdict.Line{only(lines, 1), only(lines, -1)} {
			if s := verdict.Sum(part); s > most+1e-9 || s < -most-1e-9 {
				t.Fatalf("%s is more than %v", told(lines), most)
			}
		}
	}
}

var errNever = errTest("no answer")

type errTest string

func (e errTest) Error() string { return string(e) }

// only returns the lines whose points have that sign.
func only(lines []verdict.Line, sign float64) (out []verdict.Line) {
	for _, l := range lines {
		if l.Score*sign > 0 {
			out = append(out, l)
		}
	}
	return out
}

// TestDecode reads a list of one's own as the manual shows it.
func TestDecode(t *testing.T) {
	var v struct {
		DNSLists Config `yaml:"dns_lists"`
	}
	v.DNSLists = Default()
	err := config.Decode("f", []byte(`
dns_lists:
  timeout: 2s
  never_ask: [partner.example]
  lists:
    - preset: spamhaus-zen
      scores: { PBL: 1, XBL: 6 }
      mode: observe
    - name: OWN
      zone: bl.example.net
      of: [client4, uri]
      codes:
        - { answer: 127.0.0.2, score: 3, text: "we had spam from there" }
        - { answer: bit 8, name: BIT, score: 1.5 }
        - { answer: 127.0.0.16-31, name: RANGE, score: -1 }
        - { answer: "127.0.*.3", name: STAR }
      blocked: [127.0.0.255]
      test_listed: none
      may_reject: true
`), &v)
	if err == nil {
		err = v.DNSLists.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	own := v.DNSLists.Lists[1]
	if len(own.Codes) != 4 || own.Codes[1].Answer.bits != 8 || own.Codes[2].Answer.String() != "127.0.0.16-31" || !own.MayReject || len(own.Blocked) != 1 {
		t.Errorf("decoded %+v", own)
	}
	if m, err := v.DNSLists.Lists[0].merged(); err != nil || m.Codes[2].Score != 6 || m.Codes[4].Score != 1 {
		t.Errorf("merged %+v, %v", m, err)
	}
}
