// Package fit finds weights of rules from labelled examples: a logistic
// regression whose weights keep the sign, and stay within bounds, that a person
// gave them, and are drawn towards what he thought where examples say little.
package fit

import "math"

// Rule is what a person knows of a rule before any example is seen.
type Rule struct {
	// Prior is the weight that he would give. Its sign is that of the result.
	Prior float64
	// Limit bounds the result's absolute value.
	Limit float64
}

// Hit is a rule that hit, for a share of its weight from 0 to 1.
type Hit struct {
	Rule  int
	Share float64
}

// Example is a labelled message.
type Example struct {
	Hits []Hit
	Spam bool
	// Weight is how much it counts.
	Weight float64
}

// Options say what the score is to be like.
type Options struct {
	// Mark is the score from which on a message counts as spam.
	Mark float64
	// Ham is how many missed spams a lost ham is worth.
	Ham float64
	// Pull is how strongly weights are drawn to their priors: as strongly as
	// Pull examples of the mean weight.
	Pull float64
	// Rounds is how many steps are made.
	Rounds int
}

// margin is how far from Mark a score should be to be sure of it.
const margin = 2

// Weights returns a weight for each rule. Equal arguments give equal results.
// It takes Rounds passes over the hits.
func Weights(rules []Rule, examples []Example, o Options) []float64 {
	w := make([]float64, len(rules))
	for i, r := range rules {
		w[i] = bounded(r.Prior, r)
	}
	var total float64
	for _, e := range examples {
		total += e.Weight
	}
	if total == 0 {
		return w
	}
	// Adam with its usual constants, and a step that shrinks to nothing.
	const fast, slow, step, tiny = 0.9, 0.999, 0.05, 1e-9
	g, first, second := make([]float64, len(w)), make([]float64, len(w)), make([]float64, len(w))
	fastN, slowN := 1.0, 1.0
	for round := range o.Rounds {
		gradient(g, w, rules, examples, total, o)
		fastN, slowN = fastN*fast, slowN*slow
		rate := step * (1 - float64(round)/float64(o.Rounds))
		for i := range w {
			first[i] = fast*first[i] + (1-fast)*g[i]
			second[i] = slow*second[i] + (1-slow)*g[i]*g[i]
			w[i] -= rate * (first[i] / (1 - fastN)) / (math.Sqrt(second[i]/(1-slowN)) + tiny)
			w[i] = bounded(w[i], rules[i])
		}
	}
	return w
}

// gradient fills g with the derivatives of the mean loss.
func gradient(g, w []float64, rules []Rule, examples []Example, total float64, o Options) {
	mean := total / float64(len(examples))
	for i := range g {
		scale := math.Max(math.Abs(rules[i].Prior), 0.5)
		g[i] = o.Pull * mean * (w[i] - rules[i].Prior) / (scale * scale) / total
	}
	for _, e := range examples {
		score := Score(w, e.Hits)
		var d float64
		if e.Spam {
			d = -sigmoid(o.Mark + margin - score)
		} else {
			d = o.Ham * sigmoid(score-(o.Mark-margin))
		}
		d *= e.Weight / total
		for _, h := range e.Hits {
			g[h.Rule] += d * h.Share
		}
	}
}

// Score returns what hits add up to.
func Score(w []float64, hits []Hit) float64 {
	var s float64
	for _, h := range hits {
		s += w[h.Rule] * h.Share
	}
	return s
}

func bounded(w float64, r Rule) float64 {
	if r.Prior < 0 {
		return math.Max(math.Min(w, 0), -r.Limit)
	}
	return math.Min(math.Max(w, 0), r.Limit)
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
