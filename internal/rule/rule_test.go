package rule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

type item struct {
	Host string `expr:"host"`
	Text string `expr:"text"`
	Size int    `expr:"size"`
}

// facts are those of the tests.
type facts struct {
	Meter
	From   string                `expr:"from"`
	IP     string                `expr:"ip"`
	Size   int                   `expr:"size"`
	Score  float64               `expr:"score"`
	TLS    bool                  `expr:"tls"`
	To     []string              `expr:"to"`
	Items  []item                `expr:"items"`
	Auth   struct{ Dkim string } `expr:"auth"`
	Header func(string) string   `expr:"header"`
	Hidden string
}

// Secret is no fact.
func (*facts) Secret() string { return "secret" }

func sample() *facts {
	return &facts{
		From: "Ann@News.Example", IP: "::ffff:192.0.2.7", Size: 5000, Score: 2.5, TLS: true,
		To:     []string{"a@own.example", "b@own.example"},
		Items:  []item{{"a.example", "click", 10}, {"b.example", "HERE", 200}},
		Header: func(name string) string { return map[string]string{"Subject": "Hello world"}[name] },
	}
}

// tables answer in_map.
type tables map[string][]string

func (t tables) Names() []string { return slices.Sorted(maps.Keys(t)) }

func (t tables) Has(name, value string) bool { return slices.Contains(t[name], value) }

func options() Options {
	return Options{
		Maps: tables{"partners": {"news.example"}},
		Check: func(_, arg string) error {
			if strings.Contains(arg, " ") {
				return fmt.Errorf("%q is no field name", arg)
			}
			return nil
		},
	}
}

func one(t testing.TB, when string) *Set[*facts] {
	t.Helper()
	s, err := Compile[*facts]([]Source{{Name: "R", When: when}}, options())
	if err != nil {
		t.Fatalf("Compile(%s): %v", when, err)
	}
	return s
}

func TestEval(t *testing.T) {
	for when, want := range map[string]bool{
		`tls`:                                                    true,
		`not tls or size > 4999`:                                 true,
		`size >= 1000 and size <= 4000`:                          false,
		`from == "Ann@News.Example"`:                             true,
		`lower(from) == "ann@news.example"`:                      true,
		`domain_of(from) == "news.example"`:                      true,
		`domain_of("nobody") == ""`:                              true,
		`under(domain_of(from), "example")`:                      true,
		`under(domain_of(from), "NEWS.example")`:                 true,
		`under("badnews.example", "news.example")`:               false,
		`under("news.example", "")`:                              false,
		`ip_in(ip, "192.0.2.0/24")`:                              true,
		`ip_in(ip, "10.0.0.0/8", "2001:db8::/32")`:               false,
		`ip_in(from, "0.0.0.0/0")`:                               false,
		`in_map("partners", domain_of(from))`:                    true,
		`in_map("partners", from)`:                               false,
		`header("Subject") matches "(?i)^HELLO"`:                 true,
		`header("Subject") contains "world"`:                     true,
		`header("X-None") == ""`:                                 true,
		`header("Subject") startsWith "Hell"`:                    true,
		`header("Subject") endsWith "Hell"`:                      false,
		`"a@own.example" in to`:                                  true,
		`"c@own.example" in to`:                                  false,
		`"c@own.example" not in to`:                              true,
		`domain_of(from) in ["x.example", "news.example"]`:       true,
		`size in [1, 5000]`:                                      true,
		`len(to) == 2 and len(from) == 16`:                       true,
		`any(items, .host == "b.example")`:                       true,
		`all(items, .size > 50)`:                                 false,
		`none(items, #.text matches "x")`:                        true,
		`one(items, lower(.text) == "here")`:                     true,
		`count(items, .size > 5) == 2`:                           true,
		`len(filter(items, .size > 50)) == 1`:                    true,
		`sum(map(items, .size)) == 210`:                          true,
		`any(items, any(to, # contains "b"))`:                    true,
		`score * 2 == 5 and score - 1 > 1`:                       true,
		`let d = domain_of(from); d == "news.example" and tls`:   true,
		`(tls ? size : 0) > 10`:                                  true,
		`any(items, .host contains "a") and any(items, .size>9)`: true,
		`size > -1`: true,
	} {
		s := one(t, when)
		for range 2 {
			if got, err := s.Eval(0, sample()); err != nil || got != want {
				t.Errorf("%s = %t, %v", when, got, err)
			}
		}
	}
}

func TestCompileFaults(t *testing.T) {
	for _, tc := range []struct{ when, want string }{
		{`frm == "x"`, "there is no \"frm\", did you mean \"from\"? (line 1, column 1)\n    frm == \"x\"\n    ^"},
		{"tls and\n\tsise > 3", "there is no \"sise\", did you mean \"size\"? (line 2, column 2)\n     sise > 3\n     ^"},
		{`size == "x"`, "(mismatched types int and string) (line 1, column 6)"},
		{`size`, "expected bool, but got int"},
		{``, "unexpected token EOF"},
		{`tls and`, "unexpected token EOF (line 1, column 7)"},
		{`from matches "("`, "error parsing regexp: missing closing ): `(` (line 1, column 6)"},
		{`from matches header("X")`, "a pattern has to stand here as a text"},
		{`from + "x" == "y"`, "texts cannot be put together"},
		{`any(1..10, # > 3)`, "there are no ranges"},
		{`ip_in(ip, "10.0.0.0/33")`, "column 11"},
		{`ip_in(ip, from)`, "a network has to stand here as a text"},
		{`ip_in(ip)`, "ip_in needs a network"},
		{`in_map("partner", from)`, `there is no map "partner", did you mean "partners"?`},
		{`in_map(from, from)`, "the name of a map has to stand here as a text"},
		{`header("a b") == ""`, `"a b" is no field name (line 1, column 8)`},
		{`header(from) == ""`, "header takes a text that stands here"},
		{`Secret() == ""`, "there is no \"Secret\""},
		{`Hidden == ""`, `there is no "Hidden"`},
		{`Meter.Self == meter`, "this has no field Self"},
		{`meter != meter`, `there is no "meter"`},
		{`_step(1)`, "there is no"},
		{`let meter = 1; any(items, meter == 1)`, "cannot redeclare meter"},
		{`let from = 1; tls`, "from"},
		{`repeat("x", 100) == ""`, "repeat"},
		{`sort(to) == to`, "sort"},
		{`now() != now()`, "now"},
		{`$env == 1`, ""},
		{`{"a": 1} == {"a": 1}`, "this is not of the language"},
		{`to[0:1] == to`, "this is not of the language"},
		{`(from ?? "x") == "x"`, "?? is not of the language"},
		{`nil == nil`, "not of the language"},
		{`tls; tls`, "not of the language"},
		{`size ** 2 > 3`, "the operator ** is not of the language"},
		{`from in [from]`, "a list behind in holds texts or whole numbers"},
		{`size in to`, ""},
		{`auth.nothing == 1`, "nothing"},
		{strings.Repeat("(", 5000), "the condition has 5000 bytes, and 4096 are the most"},
		{"tls" + strings.Repeat(" and tls", 505), "compilation failed: expression exceeds maximum allowed nodes"},
		{"size > 1 and " + strings.Repeat("tls and ", 20) + "frm == \"x\"", "tls and frm == \"x\"\n" + strings.Repeat(" ", 4+32) + "^"},
	} {
		_, err := Compile[*facts]([]Source{{Name: "OK", When: "tls"}, {Name: "R", When: tc.when}}, options())
		var f *config.Fault
		if !errors.As(err, &f) || f.Key != "[1].when" || !strings.Contains(f.Text, tc.want) {
			t.Errorf("Compile(%q) = %v, want %q", tc.when, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "rule.") {
			t.Errorf("Compile(%q) tells of Go: %v", tc.when, err)
		}
	}
	if _, err := Compile[*facts](make([]Source, MaxRules+1), Options{}); err == nil {
		t.Error("too many rules are taken")
	}
}

// hostile are conditions that would run long, each over long lists and texts.
var hostile = []string{
	`any(items, any(items, any(items, .host == "none")))`,
	`any(items, any(items, .text matches "(a|aa)*b"))`,
	`count(items, count(items, count(items, true) == 7) == 7) == 7`,
	`any(items, from matches "(x+x+)+y")`,
	`len(filter(items, len(map(items, len(map(items, .host)) > 0)) > 0)) > 0`,
	`sum(map(items, sum(map(items, sum(map(items, 1)))))) > 0`,
	`any(items, any(to, any(to, "none" in to)))`,
	`any(items, all(items, from contains "zzzzz" or lower(from) == "x" or true) and false)`,
	`any(items, count(map(items, header("Subject")), # == "x") > 0)`,
	`any(items, any(items, ["a","b","c","d","e","f"] == ["a"]))`,
}

func longFacts() *facts {
	f := sample()
	f.From = strings.Repeat("x", 16<<10)
	f.Items, f.To = nil, nil
	for i := range 500 {
		f.Items = append(f.Items, item{fmt.Sprintf("h%d.example", i), strings.Repeat("a", 500), i})
		f.To = append(f.To, fmt.Sprintf("u%d@own.example", i))
	}
	return f
}

// TestHostileRules: no rule runs for long, and one that cannot end in its
// budget fails without a hit.
func TestHostileRules(t *testing.T) {
	f := longFacts()
	for _, when := range hostile {
		s := one(t, when)
		start := time.Now()
		hit, err := s.Eval(0, f)
		if hit || err == nil {
			t.Errorf("%s = %t, %v, want an error", when, hit, err)
		}
		t.Logf("%8s  %s: %v", time.Since(start).Round(time.Microsecond), when, err)
		if c := s.Counts()[0]; c.Asked != 1 || c.Failed != 1 || c.Hits != 0 {
			t.Errorf("%s: counts %+v", when, c)
		}
	}
}

func TestRunErrorsTellNoFacts(t *testing.T) {
	for when, want := range map[string]string{
		`to[9] == "x"`:            "index out of range: 9 (array length is 2) (line 1, column 3)",
		`size % (size-5000) == 1`: "divide by zero",
	} {
		s := one(t, when)
		if hit, err := s.Eval(0, sample()); hit || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "own.example") {
			t.Errorf("%s = %t, %v", when, hit, err)
		}
	}
}

func TestModesAndUses(t *testing.T) {
	s, err := Compile[*facts]([]Source{
		{Name: "A", When: "tls"}, {Name: "B", When: "size > 0", Mode: unit.Off}, {Name: "C", When: "len(items) > 0", Mode: unit.Observe},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"tls": true, "size": false, "items": true, "from": false} {
		if s.Uses(name) != want {
			t.Errorf("Uses(%s) = %t", name, !want)
		}
	}
	for i := range s.Len() {
		if hit, err := s.Eval(i, sample()); err != nil || hit != (s.Source(i).Mode != unit.Off) {
			t.Errorf("%s: %t, %v", s.Source(i).Name, hit, err)
		}
	}
	if c := s.Counts(); c[1].Asked != 0 || c[2].Hits != 1 || c[2].Mode != unit.Observe {
		t.Errorf("Counts = %+v", c)
	}
}

func TestConcurrentEval(t *testing.T) {
	s := one(t, `any(items, .host == "b.example") and ip_in(ip, "192.0.2.0/24")`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			f := sample()
			for range 200 {
				if hit, err := s.Eval(0, f); !hit || err != nil {
					t.Errorf("Eval = %t, %v", hit, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if c := s.Counts()[0]; c.Hits != 1600 {
		t.Errorf("Counts = %+v", c)
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range append(hostile, `from matches "a" and tls`, `let a = size; a > 3`, `header("X") == "\u00ff"`, "'", "((((", "a ? b : c", `any(items, {.host == "x"})`, "tls | any(#)", "if tls { true } else { false }", "0x1.p-9 > 1", "`raw` == from", "#", ".x", "$env", "/* c */ tls // d") {
		f.Add(s)
	}
	long := longFacts()
	f.Fuzz(func(t *testing.T, when string) {
		s, err := Compile[*facts]([]Source{{Name: "R", When: when}}, options())
		if err != nil {
			if strings.Contains(err.Error(), "goroutine") || strings.Contains(err.Error(), "runtime error") {
				t.Fatalf("Compile(%q): %v", when, err)
			}
			return
		}
		start := time.Now()
		_, err = s.Eval(0, long)
		if took := time.Since(start); took > 2*time.Second {
			t.Fatalf("%q took %v, %v", when, took, err)
		}
	})
}

func BenchmarkEval(b *testing.B) {
	s := one(b, `size > 1000 and tls and domain_of(from) == "news.example" and ip_in(ip, "192.0.2.0/24") and header("Subject") contains "world" and any(items, .host == "b.example")`)
	f := sample()
	b.ReportAllocs()
	for b.Loop() {
		if hit, err := s.Eval(0, f); !hit || err != nil {
			b.Fatal(hit, err)
		}
	}
}

func BenchmarkHostile(b *testing.B) {
	f := longFacts()
	for i, when := range hostile {
		s := one(b, when)
		b.Run(fmt.Sprint(i), func(b *testing.B) {
			for b.Loop() {
				_, _ = s.Eval(0, f)
			}
		})
	}
}

// dear is a map in which a look-up costs as much as its value is long.
type dear struct{ tables }

func (dear) Cost(name string, length int) int { return 1000 * length }

// TestMapsCost: what a look-up costs in a map of regular expressions is for the
// map to tell. A stranger chooses how many links there are to look up.
func TestMapsCost(t *testing.T) {
	o := options()
	o.Maps = dear{o.Maps.(tables)}
	s, err := Compile[*facts]([]Source{{Name: "R", When: `any(to, in_map("partners", #))`}}, o)
	if err != nil {
		t.Fatal(err)
	}
	f := sample()
	if _, err := s.Eval(0, f); err != nil {
		t.Errorf("two addresses: %v", err)
	}
	f.To = slices.Repeat(f.To, 5)
	if _, err := s.Eval(0, f); !errors.Is(err, ErrBudget) {
		t.Errorf("ten addresses: %v, want %v", err, ErrBudget)
	}
}
