package ascii

import (
	"strconv"
	"testing"
)

func TestUnhex(t *testing.T) {
	for i := range 256 {
		want := -1
		if n, err := strconv.ParseUint(string([]byte{byte(i)}), 16, 8); err == nil {
			want = int(n)
		}
		if got := Unhex(byte(i)); got != want {
			t.Errorf("Unhex(%#02x) = %d, want %d", i, got, want)
		}
	}
}

func TestOnly(t *testing.T) {
	for s, want := range map[string]bool{"": true, "a\x00\x7f": true, "a\x80": false, "é": false} {
		if Only(s) != want || Only([]byte(s)) != want {
			t.Errorf("Only(%q) = %t, want %t", s, Only(s), want)
		}
	}
}
