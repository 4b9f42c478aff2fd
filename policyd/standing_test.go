package policyd

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// standingHouse counts messages by user, three an hour, one for strangers' group.
func standingHouse(t *testing.T) (*house, *account.Limits) {
	t.Helper()
	h := newHouse(t, func(c *Config) {
		c.Limits = []limit.Limit{{Name: "mails", Of: limit.Messages, Rate: limit.Per(3, time.Hour),
			Overrides: []limit.Override{
				{For: []string{"group:interns"}, Rate: limit.Per(1, time.Hour)},
				{For: []string{"bob@example.org"}, Rate: limit.Per(2, time.Hour)},
			}}}
	})
	l := account.NewLimits(h.store.SQLite)
	s, err := New(h.cfg, Deps{Accounts: h.store, Limits: limit.New(h.counters), Journal: h.journal, Standings: l}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ln := newPipeListener()
	h.dial, h.server = ln.dial, s
	serve(t, s.Serve, ln)
	return h, l
}

// said returns what the limit says of one who sends a mail more than may be.
func (h *house) said(t *testing.T, login string) string {
	t.Helper()
	req := user(login, "x@far.example")
	for range 50 {
		req.Instance = "1." + strconv.Itoa(len(h.journal.records())) // one for each mail
		req.ProtocolState, req.RecipientCount = StateData, 1
		if got := h.smtpd(t).ask(req); got != "DUNNO" {
			said, _, _ := strings.Cut(got, " in ")
			return said
		}
	}
	return "no limit"
}

// The rates of the account store go user, group, domain; below them come the
// overrides of the configuration, above them what was set by hand for the key.
func TestStandingPrecedence(t *testing.T) {
	h, l := standingHouse(t)
	ctx := t.Context()
	set := func(s account.Subject, rate string) {
		t.Helper()
		if err := l.SetRate(ctx, account.LimitRate{Subject: s, Limit: "mails", Rate: rate}); err != nil {
			t.Fatal(err)
		}
	}
	group := func(name string, users ...string) {
		t.Helper()
		g := account.Group{Name: name}
		for _, u := range users {
			g.Users = append(g.Users, accounttest.Addr(t, u))
		}
		if err := l.AddToGroup(ctx, g); err != nil {
			t.Fatal(err)
		}
	}
	const alice, bob, carol = "alice@example.org", "bob@example.org", "carol@example.org"
	check := func(step, login, want string) {
		t.Helper()
		if got := h.said(t, login); got != "450 4.7.1 limit mails: "+want+" messages" {
			t.Errorf("%s: %s hears %q, want %s", step, login, got, want)
		}
		h.counters.mu.Lock()
		h.counters.used = nil
		h.counters.mu.Unlock()
	}
	check("nothing is stored", alice, "3 of 3")
	check("an override of the configuration", bob, "2 of 2")
	group("interns", carol)
	check("an override for a group of the store", carol, "1 of 1")
	set(account.Subject{Domain: "example.org"}, "7/1h")
	check("of the domain", alice, "7 of 7")
	check("of the domain, before the configuration", bob, "7 of 7")
	group("staff", alice, bob)
	set(account.Subject{Group: "staff"}, "6/1h")
	check("of the group", bob, "6 of 6")
	check("of the domain, not in the group", carol, "7 of 7")
	set(account.Subject{User: accounttest.Addr(t, alice)}, "5/1h")
	check("of the user", alice, "5 of 5")
	set(account.Subject{User: accounttest.Addr(t, alice)}, "1GB/1d") // once the limit counted bytes
	check("a rate that the limit cannot have", alice, "6 of 6")
}

// deafStandings is away.
type deafStandings struct{}

func (deafStandings) Standing(context.Context, mailaddr.Address) (account.Standing, error) {
	return account.Standing{}, errNoAnswer
}

// Where the store does not say whose rates hold, a user's mail waits: a stricter
// rate than the limit's own may be among them.
func TestStandingAway(t *testing.T) {
	r := newRig(t, nil)
	s, err := New(r.cfg, Deps{Accounts: r.accounts, Limits: limit.New(r.counters), Journal: r.journal, Standings: deafStandings{}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ln := newPipeListener()
	r.dial = ln.dial
	serve(t, s.Serve, ln)
	if got := r.smtpd(t).ask(outbound(StateRcpt, "alice@example.org")); !strings.HasPrefix(got, "451 4.3.0 ") {
		t.Errorf("the answer is %q, want 451", got)
	}
	if got := r.smtpd(t).ask(stranger("x@mx.example", "alice@example.org", nil)); got != "DUNNO" {
		t.Errorf("a stranger hears %q, want DUNNO", got)
	}
}

// A hold that begins within a transaction is seen by the next request, also of
// the same login on the same connection.
func TestHoldIsSeenAtOnce(t *testing.T) {
	h := newHouse(t, nil)
	c := h.smtpd(t)
	req := user("alice@example.org", "x@far.example")
	if got := c.ask(req); got != "DUNNO" {
		t.Fatalf("before: %q", got)
	}
	if err := h.store.SetHeld(t.Context(), accounttest.Addr(t, "alice@example.org"), true); err != nil {
		t.Fatal(err)
	}
	req.RcptTo = "y@far.example"
	if got := c.ask(req); !strings.HasPrefix(got, "451 ") {
		t.Errorf("after the hold: %q, want 451", got)
	}
}
