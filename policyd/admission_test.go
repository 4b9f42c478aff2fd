package policyd

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/unit"
)

// zone is a DNS that says what is in it, nothing of all else, and no answer for
// names below "away.example" and addresses in 203.0.113.0/24.
type zone struct{}

var errNoAnswer = errors.New("no answer")

func (zone) LookupMX(_ context.Context, name string) ([]resolver.MX, error) {
	switch {
	case strings.HasSuffix(name, "away.example"):
		return nil, errNoAnswer
	case name == "mx.example":
		return []resolver.MX{{Preference: 10, Host: "in.mx.example"}}, nil
	case name == "null.example":
		return []resolver.MX{{Host: "."}}, nil
	}
	return nil, nil
}

func (zone) LookupIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	if name == "a.example" {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	}
	return nil, nil
}

func (zone) LookupAddr(_ context.Context, a netip.Addr) ([]string, error) {
	if netip.MustParsePrefix("203.0.113.0/24").Contains(a) {
		return nil, errNoAnswer
	}
	return nil, nil
}

// awayStore is an account store that can be away.
type awayStore struct {
	*account.SQLite
	mu   sync.Mutex // guards away
	away bool
}

func (s *awayStore) set(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *awayStore) Domain(ctx context.Context, name string) (account.Domain, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return account.Domain{}, errNoAnswer
	}
	return s.SQLite.Domain(ctx, name)
}

// house is a server over a real account store.
type house struct {
	*rig
	store *awayStore
	log   *bytes.Buffer
}

// newHouse has example.org with alice and bob, the list team, and one entry of
// each kind.
func newHouse(t testing.TB, change func(*Config)) *house {
	t.Helper()
	sql, err := account.OpenSQLite(context.Background(), filepath.Join(t.TempDir(), "accounts.db"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sql.Close() })
	accounttest.Fill(t, sql, "example.org", "alice@example.org", "bob@example.org", "carol@example.org",
		"sales@example.org=bob@example.org,carol@example.org", "team@example.org=alice@example.org,guest@far.example",
		"old.example", "@old.example=@example.org", "open.example", "@open.example=alice@example.org", "far.old.example", "@far.old.example=@far.example",
		"all@example.org=alice@example.org", "board@example.org=alice@example.org", "odd+x@example.org=bob@example.org")
	ctx := context.Background()
	for addr, rule := range map[string]account.PostingRule{
		"team@example.org": account.PostMembers, "all@example.org": account.PostDomain, "board@example.org": account.PostModerators,
		"bob+shop@example.org": account.PostNobody,
	} {
		p := account.Posting{Addr: accounttest.Addr(t, addr), Rule: rule, Reason: "so it was said"}
		p.Moderators = append(p.Moderators, accounttest.Addr(t, "bob@example.org"), accounttest.Addr(t, "chair@far.example"))
		if err := sql.SetPosting(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range []access.Entry{
		{Deny: true, Name: "spam.example", Reason: "never again"},
		{Deny: true, Name: "192.0.2.0/24", Until: time.Now().Add(time.Hour)},
		{Name: "192.0.2.9"},
		{Deny: true, Name: "mx.example", For: "bob@example.org"},
		{Deny: true, Name: "rdns:*.dyn.example"},
		{Name: "example.org"}, {Name: "rdns:mx.friend.example"},
	} {
		if _, err := sql.AddAccess(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	h := &house{store: &awayStore{SQLite: sql}, log: &bytes.Buffer{}}
	h.rig = &rig{counters: &fakeCounters{}, journal: &fakeJournal{}, cfg: Default()}
	h.cfg.Hostname = "mail.example.org"
	if change != nil {
		change(&h.cfg)
	}
	log := slog.New(slog.NewTextHandler(&lockedWriter{w: h.log}, nil))
	h.server, err = New(h.cfg, Deps{Accounts: h.store, Limits: limit.New(h.counters), Journal: h.journal, Entries: access.NewCache(sql), DNS: zone{}}, log)
	if err != nil {
		t.Fatal(err)
	}
	ln := newPipeListener()
	h.dial = ln.dial
	h.stop = serve(t, h.server.Serve, ln)
	return h
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// stranger is a request of mx.example's server for alice.
func stranger(from, rcpt string, change func(*Request)) Request {
	req := Request{
		ProtocolState: StateRcpt,
		Client:        Client{Addr: netip.MustParseAddr("198.51.100.9"), Port: 25000, Name: "out.mx.example", ReverseName: "out.mx.example", Helo: "out.mx.example"},
		Envelope:      Envelope{MailFrom: from, RcptTo: rcpt},
		Instance:      "1.2.3",
	}
	if change != nil {
		change(&req)
	}
	return req
}

// all sets every mode of admission.
func all(mode unit.Mode) func(*Config) {
	return func(c *Config) {
		c.RejectUnauthenticatedLocalSender, c.AccessLists = mode, mode
		c.Checks = ChecksConfig{mode, mode, mode, mode, mode, mode, mode, 452}
		c.TrustedHosts = []TrustedHost{
			{Networks: []netaddr.Prefix{{Prefix: netip.MustParsePrefix("198.51.100.64/28")}}, Domains: []string{"example.org"}, Mode: mode},
			{Networks: []netaddr.Prefix{{Prefix: netip.MustParsePrefix("198.51.100.80/28")}}, Forwards: true},
		}
	}
}

// admissions are cases with everything enforced.
var admissions = []struct {
	name   string
	req    Request
	want   string
	rule   string
	logged string // in the log or the journal's hint
}{
	{name: "ordinary", req: stranger("x@mx.example", "alice@example.org", nil), want: "DUNNO"},
	{name: "null sender", req: stranger("", "alice@example.org", nil), want: "DUNNO"},
	{name: "no address", req: stranger("a b\\", "alice@example.org", nil), want: "DUNNO"},

	{"own sender of a stranger", stranger("bob@example.org", "alice@example.org", nil),
		"553 5.7.1 sender bob@example.org belongs to this server and has to log in", ruleLocalSender, "policyd.trusted_hosts"},
	{name: "own sender of a trusted host", req: stranger("bob@example.org", "alice@example.org", from("198.51.100.65")), want: "DUNNO"},
	{name: "own sender of a forwarder", req: stranger("bob@example.org", "alice@example.org", from("198.51.100.80")), want: "DUNNO"},
	{"trusted host at submission", stranger("x@mx.example", "alice@example.org", func(r *Request) {
		from("198.51.100.65")(r)
		r.PolicyContext = contextSubmission
	}), "553 5.7.1 this host may not send as x@mx.example", ruleTrustedHost, "its domains"},
	{name: "own sender of an allowed client", req: stranger("bob@example.org", "alice@example.org", func(r *Request) { r.Client.Name = "mx.friend.example" }),
		want: "553 5.7.1 sender bob@example.org belongs to this server and has to log in", rule: ruleLocalSender},

	{"denied domain", stranger("x@deep.spam.example", "alice@example.org", nil),
		"554 5.7.1 mail of this sender is not accepted here", "deny spam.example", "never again"},
	{"denied domain, too long", stranger(strings.Repeat("x", 100)+"@spam.example", "alice@example.org", nil),
		"554 5.7.1 mail of this sender is not accepted here", "deny spam.example", ""},
	{name: "sender in Unicode", req: stranger("x@bücher.example", "alice@example.org", nil), want: "DUNNO"},
	{"denied client", stranger("x@mx.example", "alice@example.org", from("192.0.2.7")),
		"554 5.7.1 mail of this sender is not accepted here until ", "deny 192.0.2.0/24", ""},
	{name: "allowed client", req: stranger("x@mx.example", "alice@example.org", from("192.0.2.9")), want: "DUNNO"},
	{"denied for bob", stranger("x@mx.example", "Bob@example.org", nil),
		"554 5.7.1 mail of this sender is not accepted for this recipient", "deny mx.example for bob@example.org", ""},
	{"denied name", stranger("x@a.example", "alice@example.org", func(r *Request) { r.Client.Name = "p7.dyn.example" }),
		"554 5.7.1 mail of this sender is not accepted here", "deny rdns:*.dyn.example", ""},

	{"bare address", stranger("x@mx.example", "alice@example.org", helo("198.51.100.9")), "550 5.7.1 HELO 198.51.100.9 is not a host name", ruleHeloIP, ""},
	{name: "own literal", req: stranger("x@mx.example", "alice@example.org", helo("[198.51.100.9]")), want: "DUNNO"},
	{"another's literal", stranger("x@mx.example", "alice@example.org", helo("[192.0.2.1]")), "550 5.7.1 HELO [192.0.2.1] is not a host name", ruleHeloIP, ""},
	{"our name", stranger("x@mx.example", "alice@example.org", helo("Mail.Example.ORG")), "550 5.7.1 HELO Mail.Example.ORG is the name of this server, not yours", ruleHeloOwnName, ""},
	{name: "our name from here", req: stranger("x@mx.example", "alice@example.org", func(r *Request) { helo("mail.example.org")(r); from("127.0.0.1")(r) }), want: "DUNNO"},
	{name: "our name from our address", req: stranger("x@mx.example", "alice@example.org", func(r *Request) {
		helo("mail.example.org")(r)
		r.Server.Addr = r.Client.Addr
	}), want: "DUNNO"},
	{"no name", stranger("x@mx.example", "alice@example.org", func(r *Request) { r.Client.Name, r.Client.ReverseName = "", "" }),
		"550 5.7.25 your address has no host name in the DNS", rulePTRMissing, ""},
	{name: "name not known by now", req: stranger("x@mx.example", "alice@example.org", func(r *Request) {
		r.Client.Name, r.Client.ReverseName = "", ""
		from("203.0.113.5")(r)
	}), want: "DUNNO"},
	{"sender without a server", stranger("x@none.example", "alice@example.org", nil),
		"550 5.1.8 no mail can be sent back to x@none.example: its domain has no mail server", ruleSenderDomain, ""},
	{"sender that takes none", stranger("x@null.example", "alice@example.org", nil),
		"550 5.7.27 no mail can be sent back to x@null.example: its domain says that it takes none", ruleSenderDomain, ""},
	{name: "sender with an address", req: stranger("x@a.example", "alice@example.org", nil), want: "DUNNO"},
	{name: "sender not known by now", req: stranger("x@b.away.example", "alice@example.org", nil), want: "DUNNO"},

	{"unknown recipient", stranger("x@mx.example", "nobody@example.org", nil), "550 5.1.1 nobody@example.org is not known here", ruleUnknownRecipient, ""},
	{name: "detail", req: stranger("x@mx.example", "alice+x@example.org", nil), want: "DUNNO"},
	{name: "alias", req: stranger("x@mx.example", "sales@example.org", nil), want: "DUNNO"},
	{name: "domain of another name", req: stranger("x@mx.example", "Alice+x@old.example", nil), want: "DUNNO"},
	{"unknown at a domain of another name", stranger("x@mx.example", "nobody@old.example", nil), "550 5.1.1 nobody@old.example is not known here", ruleUnknownRecipient, ""},
	{name: "catch-all", req: stranger("x@mx.example", "anybody@open.example", nil), want: "DUNNO"},
	{name: "domain that is another host's", req: stranger("x@mx.example", "anybody@far.old.example", nil), want: "DUNNO"},
	{name: "recipient elsewhere", req: stranger("x@mx.example", "nobody@far.example", nil), want: "DUNNO"},
	{"blocked tag", stranger("x@a.example", "Bob+Shop@example.org", nil), "550 5.1.1 Bob+Shop@example.org takes no mail any more", ruleListPosting, "so it was said"},
	{name: "another tag", req: stranger("x@a.example", "bob+book@example.org", nil), want: "DUNNO"},
	{"list of members", stranger("x@mx.example", "team@example.org", nil), "550 5.7.2 only its members may write to team@example.org", ruleListPosting, ""},
	{"member elsewhere", stranger("Guest@far.example", "team@example.org", off), "DUNNO", "", ""},
	{"member who did not log in", stranger("alice@example.org", "team@example.org", from("192.0.2.9")),
		"553 5.7.1 sender alice@example.org belongs to this server and has to log in", ruleLocalSender, ""},
	{name: "member", req: user("alice@example.org", "team@example.org"), want: "DUNNO"},
	{"no member", user("carol@example.org", "team@example.org"), "550 5.7.2 only its members may write to team@example.org", ruleListPosting, ""},
	{name: "moderator", req: user("bob@example.org", "team@example.org"), want: "DUNNO"},
	{name: "own domain", req: user("carol@example.org", "all@example.org"), want: "DUNNO"},
	{"domain from outside", stranger("x@mx.example", "all@example.org", nil), "550 5.7.2 only users of its own domain may write to all@example.org", ruleListPosting, ""},
	{"moderators only", user("alice@example.org", "board@example.org"), "550 5.7.2 only its moderators may write to board@example.org", ruleListPosting, ""},
	{name: "moderator elsewhere", req: stranger("Chair@far.example", "board@example.org", off), want: "DUNNO"},
}

// off takes a client that the checks of the sender's domain do not concern.
func off(r *Request) { from("198.51.100.80")(r) }

func from(client string) func(*Request) {
	return func(r *Request) { r.Client.Addr = netip.MustParseAddr(client) }
}

func helo(name string) func(*Request) { return func(r *Request) { r.Client.Helo = name } }

// user is a request of a logged-in user.
func user(login, rcpt string) Request {
	return stranger(login, rcpt, func(r *Request) { r.SASL.Username = login })
}

func TestAdmission(t *testing.T) {
	h := newHouse(t, all(unit.Enforce))
	for _, tc := range admissions {
		before := len(h.journal.records())
		got := h.smtpd(t).ask(tc.req)
		if got != tc.want && (!strings.HasSuffix(tc.want, "until ") || !strings.HasPrefix(got, tc.want)) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		records := h.journal.records()[before:]
		if tc.rule == "" {
			continue
		}
		if len(records) != 1 || records[0].Rule != tc.rule {
			t.Errorf("%s: journal has %+v, want rule %s", tc.name, records, tc.rule)
			continue
		}
		hint := ""
		for _, f := range records[0].Facts {
			if f.Key == "hint" {
				hint = f.Value
			}
		}
		if !strings.Contains(hint, tc.logged) {
			t.Errorf("%s: the journal's hint is %q, want %q", tc.name, hint, tc.logged)
		}
	}
}

// With every rule in mode observe the answers are those of mode off, and the
// journal has what would have been said.
func TestAdmissionObserved(t *testing.T) {
	watching, blind := newHouse(t, all(unit.Observe)), newHouse(t, all(unit.Off))
	for _, tc := range admissions {
		before := len(watching.journal.records())
		got, want := watching.smtpd(t).ask(tc.req), blind.smtpd(t).ask(tc.req)
		if got != want {
			t.Errorf("%s: %q in mode observe, %q in mode off", tc.name, got, want)
		}
		if tc.rule == "" {
			continue
		}
		found := false
		for _, r := range watching.journal.records()[before:] {
			for _, f := range r.Facts {
				found = found || f.Key == "would_have" && strings.HasPrefix(f.Value, tc.rule+": ")
			}
		}
		if !found {
			t.Errorf("%s: the journal does not say that %s would have acted", tc.name, tc.rule)
		}
	}
}

// A store that is away is 451 for a recipient that may be ours, where unknown
// recipients are refused, and nothing else changes.
func TestAdmissionStoreAway(t *testing.T) {
	h := newHouse(t, all(unit.Enforce))
	h.store.set(true)
	if got := h.smtpd(t).ask(stranger("x@mx.example", "alice@example.org", nil)); got != "451 4.3.0 temporary fault here, please try again later" {
		t.Errorf("the answer is %q, want 451", got)
	}
	if got := h.smtpd(t).ask(stranger("x@spam.example", "alice@example.org", nil)); !strings.HasPrefix(got, "554 ") {
		t.Errorf("the answer to a denied sender is %q, want 554 from memory", got)
	}
	lax := newHouse(t, func(c *Config) { all(unit.Enforce)(c); c.Checks.UnknownRecipient = unit.Off })
	lax.store.set(true)
	for _, rcpt := range []string{"alice@example.org", "team@example.org", "nobody@example.org"} {
		if got := lax.smtpd(t).ask(stranger("x@mx.example", rcpt, nil)); got != "DUNNO" {
			t.Errorf("the answer for %s is %q, want DUNNO", rcpt, got)
		}
	}
}

// The user reads one sentence; the administrator reads whose the address is and
// what grants it, and after that command the mail passes.
func TestRightsHintAndGrant(t *testing.T) {
	h := newHouse(t, nil)
	req := user("alice@example.org", "x@far.example")
	req.MailFrom = "sales@example.org"
	const text = "553 5.7.1 user alice@example.org may not send as sales@example.org; the administrator of this server can grant it"
	if got := h.smtpd(t).ask(req); got != text {
		t.Errorf("the answer is %q, want %q", got, text)
	}
	h.stop()
	const hint = "sales@example.org belongs to bob@example.org, carol@example.org; to grant it: gatepost user grant alice@example.org --send-as sales@example.org"
	if !strings.Contains(h.log.String(), hint) {
		t.Errorf("the log has no %q:\n%s", hint, h.log)
	}

	h = newHouse(t, nil)
	if err := h.store.AddGrant(t.Context(), accounttest.Addr(t, "alice@example.org"), accounttest.Addr(t, "sales@example.org")); err != nil {
		t.Fatal(err)
	}
	for _, as := range []string{"sales@example.org", "Sales+june@example.org"} {
		req.MailFrom = as
		if got := h.smtpd(t).ask(req); got != "DUNNO" {
			t.Errorf("after the grant, %s: %q, want DUNNO", as, got)
		}
	}
}

// An entry holds from the next request on, and no more once it is removed.
func TestEntriesHoldAtOnce(t *testing.T) {
	h := newHouse(t, nil)
	c := h.smtpd(t)
	e := access.Entry{Deny: true, Name: "out.mx.example"}
	e.Name = "rdns:" + e.Name
	ask := func(n string) string {
		return c.ask(stranger("x@mx.example", "alice@example.org", func(r *Request) { r.Instance = n }))
	}
	if got := ask("1"); got != "DUNNO" {
		t.Errorf("before: %q", got)
	}
	if _, err := h.store.AddAccess(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if got := ask("2"); !strings.HasPrefix(got, "554 ") {
		t.Errorf("after deny add: %q", got)
	}
	if err := h.store.RemoveAccess(t.Context(), true, e.Name, ""); err != nil {
		t.Fatal(err)
	}
	if got := ask("3"); got != "DUNNO" {
		t.Errorf("after deny remove: %q", got)
	}
}
