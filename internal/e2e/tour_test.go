//go:build linux && e2e

package e2e

import (
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/tour"
)

// TestTour runs the steps of the demo as assertions.
func TestTour(t *testing.T) {
	logsOnFailure(t)
	walk, err := tour.New(the, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range tour.Steps() {
		ok := t.Run(s.Name, func(t *testing.T) {
			if err := walk.Run(i+1, s); err != nil {
				t.Fatal(err)
			}
		})
		if !ok {
			return // later steps look back at this one
		}
	}
}
