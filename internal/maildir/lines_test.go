package maildir

import (
	"bytes"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	for _, tc := range []struct {
		name, in, want string
		wire           int64
	}{
		{"empty", "", "", 0},
		{"CRLF", "a\r\nb\r\n", "a\nb\n", 6},
		{"LF", "a\nb\n", "a\nb\n", 6},
		{"mixed", "a\r\nb\nc", "a\nb\nc", 7},
		{"lone CR stays", "a\rb\r\n", "a\rb\n", 5},
		{"CR CR LF", "a\r\r\n", "a\r\n", 3},
		{"CR at the end", "a\r", "a\r", 2},
		{"NUL", "a\x00\r\n", "a\x00\n", 4},
		{"LF LF", "\n\n", "\n\n", 4},
		{"only CRs", "\r\r\r", "\r\r\r", 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for cut := range len(tc.in) + 1 {
				var l lines
				got := l.append(nil, []byte(tc.in[:cut]))
				got = l.end(l.append(got, []byte(tc.in[cut:])))
				if string(got) != tc.want || l.size != int64(len(tc.want)) || l.wire() != tc.wire {
					t.Fatalf("cut at %d: %q S=%d W=%d, want %q W=%d", cut, got, l.size, l.wire(), tc.want, tc.wire)
				}
			}
		})
	}
}

func FuzzLines(f *testing.F) {
	for _, s := range []string{"a\r\nb", "\r\r\n", "\n\n", "a\r", "\r\n\r\n", "x\x00\n"} {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		n := int(step) + 1
		var l lines
		var got []byte
		for rest := in; len(rest) > 0; rest = rest[min(n, len(rest)):] {
			got = l.append(got, rest[:min(n, len(rest))])
		}
		got = l.end(got)
		want := bytes.ReplaceAll(in, []byte("\r\n"), []byte("\n"))
		if !bytes.Equal(got, want) || l.size != int64(len(want)) {
			t.Fatalf("lines(%q) = %q, S=%d, want %q", in, got, l.size, want)
		}
		// W is the size after every LF without a CR got one.
		wire := strings.ReplaceAll(strings.ReplaceAll(string(want), "\r\n", "\n"), "\n", "\r\n")
		if l.wire() != int64(len(wire)) {
			t.Fatalf("lines(%q): W=%d, want %d", in, l.wire(), len(wire))
		}
	})
}
