package limit

import (
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

func hourly(name string, count int64, mode unit.Mode) Limit {
	return Limit{Name: name, By: ByUser, Rate: unit.Rate{Count: count, Window: time.Hour}, Mode: mode}
}

func TestValidateAll(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits []Limit
		want   string // keys of the faults
	}{
		{"good", []Limit{hourly("outgoing", 200, unit.Enforce), hourly("daily", 1000, unit.Observe)}, ""},
		{"defaults", []Limit{{Name: "x", Rate: unit.Rate{Count: 1, Window: time.Minute}}}, ""},
		{"none at all", []Limit{hourly("x", 0, unit.Enforce)}, ""},
		{"same name", []Limit{hourly("a", 1, ""), hourly("a", 2, "")}, "[1].name"},
		{"no name", []Limit{hourly("", 1, "")}, "[0].name"},
		{"slash in name", []Limit{hourly("a/b", 1, "")}, "[0].name"},
		{"long name", []Limit{hourly(strings.Repeat("a", 65), 1, "")}, "[0].name"},
		{"no rate", []Limit{{Name: "a"}}, "[0].rate"},
		{"rate too high", []Limit{hourly("a", 1<<41, "")}, "[0].rate"},
		{"window too long", []Limit{{Name: "a", Rate: unit.Rate{Count: 1, Window: 400 * 24 * time.Hour}}}, "[0].rate"},
		{"window too short", []Limit{{Name: "a", Rate: unit.Rate{Count: 1, Window: time.Millisecond}}}, "[0].rate"},
		{"unknown key", []Limit{{Name: "a", By: "moon", Rate: unit.Rate{Count: 1, Window: time.Hour}}}, "[0].by"},
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
	if err := ValidateAll(make([]Limit, MaxLimits+1)); err == nil {
		t.Errorf("ValidateAll of %d limits = nil, want a fault", MaxLimits+1)
	}
}
