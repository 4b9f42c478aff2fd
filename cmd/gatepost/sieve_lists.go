package main

import (
	"context"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/lists/maps"
)

// sieveLists answers :list of users' scripts (RFC 6134) from the maps. The list
// of a map is "urn:gatepost:map:" and its name. Maps of regular expressions are
// none: one look may take as long as a whole script.
type sieveLists struct{ maps *maps.Maps }

// mapOf returns the map that a list is, "" for none.
func (l sieveLists) mapOf(list string) string {
	name, ok := strings.CutPrefix(list, "urn:gatepost:map:")
	if !ok || !slices.Contains(l.maps.Names(), name) || l.maps.Cost(name, 1000) > 0 {
		return ""
	}
	return name
}

// Known reports whether there is such a list.
func (l sieveLists) Known(list string) bool { return l.mapOf(list) != "" }

// Contains reports whether value is in the list.
func (l sieveLists) Contains(_ context.Context, list, value string) (bool, error) {
	name := l.mapOf(list)
	return name != "" && l.maps.Has(name, value), nil
}
