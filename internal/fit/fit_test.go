package fit

import (
	"math"
	"reflect"
	"testing"
)

// examples returns n messages in which each of the rules hits a share of
// spam and a share of ham, rule i every (1/share)th message.
func examples(n int, spam, ham []float64) []Example {
	var out []Example
	for i := range n {
		for class, shares := range [][]float64{ham, spam} {
			e := Example{Spam: class == 1, Weight: 1}
			for r, share := range shares {
				if share > 0 && math.Mod(float64(i)*share+float64(r)*0.37, 1) < share {
					e.Hits = append(e.Hits, Hit{r, 1})
				}
			}
			out = append(out, e)
		}
	}
	return out
}

func TestWeights(t *testing.T) {
	rules := []Rule{
		{Prior: 2, Limit: 7},    // only spam
		{Prior: 2, Limit: 7},    // ham and spam alike
		{Prior: 2, Limit: 7},    // only ham, though a person thought otherwise
		{Prior: -0.5, Limit: 2}, // only ham
		{Prior: -0.5, Limit: 2}, // only spam, though a person thought otherwise
		{Prior: 1, Limit: 0.5},  // never
	}
	ex := examples(500, []float64{0.8, 0.5, 0, 0, 0.3, 0}, []float64{0, 0.5, 0.2, 0.5, 0, 0})
	w := Weights(rules, ex, Options{Mark: 6, Ham: 10, Pull: 5, Rounds: 1500})
	t.Logf("%.2f", w)
	for i, want := range [][2]float64{{5, 7}, {0, 4}, {0, 0.5}, {-2, -0.1}, {-0.1, 0}, {0.5, 0.5}} {
		if w[i] < want[0] || w[i] > want[1] {
			t.Errorf("weight %d is %.3f, want %v", i, w[i], want)
		}
	}
	if again := Weights(rules, ex, Options{Mark: 6, Ham: 10, Pull: 5, Rounds: 1500}); !reflect.DeepEqual(w, again) {
		t.Error("a second run gives other weights")
	}
}

func TestWithoutExamples(t *testing.T) {
	w := Weights([]Rule{{Prior: 3, Limit: 0.5}, {Prior: -1, Limit: 4}}, nil, Options{Mark: 6, Ham: 1, Rounds: 10})
	if want := []float64{0.5, -1}; !reflect.DeepEqual(w, want) {
		t.Errorf("Weights = %v, want %v", w, want)
	}
}
