package config

import (
	"errors"
	"strings"
	"testing"
)

type short struct {
	Text string `yaml:"text"`
	N    int    `yaml:"n"`
}

func (s *short) UnmarshalScalar(text string) error {
	if text == "bad" {
		return errors.New("not that")
	}
	*s = short{Text: text}
	return nil
}

// A single value may stand for a struct that knows what it means.
func TestShortForm(t *testing.T) {
	for in, want := range map[string]short{
		"s: hour < 6\n":        {Text: "hour < 6"},
		"s: 'a: b'\n":          {Text: "a: b"},
		"s: true\n":            {Text: "true"},
		"s: |\n  a and\n  b\n": {Text: "a and\nb\n"},
		"s: {text: x, n: 3}\n": {Text: "x", N: 3},
		"s:\n  n: 3\n":         {N: 3},
		"s:\n":                 {},
	} {
		var v struct {
			S short `yaml:"s"`
		}
		if err := Decode("t.yaml", []byte(in), &v); err != nil || v.S != want {
			t.Errorf("Decode(%q) = %+v, %v, want %+v", in, v.S, err, want)
		}
	}
	for in, want := range map[string]string{"s: bad\n": "t.yaml:1:4: s: not that", "s: [a]\n": "settings of the form"} {
		var v struct {
			S short `yaml:"s"`
		}
		if err := Decode("t.yaml", []byte(in), &v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Decode(%q) = %v, want %q", in, err, want)
		}
	}
}
