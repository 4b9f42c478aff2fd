package header

import (
	"testing"

	"golang.org/x/text/encoding/charmap"
)

// TestSingleByte: every character set, every byte, is read as its own decoder
// reads it.
func TestSingleByte(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, e := range charmap.All {
		c, ok := e.(*charmap.Charmap)
		if !ok || c.DecodeByte('A') != 'A' {
			continue // no character set of the web: EBCDIC
		}
		for _, s := range []string{string(all), "plain", "", "\xe9", "a\xe9\xe9b", "\x80\x81"} {
			want, err := c.NewDecoder().String(s)
			if got := singleByte(c, s); err != nil || got != want {
				t.Errorf("%v: singleByte(%q) = %q, want %q, %v", c, s, got, want, err)
			}
		}
	}
}

func BenchmarkDecodeCharset(b *testing.B) {
	text := make([]byte, 0, 32<<10)
	for len(text) < 32<<10 {
		text = append(text, "Some words of gr\xfc\xdfe in a line that is otherwise ASCII.\r\n"...)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		DecodeCharset("iso-8859-1", text)
	}
}
