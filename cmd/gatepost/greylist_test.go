package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/greylist"
)

// TestGreylistFits: no line of a terminal of 80 columns is longer.
func TestGreylistFits(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 5, 0, 0, time.UTC)
	long := strings.Repeat("long.", 30) + "example"
	all := []greylist.Item{
		{State: greylist.Waiting, Client: "2001:db8:aaaa:bbbb::/64", MailFrom: "bob@" + long, RcptTo: "alice@" + long, Back: at},
		{State: greylist.Passed, Client: long, MailFrom: "bob@shop.example", RcptTo: "alice@example.org", Passed: at},
		{State: greylist.Counted, Client: "192.0.2.0/24", Passes: 3, Expires: at},
		{State: greylist.Allowed, Client: "192.0.2.0/24"},
		{State: greylist.OptedOut, RcptTo: "@example.org", Expires: at},
	}
	var out bytes.Buffer
	if err := printTable(&out, []string{"STATE", "CLIENT", "FROM", "TO", "NOTE"}, greylistRows(all, 80)); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{"back 11-20 12:05:00Z", "passed 11-20 12:05Z", "3 passed", "for good", "until 11-20 12:05Z"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
	if rows := greylistRows(all, 0); rows[0][2] != all[0].MailFrom {
		t.Errorf("without a terminal %q was cut", rows[0][2])
	}
}

func TestGreylistImport(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	clients := write("whitelist_clients", "southwest.example\n192.0.2\n/^(?=x)/\n")
	rcpts := write("whitelist_recipients.local", "postmaster@\n")
	other := write("mine", "a.example\n")
	for _, tc := range []struct {
		args      []string
		out, talk string
		fails     bool
	}{
		{[]string{clients, rcpts}, "# clients of postgrey, from whitelist_clients\nclient southwest.example\nclient 192.0.2.0/24\n" +
			"# recipients of postgrey, from whitelist_recipients.local\nrecipient postmaster@\n", `whitelist_clients:3: left out "/^(?=x)/": not a regular`, false},
		{[]string{other}, "", "", true},
		{[]string{other, "--as", "recipients"}, "# recipients of postgrey, from mine\nrecipient a.example\n", "1 recipients carried over, 0 lines left out", false},
		{[]string{filepath.Join(dir, "no-clients")}, "", "", true},
	} {
		cmd := newGreylistImport()
		var out, talk bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&talk)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(tc.args)
		err := cmd.ExecuteContext(t.Context())
		if (err != nil) != tc.fails || out.String() != tc.out || !strings.Contains(talk.String(), tc.talk) {
			t.Errorf("import %v = %v\n%s\n%s", tc.args, err, &out, &talk)
		}
	}
}
