package page

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPublish(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.md")
	if err := os.WriteFile(path, []byte("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Publish(path, "x", []byte("new\n")); err != nil {
		t.Fatal(err)
	}
	const want = "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n"
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		t.Errorf("the page is %q, %v, want %q", b, err, want)
	}
	if err := Publish(path, "y", []byte("new\n")); err == nil {
		t.Error("Publish found a place that the page has not")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		t.Errorf("after a refusal the page is %q, %v, want %q", b, err, want)
	}
}
