package mbox

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func all(t testing.TB, r io.Reader, most int) ([]string, error) {
	t.Helper()
	var out []string
	for box := New(r, most); ; {
		msg, err := box.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, string(msg))
	}
}

const from = "From alice@example.org Fri Nov 20 11:30:00 2026\n"

func TestNext(t *testing.T) {
	long := strings.Repeat("x", 3*lineBytes)
	for _, tc := range []struct {
		name, in string
		want     []string
	}{
		{"one", from + "Subject: a\n\nb\n", []string{"Subject: a\n\nb\n"}},
		{"two", from + "A: 1\n\nb\n\n" + from + "A: 2\n\nc\n\n", []string{"A: 1\n\nb\n", "A: 2\n\nc\n"}},
		{"CRLF", "From a Fri Nov 20 11:30 2026\r\nA: 1\r\n\r\nb\r\n\r\nFrom a Fri Nov 20 11:30 2026\r\nA: 2\r\n", []string{"A: 1\r\n\r\nb\r\n", "A: 2\r\n"}},
		{"quoted", from + "A: 1\n\n>From me\n>>From you\n> From\n>Fro\n", []string{"A: 1\n\nFrom me\n>From you\n> From\n>Fro\n"}},
		{"text that begins with From", from + "A: 1\n\nFrom here on\n\nFrom 2026 on\n", []string{"A: 1\n\nFrom here on\n\nFrom 2026 on\n"}},
		{"no empty line before", from + "A: 1\n\nb\n" + from + "c\n", []string{"A: 1\n\nb\n" + from + "c\n"}},
		{"Content-Length lies", from + "Content-Length: 100000\n\nb\n\n" + from + "A: 2\n\n", []string{"Content-Length: 100000\n\nb\n", "A: 2\n"}},
		{"no message", from, []string{""}},
		{"an empty one between", from + "\n" + from + "A: 1\n", []string{"", "A: 1\n"}},
		{"no line end", from + "A: 1\n\nb", []string{"A: 1\n\nb"}},
		{"long line", from + "A: 1\n\n" + long + "\n\n" + from + "A: 2\n", []string{"A: 1\n\n" + long + "\n", "A: 2\n"}},
		{"From in the middle of a long line", from + "A: 1\n\n" + strings.Repeat("x", lineBytes) + from + "b\n", []string{"A: 1\n\n" + strings.Repeat("x", lineBytes) + from + "b\n"}},
		{"long From line", "From a 11:30 2026 " + long + "\nA: 1\n", []string{"A: 1\n"}},
		{"nothing", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := all(t, strings.NewReader(tc.in), 1<<20)
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("messages of %.200q = %.200q, %v, want %.200q", tc.in, got, err, tc.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	if got, err := all(t, strings.NewReader("Subject: a\n\nb\n"), 100); !errors.Is(err, ErrFormat) {
		t.Errorf("no mbox = %q, %v", got, err)
	}
	for in, want := range map[string]bool{from: true, "From: a 11:30 2026\n": false, "From me to you\n": false, "": false, "From a Fri Nov 20 11:30:00 +0100 2026": true} {
		if got := Is([]byte(in)); got != want {
			t.Errorf("Is(%q) = %v", in, got)
		}
	}
}

// TestBound: a message is cut, and the next is found all the same.
func TestBound(t *testing.T) {
	got, err := all(t, strings.NewReader(from+"A: 1\n\n"+strings.Repeat("b\n", 1000)+"\n"+from+"A: 2\n"), 10)
	if err != nil || len(got) != 2 || got[0] != "A: 1\n\nb\nb\n" || got[1] != "A: 2\n" {
		t.Errorf("messages = %q, %v", got, err)
	}
}

type failing struct{ io.Reader }

func (f failing) Read(b []byte) (int, error) {
	n, err := f.Reader.Read(b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestReadError(t *testing.T) {
	if got, err := all(t, failing{strings.NewReader(from + "A: 1\n")}, 100); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a disk that fails = %q, %v", got, err)
	}
}

// FuzzNext: no panic, bounded messages, and what is written as an mboxrd comes
// back.
func FuzzNext(f *testing.F) {
	f.Add([]byte(from + "A: 1\n\nb\n\n" + from + "A: 2\n\n>From c\n"))
	f.Add([]byte("From 11:30 2026\n\nFrom 11:30 2026\n"))
	f.Add([]byte("\r\n>>From 11:30 2026\n\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		msgs, err := all(t, bytes.NewReader(b), 1000)
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Fatal(err)
		}
		for _, m := range msgs {
			if len(m) > 1000 {
				t.Fatalf("message of %d bytes", len(m))
			}
		}
		msg := append(bytes.ReplaceAll(b, []byte("\r"), nil), '\n')
		var box bytes.Buffer
		for range 2 {
			box.WriteString(from)
			for line := range bytes.Lines(msg) {
				if bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
					box.WriteByte('>')
				}
				box.Write(line)
			}
			box.WriteByte('\n')
		}
		got, err := all(t, &box, 1<<20)
		if err != nil || len(got) != 2 || got[0] != string(msg) || got[1] != string(msg) {
			t.Errorf("round trip of %q = %q, %v", msg, got, err)
		}
	})
}
