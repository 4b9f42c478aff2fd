package use

import (
	"net/netip"
	"testing"
	"time"
)

func TestUsesAreBounded(t *testing.T) {
	u := New()
	now := time.Now()
	home := netip.MustParseAddr("192.0.2.7")
	for i := range int64(max + 10) {
		u.Note(i, Use{now, home})
	}
	if len(u.last) != max {
		t.Errorf("%d uses are remembered", len(u.last))
	}
	due := u.Due()
	u.Note(3, Use{now.Add(1), home}) // while the others are written
	u.Written(due)
	if len(u.last) != 1 || len(u.fresh) != 1 || u.Epoch() != 1 {
		t.Errorf("%d uses, %d of them fresh, epoch %d, want 1, 1, 1", len(u.last), len(u.fresh), u.Epoch())
	}
	if _, ok := u.Last(2); ok {
		t.Error("a use that is on disk was not forgotten")
	}
	if w, ok := u.Last(3); !ok || !w.When.Equal(now.Add(1)) {
		t.Errorf("Last() = %v, %v", w, ok)
	}
}

// A use that came late is not the last.
func TestNoteOutOfOrder(t *testing.T) {
	u, now := New(), time.Now()
	u.Note(1, Use{When: now})
	u.Note(1, Use{When: now.Add(-time.Hour)})
	if w, _ := u.Last(1); !w.When.Equal(now) {
		t.Errorf("Last() = %v, want %v", w.When, now)
	}
}
