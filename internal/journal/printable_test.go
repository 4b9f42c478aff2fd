package journal

import (
	"bytes"
	"testing"
)

// TestIsVerbatim puts each byte at each place of texts of all lengths around
// eight, and others before and after it.
func TestIsVerbatim(t *testing.T) {
	odd := func(r rune) bool { return r < ' ' || r >= 0x7f }
	for length := range 26 {
		for at := range length {
			for c := range 256 {
				for _, around := range []byte{' ', '~', 0x7f, 0xff, 0, '"', '\\', '!', '#', '[', ']'} {
					b := bytes.Repeat([]byte{'a'}, length)
					b[(at+1)%length] = around
					b[at] = byte(c)
					plain := !bytes.ContainsFunc(b, odd)
					if got := isPlain(string(b)); got != plain {
						t.Fatalf("isPlain(%q) = %t", b, got)
					}
					want := plain && !bytes.ContainsAny(b, `"\`)
					if got := isVerbatim(string(b)); got != want {
						t.Fatalf("isVerbatim(%q) = %t", b, got)
					}
				}
			}
		}
	}
	if !isPlain("") || !isVerbatim("") {
		t.Error("an empty text is not plain")
	}
}
