package scan

import (
	"math"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/config"
)

func TestConfig(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"thresholds", "reject: 12\nmark: 5.5\ngreylist: 3\n", ""},
		{"reject off", "reject: 0\n", ""},
		{"a rule", "rules:\n  SPF_FAIL:\n    mode: observe\n    score: 2.5\n", ""},
		{"mark above reject", "mark: 20\n", "mark: 20 is not below reject, which is 15"},
		{"negative", "mark: -1\n", "mark: -1 is not a score from 0 to 10000"},
		{"unknown rule", "rules:\n  SPF_FIAL:\n    mode: off\n", `rules.SPF_FIAL: there is no rule of this name, did you mean "SPF_FAIL"?`},
		{"unknown mode", "rules:\n  SPF_FAIL:\n    mode: maybe\n", `"maybe" is not a mode: use off, observe or enforce`},
		{"huge score", "rules:\n  SPF_FAIL:\n    score: 1e9\n", "rules.SPF_FAIL.score: 1000000000 is not a score from -10000 to 10000"},
		{"a fact has no score", "rules:\n  SPF_UNKNOWN:\n    score: 1\n", "rules.SPF_UNKNOWN.score: this rule tells a fact that is no reason: its score stays 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := Default()
			err := config.Decode("t.yaml", []byte(tc.in), &cfg)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("Decode(%q) = %v, want %q", tc.in, err, tc.want)
			}
		})
	}
	cfg := Default()
	cfg.Reject = math.NaN()
	if cfg.Validate() == nil {
		t.Error("NaN is taken for a threshold")
	}
}
