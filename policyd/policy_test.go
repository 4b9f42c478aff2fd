package policyd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/unit"
)

// twenty is the limit of the tests.
func twenty(c *Config) {
	c.Limits = []limit.Limit{{Name: "outgoing", Rate: limit.Per(20, time.Hour)}}
}

const full = "450 4.7.1 limit outgoing: 20 of 20 recipients in 1h used by alice@example.org; ends "

// mail is the requests of one mail of alice: count recipients, then DATA.
func mail(instance string, count int) (rcpt func(i int) Request, data Request) {
	rcpt = func(i int) Request {
		r := outbound(StateRcpt, "alice@example.org")
		r.Instance, r.RcptTo = instance, fmt.Sprintf("r%d@example.net", i)
		return r
	}
	data = outbound(StateData, "alice@example.org")
	data.Instance, data.RcptTo, data.RecipientCount = instance, "", int64(count)
	return rcpt, data
}

func TestLimit(t *testing.T) {
	r := newRig(t, twenty)
	c := r.smtpd(t)
	rcpt, data := mail("1.1", 15)
	for i := range 15 {
		if got := c.ask(rcpt(i)); got != "DUNNO" {
			t.Fatalf("recipient %d got %q", i, got)
		}
	}
	if n := r.counters.total(); n != 0 {
		t.Errorf("%d counted before DATA, want 0", n)
	}
	if got := c.ask(data); got != "DUNNO" {
		t.Fatalf("DATA got %q", got)
	}
	eom := data
	eom.ProtocolState = StateEndOfMessage
	if got := c.ask(eom); got != "DUNNO" || r.counters.total() != 15 {
		t.Errorf("END-OF-MESSAGE got %q, counted %d, want DUNNO and 15", got, r.counters.total())
	}
	rcpt, data = mail("1.2", 5)
	for i := range 5 {
		if got := c.ask(rcpt(i)); got != "DUNNO" {
			t.Fatalf("recipient %d of the second mail got %q", i, got)
		}
	}
	want := "450 4.7.1 limit outgoing: 15 of 20 recipients in 1h used by alice@example.org and 5 by this mail; ends "
	if got := c.ask(rcpt(5)); !strings.HasPrefix(got, want) {
		t.Errorf("recipient 21 got %q, want %q", got, want)
	}
	if got := c.ask(data); got != "DUNNO" {
		t.Errorf("DATA for the five got %q", got)
	}
	rcpt, data = mail("1.3", 1)
	if got := c.ask(rcpt(0)); !strings.HasPrefix(got, full) {
		t.Errorf("the next mail got %q, want %q", got, full)
	}
	if got := c.ask(data); !strings.HasPrefix(got, full) || r.counters.total() != 20 {
		t.Errorf("its DATA got %q, counted %d, want %q and 20", got, r.counters.total(), full)
	}
	bob := outbound(StateRcpt, "bob@example.org")
	bob.SASL.Username, bob.Instance = "bob@example.org", "1.4"
	if got := c.ask(bob); got != "DUNNO" {
		t.Errorf("another user got %q, want DUNNO", got)
	}
}

func TestLimitFoldsTheLogin(t *testing.T) {
	r := newRig(t, twenty)
	c := r.smtpd(t)
	for i, login := range []string{"alice@example.org", "Alice@EXAMPLE.org", "alice+x@example.org"} {
		_, data := mail(fmt.Sprint(i), 7)
		data.SASL.Username = login
		got := c.ask(data)
		if (got == "DUNNO") != (i < 2) {
			t.Errorf("seven recipients of %s got %q", login, got)
		}
	}
}

func TestDataAloneCounts(t *testing.T) {
	r := newRig(t, twenty)
	c := r.smtpd(t)
	_, data := mail("1", 21)
	want := "550 5.7.1 limit outgoing: 0 of 20 recipients in 1h used by alice@example.org, this mail has 21"
	if got := c.ask(data); got != want || r.counters.total() != 0 {
		t.Errorf("21 recipients got %q, counted %d, want %q and 0", got, r.counters.total(), want)
	}
	data.Instance, data.RecipientCount = "", 20 // no instance: nothing to remember
	if got := c.ask(data); got != "DUNNO" || r.counters.total() != 20 {
		t.Errorf("20 recipients got %q, counted %d, want DUNNO and 20", got, r.counters.total())
	}
}

// TestDuplicates names the service in four lists of two contexts, and loses a
// connection.
func TestDuplicates(t *testing.T) {
	r := newRig(t, twenty)
	c, d := r.smtpd(t), r.smtpd(t)
	rcpt, data := mail("7", 20)
	for i := range 20 {
		for range 4 {
			if got := c.ask(rcpt(i)); got != "DUNNO" {
				t.Fatalf("recipient %d got %q", i, got)
			}
			other := rcpt(i)
			other.PolicyContext = "submission"
			if got := d.ask(other); got != "DUNNO" {
				t.Fatalf("recipient %d got %q in the other context", i, got)
			}
		}
	}
	for range 3 {
		if got := c.ask(data); got != "DUNNO" {
			t.Fatalf("DATA got %q", got)
		}
	}
	_ = c.conn.Close()
	if got := r.smtpd(t).ask(data); got != "DUNNO" || r.counters.total() != 20 {
		t.Errorf("DATA on a new connection got %q, counted %d, want DUNNO and 20", got, r.counters.total())
	}
	rcpt, _ = mail("8", 1)
	first := d.ask(rcpt(0))
	if again := d.ask(rcpt(0)); again != first || !strings.HasPrefix(first, full) {
		t.Errorf("the refused recipient got %q, then %q, want %q twice", first, again, full)
	}
	var got []string
	for _, rec := range r.journal.records() {
		got = append(got, fmt.Sprintf("%s %d %s", rec.Event, len(rec.RcptTo), rec.Verdict))
	}
	// What passed at RCPT is told with DATA; "limit" says that somebody was told.
	if want := []string{"data 20 dunno", "limit 0 defer", "rcpt 1 defer"}; !slices.Equal(got, want) {
		t.Errorf("records %q, want %q", got, want)
	}
}

// TestPassedWithoutDataIsJournaled ends a mail after its recipients, by another
// mail and by the end of the connection.
func TestPassedWithoutDataIsJournaled(t *testing.T) {
	r := newRig(t, twenty)
	c := r.smtpd(t)
	for _, instance := range []string{"1", "2"} {
		rcpt, _ := mail(instance, 2)
		for i := range 2 {
			if got := c.ask(rcpt(i)); got != "DUNNO" {
				t.Fatalf("recipient got %q", got)
			}
		}
	}
	_ = c.conn.Close()
	r.stop()
	got := r.journal.records()
	if len(got) != 2 {
		t.Fatalf("%d records, want 2: %+v", len(got), got)
	}
	for i, rec := range got {
		if want := []string{"r0@example.net", "r1@example.net"}; rec.Event != "rcpt" || rec.Session != fmt.Sprint(i+1) || !slices.Equal(rec.RcptTo, want) {
			t.Errorf("record %+v, want rcpt of session %d with %q", rec, i+1, want)
		}
	}
}

func TestInboundIsJournaledOnce(t *testing.T) {
	r := newRig(t, nil)
	c := r.smtpd(t)
	req := Request{
		ProtocolState: StateRcpt, Instance: "9", QueueID: "4ABC",
		Client:   Client{Addr: netip.MustParseAddr("203.0.113.9"), Port: 1025, Name: "mx.example.net", Helo: "mx"},
		Envelope: Envelope{MailFrom: "x@example.net", RcptTo: "alice@example.org"},
	}
	for range 4 {
		if got := c.ask(req); got != "DUNNO" {
			t.Fatalf("inbound got %q", got)
		}
	}
	got := r.journal.records()
	if len(got) != 1 {
		t.Fatalf("%d records, want 1", len(got))
	}
	got[0].Time, got[0].Took = time.Time{}, 0
	want := journal.Record{
		Daemon: "policyd", Event: "rcpt", QueueID: "4ABC", Session: "9", Service: "policy",
		ClientAddr: req.Client.Addr, ClientPort: 1025, ClientName: "mx.example.net", Helo: "mx",
		MailFrom: "x@example.net", RcptTo: []string{"alice@example.org"}, Verdict: "dunno", Reply: "DUNNO",
	}
	if !reflect.DeepEqual(got[0], want) {
		t.Errorf("record %+v, want %+v", got[0], want)
	}
}

func TestJournalTellsLimitAndObserved(t *testing.T) {
	r := newRig(t, func(c *Config) {
		twenty(c)
		c.RejectSenderLoginMismatch = unit.Observe
	})
	c := r.smtpd(t)
	_, data := mail("1", 3)
	data.MailFrom, data.PolicyContext = "boss@example.org", "submission"
	if got := c.ask(data); got != "DUNNO" {
		t.Fatalf("DATA got %q", got)
	}
	got := r.journal.records()[0]
	if got.Event != "data" || got.User != "alice@example.org" || got.Mech != "PLAIN" || len(got.Facts) != 3 {
		t.Fatalf("record %+v, want event, user, mechanism and three facts", got)
	}
	for i, want := range []journal.Fact{
		{Key: "policy_context", Value: "submission"},
		{Key: "limit", Value: "limit outgoing: 3 of 20 recipients in 1h"},
		{Key: "would_have", Value: "reject_sender_login_mismatch: 553 5.7.1 user alice@example.org may not send as boss@example.org; the administrator of this server can grant it"},
	} {
		if f := got.Facts[i]; f.Key != want.Key || !strings.HasPrefix(f.Value, want.Value) {
			t.Errorf("fact %+v, want %+v", f, want)
		}
	}
}

func TestRights(t *testing.T) {
	r := newRig(t, nil)
	c := r.smtpd(t)
	for _, tc := range []struct{ login, from, want string }{
		{"alice@example.org", "alice@example.org", "DUNNO"},
		{"alice@example.org", "Alice+list@Example.org", "DUNNO"},
		{"alice@example.org", "sales@example.org", "DUNNO"},
		{"alice@example.org", "bob@example.org", "553"},
		{"alice@example.org", "x@example.net", "553"},
		{"alice@example.org", "", "553"},
		{"alice@example.org", "root", "553"},
		{"alice", "alice@example.org", "553"},
		{"mallory@example.org", "mallory@example.org", "553"},
		{strings.Repeat("a", 500), "alice@example.org", "553"},
		{"alice@example.org", "\xff@example.org", "553"},
	} {
		for _, s := range []State{StateMail, StateRcpt, StateData, StateEndOfMessage} {
			req := outbound(s, tc.from)
			req.SASL.Username, req.Instance = tc.login, tc.login+tc.from+string(s)
			if got := c.ask(req); !strings.HasPrefix(got, tc.want) {
				t.Errorf("%s: %.20q as %q got %q, want %s", s, tc.login, tc.from, got, tc.want)
			}
		}
	}
	if n := r.counters.total(); n != 6 {
		t.Errorf("%d counted, want 6: a refused mail is not", n)
	}
}

func TestHeldFromTheNextMailOn(t *testing.T) {
	r := newRig(t, nil)
	c := r.smtpd(t)
	r.accounts.setHeld("alice@example.org", true)
	if got := c.ask(outbound(StateRcpt, "alice@example.org")); !strings.HasPrefix(got, "451 4.7.1 sending is held") {
		t.Errorf("held account got %q", got)
	}
	r.accounts.setHeld("alice@example.org", false)
	req := outbound(StateRcpt, "alice@example.org")
	req.Instance = "2"
	if got := c.ask(req); got != "DUNNO" {
		t.Errorf("released account got %q", got)
	}
}

func TestStoresAway(t *testing.T) {
	r := newRig(t, twenty)
	c := r.smtpd(t)
	r.accounts.setHook(func(context.Context) error { return errors.New("disk gone") })
	const want = "451 4.3.0 temporary fault here, please try again later"
	if got := c.ask(outbound(StateRcpt, "alice@example.org")); got != want {
		t.Errorf("outbound got %q, want %q", got, want)
	}
	if got := c.ask(Request{ProtocolState: StateRcpt}); got != "DUNNO" {
		t.Errorf("inbound got %q, want DUNNO", got)
	}
	r.accounts.setHook(nil)
	if got := c.ask(outbound(StateRcpt, "alice@example.org")); got != "DUNNO" {
		t.Errorf("the same recipient with the store back got %q, want DUNNO", got)
	}
	r.counters.err = errors.New("disk gone")
	rcpt, data := mail("2", 1)
	if got := c.ask(rcpt(0)) + " " + c.ask(data); got != "DUNNO DUNNO" {
		t.Errorf("outbound without counters got %q, want DUNNO DUNNO", got)
	}
}

// TestLoginSpelledOtherwise: a login counts as its account, however it is typed.
func TestLoginSpelledOtherwise(t *testing.T) {
	r := newRig(t, limits(limit.Limit{Name: "outgoing", Of: limit.Messages, Rate: limit.Per(1, time.Hour)}))
	for i, login := range []string{"alice@example.org", "alice@Example.ORG", `"alice"@example.org`, "Alice@example.org", "alice+x@example.org", "alice@example.org."} {
		req := Request{
			ProtocolState: StateData, Instance: login, Client: Client{Addr: netip.MustParseAddr("198.51.100.7"), Port: 1025},
			Envelope: Envelope{MailFrom: "alice@example.org", RcptTo: "x@example.net", RecipientCount: 1}, SASL: SASL{Method: "PLAIN", Username: login},
		}
		want := "DUNNO"
		if i > 0 {
			want = "450 4.7.1 limit outgoing: 1 of 1 messages in 1h used by alice@example.org;"
		}
		if got := r.smtpd(t).ask(req); !strings.HasPrefix(got, want) {
			t.Errorf("login %s got %q, want %q", login, got, want)
		}
	}
}
