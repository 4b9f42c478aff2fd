package learn

import (
	"math"
	"reflect"
	"slices"
	"testing"
)

const alice, bob, carol = "alice@example.org", "bob@example.net", "carol@example.org"

func TestDecide(t *testing.T) {
	p := policyOf(Default())
	spamBy := func(s Source) Event { return Event{Spam: true, Source: s, User: alice, Minute: 1} }
	many := History{Mailboxes: 100, Total: 1000}
	with := func(h History, votes ...Vote) History { h.Votes = votes; return h }
	var (
		adminSpam = Vote{ID: 1, Spam: true, Source: CLI, Share: 1}
		adminHam  = Vote{ID: 2, Source: CLI, Share: 1}
		aliceSpam = Vote{ID: 3, Spam: true, Source: Move, User: alice, Share: 0.5}
		aliceHam  = Vote{ID: 4, Source: Move, User: alice, Share: 0.5}
		aliceWeak = Vote{ID: 5, Source: Weak, User: alice, Share: 0.3}
		bobSpam   = Vote{ID: 6, Spam: true, Source: Move, User: bob, Share: 0.5}
		bobHam    = Vote{ID: 7, Source: Move, User: bob, Share: 0.5}
		bobWeak   = Vote{ID: 8, Source: Weak, User: bob, Share: 0.3}
		refused   = Vote{ID: 9, Source: Move, User: alice, Refused: true}
		carolNo   = Vote{ID: 11, Spam: true, Source: Move, User: carol, Refused: true, Outvoted: true}
		waiting   = Vote{ID: 10, Spam: true, Source: Move, User: alice, Waiting: true}
	)
	for _, tc := range []struct {
		name  string
		e     Event
		h     History
		what  What
		share float64
		undo  []int64
	}{
		{"an administrator", spamBy(CLI), many, New, 1, nil},
		{"once more", spamBy(CLI), with(many, adminSpam), Already, 0, nil},
		{"and once more by a user", spamBy(Move), with(many, adminSpam), Already, 0, nil},
		{"corrects himself", spamBy(CLI), with(many, adminHam), Corrected, 1, []int64{2}},
		{"says what a user said, in full", spamBy(CLI), with(many, aliceSpam), New, 1, []int64{3}},
		{"overrules everybody", spamBy(CLI), with(many, aliceHam, bobHam, bobWeak, refused), Corrected, 1, []int64{4, 7, 8}},
		{"release is an administrator", Event{Source: Release}, with(many, bobSpam), Corrected, 1, []int64{6}},
		{"a trap", spamBy(Trap), many, New, 1, nil},
		{"a held account does not matter to an administrator", spamBy(CLI), History{Held: true}, New, 1, nil},

		{"a user", spamBy(Move), many, New, 0.5, nil},
		{"a user again", spamBy(Move), with(many, aliceSpam), Already, 0, nil},
		{"a user back", spamBy(Move), with(many, aliceHam), Corrected, 0.5, []int64{4}},
		{"a user after weak ham of his", spamBy(Move), with(many, aliceWeak), Corrected, 0.5, []int64{5}},
		{"a user after weak ham of another", spamBy(Move), with(many, bobWeak), Corrected, 0.5, []int64{8}},
		{"ham after weak ham of his", Event{Source: Move, User: alice, Minute: 1}, with(many, aliceWeak), New, 0.5, []int64{5}},
		{"two agree on a message", spamBy(Move), with(many, bobSpam), New, 0.5, nil},
		{"a third adds nothing", Event{Spam: true, Source: Move, User: carol, Minute: 1}, with(many, bobSpam, aliceSpam), Already, 0, nil},
		{"two agree on a campaign", spamBy(Move), History{Mailboxes: 100, Total: 1000, Agree: 1}, New, 1, nil},
		{"two disagree", spamBy(Move), with(many, bobHam), Refused, 0, nil},
		{"two against one", spamBy(Move), with(many, bobHam, carolNo), Corrected, 0.5, []int64{7}},
		{"the same one twice against one", spamBy(Move), with(many, bobHam, Vote{ID: 12, Spam: true, Source: Move, User: alice, Refused: true, Outvoted: true}), Refused, 0, nil},
		{"one who was refused because he is held does not count", spamBy(Move), with(many, bobHam, Vote{ID: 16, Spam: true, Source: Move, User: carol, Refused: true}), Refused, 0, nil},
		{"one against two who were heard in turn", Event{Source: Move, User: bob, Minute: 1}, with(many, aliceSpam, carolNo), Refused, 0, nil},
		{"one who has changed his mind", spamBy(Move), with(many, Vote{ID: 17, Source: Move, User: carol, Refused: true, Outvoted: true}, bobHam, carolNo), Refused, 0, nil},
		{"two against two", spamBy(Move), with(many, bobHam, Vote{ID: 13, Source: Move, User: "dave@example.org", Share: 0.5}, carolNo), Refused, 0, nil},
		{"two against an administrator", spamBy(Move), with(many, adminHam, carolNo), Refused, 0, nil},
		{"one who was refused for weak ham does not count", spamBy(Move), with(many, bobHam, Vote{ID: 14, Spam: true, Source: Weak, User: carol, Refused: true, Outvoted: true}), Refused, 0, nil},
		{"weak ham has no say among words", Event{Source: Weak, User: alice}, with(many, bobSpam, Vote{ID: 15, Source: Move, User: carol, Refused: true, Outvoted: true}), Refused, 0, nil},
		{"against an administrator", spamBy(Move), with(many, adminHam), Refused, 0, nil},
		{"after a refusal", Event{Source: Move, User: alice, Minute: 1}, with(many, refused), New, 0.5, nil},

		{"held", spamBy(Move), History{Held: true}, Refused, 0, nil},
		{"today's last", spamBy(Move), History{Today: p.MailboxDaily - 1}, New, 0.5, nil},
		{"one more than may be today", spamBy(Move), History{Today: p.MailboxDaily}, Refused, 0, nil},
		{"a quarter of all", spamBy(Move), History{Mailboxes: 100, Own: 250, Total: 1000}, Refused, 0, nil},
		{"below a quarter of all", spamBy(Move), History{Mailboxes: 100, Own: 249, Total: 1000}, New, 0.5, nil},
		{"a large part of little", spamBy(Move), History{Mailboxes: 100, Own: 24, Total: 24}, New, 0.5, nil},
		{"alone on the server", spamBy(Move), History{Mailboxes: 1, Own: 500, Total: 500}, New, 0.5, nil},
		{"one of two", spamBy(Move), History{Mailboxes: 2, Own: 60, Total: 100}, New, 0.5, nil},
		{"one of two has three quarters", spamBy(Move), History{Mailboxes: 2, Own: 75, Total: 100}, Refused, 0, nil},

		{"200 a minute", Event{Spam: true, Source: Move, User: alice, Minute: 200}, many, New, 0.5, nil},
		{"201 a minute", Event{Spam: true, Source: Move, User: alice, Minute: 201}, many, Waiting, 0, nil},
		{"waits already", spamBy(Move), with(many, waiting), Already, 0, nil},
		{"approved", Event{Spam: true, Source: Move, User: alice, Minute: 900, Approved: true}, with(History{Today: 9999, Own: 900, Total: 1000, Mailboxes: 9}), New, 0.5, nil},
		{"approved, but held", Event{Spam: true, Source: Move, User: alice, Approved: true}, History{Held: true}, Refused, 0, nil},
		{"moved back while it waits", Event{Source: Move, User: alice, Minute: 1}, with(many, waiting), New, 0.5, []int64{10}},
		{"an administrator says it first", spamBy(CLI), with(many, waiting), New, 1, []int64{10}},

		{"a late word, after another one of the same mailbox", Event{Source: Move, User: alice, Minute: 1},
			with(many, Vote{ID: 18, Spam: true, Source: Move, User: alice, Share: 0.5, Later: true}), Already, 0, nil},
		{"late weak ham", Event{Source: Weak, User: alice}, with(many, Vote{ID: 19, Spam: true, Source: Move, User: alice, Refused: true, Later: true}), Already, 0, nil},
		{"a late word, after one of another mailbox", spamBy(Move), with(many, Vote{ID: 20, Spam: true, Source: Move, User: bob, Share: 0.5, Later: true}), New, 0.5, nil},
		{"a late administrator", spamBy(CLI), with(many, Vote{ID: 21, Source: Move, User: alice, Share: 0.5, Later: true}), Corrected, 1, []int64{21}},

		{"weak ham", Event{Source: Weak, User: alice}, many, New, 0.3, nil},
		{"weak ham twice", Event{Source: Weak, User: alice}, with(many, aliceWeak), Already, 0, nil},
		{"weak ham of two", Event{Source: Weak, User: alice}, with(many, bobWeak), Already, 0, nil},
		{"weak ham after a word", Event{Source: Weak, User: alice}, with(many, aliceHam), Already, 0, nil},
		{"weak ham that the user called spam", Event{Source: Weak, User: alice}, with(many, aliceSpam), Refused, 0, nil},
		{"weak ham that another called spam", Event{Source: Weak, User: alice}, with(many, bobSpam), Refused, 0, nil},
		{"weak ham without spam", Event{Source: Weak, User: alice}, History{Ham: weakFree, Spam: 0}, Refused, 0, nil},
		{"weak ham with enough spam", Event{Source: Weak, User: alice}, History{Ham: weakFree, Spam: 20}, New, 0.3, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := Decide(p, tc.e, tc.h)
			slices.Sort(d.Undo)
			if d.What != tc.what || math.Abs(d.Share-tc.share) > 1e-9 || !slices.Equal(d.Undo, tc.undo) {
				t.Errorf("Decide(%+v, %+v) = %+v, want %s %g %v", tc.e, tc.h, d, tc.what, tc.share, tc.undo)
			}
			if (d.What == Refused || d.What == Waiting) && d.Reason == "" {
				t.Error("no reason")
			}
			if again := Decide(p, tc.e, tc.h); !reflect.DeepEqual(again.What, d.What) {
				t.Errorf("the second time = %+v", again)
			}
		})
	}
}

// TestPart: however many mailboxes there are, one alone never has all of it,
// and an even share is always allowed.
func TestPart(t *testing.T) {
	p := policyOf(Default())
	for n := 2; n < 10_000; n++ {
		if part := p.part(n); part < 1/float64(n) || part > 0.9 {
			t.Fatalf("part(%d) = %g", n, part)
		}
	}
}

func TestConfig(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("Default: %v", err)
	}
	for _, tc := range []struct {
		name   string
		change func(*Config)
	}{
		{"no junk folder", func(c *Config) { c.Junk = nil }},
		{"inbox", func(c *Config) { c.Junk = []string{"Inbox"} }},
		{"both", func(c *Config) { c.Trash = []string{"junk"} }},
		{"control character", func(c *Config) { c.Trash = []string{"a\n"} }},
		{"dots", func(c *Config) { c.Trash = []string{".."} }},
		{"no learns", func(c *Config) { c.MailboxDaily = 0 }},
		{"a year", func(c *Config) { c.KeepDays = 365 }},
		{"no room", func(c *Config) { c.KeepBytes = 1 }},
	} {
		c := Default()
		tc.change(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: no fault", tc.name)
		}
	}
}
