package limit

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

func hourly(name string, count int64, mode unit.Mode) Limit {
	return Limit{Name: name, By: ByUser, Rate: Per(count, time.Hour), Mode: mode}
}

func TestValidateAll(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits []Limit
		want   string // keys of the faults
	}{
		{"good", []Limit{hourly("outgoing", 200, unit.Enforce), hourly("daily", 1000, unit.Observe)}, ""},
		{"defaults", []Limit{{Name: "x", Rate: Per(1, time.Minute)}}, ""},
		{"none at all", []Limit{hourly("x", 0, unit.Enforce)}, ""},
		{"same name", []Limit{hourly("a", 1, ""), hourly("a", 2, "")}, "[1].name"},
		{"no name", []Limit{hourly("", 1, "")}, "[0].name"},
		{"slash in name", []Limit{hourly("a/b", 1, "")}, "[0].name"},
		{"long name", []Limit{hourly(strings.Repeat("a", 65), 1, "")}, "[0].name"},
		{"no rate", []Limit{{Name: "a"}}, "[0].rate"},
		{"rate too high", []Limit{hourly("a", 1<<41, "")}, "[0].rate"},
		{"window too long", []Limit{{Name: "a", Rate: Per(1, 400*24*time.Hour)}}, "[0].rate"},
		{"window too short", []Limit{{Name: "a", Rate: Per(1, time.Millisecond)}}, "[0].rate"},
		{"unknown key", []Limit{{Name: "a", By: "moon", Rate: Per(1, time.Hour)}}, "[0].by"},
		{"several parts", []Limit{{Name: "a", By: "user, recipient_domain", Of: Messages, Rate: Per(1, time.Hour)}}, ""},
		{"a part twice", []Limit{{Name: "a", By: "user,user", Rate: Per(1, time.Hour)}}, "[0].by"},
		{"unknown kind", []Limit{{Name: "a", Of: "moons", Rate: Per(1, time.Hour)}}, "[0].of"},
		{"new recipients of strangers", []Limit{{Name: "a", By: ByClient, Of: NewRecipients, Rate: Per(1, time.Hour)}}, "[0].by"},
		{"bytes without a unit", []Limit{{Name: "a", Of: Bytes, Rate: Per(1, time.Hour)}}, "[0].rate"},
		{"a size of recipients", []Limit{{Name: "a", Rate: Rates{{Count: 1, Window: time.Hour, Bytes: true}}}}, "[0].rate"},
		{"a window twice", []Limit{{Name: "a", Rate: Rates{{Count: 1, Window: time.Hour}, {Count: 2, Window: time.Hour}}}}, "[0].rate"},
		{"too many distinct", []Limit{{Name: "a", Of: DistinctRecipients, Rate: Per(maxDistinct+1, time.Hour)}}, "[0].rate"},
		{"burst beside a minute", []Limit{{Name: "a", Rate: Per(1, time.Minute), Burst: 1}}, "[0].burst"},
		{"unknown direction", []Limit{{Name: "a", Rate: Per(1, time.Hour), Direction: "up"}}, "[0].direction"},
		{"override of nobody", []Limit{{Name: "a", Rate: Per(1, time.Hour), Overrides: []Override{{}}}}, "[0].overrides[0].for [0].overrides[0].rate"},
		{"unknown mode", []Limit{hourly("a", 1, "maybe")}, "[0].mode"},
		{"all at once", []Limit{{Name: "", By: "x", Mode: "y"}}, "[0].name [0].by [0].rate [0].mode"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var keys []string
			for _, err := range config.Faults(ValidateAll(tc.limits)) {
				keys = append(keys, err.(*config.Fault).Key)
			}
			if got := strings.Join(keys, " "); got != tc.want {
				t.Errorf("ValidateAll(%+v) faults %q, want %q", tc.limits, got, tc.want)
			}
		})
	}
	for in, want := range map[string]string{
		"200/hour, 1000/day": "200/1h, 1000/1d", "1GB/day": "1GB/1d", "30/10m": "30/10m",
		"200": "", "1GB": "", "GB/day": "", "1/hour,": "", "-1/hour": "", "": "",
	} {
		r, err := ParseRates(in)
		if (err != nil) != (want == "") || err == nil && r.String() != want {
			t.Errorf("ParseRates(%q) = %s, %v, want %q", in, r, err, want)
		}
	}
	if err := ValidateAll(make([]Limit, MaxLimits+1)); err == nil {
		t.Errorf("ValidateAll of %d limits = nil, want a fault", MaxLimits+1)
	}
}

func FuzzRates(f *testing.F) {
	f.Add("200/hour, 1000/day")
	f.Add("1GB/1w")
	f.Add("/,")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRates(s)
		if err != nil {
			return
		}
		if again, err := ParseRates(r.String()); err != nil || !slices.Equal(again, r) {
			t.Errorf("ParseRates(%q) = %v, %v, want %v", r.String(), again, err, r)
		}
	})
}
