package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

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
		if !inSample(k) {
			t.Errorf("examples/gatepost.yaml does not show %s", k)
		}
	}
	for _, k := range documented {
		if !slices.Contains(code, k) {
			t.Errorf("gatepost.yaml(5) documents %s, which is no setting", k)
		}
	}
}

// inSample reports whether the last name of key stands in the sample, as a
// setting or in a comment.
func inSample(key string) bool {
	name := key[strings.LastIndexByte(key, '.')+1:]
	name = strings.TrimSuffix(name, "[]")
	return regexp.MustCompile(`(?m)(^|[\s#{,-])` + regexp.QuoteMeta(name) + `:`).Match(examples.Config)
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
		`gatepost.yaml:7:13: policyd.limits[0].rate: "200" is not a rate such as 200/hour or 30/10m`,
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
