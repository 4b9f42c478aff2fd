package policyd

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/unit"
)

// deafDNS never answers.
type deafDNS struct{}

func (deafDNS) LookupMX(ctx context.Context, _ string) ([]resolver.MX, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (deafDNS) LookupIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (deafDNS) LookupAddr(ctx context.Context, _ netip.Addr) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A stranger's request that is late passes, but for one reason: unknown
// recipients are refused, and it was the account store that did not say whether
// somebody has this one.
func TestLateInbound(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	const away = "451 4.3.0 temporary fault here, please try again later"
	for _, tc := range []struct {
		name           string
		unknown        unit.Mode
		accounts, dns  bool // do not answer
		rcpt           string
		want, wantRule string
	}{
		{"store hangs, unknown recipients are refused", unit.Enforce, true, false, "alice@example.org", away, ruleAccounts},
		{"store hangs, unknown recipients are watched", unit.Observe, true, false, "alice@example.org", "DUNNO", ""},
		{"store hangs, unknown recipients pass", unit.Off, true, false, "nobody@example.org", "DUNNO", ""},
		{"DNS hangs, the recipient is known", unit.Enforce, false, true, "alice@example.org", "DUNNO", ""},
		{"DNS hangs, the recipient is unknown", unit.Enforce, false, true, "nobody@example.org",
			"550 5.1.1 nobody@example.org is not known here", ruleUnknownRecipient},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &rig{accounts: newAccounts(), counters: &fakeCounters{}, journal: &fakeJournal{}, cfg: Default()}
				r.cfg.RequestTimeout = unit.Duration(time.Second) // less than a check waits for the DNS
				r.cfg.Checks.UnknownRecipient = tc.unknown
				deps := Deps{Accounts: r.accounts, Limits: limit.New(r.counters), Journal: r.journal}
				if tc.dns {
					r.cfg.Checks.SenderDomainMissing, r.cfg.Checks.PTRMissing = unit.Enforce, unit.Enforce
					deps.DNS = deafDNS{}
				}
				s, err := New(r.cfg, deps, quiet)
				if err != nil {
					t.Fatal(err)
				}
				ln := newPipeListener()
				r.dial, r.stop = ln.dial, serve(t, s.Serve, ln)
				defer r.stop()
				if tc.accounts {
					r.accounts.setHook(hang)
				}
				c := r.smtpd(t)
				start := time.Now()
				req := stranger("x@mx.example", tc.rcpt, func(q *Request) { q.Client.Name, q.Client.ReverseName = "", "" })
				if got := c.ask(req); got != tc.want {
					t.Errorf("the answer is %q, want %q", got, tc.want)
				}
				if took := time.Since(start); took > r.cfg.RequestTimeout.Std() {
					t.Errorf("it took %v, want at most %v", took, r.cfg.RequestTimeout)
				}
				if got := r.journal.records(); len(got) != 1 || got[0].Rule != tc.wantRule {
					t.Errorf("the journal has %+v, want rule %q", got, tc.wantRule)
				}

				// The store is back: the same transaction gets the answer of now.
				r.accounts.setHook(nil)
				want := "DUNNO"
				if strings.HasPrefix(tc.rcpt, "nobody") && tc.unknown == unit.Enforce {
					want = tc.want
				}
				if got := c.ask(req); !tc.dns && got != want {
					t.Errorf("after the store is back the answer is %q, want %q", got, want)
				}
			})
		})
	}
}

// While the store does not answer, who was known a moment ago still is: its
// cache stands in.
func TestAwayStoreServesKnownNames(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Checks.UnknownRecipient = unit.Enforce })
	c := h.smtpd(t)
	ask := func(rcpt, n string) string {
		return c.ask(stranger("x@mx.example", rcpt, func(r *Request) { r.Instance = n }))
	}
	if got := ask("alice@example.org", "1"); got != "DUNNO" {
		t.Fatalf("before: %q", got)
	}
	if err := h.store.SQLite.Close(); err != nil { // from here on only the cache answers
		t.Fatal(err)
	}
	if got := ask("alice@example.org", "2"); got != "DUNNO" {
		t.Errorf("a known name gets %q, want DUNNO", got)
	}
	if got := ask("carol@example.org", "3"); !strings.HasPrefix(got, "451 4.3.0 ") {
		t.Errorf("a name that nobody asked for before gets %q, want 451", got)
	}
}
