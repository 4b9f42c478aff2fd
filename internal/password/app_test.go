package password

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/secret"
)

var appForm = regexp.MustCompile(`^([0-9a-hjkmnp-tv-z]{4}-){4}[0-9a-hjkmnp-tv-z]{4}$`)

func TestApp(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		clear, stored := NewApp()
		text := string(clear.Reveal())
		if !appForm.MatchString(text) || seen[text] {
			t.Fatalf("NewApp() = %q", text)
		}
		seen[text] = true
		bare := strings.ReplaceAll(text, "-", "")
		for _, typed := range []string{text, bare, strings.ToUpper(text), strings.ReplaceAll(text, "-", " "), " " + text,
			strings.ReplaceAll(text, "0", "O"), strings.ReplaceAll(text, "1", "l")} {
			if !MatchesApp(stored, []byte(typed)) {
				t.Errorf("%q typed as %q does not match", text, typed)
			}
		}
		other := []byte(bare)
		if other[7]++; other[7] > 'y' {
			other[7] = '2'
		}
		for _, typed := range []string{"", bare[1:], bare + "2", string(other) + "x", text + "\x00", "wonderland"} {
			if MatchesApp(stored, []byte(typed)) {
				t.Errorf("%q typed as %q matches", text, typed)
			}
		}
		if err := Check(stored, 0); err != nil {
			t.Errorf("Check() = %v", err)
		}
		if ok, err := NewPool(0).Verify(context.Background(), stored, []byte(bare)); !ok || err != nil {
			t.Errorf("Verify() = %v, %v", ok, err)
		}
	}
}

// A hash that is none of ours never matches, and costs nothing.
func TestAppHashes(t *testing.T) {
	clear, stored := NewApp()
	text := string(stored.Reveal())
	for _, h := range []string{"", "{SSHA256}", "{PLAIN}" + string(clear.Reveal()), text[9:], text + "!", "{SHA256}" + text[9:],
		"{SSHA256}pxp8cBH1OhurNkLsLOElk/BSMKzo3h4+dkX2nvrBRD0=", "{SSHA256}" + strings.Repeat("AAAA", 30), "{SSHA256}AAAA"} {
		if MatchesApp(secret.String(h), clear.Reveal()) {
			t.Errorf("%q matches", h)
		}
	}
}

func BenchmarkMatchesApp(b *testing.B) {
	clear, _ := NewApp()
	_, other := NewApp()
	b.ReportAllocs()
	for b.Loop() {
		if MatchesApp(other, clear.Reveal()) {
			b.Fatal("matches")
		}
	}
}
