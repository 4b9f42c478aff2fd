package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/quarantine/release"
	"github.com/gatepost/gatepost/internal/verdict"
)

func quarantined() quarantine.Item {
	return quarantine.Item{
		Entry: quarantine.Entry{ID: "20261120-065535-k3f9x2", QueueID: "4XyZ", Arrived: time.Unix(1, 0), MailFrom: strings.Repeat("long", 40) + "@example.net",
			RcptTo: []string{"alice@example.org", "bob@example.org"}, Header: quarantine.Header{Subject: "\x1b[31m" + strings.Repeat("主题", 60)}, Score: 1234.5,
			Client: quarantine.Client{Addr: netip.MustParseAddr("192.0.2.7"), Helo: "x\nstate released"},
			Lines:  []verdict.Line{{Name: "X", Score: 1234.5, Text: "why", Options: []string{"\x07"}}}},
		Recipients: 2, Verdict: "quarantine", State: quarantine.Held, Expires: time.Unix(86400, 0),
	}
}

// TestQuarantineListFits: a line is no wider than the terminal, and tells all
// where there is none.
func TestQuarantineListFits(t *testing.T) {
	for _, columns := range []int{0, 80, 100, 200} {
		var b strings.Builder
		if err := printTable(&b, quarantineHead, quarantineRows([]quarantine.Item{quarantined()}, columns)); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			wide := 0
			for _, r := range strings.TrimRight(line, " \n") {
				if wide++; r >= 0x1100 {
					wide++
				}
			}
			if columns > 0 && wide > columns || !utf8.ValidString(line) || strings.Contains(line, "\x1b") {
				t.Errorf("%d columns: %d wide: %q", columns, wide, line)
			}
		}
		if columns == 0 && !strings.Contains(b.String(), strings.Repeat("主题", 60)) || !strings.Contains(b.String(), " +1  ") {
			t.Errorf("%d columns: %s", columns, b.String())
		}
	}
}

func TestClip(t *testing.T) {
	for _, tc := range []struct {
		in   string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"", 3, ""}, {"ab\ncd", 0, "ab cd"}, {"äöü", 3, "äöü"}, {"äöüx", 3, "äö…"}, {"主题主", 4, "主…"}} {
		if got := clip(tc.in, tc.n); got != tc.want {
			t.Errorf("clip(%q, %d) = %q, want %q", tc.in, tc.n, got, tc.want)
		}
	}
}

// TestQuarantineShowIsSafe: what a stranger typed makes no line of its own and
// does nothing to a terminal.
func TestQuarantineShowIsSafe(t *testing.T) {
	var b strings.Builder
	d := admin.QuarantineDetail{Item: quarantined(), Fields: "Subject: x\x1b[2J\r\nTo: y\r\n"}
	if err := printQuarantined(&b, d); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	for _, want := range []string{"state      held, quarantine, until 1970-01-02 00:00:00 UTC\n", "client     [192.0.2.7], helo x state released\n",
		"from       <longlong", "to         <bob@example.org>\n", " 1234.50  X", `why (\a)`, "= quarantine\n", "\nSubject: x\\x1b[2J\nTo: y\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.ContainsAny(out, "\x1b\x07\r") || strings.Contains(out, "\nstate released") {
		t.Errorf("not safe: %q", out)
	}
}

func TestPrintReleased(t *testing.T) {
	var b strings.Builder
	printReleased(&b, release.Outcome{ID: "i", Delivered: []quarantine.Delivered{{To: "a@x"}}, Before: []string{"b@x"},
		Refused: []release.Refusal{{To: "c\n@x", Why: "no mailbox here"}}, Deleted: true})
	want := "i: delivered to a@x\ni: b@x had it already\ni: not delivered to c @x: no mailbox here\ni: deleted, as quarantine.delete_released has it\n"
	if b.String() != want {
		t.Errorf("printReleased = %q, want %q", b.String(), want)
	}
}
