package policyd

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/srs"
)

const none = "NOTFOUND "

// srsAt returns SRS at a domain, with a key of the test.
func srsAt(t testing.TB, domain string) *srs.Live {
	t.Helper()
	r, err := srs.New(domain, secret.String("the key of this year"))
	if err != nil {
		t.Fatal(err)
	}
	live := &srs.Live{}
	live.Set(r)
	return live
}

// TestSRSRoundTrip: what goes forward comes back through the table, once, and
// nothing else does.
func TestSRSRoundTrip(t *testing.T) {
	live := srsAt(t, "srs.example.org")
	x := newTablesWith(t, nil, Deps{SRS: live})
	now := time.Now()
	for _, from := range []string{"bob@origin.example", "Bob+x=y@origin.example", `"a b"@origin.example`,
		"bounce-1234567890-" + strings.Repeat("a", 46) + "@newsletter.origin.example"} {
		a := addr(from)
		out := live.Forward(a, now)
		if got := x.ask(MapCanonical, out.String()); got != "OK "+from {
			t.Errorf("%s comes back as %q, want %s", out, got, from)
		}
		if got := x.ask(MapCanonical, strings.ToLower(out.String())); !strings.EqualFold(got, "OK "+from) {
			t.Errorf("%s in lower case comes back as %q", out, got)
		}
		if got := x.ask(MapCanonical, from); got != none {
			t.Errorf("%s is rewritten to %q", from, got)
		}
	}
	good := live.Forward(addr("bob@origin.example"), now).String()
	first := srsAt(t, "first.example").Forward(addr("bob@origin.example"), now)
	if got := x.ask(MapCanonical, live.Forward(first, now).String()); got != "OK "+first.String() {
		t.Errorf("a second hop comes back as %q, want %s", got, first)
	}
	for name, key := range map[string]string{
		"forged":             strings.Replace(good, "=bob@", "=eve@", 1),
		"another host's":     first.String(),
		"expired":            live.Forward(addr("bob@origin.example"), now.Add(-srs.MaxAge-48*time.Hour)).String(),
		"of the future":      live.Forward(addr("bob@origin.example"), now.Add(72*time.Hour)).String(),
		"without MAC":        "SRS0=origin.example=bob@srs.example.org",
		"bare domain":        "srs.example.org",
		"domain with at":     "@srs.example.org",
		"empty":              "",
		"control characters": good[:10] + "\x00" + good[10:],
		"very long":          strings.Repeat("a", 4000) + "@srs.example.org",
	} {
		if got := x.ask(MapCanonical, key); got != none {
			t.Errorf("%s: %.60q = %q, want NOTFOUND", name, key, got)
		}
	}
	if got := x.ask(MapDomains, "SRS.example.org"); got != "OK srs.example.org" {
		t.Errorf("the SRS domain = %q, want it to be ours", got)
	}
	if got := x.ask(MapMailboxes, good); got != none {
		t.Errorf("an SRS address has a mailbox: %q", got)
	}
	live.Set(nil)
	for _, q := range [][2]string{{MapCanonical, good}, {MapDomains, "srs.example.org"}} {
		if got := x.ask(q[0], q[1]); got != none {
			t.Errorf("switched off, %s %s = %q", q[0], q[1], got)
		}
	}
}

func TestSenderLogin(t *testing.T) {
	x := newTables(t, nil)
	a := x.accounts
	a.domains["all.example"] = true
	a.user("carol@all.example")
	a.alias("@all.example", "alice@example.org")
	a.alias("out@example.org", "alice@far.example")
	a.user("a b@example.org")
	a.alias("loop@example.org", "pool@example.org", "alice@example.org")
	a.alias("pool@example.org", "loop@example.org")
	for _, tc := range []struct{ key, want string }{
		{"alice@example.org", "OK alice@example.org"},
		{"ALICE+x@Example.org", "OK alice@example.org"},
		{"sales@example.org", "OK alice@example.org, bob@example.org"},
		{"sales+x@example.org", "OK alice@example.org, bob@example.org"},
		{"any@all.example", "OK alice@example.org"},
		{"carol@all.example", "OK carol@all.example"},
		{"loop@example.org", "OK alice@example.org"},
		{"a b@example.org", "PERM the owner's name has a blank or a comma"},
		{"out@example.org", none},
		{"nobody@example.org", none},
		{"alice@far.example", none},
		{"example.org", none},
		{"@example.org", none},
		{"alice", none},
		{"", none},
	} {
		if got := x.ask(MapSenderLogin, tc.key); got != tc.want {
			t.Errorf("%s %q = %q, want %q", MapSenderLogin, tc.key, got, tc.want)
		}
	}
	x.accounts.setHook(func(context.Context) error { return errors.New("database is locked") })
	if got := x.ask(MapSenderLogin, "alice@example.org"); got != "TEMP accounts are not available" {
		t.Errorf("with the store away = %q, want TEMP", got)
	}
}

// TestSenderLoginAsMaySend: the table and policyd are of one opinion.
func TestSenderLoginAsMaySend(t *testing.T) {
	x := newTables(t, nil)
	a := x.accounts
	a.domains["all.example"] = true
	a.user("carol@all.example")
	a.alias("@all.example", "sales@example.org")
	a.alias("bob+shop@example.org", "alice@example.org")
	a.alias("team@example.org", "sales+x@example.org", "any@all.example", "carol@all.example")
	users := []string{"alice@example.org", "bob@example.org", "carol@all.example"}
	for _, as := range append(users, "sales@example.org", "bob+shop@example.org", "bob+x@example.org", "team@example.org", "x@all.example", "x@example.org") {
		got := strings.Split(strings.TrimPrefix(x.ask(MapSenderLogin, as), "OK "), ", ")
		for _, u := range users {
			may, err := account.MaySend(t.Context(), a, addr(u), addr(as), "+")
			if err != nil {
				t.Fatal(err)
			}
			listed := false
			for _, g := range got {
				listed = listed || g == u
			}
			if listed != may {
				t.Errorf("%s owns %s: the table says %v of %v, MaySend %v", u, as, listed, got, may)
			}
		}
	}
}

// granting is an account store that knows who was granted what.
type granting struct{ *fakeAccounts }

func (granting) Grantees(_ context.Context, as mailaddr.Address) ([]mailaddr.Address, error) {
	switch as.LocalPart {
	case "sales":
		return []mailaddr.Address{addr("carol@all.example"), addr("bob@example.org")}, nil
	case "broken":
		return nil, errors.New("database is locked")
	case "": // all of the domain
		return []mailaddr.Address{addr("boss@all.example")}, nil
	}
	return nil, nil
}

func TestSenderLoginGrants(t *testing.T) {
	s, err := NewSocketmap(Default(), Deps{Accounts: granting{newAccounts()}}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"sales@example.org":   "alice@example.org, bob@example.org, carol@all.example, boss@all.example",
		"sales+x@example.org": "alice@example.org, bob@example.org, carol@all.example, boss@all.example",
		"any@far.example":     "boss@all.example",
		"broken@example.org":  "accounts are not available",
	} {
		if got := (*lookupTalk)(s).lookup(t.Context(), []byte(MapSenderLogin+" "+key)); got.Text != want {
			t.Errorf("%s = %+v, want %s", key, got, want)
		}
	}
}

func TestTransport(t *testing.T) {
	x := newTables(t, func(c *Config) {
		c.TransportMaps = []Route{
			{"Example.NET", "smtp:[gw.example.net]:25"},
			{".example.net", "smtp:[sub.example.net]"},
			{"VIP@example.net", "slow:"},
			{"a+b@example.net", "error:5.1.1 not here any more"},
		}
	})
	for _, tc := range []struct{ key, want string }{
		{"bob@example.net", "OK smtp:[gw.example.net]:25"},
		{"Vip@Example.net", "OK slow:"},
		{"vip+x@example.net", "OK slow:"},
		{"a+b@example.net", "OK error:5.1.1 not here any more"},
		{"a+c@example.net", "OK smtp:[gw.example.net]:25"},
		{"bob@x.example.net", "OK smtp:[sub.example.net]"},
		{"bob@y.x.example.net", "OK smtp:[sub.example.net]"},
		{"SRS0=" + strings.Repeat("a", 80) + "@example.net", "OK smtp:[gw.example.net]:25"},
		{"example.net", "OK smtp:[gw.example.net]:25"},
		{"x.example.net", "OK smtp:[sub.example.net]"},
		{"bob@myexample.net", none},
		{"bob@net", none},
		{"alice@example.org", none},
		{"*", none},
		{"", none},
		{"@example.net", none},
	} {
		if got := x.ask(MapTransport, tc.key); got != tc.want {
			t.Errorf("%s %q = %q, want %q", MapTransport, tc.key, got, tc.want)
		}
	}
	for _, bad := range [][]Route{
		{{"*", "smtp:[x]"}}, {{"", "smtp:[x]"}}, {{"a b.example", "smtp:[x]"}}, {{"@example.net", "smtp:[x]"}},
		{{"example.net", "relay"}}, {{"example.net", " smtp:"}}, {{"example.net", "smtp:\n"}},
		{{"example.net", "smtp:"}, {"Example.net", "smtp:"}},
	} {
		c := Default()
		c.TransportMaps = bad
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "transport_maps[") {
			t.Errorf("Validate(%v) = %v", bad, err)
		}
	}
}

// fixedTLS says the same of all but one.
type fixedTLS struct{}

func (fixedTLS) Find(_ context.Context, hop string) (string, error) {
	switch hop {
	case "quiet.example":
		return "", nil
	case "away.example":
		return "", errors.New("look up MX of away.example: i/o timeout")
	}
	return "secure match=" + hop, nil
}

func TestTLSPolicy(t *testing.T) {
	x := newTablesWith(t, nil, Deps{TLSPolicy: fixedTLS{}})
	for key, want := range map[string]string{
		"far.example":      "OK secure match=far.example",
		"[mx.example]:587": "OK secure match=[mx.example]:587",
		"quiet.example":    none,
		".far.example":     none,
		"":                 none,
		"away.example":     "TEMP the TLS policy is not known now",
	} {
		if got := x.ask(MapTLSPolicy, key); got != want {
			t.Errorf("%s %q = %q, want %q", MapTLSPolicy, key, got, want)
		}
	}
	if got := newTables(t, nil).ask(MapTLSPolicy, "far.example"); got != none {
		t.Errorf("without policies %q", got)
	}
}

func TestSRSConfig(t *testing.T) {
	for key, change := range map[string]func(*SRSConfig){
		"srs.domain":     func(c *SRSConfig) { c.Domain = "a b" },
		"srs.key_file":   func(c *SRSConfig) { c.KeyFile = "srs.keys" },
		"srs.per_target": func(c *SRSConfig) { c.PerTarget.Count = 0 },
	} {
		c := Default()
		change(&c.SRS)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("Validate() = %v, want a fault of %s", err, key)
		}
	}
	if err := Default().Validate(); err != nil {
		t.Errorf("Validate(Default()) = %v", err)
	}
}

// TestDomainAliases: a domain that is another name of one has the addresses that
// the other has, and no more.
func TestDomainAliases(t *testing.T) {
	x := newTables(t, nil)
	a := x.accounts
	for _, d := range []string{"name.example", "name2.example", "l1.example", "l2.example", "ext.example"} {
		a.domains[d] = true
	}
	a.user("carol@name.example")
	a.alias("@name.example", "@example.org")
	a.alias("@name2.example", "@name.example", "archive@far.example")
	a.alias("@l1.example", "@l2.example") // a loop that no store would take
	a.alias("@l2.example", "@l1.example")
	a.alias("@ext.example", "@far.example")
	for key, want := range map[string]string{
		"alice@name.example":   "OK alice@example.org",
		"Alice+X@name.example": "OK Alice+X@example.org",
		"sales@name.example":   "OK sales@example.org",
		"nobody@name.example":  none,
		"carol@name.example":   none,
		"alice@name2.example":  "OK alice@name.example, archive@far.example",
		"nobody@name2.example": "OK archive@far.example",
		"alice@l1.example":     none,
		"anybody@ext.example":  "OK anybody@far.example",
		"name.example":         none,
		"@name.example":        none,
	} {
		if got := x.ask(MapAliases, key); got != want {
			t.Errorf("%s %q = %q, want %q", MapAliases, key, got, want)
		}
	}
	if got := x.ask(MapSenderLogin, "alice@name2.example"); got != "OK alice@example.org" {
		t.Errorf("%s = %q", MapSenderLogin, got)
	}
}
