package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatepost/gatepost/internal/lists/maps"
)

func TestSieveLists(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"friends": "bob@example.net\n", "words": "/bob/\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ms, err := maps.New(maps.Config{
		{Name: "friends", File: filepath.Join(dir, "friends"), Kind: maps.Address},
		{Name: "words", File: filepath.Join(dir, "words"), Kind: maps.Regexp},
	}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l := sieveLists{ms}
	for _, tc := range []struct {
		list, value string
		known, has  bool
	}{
		{"urn:gatepost:map:friends", "Bob@example.net", true, true},
		{"urn:gatepost:map:friends", "eve@example.net", true, false},
		{"urn:gatepost:map:words", "bob", false, false},
		{"urn:gatepost:map:none", "bob", false, false},
		{"friends", "bob@example.net", false, false},
		{"urn:ietf:params:sieve:addrbook:default", "bob@example.net", false, false},
	} {
		has, err := l.Contains(t.Context(), tc.list, tc.value)
		if l.Known(tc.list) != tc.known || has != tc.has || err != nil {
			t.Errorf("%s has %s: known %t, %t, %v, want %t, %t", tc.list, tc.value, l.Known(tc.list), has, err, tc.known, tc.has)
		}
	}
}
