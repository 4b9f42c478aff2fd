package greylist

import (
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

func TestFold(t *testing.T) {
	for _, tc := range []struct{ in, sender, rcpt string }{
		{"Bob@Shop.Example.", "bob@shop.example", "bob@shop.example"},
		{"bob+x1@shop.example", "bob@shop.example", "bob@shop.example"},
		{"+x@shop.example", "+x@shop.example", "+x@shop.example"},
		{"bounces-123-alice=example.org@list.example", "bounces-#-alice=example.org@list.example", "bounces-123-alice=example.org@list.example"},
		{"msg.0a9f.b2@list.example", "msg.#.#@list.example", "msg.0a9f.b2@list.example"},
		{"SRS0=ab12=Q3=shop.example=bob@fwd.example", "shop.example=bob@fwd.example", "srs0=ab12=q3=shop.example=bob@fwd.example"},
		{"SRS1=ab=fwd.example==HH=TT=shop.example=bob@two.example", "shop.example=bob@two.example", "srs1=ab=fwd.example==hh=tt=shop.example=bob@two.example"},
		{"prvs=1234abcdef=bob@shop.example", "bob@shop.example", "prvs=1234abcdef=bob@shop.example"},
		{"prvs=bob=1234abcdef@shop.example", "bob@shop.example", "prvs=bob=1234abcdef@shop.example"},
		{"prvs=bob@shop.example", "prvs=bob@shop.example", "prvs=bob@shop.example"},
		{"postmaster", "postmaster", "postmaster"},
		{"a\tb\n@x.example", "a?b?@x.example", "a?b?@x.example"},
		{"\xff@x.example", "\ufffd@x.example", "\ufffd@x.example"},
	} {
		if got := foldSender(tc.in); got != tc.sender {
			t.Errorf("foldSender(%q) = %q, want %q", tc.in, got, tc.sender)
		}
		if got := foldRecipient(tc.in, "+"); got != tc.rcpt {
			t.Errorf("foldRecipient(%q) = %q, want %q", tc.in, got, tc.rcpt)
		}
	}
}

// FuzzFold: whatever a stranger types fits a row's name, and folds to itself.
func FuzzFold(f *testing.F) {
	f.Add("bob+x@shop.example")
	f.Add("SRS0=ab12=Q3=shop.example=bob@fwd.example")
	f.Add(strings.Repeat("ä", 1000) + "@x")
	f.Add("a\tb@c\nd")
	f.Fuzz(func(t *testing.T, s string) {
		sender, rcpt := foldSender(s), foldRecipient(s, "+-")
		key := names{strings.Repeat("x", maxWord), sender, rcpt}.key(strings.Repeat("y", maxWord))
		if len(key) > state.MaxKeyBytes || strings.Count(key, sep) != 3 {
			t.Errorf("the key of %q is %q", s, key)
		}
		if again := foldRecipient(rcpt, "+-"); len(rcpt) < maxWord/2 && again != rcpt {
			t.Errorf("foldRecipient(%q) = %q, and of that %q", s, rcpt, again)
		}
	})
}

// FuzzRow: what is read is written as it was, and what is written is read.
func FuzzRow(f *testing.F) {
	f.Add(triplet{First: begin, Passed: begin.Add(time.Hour), Tries: 3}.append(nil))
	f.Add(client{Passes: 5, Allowed: true}.append(nil))
	f.Add([]byte{rowVersion, 0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseTriplet(b); err == nil && string(r.append(nil)) != string(b) {
			t.Errorf("%x is read as %+v, and that written as %x", b, r, r.append(nil))
		}
		if r, err := parseClient(b); err == nil && string(r.append(nil)) != string(b) {
			t.Errorf("%x is read as %+v, and that written as %x", b, r, r.append(nil))
		}
	})
}
