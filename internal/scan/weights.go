package scan

import (
	"maps"
	"slices"
)

// Sets of weights: Shipped is fitted to all corpora of development; each other
// is fitted without one group of them, to judge the fit by that group.
const (
	Shipped       = "shipped"
	WithoutOld    = "without-old"
	WithoutModern = "without-modern"
)

// Weights returns the fitted score of each rule that has one, by name; nil where
// there is no such set. The caller may change it.
func Weights(set string) map[string]float64 { return maps.Clone(weights[set]) }

// Sets lists the names of the sets of weights.
func Sets() []string { return slices.Sorted(maps.Keys(weights)) }

// Guesses returns the score of each rule that a person gave it, by name. Its
// sign bounds what is fitted.
func Guesses() map[string]float64 {
	out := make(map[string]float64, len(guessed))
	for _, r := range guessed {
		out[r.Name] = r.Score
	}
	return out
}

// fitted returns rules with the scores that are shipped.
func fitted(table []rule) []rule {
	table = slices.Clone(table)
	for i := range table {
		if w, ok := weights[Shipped][table[i].Name]; ok && !table[i].fact {
			table[i].Score = w
		}
	}
	return table
}
