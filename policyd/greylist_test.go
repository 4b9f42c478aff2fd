package policyd

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/greylist"
	"github.com/gatepost/gatepost/internal/resolver"
)

func TestDecideGreylist(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 5, time.UTC)
	waits := greylist.Outcome{Defer: true, Why: greylist.WhyFirst, First: now, Back: now.Add(5 * time.Minute), Now: now}
	observed := waits
	observed.Observe = true
	const action = "DEFER_IF_PERMIT 4.2.0 greylisted: this sender is new here, try again in 300 seconds, from 2026-11-20 12:05:01 UTC on"
	reject, err := ParseAction("REJECT no")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		v      Verdict
		o      greylist.Outcome
		action string
		rule   string
		would  string
	}{
		{"first", Verdict{Action: Dunno()}, waits, action, "greylist", ""},
		{"nothing decided yet", Verdict{}, waits, action, "greylist", ""},
		{"observed", Verdict{Action: Dunno()}, observed, "DUNNO", "", "greylist: " + action},
		{"passes", Verdict{Action: Dunno()}, greylist.Outcome{Why: greylist.WhyPassed}, "DUNNO", "", ""},
		{"not asked", Verdict{Action: Dunno()}, greylist.Outcome{}, "DUNNO", "", ""},
		{"refused before", Verdict{Action: reject, Rule: "x"}, waits, "REJECT no", "x", ""},
		{"let in by a rule", Verdict{Action: Dunno(), Rule: "rule friends"}, waits, "DUNNO", "rule friends", ""},
	} {
		v := tc.v
		decideGreylist(&v, tc.o)
		would := ""
		if len(v.Would) > 0 {
			would = v.Would[0].Rule + ": " + v.Would[0].Action.String()
		}
		if v.Action.String() != tc.action || v.Rule != tc.rule || would != tc.would {
			t.Errorf("%s: %q by %q, would %q; want %q by %q, would %q", tc.name, v.Action, v.Rule, would, tc.action, tc.rule, tc.would)
		}
	}
	v := Verdict{}
	if decideGreylist(&v, waits); v.Word() != "defer" {
		t.Errorf("Word() = %q", v.Word())
	}
	passed := greylist.Outcome{Why: greylist.WhyPassed, Suspect: greylist.SuspectNameless, Client: "192.0.2.0/24", First: now, Now: now.Add(6 * time.Minute)}
	if got := greylistFact(passed); got != "came back in time; suspicious: no verified name; client 192.0.2.0/24; after 360 seconds" {
		t.Errorf("greylistFact() = %q", got)
	}
	if got := greylistFact(greylist.Outcome{Why: greylist.WhyUnsuspect}); got != "" {
		t.Errorf("greylistFact() of a good client = %q", got)
	}
}

// seen remembers what the greylist was asked.
type seen struct {
	asked []greylist.Query
	err   error
}

func (s *seen) See(_ context.Context, q greylist.Query, _ time.Time) greylist.Outcome {
	s.asked = append(s.asked, q)
	return greylist.Outcome{Defer: s.err == nil, Why: greylist.WhyFirst, Err: s.err}
}

// TestSeeGreylist: only recipients of strangers are asked about.
func TestSeeGreylist(t *testing.T) {
	stranger := Request{ProtocolState: StateRcpt, Client: Client{Addr: netip.MustParseAddr("192.0.2.7"), Name: "mx.shop.example", Helo: "h"},
		Envelope: Envelope{MailFrom: "bob@shop.example", RcptTo: "alice@example.org"}}
	login, data, none := stranger, stranger, stranger
	login.SASL.Username = "alice"
	data.ProtocolState = StateData
	none.RcptTo = ""
	for _, tc := range []struct {
		name string
		req  Request
		want bool
	}{{"stranger", stranger, true}, {"login", login, false}, {"data", data, false}, {"no recipient", none, false}} {
		s := &seen{}
		o := seeGreylist(t.Context(), s, slog.New(slog.DiscardHandler), &tc.req, time.Now())
		if o.Defer != tc.want || len(s.asked) > 0 != tc.want {
			t.Errorf("%s: %+v, asked %+v", tc.name, o, s.asked)
		}
		if tc.want && s.asked[0] != (greylist.Query{Client: stranger.Client.Addr, Name: "mx.shop.example", Helo: "h", MailFrom: "bob@shop.example", RcptTo: "alice@example.org"}) {
			t.Errorf("asked %+v", s.asked)
		}
	}
	if o := seeGreylist(t.Context(), nil, nil, &stranger, time.Now()); o != (greylist.Outcome{}) {
		t.Errorf("without a greylist: %+v", o)
	}
	var log strings.Builder
	o := seeGreylist(t.Context(), &seen{err: errors.New("disk is away")}, slog.New(slog.NewTextHandler(&log, nil)), &stranger, time.Now())
	if o.Defer || !strings.Contains(log.String(), "disk is away") {
		t.Errorf("a fault: %+v, log %q", o, log.String())
	}
}

func TestMailboxes(t *testing.T) {
	accounts := newAccounts()
	accounts.alias("info@example.org", "team@example.org")
	accounts.alias("team@example.org", "bob+t@example.org")
	accounts.alias("a@example.org", "b@example.org")
	accounts.alias("b@example.org", "a@example.org")
	m := NewMailboxes(accounts, "+")
	for rcpt, want := range map[string]string{
		"Alice@Example.org": "alice@example.org", "alice+x@example.org": "alice@example.org", "info+x@example.org": "bob@example.org",
		"sales@example.org": "", "nobody@example.org": "", "a@example.org": "", "not an address": "",
	} {
		if got := m.Mailbox(t.Context(), rcpt); got != want {
			t.Errorf("Mailbox(%q) = %q, want %q", rcpt, got, want)
		}
	}
	accounts.setHook(func(context.Context) error { return errors.New("away") })
	if got := m.Mailbox(t.Context(), "alice@example.org"); got != "" {
		t.Errorf("Mailbox with the store away = %q", got)
	}
}

// spfZone has TXT records.
type spfZone struct {
	txt   map[string]string
	err   error
	asked int
}

func (z *spfZone) LookupTXT(_ context.Context, name string) ([]string, error) {
	z.asked++
	if r := z.txt[strings.TrimSuffix(name, ".")]; r != "" {
		return []string{r}, z.err
	}
	return nil, z.err
}

func (z *spfZone) LookupIP(context.Context, string, string) ([]netip.Addr, error) { return nil, z.err }
func (z *spfZone) LookupMX(context.Context, string) ([]resolver.MX, error)        { return nil, z.err }
func (z *spfZone) LookupAddr(context.Context, netip.Addr) ([]string, error)       { return nil, z.err }

func TestOrganizations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &spfZone{txt: map[string]string{
			"mail.shop.example": "v=spf1 ip4:192.0.2.0/24 -all",
			"open.example":      "v=spf1 +all",
			"bare.example":      "v=spf1 all",
			"broken.example":    "v=spf1 ip4:x",
			"small.example":     "v=spf1 include:mail.shop.example ?all",
		}}
		o := NewOrganizations(z)
		client := netip.MustParseAddr("192.0.2.7")
		ask := func(addr netip.Addr, from string) string {
			org, ok := o.Authenticated(t.Context(), addr, "h.example", from)
			if ok != (org != "") {
				t.Errorf("Authenticated(%s) = %q, %v", from, org, ok)
			}
			return org
		}
		for from, want := range map[string]string{
			"bob@mail.shop.example": "shop.example", "bob@small.example": "small.example", "bob@open.example": "", "bob@bare.example": "",
			"bob@broken.example": "", "bob@none.example": "", "": "", "bob": "", strings.Repeat("x", 400) + "@mail.shop.example": "",
		} {
			if got := ask(client, from); got != want {
				t.Errorf("Authenticated(%.40s) = %q, want %q", from, got, want)
			}
		}
		if got := ask(netip.MustParseAddr("198.51.100.1"), "bob@mail.shop.example"); got != "" {
			t.Errorf("another client is %q", got)
		}
		// What was found out is remembered for some minutes, a fault is not.
		asked := z.asked
		z.err = errors.New("SERVFAIL")
		ask(client, "bob@mail.shop.example")
		if ask(client, "bob@none.example"); z.asked != asked {
			t.Error("DNS was asked again")
		}
		time.Sleep(11 * time.Minute)
		if got := ask(client, "bob@mail.shop.example"); got != "" || z.asked == asked {
			t.Errorf("after its time it is %q, %d questions", got, z.asked-asked)
		}
		z.err = nil
		if got := ask(client, "bob@mail.shop.example"); got != "shop.example" {
			t.Errorf("after the fault it is %q", got)
		}
		for i := range 3 * maxSPFAnswers {
			ask(client, strings.Repeat("x", i%200)+"."+time.Duration(i).String()+"@none.example")
		}
		if n := len(o.young) + len(o.old); n > 2*maxSPFAnswers {
			t.Errorf("%d answers are remembered", n)
		}
	})
}

// TestGreylistRoundTrip goes through the server: who is asked to come back
// passes then, and with observe all answers are those of off.
func TestGreylistRoundTrip(t *testing.T) {
	const first = "DEFER_IF_PERMIT 4.2.0 greylisted: this sender is new here, try again in 300 seconds, from 2000-01-01 00:05:00 UTC on"
	for _, tc := range []struct {
		name   string
		change func(c *greylist.Config)
		want   []string
		facts  []string // of the journal, of each record
	}{
		{"enforce", func(*greylist.Config) {}, []string{first, first, "DUNNO", "DUNNO"}, []string{"greylist", "greylist", "greylist"}},
		{"observe", func(c *greylist.Config) { c.Observe = true }, []string{"DUNNO", "DUNNO", "DUNNO", "DUNNO"}, []string{"greylist would_have", "greylist", "greylist"}},
		{"off", func(c *greylist.Config) { c.Mode = greylist.Off }, []string{"DUNNO", "DUNNO", "DUNNO", "DUNNO"}, []string{"", "", ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := greylist.Default()
				tc.change(&cfg)
				list, err := greylist.New(cfg, greylist.Deps{State: &fakeCounters{}, Mailboxes: NewMailboxes(newAccounts(), "+")}, quiet)
				if err != nil {
					t.Fatal(err)
				}
				r := newRig(t, nil)
				r.server.gather.greylist = list
				c := r.smtpd(t)
				req := Request{ProtocolState: StateRcpt, Instance: "1", Client: Client{Addr: netip.MustParseAddr("192.0.2.7"), Port: 25},
					Envelope: Envelope{MailFrom: "bob@shop.example", RcptTo: "alice@example.org"}}
				got := []string{c.ask(req), c.ask(req)} // the service stands in two lists
				time.Sleep(6 * time.Minute)
				req.Instance = "2"
				got = append(got, c.ask(req))
				req.Instance = "3"
				got = append(got, c.ask(req))
				if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
					t.Errorf("answers\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
				}
				var facts []string
				for _, rec := range r.journal.records() {
					var keys []string
					for _, f := range rec.Facts {
						keys = append(keys, f.Key)
					}
					facts = append(facts, strings.Join(keys, " "))
				}
				if strings.Join(facts, ",") != strings.Join(tc.facts, ",") {
					t.Errorf("the journal has %q, want %q", facts, tc.facts)
				}
				_ = c.conn.Close()
				r.stop()
			})
		})
	}
}
