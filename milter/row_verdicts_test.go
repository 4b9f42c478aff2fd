package milter

import (
	"maps"
	"testing"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// TestRowVerdicts: bob allows the sender, info is an alias of ann's. Her copy
// comes to lmtpd as one for ann, of whom the milter never heard.
func TestRowVerdicts(t *testing.T) {
	type by = map[string]verdict.Verdict
	bob, info := mailaddr.Address{LocalPart: "Bob", Domain: "own.example"}, mailaddr.Address{LocalPart: "info", Domain: "own.example"}
	for _, tc := range []struct {
		name string
		r    scan.Result
		all  verdict.Verdict
		want verdict.Verdict
		by   by
	}{
		{"one for all", scan.Result{Verdict: verdict.Mark}, verdict.Mark, verdict.Mark, nil},
		{"one allows", scan.Result{ByRcpt: by{"info@own.example": verdict.Mark}, Others: verdict.Mark}, verdict.Accept, verdict.Mark, by{"bob@own.example": verdict.Accept}},
		{"one denies", scan.Result{ByRcpt: by{"bob@own.example": verdict.Mark}}, verdict.Accept, verdict.Accept, by{"bob@own.example": verdict.Mark}},
		{"a policy marks", scan.Result{ByRcpt: by{"info@own.example": verdict.Mark}, Others: verdict.Mark}, verdict.Mark, verdict.Mark, nil},
	} {
		v, got := rowVerdicts(&tc.r, tc.all, []mailaddr.Address{bob, info})
		if v != tc.want || !maps.Equal(got, tc.by) {
			t.Errorf("%s: %v, %v, want %v, %v", tc.name, v, got, tc.want, tc.by)
		}
	}
}
