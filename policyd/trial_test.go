package policyd

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/unit"
)

// A trial gives the answer that Postfix would get, and nothing counts it.
func TestTryAnswersAsPostfixWouldHear(t *testing.T) {
	h := newHouse(t, all(unit.Enforce))
	for _, tc := range admissions {
		b, err := tc.req.Append(nil)
		if err != nil {
			continue // what can not be sent
		}
		got, err := h.server.Try(t.Context(), b, true)
		if err != nil || got.Action != tc.want && !strings.HasSuffix(tc.want, "until ") || got.Rule != tc.rule || !strings.Contains(got.Hint, tc.logged) {
			t.Errorf("%s: Try() = %+v, %v, want %s by %q", tc.name, got, err, tc.want, tc.rule)
		}
	}
	if n := h.counters.total(); n != 0 || len(h.journal.records()) != 0 {
		t.Errorf("trials counted %d and journaled %d", n, len(h.journal.records()))
	}
}

func TestTryLimits(t *testing.T) {
	h := newHouse(t, nil)
	for _, state := range []State{StateRcpt, StateData, StateEndOfMessage} {
		req := user("alice@example.org", "x@far.example")
		req.ProtocolState, req.RecipientCount = state, 500
		b, err := req.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.server.Try(t.Context(), b, true)
		refused := strings.HasPrefix(got.Rule, "limit ")
		if err != nil || refused != (state != StateRcpt) || len(got.Facts) == 0 {
			t.Errorf("%s: Try() = %+v, %v", state, got, err)
		}
		got, err = h.server.Try(t.Context(), b, false)
		if err != nil || got.Action != "DUNNO" || len(got.Lacks) != 1 {
			t.Errorf("%s without limits: Try() = %+v, %v", state, got, err)
		}
	}
	if n := h.counters.total(); n != 0 {
		t.Errorf("trials counted %d", n)
	}
	for _, bad := range []string{"", "x", "a=b\n\n", "request=smtpd_access_policy\nsize=x\n\n"} {
		if got, err := h.server.Try(t.Context(), []byte(bad), true); err == nil {
			t.Errorf("Try(%q) = %+v, want an error", bad, got)
		}
	}
	if got, err := h.server.Try(t.Context(), []byte("request=smtpd_access_policy\nprotocol_state=CONNECT"), true); err != nil || got.Action != "DUNNO" {
		t.Errorf("Try() without the final lines = %+v, %v", got, err)
	}
}

func TestHits(t *testing.T) {
	h := newHouse(t, func(c *Config) {
		all(unit.Enforce)(c)
		c.Rules = []Rule{
			{Name: "second", When: When{Expr: `sender == "x@a.example"`}, Action: "WARN"},
			{Name: "first", Mode: unit.Observe, Action: "HOLD"},
			{Name: "bad", Mode: unit.Observe, When: When{Expr: `1 % recipient_count == 0`}, Action: "HOLD"},
		}
	})
	c := h.smtpd(t)
	for i, from := range []string{"x@mx.example", "x@a.example", "x@spam.example", "x@spam.example"} {
		c.ask(stranger(from, "alice@example.org", func(r *Request) { r.Instance = string(rune('a' + i)) }))
	}
	h.stop()
	got := h.server.Hits()
	if len(got) == 4 {
		got[2].Failed = min(got[2].Failed, 1) // it may be asked twice for one answer
	}
	want := []Hits{
		{Name: "rule second", Mode: unit.Enforce, Decided: 1}, {Name: "rule first", Mode: unit.Observe, Would: 1},
		{Name: "rule bad", Mode: unit.Observe, Failed: 1}, {Name: "deny spam.example", Decided: 2},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Hits() = %+v, want %+v", got, want)
	}
	var many hitCounts
	for i := range 3 * maxHitNames {
		many.count(&Verdict{Rule: ruleDeny + string(rune('0'+i%10)) + strings.Repeat("x", i/10)})
	}
	if n := len(many.all()); n > maxHitNames+1 {
		t.Errorf("%d names are counted", n)
	}
}

func TestFromJournal(t *testing.T) {
	data := journal.Record{
		Daemon: daemon, Event: "data", QueueID: "Q1", Session: "1.2.3", ClientAddr: netip.MustParseAddr("198.51.100.9"), ClientPort: 7,
		ClientName: "mx.example", Helo: "mx", User: "alice@example.org", Mech: "PLAIN", MailFrom: "alice@example.org",
		RcptTo: []string{"a@far.example", "b@far.example"}, Verdict: "reject", Rule: "rule x", Reply: "REJECT",
		Facts: []journal.Fact{{Key: "policy_context", Value: "submission"}},
	}
	got := FromJournal(data)
	if len(got) != 3 {
		t.Fatalf("FromJournal() = %+v", got)
	}
	for i, rcpt := range data.RcptTo {
		if r := got[i].Request; r.ProtocolState != StateRcpt || r.RcptTo != rcpt || r.PolicyContext != "submission" || got[i].Record.Verdict != "dunno" || got[i].Record.Rule != "" {
			t.Errorf("recipient %d: %+v", i, got[i])
		}
	}
	if r := got[2].Request; r.ProtocolState != StateData || r.RecipientCount != 2 || r.SASL.Username != data.User || got[2].Record.Rule != "rule x" {
		t.Errorf("the mail: %+v", got[2])
	}
	rcpt := data
	rcpt.Event, rcpt.RcptTo, rcpt.Rule = "rcpt", rcpt.RcptTo[:1], "limit outgoing"
	if got := FromJournal(rcpt); len(got) != 1 || got[0].Request.ProtocolState != StateRcpt || !got[0].History() {
		t.Errorf("FromJournal(rcpt) = %+v", got)
	}
	rcpt.Rule = ruleSRSTarget
	if got := FromJournal(rcpt); len(got) != 1 || !got[0].History() {
		t.Errorf("FromJournal(rcpt) of too many bounces = %+v, want it to come from history", got)
	}
	helo := journal.Record{Daemon: daemon, Event: "helo", Helo: "x"}
	if got := FromJournal(helo); len(got) != 1 || got[0].Request.ProtocolState != StateHELO {
		t.Errorf("FromJournal(helo) = %+v", got)
	}
	if got := FromJournal(journal.Record{Daemon: "milter", RcptTo: data.RcptTo}); got != nil {
		t.Errorf("FromJournal(milter) = %+v", got)
	}
}

// What the server journaled is answered the same when it is asked again.
func TestReplaySameConfig(t *testing.T) {
	h := newHouse(t, all(unit.Enforce))
	for _, tc := range admissions {
		if tc.req.Server.Addr.IsValid() { // which the journal does not have
			continue
		}
		c := h.smtpd(t)
		c.ask(tc.req)
		_ = c.conn.Close()
	}
	h.stop()
	asked := 0
	for _, r := range h.journal.records() {
		for _, one := range FromJournal(r) {
			asked++
			got := h.server.Judge(t.Context(), &one.Request, false, time.Now())
			if got.Verdict != r.Verdict || got.Rule != r.Rule {
				t.Errorf("%s to %s was %s by %q, is %s by %q", one.Request.MailFrom, one.Request.RcptTo, r.Verdict, r.Rule, got.Verdict, got.Rule)
			}
		}
	}
	if asked < len(admissions)-2 {
		t.Errorf("%d requests of %d are in the journal", asked, len(admissions))
	}
}

func FuzzFromJournal(f *testing.F) {
	f.Add("data", "a@far.example", "x@mx.example", "alice@example.org")
	f.Add("end-of-message", "", "\xff", "a\nb")
	f.Fuzz(func(t *testing.T, event, rcpt, from, login string) {
		for _, one := range FromJournal(journal.Record{Daemon: daemon, Event: event, RcptTo: []string{rcpt, rcpt}, MailFrom: from, User: login}) {
			b, err := one.Request.Append(nil)
			if err != nil {
				continue // refused is fine
			}
			if _, err := ParseRequest(b); err != nil {
				t.Errorf("ParseRequest(%q): %v", b, err)
			}
		}
	})
}
