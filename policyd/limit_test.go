package policyd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// limits sets the limits of a configuration.
func limits(l ...limit.Limit) func(*Config) { return func(c *Config) { c.Limits = l } }

// fromOutside is a request for mail from outside.
func fromOutside(s State, instance string, count int64) Request {
	r := Request{
		ProtocolState: s, Instance: instance,
		Client:   Client{Addr: netip.MustParseAddr("203.0.113.9"), Port: 1025},
		Envelope: Envelope{MailFrom: "x+y@example.net", RcptTo: "alice@example.org", RecipientCount: count},
	}
	return r
}

func TestInboundLimit(t *testing.T) {
	r := newRig(t, limits(limit.Limit{Name: "client", By: limit.ByClient, Of: limit.Messages, Rate: limit.Per(2, time.Hour)}))
	c := r.smtpd(t)
	const refused = "450 4.7.1 limit client: 2 of 2 messages in 1h used by 203.0.113.9; ends "
	for i := range 3 {
		instance := fmt.Sprint(i)
		want := "DUNNO"
		if i == 2 {
			want = refused
		}
		for range 4 { // four restriction lists
			if got := c.ask(fromOutside(StateRcpt, instance, 0)); !strings.HasPrefix(got, want) {
				t.Fatalf("mail %d got %q, want %q", i, got, want)
			}
		}
		for _, s := range []State{StateData, StateEndOfMessage} {
			if got := c.ask(fromOutside(s, instance, 1)); !strings.HasPrefix(got, want) {
				t.Fatalf("%s of mail %d got %q, want %q", s, i, got, want)
			}
		}
	}
	if n := r.counters.total(); n != 2 {
		t.Errorf("%d counted, want 2", n)
	}
}

// TestRecipientsOfTheInstance counts by what RCPT told, at DATA.
func TestRecipientsOfTheInstance(t *testing.T) {
	r := newRig(t, limits(
		limit.Limit{Name: "domain", By: "user,recipient_domain", Rate: limit.Per(3, time.Hour)},
		limit.Limit{Name: "distinct", Of: limit.DistinctRecipients, Rate: limit.Per(5, time.Hour)}))
	c := r.smtpd(t)
	rcpt, data := mail("1", 5)
	want := []string{"DUNNO", "DUNNO", "DUNNO", "450 4.7.1 limit domain: 0 of 3 recipients in 1h used by alice@example.org,example.net and 3 by this mail", "DUNNO"}
	for i, w := range want {
		req := rcpt(i)
		if i == 4 {
			req.RcptTo = "Other+detail@Example.COM"
		}
		if got := c.ask(req); !strings.HasPrefix(got, w) {
			t.Errorf("recipient %d got %q, want %q", i, got, w)
		}
	}
	data.RecipientCount = 4
	if got := c.ask(data); got != "DUNNO" {
		t.Fatalf("DATA got %q", got)
	}
	r.counters.mu.Lock()
	used := fmt.Sprint(r.counters.used)
	r.counters.mu.Unlock()
	if want := "map[limit/domain/1h/user,recipient_domain/alice@example.org\nexample.com:1 limit/domain/1h/user,recipient_domain/alice@example.org\nexample.net:3]"; used != want {
		t.Errorf("counted %q, want %q", used, want)
	}
	rcpt, data = mail("2", 1) // known recipients are not distinct ones again
	other := rcpt(0)
	other.RcptTo = "other@example.com"
	for i := range 2 {
		req := other
		req.RcptTo = fmt.Sprintf("n%d@n%d.example", i, i)
		want := "DUNNO"
		if i == 1 {
			want = "450 4.7.1 limit distinct: 4 of 5 distinct recipients in 1h used by alice@example.org and 1 by this mail"
		}
		if got := c.ask(req); !strings.HasPrefix(got, want) {
			t.Errorf("new recipient %d got %q, want %q", i, got, want)
		}
		if got := c.ask(other); got != "DUNNO" {
			t.Errorf("known recipient got %q", got)
		}
	}
}

// acquainted knows some recipients.
type acquainted map[string]bool

func (a acquainted) Wrote(_ context.Context, _, rcpt mailaddr.Address) (bool, error) {
	if rcpt.LocalPart == "broken" {
		return false, errors.New("disk gone")
	}
	return a[rcpt.String()], nil
}

func TestNewRecipients(t *testing.T) {
	r := newRig(t, limits(limit.Limit{Name: "new", Of: limit.NewRecipients, Rate: limit.Per(1, time.Hour)}))
	r.server.gather.known = acquainted{"friend@example.net": true}
	c := r.smtpd(t)
	for _, tc := range []struct{ rcpt, want string }{
		{"friend+x@example.net", "DUNNO"}, {"broken@example.net", "DUNNO"}, {"a@example.net", "DUNNO"},
		{"b@example.net", "450 4.7.1 limit new: 0 of 1 new recipients in 1h used by alice@example.org and 1 by this mail"},
	} {
		req := outbound(StateRcpt, "alice@example.org")
		req.RcptTo = tc.rcpt
		if got := c.ask(req); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s got %q, want %q", tc.rcpt, got, tc.want)
		}
	}
	data := outbound(StateData, "alice@example.org")
	data.RecipientCount = 3
	if got := c.ask(data); got != "DUNNO" || r.counters.total() != 1 {
		t.Errorf("DATA got %q, counted %d, want 1", got, r.counters.total())
	}
}

// TestBytes takes the claim at DATA, and the real size at END-OF-MESSAGE.
func TestBytes(t *testing.T) {
	rate := limit.Rates{{Count: 1000, Window: time.Hour, Bytes: true}}
	for _, tc := range []struct {
		name       string
		claim, end int64
		want       string
		counted    int64 // with 1 for the recipient
	}{
		{"as claimed", 600, 600, "DUNNO", 601},
		{"no claim", 0, 600, "DUNNO", 601},
		{"smaller", 600, 200, "DUNNO", 201},
		{"larger", 100, 900, "DUNNO", 901},
		{"too large after all", 600, 1001, "550 5.7.1 limit traffic: 0B of 1000B in 1h used by alice@example.org, this mail has 1001B", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, limits(limit.Limit{Name: "rcpts", Rate: limit.Per(9, time.Hour)}, limit.Limit{Name: "traffic", Of: limit.Bytes, Rate: rate}))
			c := r.smtpd(t)
			_, data := mail("1", 1)
			data.Size = tc.claim
			if got := c.ask(data); got != "DUNNO" {
				t.Fatalf("DATA got %q", got)
			}
			data.ProtocolState, data.Size = StateEndOfMessage, tc.end
			for range 2 {
				if got := c.ask(data); !strings.HasPrefix(got, tc.want) {
					t.Errorf("END-OF-MESSAGE got %q, want %q", got, tc.want)
				}
			}
			if n := r.counters.total(); n != tc.counted {
				t.Errorf("counted %d, want %d", n, tc.counted)
			}
		})
	}
}

func TestProfiles(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Limits = []limit.Limit{
			{Name: "a", By: limit.ByClient, Rate: limit.Per(1, time.Hour), Direction: limit.Outbound},
			{Name: "b", Rate: limit.Per(2, time.Hour)},
		}
		c.Rules = []Rule{{Name: "no", Action: "REJECT no", When: When{ProtocolState: "DATA"}}}
		c.Profiles = map[string]Profile{
			"":         {Rules: unit.Off},
			"relay":    {Outbound: true, Limits: &[]string{"a"}, Rules: unit.Off},
			"lists":    {Limits: &[]string{}, RejectSenderLoginMismatch: unit.Off, Rules: unit.Off},
			"checked":  {Rules: unit.Enforce},
			"bounces":  {RejectNullSender: unit.Off, Limits: &[]string{"b"}},
			"observes": {RejectSenderLoginMismatch: unit.Observe, Rules: unit.Off},
		}
	})
	c := r.smtpd(t)
	for i, tc := range []struct{ context, user, from, want string }{
		{"relay", "", "x@example.net", "DUNNO"},
		{"relay", "", "x@example.net", "450 4.7.1 limit a: 1 of 1"},
		{"lists", "alice@example.org", "x@example.net", "DUNNO"},
		{"checked", "alice@example.org", "alice@example.org", "REJECT no"},
		{"", "alice@example.org", "x@example.net", "553"},
		{"observes", "alice@example.org", "x@example.net", "450 4.7.1 limit a"},
		{"bounces", "alice@example.org", "", "REJECT no"},
		{"", "", "x@example.net", "DUNNO"},
	} {
		req := outbound(StateData, tc.from)
		req.Instance, req.PolicyContext, req.SASL.Username, req.RecipientCount = fmt.Sprint(i), tc.context, tc.user, 1
		if got := c.ask(req); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%d: %+v got %q", i, tc, got)
		}
	}
}

// TestObservedLimitAnswersLikeOff plays the same mails to three servers.
func TestObservedLimitAnswersLikeOff(t *testing.T) {
	answers := func(mode unit.Mode, of limit.Of) (string, *rig) {
		rate := limit.Rates{{Count: 2, Window: time.Hour, Bytes: of == limit.Bytes}}
		r := newRig(t, limits(limit.Limit{Name: "x", Of: of, Mode: mode, Rate: rate}))
		r.server.gather.known = acquainted{}
		c := r.smtpd(t)
		var out []string
		for i := range 3 {
			rcpt, data := mail(fmt.Sprint(i), 2)
			data.Size = 100
			out = append(out, c.ask(rcpt(2*i)), c.ask(rcpt(2*i+1)), c.ask(data))
		}
		return strings.Join(out, "|"), r
	}
	for _, of := range []limit.Of{limit.Recipients, limit.Messages, limit.Bytes, limit.DistinctRecipients, limit.NewRecipients} {
		off, _ := answers(unit.Off, of)
		observed, r := answers(unit.Observe, of)
		if enforced, _ := answers(unit.Enforce, of); observed != off || enforced == off {
			t.Errorf("%s: off %q, observe %q, enforce %q", of, off, observed, enforced)
		}
		if !slices.ContainsFunc(r.journal.records(), func(rec journal.Record) bool {
			return slices.ContainsFunc(rec.Facts, func(f journal.Fact) bool {
				return f.Key == "would_have" && strings.HasPrefix(f.Value, "limit x: ")
			})
		}) {
			t.Errorf("%s: no record says what would have been refused", of)
		}
	}
}

// TestTold tells of a limit once for each key.
func TestTold(t *testing.T) {
	var told []string
	r := newRig(t, twenty)
	r.server.gather.notice = r.server.notice(func(_ context.Context, e limit.Event) {
		told = append(told, fmt.Sprintf("%s %s %d/%d", e.Limit, e.User, e.Used, e.Of))
	})
	c := r.smtpd(t)
	for i, user := range []string{"alice@example.org", "alice@example.org", "bob@example.org"} {
		_, data := mail(fmt.Sprint(i), 21)
		data.SASL.Username, data.MailFrom = user, user
		if got := c.ask(data); !strings.HasPrefix(got, "550") {
			t.Fatalf("got %q", got)
		}
	}
	if want := []string{"outgoing alice@example.org 0/20", "outgoing bob@example.org 0/20"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// TestSlowRequest lets the time of a request pass, for mail of both directions.
func TestSlowRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) {
			c.Limits = []limit.Limit{{Name: "client", By: limit.ByClient, Rate: limit.Per(9, time.Hour)}}
			c.DefaultAction = "421 4.3.2 come back later"
		})
		r.counters.hook = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		c := r.smtpd(t)
		if got := c.ask(fromOutside(StateRcpt, "1", 0)); got != "DUNNO" {
			t.Errorf("inbound got %q, want DUNNO", got)
		}
		if got := c.ask(outbound(StateRcpt, "alice@example.org")); got != "421 4.3.2 come back later" {
			t.Errorf("outbound got %q, want the configured action", got)
		}
		r.counters.hook = nil
		if got := c.ask(outbound(StateRcpt, "alice@example.org")); got != "DUNNO" {
			t.Errorf("the same with the store back got %q, want DUNNO", got)
		}
		r.stop()
	})
}

func TestUncounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := newRig(t, nil)
		r.server.log = slog.New(slog.NewTextHandler(&log, nil))
		c := r.smtpd(t)
		_, data := mail("1", 1)
		data.QueueID = "4GOOD"
		c.ask(data)
		early := time.Now().Add(-time.Hour)
		time.Sleep(time.Second)
		for _, m := range []Message{
			{QueueID: "4GOOD", Outbound: true, Began: time.Now()},
			{QueueID: "4EARLY", Outbound: true, Began: early},
			{QueueID: "4IN", Began: time.Now()}, // no limit concerns it
			{Outbound: true, Began: time.Now()},
		} {
			r.server.Ended(t.Context(), m)
		}
		if got := r.server.Uncounted(); len(got) != 0 || log.Len() > 0 {
			t.Fatalf("Uncounted() = %+v, log %q, want nothing", got, log.String())
		}
		for range 3 {
			r.server.Ended(t.Context(), Message{QueueID: "4BAD", Outbound: true, Began: time.Now()})
		}
		got := r.server.Uncounted()
		if len(got) != 1 || got[0].QueueID != "4BAD" || got[0].Count != 3 || !strings.Contains(got[0].Remedy, "smtpd_end_of_data_restrictions") {
			t.Errorf("Uncounted() = %+v", got)
		}
		if n := strings.Count(log.String(), "not counted"); n != 1 || !strings.Contains(log.String(), "policy_context=submission") {
			t.Errorf("log %q, want one warning with the line to add", log.String())
		}
		time.Sleep(24*time.Hour + time.Second)
		if got := r.server.Uncounted(); len(got) != 0 {
			t.Errorf("Uncounted() a day later = %+v", got)
		}
		r.server.Ended(t.Context(), Message{QueueID: "4BAD", Outbound: true, Began: time.Now()})
		if n := strings.Count(log.String(), "not counted"); n != 2 {
			t.Errorf("%d warnings, want one a day", n)
		}
		_ = c.conn.Close()
		r.stop()
	})
}

// TestExactUnderLoad sends from sixteen connections, with the real store.
func TestExactUnderLoad(t *testing.T) {
	store, err := state.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "state.db"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	cfg := Default()
	cfg.Limits = []limit.Limit{
		{Name: "user", Rate: limit.Per(50, time.Hour)}, {Name: "network", By: limit.ByClientNetwork, Rate: limit.Per(70, time.Hour)},
	}
	s, err := New(cfg, Deps{Accounts: newAccounts(), Limits: limit.New(store)}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{server: s}
	ln := newPipeListener()
	r.dial = ln.dial
	serve(t, s.Serve, ln)
	var passed [2]atomic.Int64
	var wg sync.WaitGroup
	for n := range 16 {
		c := r.smtpd(t)
		wg.Go(func() {
			for i := range 20 {
				user := []string{"alice@example.org", "bob@example.org"}[n%2]
				_, data := mail(fmt.Sprint(n, "-", i), 1)
				data.MailFrom, data.SASL.Username = user, user
				if c.ask(data) == "DUNNO" {
					passed[n%2].Add(1)
				}
			}
		})
	}
	wg.Wait()
	a, b := passed[0].Load(), passed[1].Load()
	if a > 50 || b > 50 || a+b != 70 {
		t.Errorf("%d and %d mails passed, want at most 50 each and 70 in all", a, b)
	}
}

// BenchmarkIdleConnections is what a thousand connections cost that have asked
// once.
func BenchmarkIdleConnections(b *testing.B) {
	const conns = 1000
	r := newRig(b, func(c *Config) { c.MaxConnections = 2 * conns })
	ln := unixListener(b)
	serve(b, r.server.Serve, ln)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		open := make([]net.Conn, conns)
		buf := make([]byte, 100)
		one := []byte(usualRequest("alice@example.org", "1"))
		for i := range open {
			c, err := net.Dial("unix", ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			open[i] = c
			if _, err := c.Write(one); err != nil {
				b.Fatal(err)
			}
			if _, err := c.Read(buf); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/1e6, "MB/1000conns")
		for _, c := range open {
			_ = c.Close()
		}
	}
}

// TestRefusedRecipientsHideNobody: recipients that Postfix refused after us do
// not take the place of those that it took.
func TestRefusedRecipientsHideNobody(t *testing.T) {
	r := newRig(t, limits(limit.Limit{Name: "distinct", Of: limit.DistinctRecipients, Rate: limit.Per(4, time.Hour)}))
	c := r.smtpd(t)
	for i, want := range []string{"DUNNO", "450 4.7.1 limit distinct: 4 of 4 distinct recipients in 1h"} {
		rcpt, data := mail(fmt.Sprint(i), 2)
		for j := range 6 { // two that Postfix does not take, in turn
			req := rcpt(0)
			req.RcptTo = fmt.Sprintf("refused%d@example.net", j%2)
			if got := c.ask(req); got != "DUNNO" {
				t.Fatalf("refused recipient got %q", got)
			}
		}
		for j := range 2 {
			req := rcpt(0)
			req.RcptTo = fmt.Sprintf("taken%d.%d@example.net", i, j)
			if got := c.ask(req); !strings.HasPrefix(got, want) {
				t.Errorf("recipient %d of mail %d got %q, want %q", j, i, got, want)
			}
		}
		if i == 0 {
			if got := c.ask(data); got != "DUNNO" {
				t.Errorf("DATA got %q", got)
			}
		}
	}
}
