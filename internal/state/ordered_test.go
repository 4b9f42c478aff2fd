package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// ordered against a map that is sorted.
func TestOrdered(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var o ordered
	known := map[string]bool{}
	for round := range 10_000 {
		key := fmt.Sprintf("%c/%d", 'a'+rnd.IntN(3), rnd.IntN(2000))
		switch {
		case !known[key] && round < 7000:
			o.add(key)
			known[key] = true
		case known[key]:
			o.remove(key)
			delete(known, key)
		}
		if round%1000 != 0 {
			continue
		}
		for _, prefix := range []string{"", "a", "b/", "b/1", "b/17", "c/9", "0", "d"} {
			var want, got []string
			for k := range known {
				if strings.HasPrefix(k, prefix) {
					want = append(want, k)
				}
			}
			slices.Sort(want)
			o.prefixed(prefix, func(key string) { got = append(got, key) })
			if !slices.Equal(got, want) {
				t.Fatalf("round %d: prefixed(%q) gives %d keys, want %d", round, prefix, len(got), len(want))
			}
		}
	}
	for k := range known {
		o.remove(k)
	}
	if len(o.blocks) != 0 {
		t.Errorf("%d blocks are left", len(o.blocks))
	}
}
