package srs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "srs.keys")
	if _, err := ReadKeys(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("ReadKeys() without a file = %v", err)
	}
	first, err := Keys(path)
	if err != nil || len(first) != 1 || len(first[0].Reveal()) < 40 {
		t.Fatalf("Keys() = %d keys, %v, want a new one", len(first), err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", st.Mode(), err)
	}
	again, err := Keys(path)
	if err != nil || len(again) != 1 || !again[0].Equal(first[0]) {
		t.Errorf("Keys() again = %d keys, %v, want the same", len(again), err)
	}
	for i := range MaxKeys + 2 {
		keys, err := Rotate(path)
		if err != nil || len(keys) != min(i+2, MaxKeys) || keys[0].Equal(again[0]) || !keys[1].Equal(again[0]) {
			t.Fatalf("Rotate() = %d keys, %v, want a new one in front", len(keys), err)
		}
		if again, err = ReadKeys(path); err != nil || len(again) != len(keys) || !again[0].Equal(keys[0]) {
			t.Fatalf("ReadKeys() = %d keys, %v", len(again), err)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

func TestReadKeysRefuses(t *testing.T) {
	long := strings.Repeat("k", 40) + "\n"
	for name, tc := range map[string]struct {
		text string
		mode fs.FileMode
		want string
	}{
		"others may read": {long, 0o640, "chmod 600"},
		"empty":           {"# nothing\n\n", 0o600, "has none"},
		"short key":       {long + "secret\n", 0o600, "line 2"},
		"too many":        {strings.Repeat(long, MaxKeys+1), 0o600, "more than"},
		"too long":        {strings.Repeat("#", maxKeyFile+1), 0o600, "longer than"},
	} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(tc.text), tc.mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadKeys(path)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: ReadKeys() = %v, want %q", name, err, tc.want)
		}
		if _, err := Rotate(path); err == nil {
			t.Errorf("%s: Rotate() replaced the file", name)
		}
	}
	if _, err := ReadKeys(t.TempDir()); err == nil {
		t.Error("ReadKeys() takes a directory")
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	r := rewriter(t, "us.example", key)
	if s := fmt.Sprintf("%v %+v %#v", r, *r, r); strings.Contains(s, "this year") {
		t.Errorf("a Rewriter prints as %s", s)
	}
}

func TestParse(t *testing.T) {
	r := rewriter(t, "us.example", key)
	from := mailaddr.Address{LocalPart: "bounce-1234567890-" + strings.Repeat("a", 40), Domain: "newsletter.origin.example"}
	out := r.Forward(from, noon)
	got, err := Parse(out.String())
	if err != nil || got != out {
		t.Fatalf("Parse(%s) = %s, %v", out, got, err)
	}
	if back, err := r.Reverse(got, noon); err != nil || back != from {
		t.Errorf("Reverse() = %s, %v, want %s", back, err, from)
	}
	for _, bad := range []string{"", "a@b@c d", strings.Repeat("a", 513) + "@us.example", strings.Repeat("a", 100),
		strings.Repeat("a", 100) + "\n@us.example", strings.Repeat("a", 100) + "@us..example", `"` + strings.Repeat("a ", 50) + `"@us.example`} {
		if a, err := Parse(bad); err == nil {
			t.Errorf("Parse(%.20q) = %v", bad, a)
		}
	}
}

func TestLive(t *testing.T) {
	from := addr(t, "bob@origin.example")
	var none *Live
	live := &Live{}
	for _, l := range []*Live{none, live} {
		if l.Domain() != "" || l.Forward(from, noon) != from {
			t.Errorf("off, it rewrites to %s", l.Forward(from, noon))
		}
		if _, err := l.Reverse(from, noon); !errors.Is(err, ErrNot) {
			t.Errorf("off, Reverse() = %v", err)
		}
	}
	live.Set(rewriter(t, "us.example", key))
	out := live.Forward(from, noon)
	if back, err := live.Reverse(out, noon.Add(time.Hour)); err != nil || back != from || live.Domain() != "us.example" {
		t.Errorf("Reverse(%s) = %s, %v at %s", out, back, err, live.Domain())
	}
	live.Set(nil)
	if live.Domain() != "" {
		t.Error("it was switched off and rewrites")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("SRS0=AAAAAAAAAAAAAAAA=AA=origin.example=bob@us.example")
	f.Add(strings.Repeat("a", 100) + "@us.example")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err == nil && (bytes.ContainsAny([]byte(a.LocalPart), "\r\n\x00") || len(a.LocalPart) > maxLocalPart) {
			t.Errorf("Parse(%q) = %q", s, a.LocalPart)
		}
	})
}
