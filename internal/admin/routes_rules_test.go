package admin

import (
	"os"
	"testing"

	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/unit"
)

type fakeRules struct{}

func (fakeRules) Rules() []scan.State {
	return []scan.State{{Name: "GTUBE", Score: 1000, Mode: unit.Enforce, Hits: 7, Failed: 1}}
}

func TestRulesOverTheSocket(t *testing.T) {
	c, _ := start(t, []int{os.Getuid()}, func(b *Backend) { b.Rules = fakeRules{} })
	got, err := c.Rules(t.Context())
	if err != nil || len(got) != 1 || got[0] != (fakeRules{}).Rules()[0] {
		t.Errorf("Rules = %+v, %v", got, err)
	}
}
