package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/gatepost/gatepost/examples"
	"github.com/gatepost/gatepost/internal/config"
)

// TestSampleIsDefault: the sample file says what an empty file means, so
// nobody who starts from it changes anything without knowing.
func TestSampleIsDefault(t *testing.T) {
	got, want := Default(), Default()
	if err := config.Decode("gatepost.yaml", examples.Config, &got); err != nil {
		t.Fatal(err)
	}
	want.Hostname = "mx.example.org"
	if err := want.Validate(); err != nil {
		t.Fatal(err)
	}
	normalise(reflect.ValueOf(&got).Elem())
	normalise(reflect.ValueOf(&want).Elem())
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the sample file is not the default:\n%+v\nwant\n%+v", got, want)
	}
}

// TestSampleExamples: what the sample shows in comments is taken when somebody
// takes the "#" away.
func TestSampleExamples(t *testing.T) {
	sample, n := string(examples.Config), 0
	uncomment := func(pattern, with string) {
		re := regexp.MustCompile(pattern)
		n += len(re.FindAllString(sample, -1))
		sample = re.ReplaceAllString(sample, with)
	}
	uncomment(`(?m)^( *)# (- \w+: |  \w+: .*$)`, "$1$2")
	uncomment(`(?m)^((?: *- \w+: .*\n(?: +\w+: .*\n)*)+)( *\w+:) \[\]$`, "$2\n$1")
	uncomment(`(?m)^( *\w+:) \{\} +# ([^;\n]*)(;.*)?$`, "$1 { $2 }")
	uncomment(`(?m)^( *\w+:) \[\] +# (\[.*\])$`, "$1 $2")
	if n < 40 {
		t.Errorf("only %d lines were found", n)
	}
	cfg := Default()
	if err := config.Decode("gatepost.yaml", []byte(sample), &cfg); err != nil {
		t.Fatalf("%v in\n%s", err, sample)
	}
	if len(cfg.Scan.AdminRules) == 0 || len(cfg.Scan.Users) == 0 || len(cfg.DNSLists.Lists) < 4 || len(cfg.Maps) == 0 ||
		len(cfg.Policyd.Rules) == 0 || len(cfg.Milter.SubmissionNetworks) == 0 || len(cfg.Mailauth.TrustedForwarders) == 0 {
		t.Errorf("examples were left out:\n%s", sample)
	}
}

// normalise makes empty lists and maps nil.
func normalise(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				normalise(v.Field(i))
			}
		}
	case reflect.Slice, reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
		}
	}
}

// TestKeysAgree compares the settings in code, sample file and manual, in both
// directions.
func TestKeysAgree(t *testing.T) {
	code := config.Keys(Config{})
	manual, err := os.ReadFile("../../docs/man/gatepost.yaml.5")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile(`(?m)^\.B ([a-z0-9_.\[\]*]+)$`).FindAllStringSubmatch(string(manual), -1) {
		documented = append(documented, m[1])
	}
	slices.Sort(documented)
	for _, k := range code {
		if !slices.Contains(documented, k) {
			t.Errorf("gatepost.yaml(5) does not document %s", k)
		}
	}
	for _, k := range notInSample(t, examples.Config, code) {
		t.Errorf("examples/gatepost.yaml does not show %s", k)
	}
	for _, k := range documented {
		if !slices.Contains(code, k) {
			t.Errorf("gatepost.yaml(5) documents %s, which is no setting", k)
		}
	}
}

// notInSample returns the keys that the sample does not show. A key stands there
// as a setting, at its own place in the tree. Only the keys of list and map
// entries may stand in a comment, at the list or map, which may be empty.
func notInSample(t *testing.T, sample []byte, keys []string) []string {
	t.Helper()
	file, err := parser.ParseBytes(sample, parser.ParseComments)
	if err != nil || len(file.Docs) != 1 {
		t.Fatalf("examples/gatepost.yaml: %v", err)
	}
	shown := map[string]string{} // with the comments that belong to each
	showIn(shown, "", file.Docs[0].Body, "")
	var out []string
	for _, k := range keys {
		if _, ok := shown[k]; ok {
			continue
		}
		at := max(strings.Index(k, "[]."), strings.Index(k, ".*."))
		if at < 0 || !commentShows(shown[k[:at]], k[at+3:]) {
			out = append(out, k)
		}
	}
	return out
}

// commentShows reports whether every name of the path stands in the comment.
func commentShows(comment, path string) bool {
	for name := range strings.SplitSeq(path, ".") {
		name = strings.TrimSuffix(name, "[]")
		if !regexp.MustCompile(`[\s{,-]` + regexp.QuoteMeta(name) + `:`).MatchString(comment) {
			return false
		}
	}
	return true
}

// showIn adds the keys of a node to shown, named as config.Keys does, each with
// the comments around it.
func showIn(shown map[string]string, key string, n ast.Node, comment string) {
	comment += commentOf(n)
	if key != "" {
		shown[key] += comment
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			// The comment above the first value may belong to the mapping.
			showIn(shown, key, v, comment)
		}
	case *ast.MappingValueNode:
		child := n.Key.String()
		if key != "" {
			child = key + "." + child
		}
		showIn(shown, child, n.Value, comment+commentOf(n.Key))
	case *ast.SequenceNode:
		// An example may stand between the entries, and behind the last one.
		for _, c := range append(slices.Clone(n.ValueHeadComments), n.FootComment) {
			if c != nil {
				shown[key] += "\n" + c.String() + "\n"
			}
		}
		for _, v := range n.Values {
			showIn(shown, key+"[]", v, "")
		}
	}
}

func commentOf(n ast.Node) string {
	if c := n.GetComment(); c != nil {
		return "\n" + c.String() + "\n"
	}
	return ""
}

// TestSampleIsCompared: a key that the sample lacks is missed, whatever other
// section has one of that name.
func TestSampleIsCompared(t *testing.T) {
	keys := config.Keys(Config{})
	for _, tc := range []struct{ old, new, key string }{
		{"  idle_timeout: 20m\n", "", "policyd.idle_timeout"},
		{"  grace: 5s\n\nlmtpd:", "lmtpd:", "auth_policy.grace"},
		{"  level: info ", "  #level: info ", "log.level"},
		{"  # - networks: [192.0.2.0/28]\n", "", "milter.submission_networks[].networks"},
		{"  #   action: ", "  #   axtion: ", "policyd.rules[].action"},
		{"overrides: [{ for: ", "overrides: [{ whom: ", "policyd.limits[].overrides[].for"},
		{", protocol_state: RCPT", "", "policyd.rules[].when.protocol_state"},
		{", score: 0.5", "", "scan.rules.*.score"},
	} {
		less := strings.ReplaceAll(string(examples.Config), tc.old, tc.new)
		if got := notInSample(t, []byte(less), keys); !slices.Equal(got, []string{tc.key}) {
			t.Errorf("without %q the sample lacks %q, want %q", tc.old, got, tc.key)
		}
	}
}

func TestFaultsNameTheirPlace(t *testing.T) {
	cfg := Default()
	err := config.Decode("gatepost.yaml", []byte(strings.Join([]string{
		"hostname: mx.example.org",
		"queue_directroy: /x",
		"data_directory: relative",
		"policyd:",
		"  limits:",
		"    - name: outgoing",
		"      rate: 200",
		"guard: { max_failures: 0 }",
	}, "\n")), &cfg)
	var got []string
	for _, f := range config.Faults(err) {
		got = append(got, f.Error())
	}
	want := []string{
		`gatepost.yaml:2:1: queue_directroy: unknown setting, did you mean "queue_directory"?`,
		`gatepost.yaml:3:1: data_directory: "relative" is not a clean absolute path below /`,
		`gatepost.yaml:7:13: policyd.limits[0].rate: "200" is not a rate such as 200/hour, 30/10m or 1GB/day`,
		`gatepost.yaml:8:10: guard.max_failures: 0 is not between 1 and 100`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("faults:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// FuzzConfig: whatever is in the file, every Validate sees it without a panic.
func FuzzConfig(f *testing.F) {
	f.Add("hostname: mx.example.org\nguard: {ignore_networks: [192.0.2.0/24]}\n")
	f.Add("policyd: {rules: [{when: {client_networks: [x]}, permits_relay: true}], limits: [{}]}\n")
	f.Add("milter: {submission_networks: [{networks: [x]}]}\nresolver: {servers: [x]}\nscan: {rules: {A: {mode: x}}}\n")
	f.Fuzz(func(t *testing.T, in string) {
		cfg := Default()
		_ = config.Decode("gatepost.yaml", []byte(in), &cfg) // refused is fine, a panic is not
	})
}

// All who look into mailboxes look below the same root.
func TestMailRootIsHandedDown(t *testing.T) {
	c := Default()
	c.MailRoot = "/srv/mail"
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"authd": c.Authd.MailRoot, "lmtpd": c.Lmtpd.MailRoot, "policyd": c.Policyd.MailRoot} {
		if got != c.MailRoot {
			t.Errorf("%s has the mail root %q, want %q", name, got, c.MailRoot)
		}
	}
}
