package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestBuffer(t *testing.T) {
	for _, tc := range []struct {
		name   string
		chunks []int
	}{
		{"empty", nil},
		{"in memory", []int{10, 20}},
		{"exactly the limit", []int{50, 50}},
		{"moves to a file", []int{60, 60, 1000}},
		{"one large write", []int{5000}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			b := New(dir, 100)
			defer b.Close()
			var want []byte
			for i, n := range tc.chunks {
				p := bytes.Repeat([]byte{byte('a' + i)}, n)
				want = append(want, p...)
				if n, err := b.Write(p); err != nil || n != len(p) {
					t.Fatalf("Write = %d, %v", n, err)
				}
			}
			for range 2 {
				got, err := io.ReadAll(b.Reader())
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("Reader() gave %d bytes, %v, want %d", len(got), err, len(want))
				}
			}
			head, err := b.Head(30)
			if err != nil || !bytes.Equal(head, want[:min(30, len(want))]) {
				t.Errorf("Head(30) = %q, %v", head, err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
				t.Errorf("files in the spool directory: %v", left)
			}
			b.Reset()
			if b.Size() != 0 {
				t.Errorf("Size() = %d after Reset", b.Size())
			}
			if _, err := b.Write([]byte("next")); err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(b.Reader()); string(got) != "next" {
				t.Errorf("after Reset: %q", got)
			}
		})
	}
}

func TestWriteErrorLosesNothing(t *testing.T) {
	b := New(filepath.Join(t.TempDir(), "missing"), 10)
	if _, err := b.Write([]byte("12345")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write([]byte("1234567")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Write = %v, want a missing directory", err)
	}
	if got, _ := io.ReadAll(b.Reader()); string(got) != "12345" {
		t.Errorf("Reader() = %q", got)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write([]byte("x")); err == nil {
		t.Error("Write after Close: no error")
	}
}
