package listen

import (
	"encoding/hex"
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"testing"
)

// TestWaiting counts connections that nobody accepts yet.
func TestWaiting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := Unix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for want := range 4 {
		if n, err := Waiting(ln); err != nil || n != want {
			t.Errorf("Waiting = %d, %v, want %d", n, err, want)
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := Waiting(ln); err != nil || n != 3 {
		t.Errorf("Waiting = %d, %v after an Accept, want 3", n, err)
	}
	ln.Close()
	if n, err := Waiting(ln); err == nil {
		t.Errorf("Waiting = %d of a closed listener, want an error", n)
	}
	if _, err := Waiting(Limit(ln, 1)); err == nil {
		t.Error("Waiting of what is no socket: no error")
	}
}

// The answer of Linux 6.18 (little endian) for a listener with three
// connections and a backlog of five.
const diagAnswer = "34000000140000000100000037d20000" + "01010a00e6f617002e00000000000000" +
	"0c00040003000000050000000500060000000000"

func decode(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseDiag(t *testing.T) {
	whole := decode(t, diagAnswer)
	if n, err := parseDiag(whole); err != nil || n != 3 {
		t.Errorf("parseDiag = %d, %v, want 3", n, err)
	}
	for n := range whole {
		if got, err := parseDiag(whole[:n]); err == nil {
			t.Errorf("parseDiag of %d bytes = %d, want an error", n, got)
		}
	}
	refused := decode(t, "24000000020000000100000037d20000"+"feffffff"+"28000000140001000100000037d20000")
	if _, err := parseDiag(refused); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("parseDiag of a refusal: %v, want ENOENT", err)
	}
}

func FuzzParseDiag(f *testing.F) {
	f.Add(decode(f, diagAnswer))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = parseDiag(b) // refused is fine, a panic is not
	})
}
