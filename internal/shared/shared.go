// Package shared finds the test data that does not live in this repository:
// captures of real protocol peers, conformance suites and mail corpora. A test
// that needs what is not there skips by name, and fails where CI is set.
package shared

import (
	"os"
	"path/filepath"
	"testing"
)

// Path returns the path of name, for example
// "protocols/transcripts/policy-tls-sasl-rcpt-data-eom.1.c2s", below the
// directory that GATEPOST_SHARED names, or else "shared" beside the checkout.
// CONFORMANCE and CORPORA name the directories "data/conformance" and
// "data/corpora" by themselves.
func Path(t testing.TB, name string) string {
	t.Helper()
	for _, p := range candidates(name) {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("test data %s is missing (GATEPOST_SHARED, CONFORMANCE and CORPORA name its place)", name)
	}
	t.Skipf("test data %s is not here (GATEPOST_SHARED, CONFORMANCE and CORPORA name its place)", name)
	return ""
}

// Read returns the content of the file Path finds.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(Path(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func candidates(name string) []string {
	var out []string
	for env, prefix := range map[string]string{"CONFORMANCE": "data/conformance", "CORPORA": "data/corpora"} {
		if dir := os.Getenv(env); dir != "" {
			if rel, err := filepath.Rel(prefix, name); err == nil && filepath.IsLocal(rel) {
				out = append(out, filepath.Join(dir, rel))
			}
		}
	}
	if dir := os.Getenv("GATEPOST_SHARED"); dir != "" {
		out = append(out, filepath.Join(dir, name))
	}
	dir, err := os.Getwd()
	if err != nil {
		return out
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			out = append(out, filepath.Join(filepath.Dir(dir), "shared", name))
		}
		dir = filepath.Dir(dir)
	}
	return out
}
