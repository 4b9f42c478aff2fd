package policyd

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/geo"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/resolver"
	ruleexpr "github.com/gatepost/gatepost/internal/rule"
	"github.com/gatepost/gatepost/internal/unit"
)

// entryList has the allow and deny entries; see access.Cache. With an error the
// list is the last good one.
type entryList interface {
	List(ctx context.Context) (*access.List, error)
}

// hostLookup is what the checks need of the DNS: no record is an empty result
// and a nil error, an error is no answer.
type hostLookup interface {
	LookupMX(ctx context.Context, name string) ([]resolver.MX, error)
	LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error)
}

// postingReader is an account store that knows who may write to whom.
type postingReader interface {
	Posting(ctx context.Context, addr mailaddr.Address) (account.Posting, error)
}

// admitter finds the facts of admission. Entries and dns may be nil.
type admitter struct {
	accounts accountReader
	entries  entryList
	dns      hostLookup
	log      *slog.Logger
}

// wants says which facts somebody asks for.
type wants struct{ senderLocal, recipientLocal, recipient bool }

// admit finds the facts about a request at RCPT, and puts them into out; nil for
// another state. f has what is known of the login.
func (g *admitter) admit(ctx context.Context, a *admission, w wants, req *Request, f *Facts, now time.Time, out *AdmitFacts) *AdmitFacts {
	if req.ProtocolState != StateRcpt {
		return nil
	}
	*out = AdmitFacts{}
	from, to := parseTyped(req.MailFrom), parseTyped(req.RcptTo)
	stranger := req.SASL.Username == ""
	if stranger {
		out.trust = a.trusted(req, from)
		g.entry(ctx, a, req, from, to, now, out)
	}
	if w.senderLocal || stranger && (a.localSender != unit.Off || out.trust.host) {
		out.SenderLocal = g.local(ctx, req, from.Domain)
	}
	if !stranger {
		g.owners(ctx, a, req, from, f, out)
	}
	if c := a.checks; w.recipientLocal || w.recipient || c.UnknownRecipient != unit.Off || c.ListPosting != unit.Off || c.OverQuota != unit.Off {
		out.RecipientLocal = g.local(ctx, req, to.Domain)
	}
	g.recipient(ctx, a, w, req, from, to, f, out)
	// Last: the DNS may take all the time that there is, and then nobody could say
	// whether it was the account store that did not answer.
	if stranger && !out.trust.host {
		g.look(ctx, a, req, from, out)
	}
	return out
}

// parseTyped returns what a stranger typed as an address. Of what is none, for
// example because it is too long, the domain alone is left: nobody gets past a
// deny entry by that.
func parseTyped(s string) mailaddr.Address {
	s = rewritten(s)
	a, err := mailaddr.Parse(s)
	if err == nil {
		return a
	}
	d, err := mailaddr.ParseDomain(domainOf(s))
	if err != nil {
		return mailaddr.Address{}
	}
	return mailaddr.Address{Domain: d}
}

// local reports whether a domain is ours.
func (g *admitter) local(ctx context.Context, req *Request, domain string) outcome {
	if domain == "" {
		return no
	}
	_, err := g.accounts.Domain(ctx, domain)
	if absent(err) != nil {
		g.away(ctx, req, err)
		return unknownYet
	}
	return outcomeOf(err == nil, nil)
}

func (g *admitter) away(ctx context.Context, req *Request, err error) {
	g.log.LogAttrs(ctx, slog.LevelError, "account store does not answer",
		slog.String("session", req.Instance), slog.String("rcpt_to", req.RcptTo), slog.Any("err", err))
}

// entry finds the allow or deny entry that holds.
func (g *admitter) entry(ctx context.Context, a *admission, req *Request, from, to mailaddr.Address, now time.Time, out *AdmitFacts) {
	if g.entries == nil || a.access == unit.Off {
		return
	}
	list, err := g.entries.List(ctx)
	if err != nil { // the last good list is asked
		g.away(ctx, req, err)
	}
	if list.Len() == 0 {
		return
	}
	out.Entry, _ = list.Find(access.Subject{
		MailFrom: from, Client: req.Client.Addr, ClientName: req.Client.Name, Helo: req.Client.Helo, RcptTo: to, Delimiter: a.delim,
	}, now)
}

// complete adds to p what is not in the configuration itself: the places of the
// geo file, and the maps that rules ask; maps may be nil.
func (p *Policy) complete(geoFile string, maps ruleexpr.Maps) error {
	if geoFile != "" {
		t, err := geo.Open(geoFile)
		if err != nil {
			return config.Invalid("geo_file", "%v", err)
		}
		p.admission.geo = t
	}
	if maps == nil {
		return nil
	}
	return p.bind(maps)
}

// newPolicySnapshot is newSnapshot with what only the policy server needs.
func newPolicySnapshot(cfg Config, maps ruleexpr.Maps) (*snapshot, error) {
	s, err := newSnapshot(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.policy.complete(cfg.GeoFile, maps); err != nil {
		return nil, err
	}
	return s, nil
}

// CheckFiles says what is wrong with the files that c names, by key. The policy
// server reads them at its start and with each new configuration.
func (c Config) CheckFiles() error {
	if c.GeoFile == "" {
		return nil
	}
	if _, err := geo.Open(c.GeoFile); err != nil {
		return config.Invalid("geo_file", "%v", err)
	}
	return nil
}
