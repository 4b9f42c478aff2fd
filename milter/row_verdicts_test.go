package milter

import (
	"maps"
	"testing"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// TestRowVerdicts: bob allows the sender, info is an alias of ann's. Her copy
// comes to lmtpd as one for ann, who stands in no RCPT.
func TestRowVerdicts(t *testing.T) {
	type by = map[string]verdict.Verdict
	ann := mailaddr.Address{LocalPart: "ann", Domain: "own.example"}
	bob, info := mailaddr.Address{LocalPart: "Bob", Domain: "own.example"}, mailaddr.Address{LocalPart: "info", Domain: "own.example"}
	for _, tc := range []struct {
		name string
		r    scan.Result
		all  verdict.Verdict
		want verdict.Verdict
		by   by
		to   map[mailaddr.Address][]mailaddr.Address
	}{
		{"one for all", scan.Result{Verdict: verdict.Mark}, verdict.Mark, verdict.Mark, nil, nil},
		{"one allows", scan.Result{ByRcpt: by{"info@own.example": verdict.Mark}, Others: verdict.Mark}, verdict.Accept, verdict.Mark, by{"bob@own.example": verdict.Accept}, nil},
		{"one denies", scan.Result{ByRcpt: by{"bob@own.example": verdict.Mark}}, verdict.Accept, verdict.Accept, by{"bob@own.example": verdict.Mark}, nil},
		{"a policy marks", scan.Result{ByRcpt: by{"info@own.example": verdict.Mark}, Others: verdict.Mark}, verdict.Mark, verdict.Mark, nil, nil},
		{"one behind an alias denies", scan.Result{ByRcpt: by{"info@own.example": verdict.Mark}}, verdict.Accept, verdict.Accept,
			by{"info@own.example": verdict.Mark, "ann@own.example": verdict.Mark}, map[mailaddr.Address][]mailaddr.Address{info: {ann}}},
		{"two ways to one mailbox", scan.Result{ByRcpt: by{"info@own.example": verdict.Mark}, Others: verdict.Mark}, verdict.Accept, verdict.Mark,
			by{"bob@own.example": verdict.Accept}, map[mailaddr.Address][]mailaddr.Address{info: {ann, {LocalPart: "bob", Domain: "own.example"}}}},
	} {
		v, got := rowVerdicts(&tc.r, tc.all, []mailaddr.Address{bob, info}, tc.to)
		if v != tc.want || !maps.Equal(got, tc.by) {
			t.Errorf("%s: %v, %v, want %v, %v", tc.name, v, got, tc.want, tc.by)
		}
	}
}
