package scan

import (
	"math"
	"testing"
)

// TestWeights: what was fitted is about rules that exist, keeps the sign that a
// person gave, and lets no single rule refuse.
func TestWeights(t *testing.T) {
	guess := Guesses()
	for _, set := range Sets() {
		for name, w := range Weights(set) {
			g, ok := guess[name]
			switch {
			case !ok:
				t.Errorf("%s: there is no rule %s", set, name)
			case w*g < 0 || g == 0 && w != 0:
				t.Errorf("%s: %s weighs %v, a person gave it %v", set, name, w, g)
			case math.Abs(w) > 7.5:
				t.Errorf("%s: %s weighs %v, which comes near a refusal alone", set, name, w)
			}
		}
	}
}
