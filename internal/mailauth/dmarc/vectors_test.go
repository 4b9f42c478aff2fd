package dmarc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/shared"
)

var errServfail = errors.New("no server answered")

// zone is DNS as maps. Names of records are without the prefix.
type zone struct {
	txt      map[string][]string
	alias    map[string]string
	wildcard map[string]string
	exists   map[string]string // exists, nxdomain or servfail; exists is the default
	asked    []string
}

func newZone() *zone {
	return &zone{txt: map[string][]string{}, alias: map[string]string{}, wildcard: map[string]string{}, exists: map[string]string{}}
}

func (z *zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	name, ok := strings.CutPrefix(name, "_dmarc.")
	if !ok {
		return nil, fmt.Errorf("%s was asked", name)
	}
	z.asked = append(z.asked, name)
	if to, ok := z.alias[name]; ok {
		name = to
	}
	txt := z.txt[name]
	if slices.Contains(txt, "SERVFAIL") {
		return nil, errServfail
	}
	for d, t := range z.wildcard {
		if len(txt) == 0 && strings.HasSuffix(name, "."+d) {
			txt = []string{t}
		}
	}
	return txt, nil
}

func (z *zone) Exists(_ context.Context, name string) (bool, error) {
	z.asked = append(z.asked, "exists "+name)
	if z.exists[name] == "servfail" {
		return false, errServfail
	}
	return z.exists[name] != "nxdomain", nil
}

// record takes "DOMAIN TEXT" in, in the notation of the vectors.
func (z *zone) record(line string) {
	domain, text, _ := strings.Cut(line, " ")
	switch domain {
	case "name":
		name, state, _ := strings.Cut(text, " ")
		z.exists[name] = state
	case "alias":
		from, to, _ := strings.Cut(text, " ")
		z.alias[from] = to
	case "wildcard":
		d, t, _ := strings.Cut(text, " ")
		z.wildcard[d] = published(t)
	default:
		z.txt[domain] = append(z.txt[domain], published(text))
	}
}

func published(text string) string {
	if strings.HasPrefix(text, `"`) {
		return strings.ReplaceAll(strings.Trim(text, `"`), `" + "`, "")
	}
	if text == "SERVFAIL" {
		return text
	}
	return "v=DMARC1; " + text
}

// vector is one case of testdata/vectors.txt.
type vector struct {
	name string
	in   Input
	zone *zone

	ask              []string
	aligned          []string
	org, policy, psl string // "" where the case does not say
	result           string
	done, report     string
	faults           bool
}

func readVectors(t testing.TB) []*vector {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	zones := map[string][]string{}
	var out []*vector
	var v *vector
	var name string
	var fields [][]byte
	end := func() {
		if v != nil && len(v.in.From.Domains) == 0 {
			v.in.From = ReadFrom(fields...)
		}
		v, fields = nil, nil
	}
	for n, line := range strings.Split(string(data), "\n") {
		key, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || key == "#":
			end()
			name = ""
		case key == "zone":
			name = rest
		case name != "":
			zones[name] = append(zones[name], line)
		case key == "case":
			v = &vector{name: rest, zone: newZone()}
			out = append(out, v)
		case key == "use":
			if zones[rest] == nil {
				t.Fatalf("line %d: no zone %q", n+1, rest)
			}
			for _, r := range zones[rest] {
				v.zone.record(r)
			}
		case key == "field":
			fields = append(fields, []byte(rest))
		default:
			if !v.set(key, rest) {
				t.Fatalf("line %d: %q", n+1, line)
			}
		}
	}
	end()
	return out
}

func (v *vector) set(key, rest string) bool {
	domain, res, _ := strings.Cut(rest, " ")
	switch key {
	case "at":
		v.zone.record(rest)
	case "from":
		v.in.From = ReadFrom([]byte("user@" + rest))
	case "no":
	case "spf":
		v.in.Identifiers.SPF = SPF{domain, authres.Result(res)}
	case "dkim":
		v.in.Identifiers.DKIM = append(v.in.Identifiers.DKIM, DKIM{Domain: domain, Result: authres.Result(res)})
	case "ask":
		v.ask = append(v.ask, rest)
	case "aligned":
		v.aligned = append(v.aligned, rest)
	case "org":
		v.org = rest
	case "policy":
		v.policy = rest
	case "psl":
		v.psl = rest
	case "result":
		v.result = rest
	case "done":
		v.done = rest
	case "report":
		v.report = rest
	case "faults":
		v.faults = true
	default:
		return false
	}
	return true
}

// check runs v, whole and in two parts, and says what is wrong.
func (v *vector) check(ctx context.Context) error {
	c, err := New(v.zone, ModeTree)
	if err != nil {
		return err
	}
	r := c.Check(ctx, v.in.From, v.in.Identifiers)
	if r.Result != authres.Result(v.result) {
		return fmt.Errorf("result %s (%s), want %s", r.Result, r.Reason, v.result)
	}
	asked := v.zone.asked
	if v.report == "" && !slices.Equal(asked, v.ask) {
		return fmt.Errorf("asks %q, want %q", asked, v.ask)
	}
	for i, a := range r.Asked {
		if len(r.Asked) != len(asked) || strings.TrimPrefix(a.Question.String(), prefix) != asked[i] {
			return fmt.Errorf("asks %q, and says %v", asked, r.Asked)
		}
	}
	var aligned []string
	for _, a := range r.Aligned {
		aligned = append(aligned, string(a.Method)+" "+a.Domain)
	}
	if v.report == "" && r.Result == authres.Pass && !slices.Equal(aligned, v.aligned) {
		return fmt.Errorf("aligned %q, want %q", aligned, v.aligned)
	}
	if v.org != "" && dash(r.OrgDomain) != v.org {
		return fmt.Errorf("organization %q, want %q", r.OrgDomain, v.org)
	}
	p := dash(r.Applied.Domain)
	if r.Applied.Published != "" {
		p += fmt.Sprintf(" %s=%s %s", r.Applied.Tag, r.Applied.Published, r.Applied.Effective)
	} else if r.Applied.Domain != "" {
		p += " -"
	}
	if v.policy != "" && p != v.policy {
		return fmt.Errorf("policy %q, want %q", p, v.policy)
	}
	if v.faults && len(r.Applied.Record.Faults) == 0 {
		return errors.New("no fault of the record is told")
	}
	return v.checkReport(r)
}

func (v *vector) checkReport(r Result) error {
	if v.report == "" {
		return nil
	}
	done, why, _ := strings.Cut(v.done, " ")
	e := r.Evaluated(Policy(done), Override(why))
	word := map[bool]string{true: "pass", false: "fail"}
	got := strings.TrimSpace(fmt.Sprintf("%s dkim=%s spf=%s %s", e.Disposition, word[e.DKIM], word[e.SPF], e.Reason))
	if got != v.report {
		return fmt.Errorf("report %q, want %q", got, v.report)
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// TestConformanceDMARCVectors runs the cases with their questions in order.
func TestConformanceDMARCVectors(t *testing.T) {
	s := shared.NewSuite("dmarc-vectors", nil)
	for _, v := range readVectors(t) {
		s.Case(t, v.name, v.check(t.Context()))
	}
	s.Report(t)
}

// TestPSLMode runs the cases in the mode of RFC 7489. The sets that hold no
// psd and no record above an organization give what they give in the tree.
func TestPSLMode(t *testing.T) {
	for _, v := range readVectors(t) {
		want, domain := v.result, ""
		if v.psl != "" {
			want, domain, _ = strings.Cut(v.psl, " ")
		} else if !strings.Contains("ASBCDHIKT", v.name[:1]) {
			continue
		}
		c, err := New(v.zone, ModePSL)
		if err != nil {
			t.Fatal(err)
		}
		r := c.Check(t.Context(), v.in.From, v.in.Identifiers)
		if string(r.Result) != want || domain != "" && dash(r.Applied.Domain) != domain {
			t.Errorf("%s: %s (%s), policy of %q, want %s, %q", v.name, r.Result, r.Reason, r.Applied.Domain, want, domain)
		}
		records := slices.DeleteFunc(slices.Clone(v.zone.asked), func(q string) bool { return strings.HasPrefix(q, "exists") })
		if len(records) > 2 {
			t.Errorf("%s: asks %q", v.name, v.zone.asked)
		}
	}
}
