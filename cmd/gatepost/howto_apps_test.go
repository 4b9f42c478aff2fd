package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestAppPasswordsPage runs the commands of docs/howto/app-passwords.md in their
// order, those of other programs left out.
func TestAppPasswordsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/howto/app-passwords.md")
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org")
	if a := m.runWith(t, "a long password\n", "user", "add", "alice@example.org"); a.code != 0 {
		t.Fatal(a.talk)
	}
	ran, shown := 0, ""
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		for line := range strings.Lines(block[1]) {
			args := strings.Fields(line)
			if args[0] != "gatepost" {
				continue
			}
			out := m.must(t, args[1:]...)
			if args[2] == "show" {
				shown = out
			}
			ran++
		}
	}
	// The phone went before; the rest is as the page shows it.
	for _, want := range []string{"\nexpires  20", "\nservices imap submission web\nfrom     192.0.2.0/24, 2001:db8::/32\n"} {
		if !strings.Contains(shown, want) || !strings.Contains(strings.ReplaceAll(string(page), "\n    ", "\n"), want) {
			t.Errorf("user show prints\n%s\nthe page and it have to have %q", shown, want)
		}
	}
	if ran < 7 {
		t.Errorf("%d commands were found on the page", ran)
	}
}
