package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

type limit struct {
	Name string    `yaml:"name"`
	Rate unit.Rate `yaml:"rate"`
	Mode unit.Mode `yaml:"mode"`
}

type sample struct {
	Hostname string `yaml:"hostname"`
	Policyd  struct {
		Limits  []limit       `yaml:"limits"`
		Timeout unit.Duration `yaml:"timeout"`
		Max     int           `yaml:"max_connections"`
	} `yaml:"policyd"`
	Rules map[string]struct {
		Score *float64 `yaml:"score"`
	} `yaml:"rules"`
	Networks []string `yaml:"networks"`
	Strict   bool     `yaml:"strict"`
}

func (s *sample) Words() map[string]string { return map[string]string{"caps": "policyd"} }

func (s *sample) Validate() error {
	var errs []error
	for i, l := range s.Policyd.Limits {
		if l.Name == "" {
			errs = append(errs, Under("policyd", Invalid("limits["+string(rune('0'+i))+"].name", "a limit needs a name")))
		}
	}
	if s.Hostname == "" {
		errs = append(errs, Invalid("hostname", "is missing"))
	}
	return errors.Join(errs...)
}

func defaults() sample {
	var s sample
	s.Hostname = "localhost"
	s.Policyd.Timeout = unit.Duration(5 * time.Second)
	s.Policyd.Max = 100
	return s
}

func TestDecode(t *testing.T) {
	got := defaults()
	err := Decode("t.yaml", []byte(`
# a comment
hostname: mail.example.org
policyd:
  limits:
    - name: outgoing
      rate: 200/hour
      mode: enforce
    - { name: other, rate: 5/1m, mode: off }
  max_connections: 7
rules:
  MISSING_DATE: { score: 1.5 }
  GTUBE: {}
networks: [192.0.2.0/24, "2001:db8::/32"]
strict: true
`), &got)
	if err != nil {
		t.Fatal(err)
	}
	if got.Hostname != "mail.example.org" || got.Policyd.Max != 7 || got.Policyd.Timeout.Std() != 5*time.Second || !got.Strict {
		t.Errorf("scalars: %+v", got)
	}
	if want := []limit{{"outgoing", unit.Rate{Count: 200, Window: time.Hour}, unit.Enforce}, {"other", unit.Rate{Count: 5, Window: time.Minute}, unit.Off}}; !reflect.DeepEqual(got.Policyd.Limits, want) {
		t.Errorf("limits = %+v, want %+v", got.Policyd.Limits, want)
	}
	if s := got.Rules["MISSING_DATE"].Score; s == nil || *s != 1.5 || got.Rules["GTUBE"].Score != nil {
		t.Errorf("rules = %+v", got.Rules)
	}
	if !reflect.DeepEqual(got.Networks, []string{"192.0.2.0/24", "2001:db8::/32"}) {
		t.Errorf("networks = %q", got.Networks)
	}
}

func TestDecodeFaults(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []string
	}{
		{"empty file keeps the defaults", "", nil},
		{"only comments", "# nothing\n", nil},
		{"unknown key", "hostnme: x\n", []string{`t.yaml:1:1: hostnme: unknown setting, did you mean "hostname"?`}},
		{"unknown key far from all", "zzzzzzzz: x\n", []string{`t.yaml:1:1: zzzzzzzz: unknown setting`}},
		{"all at once", "hostname: [a]\npolicyd:\n  timeuot: 5s\n  timeout: 5\n  max_connections: many\n", []string{
			`t.yaml:1:11: hostname: a single value is expected here`,
			`t.yaml:3:3: policyd.timeuot: unknown setting, did you mean "timeout"?`,
			`t.yaml:4:12: policyd.timeout: "5" is not a time span such as 30s, 10m, 12h or 7d`,
			`t.yaml:5:20: policyd.max_connections: "many" is not a whole number`,
		}},
		{"a setting of a part at the root", "limits: []\ncaps: 1\npolicyd: {limit: []}\n", []string{
			`t.yaml:1:1: limits: unknown setting, did you mean "policyd.limits"?`,
			`t.yaml:2:1: caps: unknown setting, did you mean "policyd"?`,
			`t.yaml:3:11: policyd.limit: unknown setting, did you mean "limits"?`}},
		{"byte order mark", "\ufeffhostname: a\nhostnme: b\n", []string{`t.yaml:2:1: hostnme: unknown setting, did you mean "hostname"?`}},
		{"UTF-16", "\xff\xfeh\x00", []string{`t.yaml: the file is in UTF-16, and has to be in UTF-8`}},
		{"set twice", "hostname: a\nhostname: b\n", []string{`t.yaml:2:1: hostname: is set twice`}},
		{"list entry", "policyd:\n  limits:\n    - name: a\n      rate: fast\n", []string{
			`t.yaml:4:13: policyd.limits[0].rate: "fast" is not a rate such as 200/hour or 30/10m`}},
		{"validate at its line", "policyd:\n  limits:\n    - rate: 5/1m\n", []string{
			`t.yaml:3:7: policyd.limits[0].name: a limit needs a name`}},
		{"what Validate finds beside what can not be read", "strct: true\npolicyd:\n  limits:\n    - rate: fast\n", []string{
			`t.yaml:1:1: strct: unknown setting, did you mean "strict"?`,
			`t.yaml:4:7: policyd.limits[0].name: a limit needs a name`,
			`t.yaml:4:13: policyd.limits[0].rate: "fast" is not a rate such as 200/hour or 30/10m`}},
		{"nothing but brackets", "hostname: a\nnetworks: " + strings.Repeat("[", 200_000), []string{
			`t.yaml:2:1: more brackets are open than any setting needs`}},
		{"number in quotes", `policyd: {max_connections: "7"}`, []string{`t.yaml:1:28: policyd.max_connections: "7" is not a whole number`}},
		{"yes is no bool", "strict: yes\n", []string{`t.yaml:1:9: strict: "yes" is not true or false`}},
		{"scalar for a struct", "policyd: 5\n", []string{`t.yaml:1:10: policyd: settings of the form "name: value" are expected here`}},
		{"scalar for a list", "networks: a\n", []string{`t.yaml:1:11: networks: a list is expected here`}},
		{"alias", "networks: &a [x]\nrules: *a\n", []string{
			`t.yaml:1:11: networks: anchors, aliases and tags are not supported`,
			`t.yaml:2:8: rules: anchors, aliases and tags are not supported`}},
		{"two documents", "hostname: a\n---\nhostname: b\n", []string{`t.yaml:3:1: a second document is in the file`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := defaults()
			var got []string
			for _, e := range Faults(Decode("t.yaml", []byte(tc.in), &s)) {
				got = append(got, e.Error())
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("faults:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
	s := defaults()
	if err := Decode("t.yaml", []byte("a: [b\nc: }"), &s); err == nil || !strings.HasPrefix(err.Error(), "t.yaml:") {
		t.Errorf("broken YAML: %v", err)
	}
	if err := Decode("t.yaml", make([]byte, MaxFileBytes+1), &s); err == nil {
		t.Error("a file over the limit was read")
	}
}

// TestLoadIsBounded: a device has no size beforehand and no end.
func TestLoadIsBounded(t *testing.T) {
	s := defaults()
	var f *Fault
	if err := Load("/dev/zero", &s); !errors.As(err, &f) || !strings.Contains(f.Text, "larger than") {
		t.Errorf("Load(/dev/zero) = %v, want a fault", err)
	}
	if err := Load(t.TempDir(), &s); err == nil || errors.As(err, &f) {
		t.Errorf("Load of a directory = %v, want the error of the system", err)
	}
}

func TestKeys(t *testing.T) {
	want := []string{"hostname", "networks", "policyd.limits[].mode", "policyd.limits[].name", "policyd.limits[].rate",
		"policyd.max_connections", "policyd.timeout", "rules.*.score", "strict"}
	if got := Keys(sample{}); !reflect.DeepEqual(got, want) {
		t.Errorf("Keys() = %q, want %q", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("hostname: a\npolicyd:\n  limits:\n    - name: x\n")
	f.Add("a: &x [*x]")
	f.Add("? a\n: b")
	f.Add("- - - -")
	f.Add("a: {b: {c: {d: !!binary x}}}")
	f.Fuzz(func(t *testing.T, in string) {
		s := defaults()
		for _, e := range Faults(Decode("t.yaml", []byte(in), &s)) {
			var fault *Fault
			if !errors.As(e, &fault) {
				t.Fatalf("Decode(%q): %v is no Fault", in, e)
			}
		}
	})
}
