package rawmsg

import (
	"slices"
	"testing"

	"github.com/gatepost/gatepost/internal/rawmsg/hostile"
)

// TestHostile feeds what made MIME libraries take minutes. The steps, which are
// bytes looked at and boundaries compared, stay linear in the input.
func TestHostile(t *testing.T) {
	for _, tc := range []struct {
		name string
		hit  []Limit
	}{
		{"nested 1000", []Limit{Depth}},
		{"nested 5000", []Limit{Depth}},
		{"nested 20000", []Limit{Depth}},
		{"100000 tiny parts", []Limit{Parts}},
		{"100000 segments of a name", []Limit{FieldBytes, HeaderBytes, Params}},
		{"21 MB of base64 that is none", nil},
		{"header line of 10 MB", []Limit{HeaderBytes, FieldBytes}},
		{"200000 header fields", []Limit{HeaderBytes, Fields}},
		{"1000 nested messages", []Limit{Depth}},
		{"a million boundary prefixes", nil},
		{"10 MB of div", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			raw := hostile.Message(tc.name)
			m := Scan(raw, Default())
			slices.Sort(m.Hit)
			slices.Sort(tc.hit)
			if !slices.Equal(m.Hit, tc.hit) {
				t.Errorf("hit %v, want %v", m.Hit, tc.hit)
			}
			// A line that could be a boundary is held against each open part.
			if limit := (Default().Depth+4)*len(raw) + 1000; m.Work > limit {
				t.Errorf("%d steps for %d bytes, want at most %d", m.Work, len(raw), limit)
			}
			if err := check(m, Default()); err != nil {
				t.Error(err)
			}
		})
	}
}
