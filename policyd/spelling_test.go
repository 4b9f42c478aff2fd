package policyd

import (
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

// Postfix makes an ordinary address of these before it asks its tables, and the
// policy service is told what was typed.
func TestRewritten(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"alice@example.org":      "alice@example.org",
		"alice%example.org":      "alice@example.org",
		"example.org!alice":      "alice@example.org",
		"a%b%example.org":        "a%b@example.org",
		"a.example!b!c":          "b!c@a.example",
		"a.example!b%c.example":  "b%c.example@a.example",
		"a!b%c@example.org":      "a!b%c@example.org",
		"postmaster":             "postmaster",
		"SRS0=x=y=d.example=bob": "SRS0=x=y=d.example=bob",
	} {
		if got := rewritten(in); got != want {
			t.Errorf("rewritten(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestSpelledOtherwise: no rule is passed by a spelling that Postfix turns into
// the address that the rule is about.
func TestSpelledOtherwise(t *testing.T) {
	h := newHouse(t, all(unit.Enforce))
	for _, tc := range []struct {
		name string
		req  Request
		rule string
	}{
		{"sender of ours with percent", stranger("bob%example.org", "alice@example.org", nil), ruleLocalSender},
		{"sender of ours with a bang", stranger("example.org!bob", "alice@example.org", nil), ruleLocalSender},
		{"sender of ours with a final dot", stranger("bob@example.org.", "alice@example.org", nil), ruleLocalSender},
		{"denied sender with a bang", stranger("spam.example!x", "alice@example.org", nil), "deny spam.example"},
		{"blocked tag with percent", stranger("x@a.example", "bob+shop%example.org", nil), ruleListPosting},
		{"blocked tag with a bang", stranger("x@a.example", "example.org!bob+shop", nil), ruleListPosting},
		{"blocked tag with a final dot", stranger("x@a.example", "bob+shop@example.org.", nil), ruleListPosting},
		{"unknown recipient with percent", stranger("x@a.example", "nobody%example.org", nil), ruleUnknownRecipient},
	} {
		before := len(h.journal.records())
		got := h.smtpd(t).ask(tc.req)
		records := h.journal.records()[before:]
		if len(records) != 1 || records[0].Rule != tc.rule {
			t.Errorf("%s: %q, journal has %+v, want rule %s", tc.name, got, records, tc.rule)
		}
	}
}

// TestSRSSpelledOtherwise: an SRS address that Postfix would make of another
// spelling takes bounces only, too.
func TestSRSSpelledOtherwise(t *testing.T) {
	live := srsAt(t, "srs.example.org")
	good := live.Forward(addr("bob@origin.example"), time.Now()).String()
	local, domain, _ := cutLast(good)
	counters := &fakeCounters{}
	g := newSRSGate(Deps{SRS: live, Returned: counters}, quiet)
	rate := unit.Rate{Count: 1, Window: time.Hour}
	for i, to := range []string{good, good + ".", local + "%" + domain, domain + "!" + local, local, strings.ToUpper(domain) + ".!" + local} {
		req := &Request{ProtocolState: StateRcpt, Envelope: Envelope{MailFrom: "x@far.example", RcptTo: to}}
		if f := g.facts(t.Context(), req, rate); !f.Form {
			t.Errorf("facts() of %s with a sender = %+v, want the form", to, f)
		}
		req.MailFrom, req.Instance = "", string(rune('a'+i))
		if f := g.facts(t.Context(), req, rate); !f.Form || f.Full != (i > 0) {
			t.Errorf("facts() of bounce %d to %s = %+v, want one in an hour", i, to, f)
		}
	}
}
