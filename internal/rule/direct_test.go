package rule

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// writer writes conditions of the kinds that run without the machine, and of
// some that do not.
type writer struct{ r *rand.Rand }

func (w writer) one(of ...string) string { return of[w.r.IntN(len(of))] }

func (w writer) condition(depth int) string {
	if depth == 0 {
		return w.one("tls", "true", "false", "size > 4999")
	}
	sub := func() string { return w.condition(depth - 1) }
	switch w.r.IntN(12) {
	case 0:
		return "(" + sub() + w.one(" and ", " && ", " or ", " || ") + sub() + ")"
	case 1:
		return w.one("not (", "!(") + sub() + ")"
	case 2:
		return w.text(depth) + w.one(" == ", " != ", " < ", " <= ", " > ", " >= ", " startsWith ", " endsWith ", " contains ") + w.text(depth)
	case 3:
		return w.number() + w.one(" == ", " != ", " < ", " <= ", " > ", " >= ") + w.number()
	case 4:
		return w.text(depth) + w.one(" in ", " not in ") + w.one(`["a", "news.example"]`, `["Ann@News.Example"]`, "to")
	case 5:
		return w.number() + w.one(" in ", " not in ") + w.one("[1, 5000]", "[16, 20]", "[-1]")
	case 6:
		return w.text(depth) + " matches " + w.one(`"^ann"`, `"(?i)NEWS"`, `"^(a|b|c)$"`)
	case 7:
		return "under(" + w.text(depth) + ", " + w.text(depth) + ")"
	case 8:
		return "ip_in(" + w.text(depth) + w.one(`, "192.0.2.0/24")`, `, "::/0", "10.0.0.0/8")`)
	case 9:
		return `in_map("partners", ` + w.text(depth) + ")"
	case 10: // not direct
		return w.one("score > 1", "any(to, # contains \"b\")", "size % 2 == 0", "(tls ? size : 0) > 10", `header("Subject") == ""`)
	}
	return w.one("tls == true", "tls != "+sub(), "not tls")
}

func (w writer) text(depth int) string {
	if depth > 0 && w.r.IntN(4) == 0 {
		return w.one("lower(", "domain_of(") + w.text(depth-1) + ")"
	}
	return w.one("from", "ip", "auth.Dkim", `"Ann@News.Example"`, `"news.example"`, `"example"`, `""`, `"192.0.2.7"`)
}

func (w writer) number() string {
	return w.one("size", "5000", "0", "-1", "16", "len(from)", `len(lower(from))`, "2 + 3")
}

// sameAnswer compares what a rule says without the machine with what the
// machine says, and how much each has spent.
func sameAnswer(t *testing.T, when string, f *facts) (direct bool) {
	t.Helper()
	s, err := Compile[*facts]([]Source{{Name: "R", When: when}}, options())
	if err != nil {
		return false // a condition that no rule may have
	}
	r := &s.rules[0]
	if r.direct == nil {
		return false
	}
	f.fill()
	want, wantErr := s.run(r, f)
	spent := f.left
	f.fill()
	got, err := r.runDirect(f, &f.Meter)
	if got != want || !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
		t.Fatalf("%s = %t, %v, the machine says %t, %v", when, got, err, want, wantErr)
	}
	if err == nil && f.left != spent {
		t.Fatalf("%s leaves %d, the machine %d", when, f.left, spent)
	}
	return true
}

// variants are facts that conditions differ about.
func variants() []*facts {
	plain := sample()
	plain.Auth.Dkim = "news.example"
	none := &facts{Header: plain.Header}
	dear := sample()
	dear.From = strings.Repeat("news.example.", 30_000)
	return []*facts{plain, none, dear}
}

func TestDirect(t *testing.T) {
	w := writer{rand.New(rand.NewPCG(1, 2))}
	all, n := variants(), 0
	for i := range 1500 {
		if sameAnswer(t, w.condition(1+i%3), all[i%len(all)]) {
			n++
		}
	}
	if n < 500 {
		t.Errorf("%d conditions of 1500 run without the machine", n)
	}
}

// TestDirectKinds: what stands in the manual's examples runs without the
// machine, so that nobody loses that unseen.
func TestDirectKinds(t *testing.T) {
	for _, when := range []string{
		`auth.Dkim == "blocked.example" and tls`,
		`ip_in(ip, "203.0.113.0/24", "2001:db8:bad::/48")`,
		`from endsWith ".dynamic.example" and ip startsWith "["`,
		`from matches "^(localhost|friend|user)$"`,
		`from in ["one.example", "two.example"]`,
		`under(from, "newsletter.example") and (size < 6 or size >= 22)`,
		`lower(from) startsWith "noreply@" and from not in ["saturday", "sunday"]`,
		`in_map("partners", domain_of(from)) or from contains "x" or len(from) > 9`,
	} {
		if !sameAnswer(t, when, sample()) {
			t.Errorf("%s needs the machine", when)
		}
	}
}

func FuzzDirect(f *testing.F) {
	for _, s := range []string{`tls and from == "x"`, `size in [1, 2]`, `auth.Dkim != ip`, `not (lower(from) contains "N")`, `"a" < from`, `tls == (size > 1)`} {
		f.Add(s, "from", "192.0.2.1", 5, true)
	}
	f.Fuzz(func(t *testing.T, when, from, ip string, size int, tls bool) {
		v := sample()
		v.From, v.IP, v.Size, v.TLS = from, ip, size, tls
		sameAnswer(t, when, v)
	})
}
