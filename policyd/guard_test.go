package policyd

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/unit"
)

// fakeGuard closes services to clients, and keeps what it is told.
type fakeGuard struct {
	mu     sync.Mutex // guards told
	told   []guard.Event
	closed map[string]guard.Decision // by client and service
}

func (g *fakeGuard) CheckClient(_ context.Context, addr netip.Addr, service string) guard.Decision {
	return g.closed[addr.String()+" "+service]
}

func (g *fakeGuard) Note(_ context.Context, e guard.Event) guard.Decision {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.told = append(g.told, e)
	return guard.Decision{}
}

// events are what it was told, as text.
func (g *fakeGuard) events() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []string
	for _, e := range g.told {
		out = append(out, string(e.Kind)+" "+e.Addr.String()+" "+e.User)
	}
	g.told = nil
	return strings.Join(out, "; ")
}

// until is when the bans of the tests end.
var until = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// guarded is a house with a guard that closes some clients out.
func guarded(t *testing.T, change func(*Config)) (*house, *fakeGuard) {
	t.Helper()
	h := newHouse(t, change)
	ban := guard.Ban{ID: "b7x", Until: until}
	g := &fakeGuard{closed: map[string]guard.Decision{
		"198.51.100.20 mx":         {Refuse: true, Ban: ban},
		"198.51.100.21 submission": {Refuse: true, Ban: ban},
		"198.51.100.22 mx":         {Observed: true, Ban: ban},
		"198.51.100.65 mx":         {Refuse: true, Ban: ban}, // a trusted host
		"127.0.0.1 mx":             {Refuse: true, Ban: ban},
		"198.51.100.23 mx":         {Refuse: true, Ban: ban}, // our own address
	}}
	s, err := New(h.cfg, Deps{Accounts: h.store, Limits: limit.New(h.counters), Journal: h.journal, Guard: g}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ln := newPipeListener()
	h.dial, h.server = ln.dial, s
	serve(t, s.Serve, ln)
	return h, g
}

// A stranger who is closed out of port 25 hears 421 with the ban and its end, a
// user 450; logins' bans do not close port 25, nor the other way round.
func TestGuardClosesClients(t *testing.T) {
	h, _ := guarded(t, all(unit.Off))
	with := func(client string, change func(*Request)) func(*Request) {
		return func(r *Request) {
			from(client)(r)
			if change != nil {
				change(r)
			}
		}
	}
	login := func(r *Request) { r.SASL.Username = "alice@example.org"; r.MailFrom = "alice@example.org" }
	for _, tc := range []struct {
		name string
		req  Request
		want string
	}{
		{"stranger", stranger("x@mx.example", "alice@example.org", with("198.51.100.20", nil)),
			"421 4.7.1 mail from 198.51.100.20 is not taken until 2030-01-02 03:05 UTC, ban b7x"},
		{"unknown recipient", stranger("x@mx.example", "nobody@example.org", with("198.51.100.20", nil)),
			"421 4.7.1 mail from 198.51.100.20 is not taken until 2030-01-02 03:05 UTC, ban b7x"},
		{"user", stranger("", "x@far.example", with("198.51.100.21", login)),
			"450 4.7.1 sending from 198.51.100.21 is not taken until 2030-01-02 03:05 UTC, ban b7x"},
		{"user behind an address that is closed on port 25", stranger("", "x@far.example", with("198.51.100.20", login)), "DUNNO"},
		{"stranger from where logins are closed", stranger("x@mx.example", "alice@example.org", with("198.51.100.21", nil)), "DUNNO"},
		{"observed", stranger("x@mx.example", "alice@example.org", with("198.51.100.22", nil)), "DUNNO"},
		{"trusted host", stranger("x@mx.example", "alice@example.org", with("198.51.100.65", nil)), "DUNNO"},
		{"this host", stranger("x@mx.example", "alice@example.org", with("127.0.0.1", nil)), "DUNNO"},
		{"our own address", stranger("x@mx.example", "alice@example.org", with("198.51.100.23", func(r *Request) { r.Server.Addr = r.Client.Addr })), "DUNNO"},
		{"a mail that goes on", stranger("x@mx.example", "", with("198.51.100.20", func(r *Request) { r.ProtocolState = StateData })), "DUNNO"},
		{"no address", stranger("x@mx.example", "alice@example.org", func(r *Request) { r.Client.Addr = netip.Addr{} }), "DUNNO"},
	} {
		if got := h.smtpd(t).ask(tc.req); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// In mode observe the answer is the usual one, and the journal has the other.
func TestGuardObserved(t *testing.T) {
	h, _ := guarded(t, nil)
	before := len(h.journal.records())
	if got := h.smtpd(t).ask(stranger("x@mx.example", "alice@example.org", from("198.51.100.22"))); got != "DUNNO" {
		t.Fatalf("the answer is %q, want DUNNO", got)
	}
	const want = "guard: 421 4.7.1 mail from 198.51.100.22 is not taken until 2030-01-02 03:05 UTC, ban b7x"
	for _, r := range h.journal.records()[before:] {
		for _, f := range r.Facts {
			if f.Key == "would_have" && f.Value == want {
				return
			}
		}
	}
	t.Errorf("the journal has %+v, want %q", h.journal.records()[before:], want)
}

// The guard hears of unknown recipients, and where it is asked for of relay
// attempts; neither of users, nor of bounces, nor of whom the configuration
// trusts. Whether they are refused is another setting.
func TestGuardHearsOfStrangers(t *testing.T) {
	for _, mode := range []unit.Mode{unit.Off, unit.Observe, unit.Enforce} {
		h, g := guarded(t, func(c *Config) {
			all(mode)(c)
			c.WatchRelayAttempts, c.OtherDomains = true, []string{"relayed.example"}
		})
		const client = " 198.51.100.9 "
		for _, tc := range []struct {
			name string
			req  Request
			want string
		}{
			{"unknown", stranger("x@mx.example", "Nobody@example.org", nil), "unknown-recipient" + client + "nobody@example.org"},
			{"known", stranger("x@mx.example", "alice@example.org", nil), ""},
			{"alias", stranger("x@mx.example", "sales@example.org", nil), ""},
			{"bounce", stranger("", "nobody@example.org", nil), ""},
			{"user", user("alice@example.org", "nobody@example.org"), ""},
			{"submission", stranger("x@mx.example", "nobody@example.org", func(r *Request) { r.PolicyContext = contextSubmission }), ""},
			{"trusted host", stranger("x@mx.example", "nobody@example.org", from("198.51.100.65")), ""},
			{"this host", stranger("x@mx.example", "nobody@example.org", from("127.0.0.1")), ""},
			{"relay", stranger("x@mx.example", "y@far.example", nil), "relay-attempt" + client + "y@far.example"},
			{"relay of a user", user("alice@example.org", "y@far.example"), ""},
			{"other domain of Postfix", stranger("x@mx.example", "y@Relayed.example", nil), ""},
			{"our host", stranger("x@mx.example", "root@mail.example.org", nil), ""},
			{"postmaster", stranger("x@mx.example", "postmaster", nil), ""},
			{"closed out already", stranger("x@mx.example", "nobody@example.org", from("198.51.100.20")), ""},
			{"at DATA", stranger("x@mx.example", "nobody@example.org", func(r *Request) { r.ProtocolState = StateData }), ""},
		} {
			c := h.smtpd(t)
			for range 3 { // Postfix asks once for each of its lists
				c.ask(tc.req)
			}
			if got := g.events(); got != tc.want {
				t.Errorf("%s, checks in mode %s: the guard heard %q, want %q", tc.name, mode, got, tc.want)
			}
		}
	}
	h, g := guarded(t, nil)
	h.smtpd(t).ask(stranger("x@mx.example", "y@far.example", nil))
	if got := g.events(); got != "" {
		t.Errorf("by default the guard heard %q of a recipient elsewhere", got)
	}
}

// A test of a request tells of a ban, and tells the guard nothing.
func TestGuardTrial(t *testing.T) {
	h, g := guarded(t, nil)
	req := stranger("x@mx.example", "nobody@example.org", from("198.51.100.20"))
	if got := h.server.Judge(t.Context(), &req, true, time.Now()); got.Rule != ruleGuard || got.Verdict != "defer" {
		t.Errorf("Judge() = %+v, want the ban", got)
	}
	req.Client.Addr = netip.MustParseAddr("198.51.100.9")
	h.server.Judge(t.Context(), &req, true, time.Now())
	if got := g.events(); got != "" {
		t.Errorf("the guard heard %q", got)
	}
}
