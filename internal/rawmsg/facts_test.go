package rawmsg

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/rawmsg/hostile"
)

func TestLineEnds(t *testing.T) {
	for _, tc := range []struct {
		in    string
		want  LineEnds
		mixed bool
	}{
		{"", LineEnds{}, false},
		{"A: 1", LineEnds{}, false},
		{"A: 1\r\n\r\nb\r\n", LineEnds{CRLF: 3}, false},
		{"A: 1\n\nb\n", LineEnds{LF: 3}, false},
		{"A: 1\r\rb\r", LineEnds{CR: 3}, false},
		{"A: 1\r\n\nb", LineEnds{CRLF: 1, LF: 1}, true},
		{"A: 1\r\r\n", LineEnds{CRLF: 1, CR: 1}, true},
		{"A: 1\rB: 2\n", LineEnds{LF: 1, CR: 1}, true},
		{"A: 1\n\r", LineEnds{LF: 1, CR: 1}, true},
		{"A: 1\r\n\r\nb\r", LineEnds{CRLF: 2, CR: 1}, true},
		{"\n", LineEnds{LF: 1}, false},
	} {
		got := Scan([]byte(tc.in), Default()).Facts(Default()).Lines
		if got != tc.want || got.Mixed() != tc.mixed {
			t.Errorf("line ends of %q = %+v, mixed %v, want %+v, %v", tc.in, got, got.Mixed(), tc.want, tc.mixed)
		}
	}
}

func TestFacts(t *testing.T) {
	const b64 = "Content-Transfer-Encoding: base64\n\n"
	for _, tc := range []struct {
		name, in         string
		nul, eight, bads int
		percent          int // of the first bad part
		hit              []Limit
	}{
		{"clean", "A: 1\n\nb\n", 0, 0, 0, 0, nil},
		{"NUL in header and body", "A: 1\x00\n\nb\x00\x00", 3, 0, 0, 0, nil},
		{"8 bit counts in the header alone", "A: \xc3\xa4\xff\n\n\xc3\xa4", 0, 3, 0, 0, nil},
		{"base64", b64 + "aGVsbG8=\r\naGVs bG8\t\n", 0, 0, 0, 0, nil},
		{"no body", b64, 0, 0, 0, 0, nil},
		{"one byte of ten", b64 + "aGVsbG8=!\n", 0, 0, 1, 10, nil},
		{"one byte of nine", b64 + "aGVsbG8=!", 0, 0, 1, 12, []Limit{BadBase64}},
		{"all bad", b64 + "!!!!", 0, 0, 1, 100, []Limit{BadBase64}},
		{"no part that says base64", "A: 1\n\n!!!!", 0, 0, 0, 0, nil},
		{"two of three parts", "Content-Type: multipart/mixed; boundary=b\n\n!!!!\n--b\n" + b64 + "aGVsbG8h#\n--b\n" + b64 + "aGVs\n--b\n" + b64 + "-_\n--b--\n!!!\n",
			0, 0, 2, 12, []Limit{BadBase64}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := Scan([]byte(tc.in), Default())
			f := m.Facts(Default())
			percent := 0
			if len(f.BadBase64) > 0 {
				percent = f.BadBase64[0].Percent()
			}
			if f.NUL != tc.nul || f.Header8Bit != tc.eight || len(f.BadBase64) != tc.bads || percent != tc.percent || !slices.Equal(f.Hit, tc.hit) {
				t.Errorf("Facts(%q) = %+v, bad %d %%, want %+v", tc.in, f, percent, tc)
			}
			if !m.Inside() {
				t.Errorf("Facts changed the message: hit %v", m.Hit)
			}
		})
	}
}

func TestDecoded(t *testing.T) {
	b64 := "Content-Transfer-Encoding: base64\n\n" + strings.Repeat("AAAA", 25)
	for _, tc := range []struct {
		name, in string
		want     int
		hit      []Limit
	}{
		{"plain", "A: 1\n\n12345", 5, nil},
		{"base64", b64, 75, nil},
		{"base64 without its padding", b64 + "AAA", 77, nil},
		{"leaves count, what is between them does not", "Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n" + b64 + "\n--b\n\n12345\n--b--\nepilogue\n", 80, nil},
		{"message in a message", "Content-Type: message/rfc822\n\n" + b64, 75, nil},
		{"over", "A: 1\n\n" + strings.Repeat("x", 81), 81, []Limit{Decoded}},
	} {
		lim := Default()
		lim.Decoded = 80
		if m := Scan([]byte(tc.in), lim); m.Decoded != tc.want || !slices.Equal(m.Hit, tc.hit) {
			t.Errorf("%s: decoded %d, hit %v, want %d, %v", tc.name, m.Decoded, m.Hit, tc.want, tc.hit)
		}
	}
}

// TestFactsHostile: each byte is looked at three times at most, and the parts
// that are told are bounded by Limits.Parts.
func TestFactsHostile(t *testing.T) {
	for _, name := range hostile.Names() {
		m := Scan(hostile.Message(name), Default())
		f := m.Facts(Default())
		if f.Work > 3*len(m.Raw) || len(f.BadBase64) > Default().Parts {
			t.Errorf("%s: %d steps for %d bytes, %d parts", name, f.Work, len(m.Raw), len(f.BadBase64))
		}
		if want := name == "21 MB of base64 that is none"; slices.Contains(f.Hit, BadBase64) != want {
			t.Errorf("%s: hit %v", name, f.Hit)
		}
		if m.Decoded > len(m.Raw) {
			t.Errorf("%s: %d bytes decode to %d", name, len(m.Raw), m.Decoded)
		}
	}
}

func BenchmarkFacts(b *testing.B) {
	raw := hostile.Sample(36 << 10)
	m := Scan(raw, Default())
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		m.Facts(Default())
	}
}
