package policyd

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/srs"
	"github.com/gatepost/gatepost/internal/unit"
)

func TestDecideSRS(t *testing.T) {
	ends := time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC)
	for _, tc := range []struct {
		name  string
		state State
		from  string
		facts SRSFacts
		want  string // the action, "" for none
		rule  string
	}{
		{"no SRS", StateRcpt, "a@far.example", SRSFacts{}, "", ""},
		{"a bounce", StateRcpt, "", SRSFacts{Form: true, Valid: true}, "", ""},
		{"an ordinary sender", StateRcpt, "a@far.example", SRSFacts{Form: true, Valid: true}, "550 5.7.1 this address takes bounces only", ruleSRSSender},
		{"an ordinary sender to a forged one", StateRcpt, "a@far.example", SRSFacts{Form: true}, "550 5.7.1 this address takes bounces only", ruleSRSSender},
		{"a bounce to a forged one", StateRcpt, "", SRSFacts{Form: true}, "550 5.1.1 this address is not valid, or not any more", ruleSRSAddress},
		{"too many", StateRcpt, "", SRSFacts{Form: true, Valid: true, Full: true, Ends: ends},
			"450 4.7.1 too many bounces for this address; ends 2026-03-01 12:01 UTC", ruleSRSTarget},
		{"another state", StateVRFY, "a@far.example", SRSFacts{Form: true}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var v Verdict
			decideSRS(&v, Request{ProtocolState: tc.state, Envelope: Envelope{MailFrom: tc.from}}, tc.facts)
			got := ""
			if !v.Action.IsZero() {
				b, err := AppendReply(nil, v.Action)
				if err != nil {
					t.Fatal(err)
				}
				got = strings.TrimSuffix(strings.TrimPrefix(string(b), "action="), "\n\n")
			}
			if got != tc.want || v.Rule != tc.rule {
				t.Errorf("decideSRS() = %q by %q, want %q by %q", got, v.Rule, tc.want, tc.rule)
			}
		})
	}
}

func TestSRSFacts(t *testing.T) {
	live := srsAt(t, "srs.example.org")
	now := time.Now()
	good := live.Forward(addr("Bob@origin.example"), now).String()
	long := live.Forward(addr(strings.Repeat("b", 64)+"@newsletter.origin.example"), now).String()
	counters := &fakeCounters{}
	g := newSRSGate(Deps{SRS: live, Returned: counters}, quiet)
	rate := unit.Rate{Count: 2, Window: time.Hour}
	ask := func(instance, from, to string) SRSFacts {
		f := g.facts(t.Context(), &Request{ProtocolState: StateRcpt, Instance: instance, Envelope: Envelope{MailFrom: from, RcptTo: to}}, rate)
		f.Ends = time.Time{}
		return f
	}
	for _, tc := range []struct {
		name, instance, from, to string
		want                     SRSFacts
		counted                  int64
	}{
		{"another recipient", "1", "", "bob@example.org", SRSFacts{}, 0},
		{"another one of the domain", "1", "", "postmaster@srs.example.org", SRSFacts{}, 0},
		{"SRS of another domain", "1", "", "SRS0=x@far.example", SRSFacts{}, 0},
		{"a domain that ends so", "1", "", strings.Replace(good, "@srs.", "@xsrs.", 1), SRSFacts{}, 0},
		{"the domain alone", "1", "", "srs.example.org", SRSFacts{}, 0},
		{"forged", "1", "", "SRS0=AAAA=AA=origin.example=bob@srs.example.org", SRSFacts{Form: true}, 0},
		{"with a sender", "1", "a@far.example", good, SRSFacts{Form: true, Valid: true}, 0},
		{"a bounce", "2", "", good, SRSFacts{Form: true, Valid: true}, 1},
		{"the same in the next list", "2", "", good, SRSFacts{Form: true, Valid: true}, 1},
		{"in capitals, to another instance", "3", "", strings.ToUpper(good), SRSFacts{Form: true, Valid: true}, 2},
		{"one too many", "4", "", good, SRSFacts{Form: true, Valid: true, Full: true}, 2},
		{"the same again", "4", "", good, SRSFacts{Form: true, Valid: true, Full: true}, 2},
		{"the first one still passes", "2", "", good, SRSFacts{Form: true, Valid: true}, 2},
		{"another target, with a long local part", "4", "", long, SRSFacts{Form: true, Valid: true}, 3},
	} {
		if got := ask(tc.instance, tc.from, tc.to); got != tc.want || counters.total() != tc.counted {
			t.Errorf("%s: facts() = %+v, counted %d, want %+v, %d", tc.name, got, counters.total(), tc.want, tc.counted)
		}
	}
	counters.err = errors.New("disk full")
	if got := ask("9", "", good); got != (SRSFacts{Form: true, Valid: true}) {
		t.Errorf("with the state away facts() = %+v, want the bounce to pass", got)
	}
	var off *srs.Live
	g = newSRSGate(Deps{SRS: off}, quiet)
	if got := ask("1", "", good); got != (SRSFacts{}) {
		t.Errorf("switched off facts() = %+v", got)
	}
}

// TestSRSCountsOnce: many connections that ask about one recipient at once.
func TestSRSCountsOnce(t *testing.T) {
	live := srsAt(t, "srs.example.org")
	counters := &fakeCounters{}
	g := newSRSGate(Deps{SRS: live, Returned: counters}, quiet)
	good := live.Forward(addr("bob@origin.example"), time.Now()).String()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			req := Request{ProtocolState: StateRcpt, Instance: "1", Envelope: Envelope{RcptTo: good}}
			if f := g.facts(context.Background(), &req, unit.Rate{Count: 1, Window: time.Hour}); f.Full {
				t.Errorf("facts() = %+v", f)
			}
		})
	}
	wg.Wait()
	if counters.total() != 1 {
		t.Errorf("counted %d times", counters.total())
	}
}

// TestSRSRelayIsClosed asks the server over its protocol, with a domain that has
// mailboxes too, and with recipients that nobody has refused.
func TestSRSRelayIsClosed(t *testing.T) {
	live := srsAt(t, "example.org")
	cfg := Default()
	cfg.Checks.UnknownRecipient = unit.Enforce
	cfg.SRS.PerTarget = unit.Rate{Count: 2, Window: time.Hour}
	counters := &fakeCounters{}
	s, err := New(cfg, Deps{Accounts: newAccounts(), Limits: limit.New(counters), SRS: live, Returned: counters}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ln := newPipeListener()
	serve(t, s.Serve, ln)
	c := (&rig{dial: ln.dial}).smtpd(t)
	good := live.Forward(addr("bob@far.example"), time.Now()).String()
	forged := strings.Replace(good, "bob", "eve", 1)
	for i, tc := range []struct{ instance, from, to, user, want string }{
		{"1.1", "x@far.example", good, "", "550 5.7.1 this address takes bounces only"},
		{"1.2", "", forged, "", "550 5.1.1 this address is not valid, or not any more"},
		{"1.3", "", good, "", "DUNNO"},
		{"1.3", "", good, "", "DUNNO"},
		{"1.4", "alice@example.org", good, "alice@example.org", "550 5.7.1 this address takes bounces only"},
		{"1.5", "", good, "", "DUNNO"},
		{"1.6", "", good, "", "450 4.7.1 too many bounces for this address"},
		{"1.7", "", live.Forward(addr("ann@far.example"), time.Now()).String(), "", "DUNNO"},
		{"1.8", "x@far.example", "alice@example.org", "", "DUNNO"},
	} {
		req := Request{ProtocolState: StateRcpt, Instance: tc.instance, Envelope: Envelope{MailFrom: tc.from, RcptTo: tc.to},
			Client: Client{Addr: netip.MustParseAddr("198.51.100.7"), Port: 4321}}
		if tc.user != "" {
			req.SASL = SASL{Method: "PLAIN", Username: tc.user}
		}
		if got := c.ask(req); !strings.HasPrefix(got, tc.want) {
			t.Errorf("request %d from <%s> to %s = %q, want %q", i, tc.from, tc.to, got, tc.want)
		}
	}
}
