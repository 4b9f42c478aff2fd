package watch

import (
	"errors"
	"testing"
)

// TestListIsBounded: a mailbox takes memory for the messages that a move may be
// learned of, and never for more than so many: a user chooses how many he has.
func TestListIsBounded(t *testing.T) {
	h := newHome(t)
	known := map[uint64]entry{}
	for n := range 50 {
		h.put("cur", h.base(n, 31))           // too old to be remembered
		h.put("cur", h.base(100+n, 29))       // not yet
		h.put(".Junk/cur", h.base(200+n, 99)) // remembered for ever
		back := h.base(300+n, 99)             // and so found again outside
		h.put(".Archive/cur", back)
		known[nameOf(back)] = entry{name: nameOf(back), class: junk}
	}
	l := lister{folders: h.w.folders, known: known, now: h.clock, most: 150}
	got, err := l.list(t.Context(), h.box, true)
	if err != nil || len(got.files) != 150 {
		t.Errorf("%d files, %v, want 150", len(got.files), err)
	}
	l.most = 149
	if _, err := l.list(t.Context(), h.box, true); !errors.Is(err, errTooMany) {
		t.Errorf("one more than may be: %v", err)
	}
}
