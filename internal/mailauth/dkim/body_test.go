package dkim

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// The examples of RFC 6376 §3.4.4 and §3.4.5, and the corners.
func TestBody(t *testing.T) {
	for _, tc := range []struct{ name, in, simple, relaxed string }{
		{"RFC 6376 §3.4.5", " C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"},
		{"empty", "", "\r\n", ""},
		{"only empty lines", "\r\n\r\n\r\n", "\r\n", ""},
		{"only blanks", " \t\r\n  \r\n", " \t\r\n  \r\n", ""},
		{"no line end", "a", "a\r\n", "a\r\n"},
		{"no line end, blank", "a ", "a \r\n", "a\r\n"},
		{"bare LF", "a\nb\n\n", "a\r\nb\r\n", "a\r\nb\r\n"},
		{"bare CR", "a\rb\r\n", "a\rb\r\n", "a\rb\r\n"},
		{"CR at the end", "a\r", "a\r\r\n", "a\r\r\n"},
		{"CR CR LF", "a\r\r\nb", "a\r\r\nb\r\n", "a\r\r\nb\r\n"},
		{"empty lines inside", "a\r\n\r\n\r\nb\r\n", "a\r\n\r\n\r\nb\r\n", "a\r\n\r\n\r\nb\r\n"},
		{"blank lines inside", "a\r\n \t\r\nb\r\n", "a\r\n \t\r\nb\r\n", "a\r\n\r\nb\r\n"},
		{"tab", "a\tb\t\r\n", "a\tb\t\r\n", "a b\r\n"},
		{"blank then tab in a long line", "0123456 \t89abcdef 01234567  x", "0123456 \t89abcdef 01234567  x\r\n", "0123456 89abcdef 01234567 x\r\n"},
		{"NUL and 8 bit", "\x00 \xe4  \xff\r\n", "\x00 \xe4  \xff\r\n", "\x00 \xe4 \xff\r\n"},
		{"exclamation mark after a blank", "abcdefg ! hijklmn ! o", "abcdefg ! hijklmn ! o\r\n", "abcdefg ! hijklmn ! o\r\n"},
	} {
		for c, want := range map[Canon]string{Simple: tc.simple, Relaxed: tc.relaxed} {
			if got := string(canonical([]byte(tc.in), c)); got != want {
				t.Errorf("%s: %s(%q) = %q, want %q", tc.name, c, tc.in, got, want)
			}
			for cut := range tc.in {
				if got := pieces([]byte(tc.in), c, cut, 1); got != want {
					t.Errorf("%s: %s(%q) cut at %d = %q, want %q", tc.name, c, tc.in, cut, got, want)
				}
			}
		}
	}
}

// pieces canonicalizes body in a piece of first octets, then in pieces of n.
func pieces(body []byte, c Canon, first, n int) string {
	var out strings.Builder
	w := NewBody(&out, c)
	for size := first; len(body) > 0; size = n {
		size = min(size, len(body))
		_, _ = w.Write(body[:size])
		body = body[size:]
	}
	_ = w.Close()
	return out.String()
}

func TestBodyError(t *testing.T) {
	w := NewBody(badWriter{}, Simple)
	if _, err := w.Write(make([]byte, 2*bufSize)); err == nil {
		t.Error("Write hides the error of the writer behind it")
	}
	if err := w.Close(); err == nil {
		t.Error("Close hides the error of the writer behind it")
	}
}

type badWriter struct{}

func (badWriter) Write([]byte) (int, error) { return 0, errors.New("bad") }

// FuzzBody holds the streaming canonicalization against the plain one, and
// against itself: canonical text is its own canonical form.
func FuzzBody(f *testing.F) {
	for _, s := range []string{"", "a", "\r\n", " C \r\nD \t E\r\n\r\n\r\n", "a\r", "\r\r\n", "a\nb \n", "0123456 \t89 ", "\x00  x"} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		for _, c := range []Canon{Simple, Relaxed} {
			want := plain(body, c)
			if got := string(canonical(body, c)); got != want {
				t.Fatalf("%s(%q) = %q, want %q", c, body, got, want)
			}
			if got := pieces(body, c, r.IntN(len(body)+1), 1+r.IntN(9)); got != want {
				t.Fatalf("%s(%q) in pieces = %q, want %q", c, body, got, want)
			}
			if again := string(canonical([]byte(want), c)); again != want {
				t.Fatalf("%s(%q) = %q, which is not canonical: %q", c, body, want, again)
			}
		}
	})
}

// plain is the canonicalization of RFC 6376 §3.4 in the words of the standard.
func plain(body []byte, c Canon) string {
	lines := strings.Split(string(body), "\n")
	for i, l := range lines {
		if i < len(lines)-1 {
			l = strings.TrimSuffix(l, "\r")
		}
		if c == Relaxed {
			l = strings.ReplaceAll(strings.TrimRight(l, " \t"), "\t", " ")
			for strings.Contains(l, "  ") {
				l = strings.ReplaceAll(l, "  ", " ")
			}
		}
		lines[i] = l
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	switch {
	case len(lines) > 0:
		return strings.Join(lines, "\r\n") + "\r\n"
	case c == Simple:
		return "\r\n"
	}
	return ""
}

// TestVerbatim: eight octets at once find what one at a time does, also beside
// octets that differ from white space in one bit.
func TestVerbatim(t *testing.T) {
	const odd = "  \t\x00\x08\x0b\x1f\x21\x22\x89\xa0ab"
	plain := func(p string) int {
		for i := range len(p) {
			if p[i] == '\t' || p[i] == ' ' && (i+1 == len(p) || p[i+1] == ' ' || p[i+1] == '\t') {
				return len(strings.TrimRight(p[:i], " "))
			}
		}
		return len(p)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		p := []byte("a" + strings.Repeat("b", rnd.IntN(40)))
		for range 1 + rnd.IntN(3) {
			p[rnd.IntN(len(p))] = odd[rnd.IntN(len(odd))]
		}
		p[0] = 'a'
		if got, want := verbatim(p), plain(string(p)); got != want {
			t.Fatalf("verbatim(%q) = %d, want %d", p, got, want)
		}
	}
}

func TestHeaderCanon(t *testing.T) {
	for _, tc := range []struct{ name, in, simple, relaxed string }{
		// RFC 6376 §3.4.5.
		{"A", "A: X\r\n", "A: X\r\n", "a:X\r\n"},
		{"B", "B : Y\t\r\n\tZ  \r\n", "B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"},
		{"LF", "B : Y\n Z\n", "B : Y\r\n Z\r\n", "b:Y Z\r\n"},
		{"no line end", "A: 1", "A: 1\r\n", "a:1\r\n"},
		{"empty", "Subject:\r\n", "Subject:\r\n", "subject:\r\n"},
		{"blank lines", "Subject: a\r\n \r\n\t\r\n b\r\n", "Subject: a\r\n \r\n\t\r\n b\r\n", "subject:a b\r\n"},
		{"CR is white space when relaxed", "A: b\rc\r\n", "A: b\rc\r\n", "a:b c\r\n"},
	} {
		f := rawmsg.Field{Raw: []byte(tc.in)}
		for c, want := range map[Canon]string{Simple: tc.simple, Relaxed: tc.relaxed} {
			if got := string(appendField(nil, c, &f)); got != want {
				t.Errorf("%s: %s(%q) = %q, want %q", tc.name, c, tc.in, got, want)
			}
		}
	}
}
