package journal

import (
	"bytes"
	"testing"
)

// TestIsPlain puts each byte at each place of texts of all lengths around eight.
func TestIsPlain(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				for _, around := range []byte{' ', '~', 0x7f, 0xff, 0} {
					b := bytes.Repeat([]byte{'a'}, length)
					b[(at+1)%length] = around
					b[at] = byte(c)
					want := !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' || r >= 0x7f })
					if got := isPlain(string(b)); got != want {
						t.Fatalf("isPlain(%q) = %t", b, got)
					}
				}
			}
		}
	}
	if !isPlain("") {
		t.Error("an empty text is not plain")
	}
}
