package policyd

import (
	"context"
	"net/netip"
	"slices"

	"github.com/gatepost/gatepost/internal/guard"
)

// guardian is the guard as policyd asks it: memory only.
type guardian interface {
	// CheckClient says whether a client may speak to a service at all.
	CheckClient(ctx context.Context, addr netip.Addr, service string) guard.Decision
	// Note takes an event that says something of a client.
	Note(ctx context.Context, e guard.Event) guard.Decision
}

// guardSubmission is the guard's name for the ports of users.
const guardSubmission = "submission"

// closed asks the guard about the client of a recipient. A mail whose recipients
// have passed goes on.
func (g *gatherer) closed(ctx context.Context, a *admission, pr *profile, req *Request) guard.Decision {
	if g.guard == nil || req.ProtocolState != StateRcpt || !a.blamable(req) {
		return guard.Decision{}
	}
	service := guard.MX
	if pr.outboundFor(req) {
		service = guardSubmission
	}
	return g.guard.CheckClient(ctx, req.Client.Addr, service)
}

// blamable reports whether the guard may hold something against the client: it
// is neither unknown nor this host, nor one that the configuration trusts.
func (a *admission) blamable(req *Request) bool {
	addr := req.Client.Addr
	if !addr.IsValid() || addr.IsUnspecified() || isOwn(req) {
		return false
	}
	return !slices.ContainsFunc(a.hosts, func(h TrustedHost) bool { return h.has(addr) })
}

// wants is what the rules and the guard look at in a request.
func (g *gatherer) wants(s *snapshot, pr *profile, req *Request) wants {
	w := s.policy.wants
	if g.guard != nil && !pr.outboundFor(req) && req.MailFrom != "" {
		w.recipient = true
	}
	return w
}

// tellGuard tells the guard of a stranger's recipient whom nobody has, or whose
// domain is not ours. The null sender is left out: bounces of forged mail come
// from servers that did nothing wrong.
func (g *gatherer) tellGuard(ctx context.Context, s *snapshot, pr *profile, req *Request, f *Facts) {
	if g.guard == nil || f.Admit == nil || pr.outboundFor(req) || req.MailFrom == "" || f.SRS.Form || !s.policy.admission.blamable(req) {
		return
	}
	e := guard.Event{Addr: req.Client.Addr, User: foldLogin(req.RcptTo)}
	switch {
	case f.Admit.Recipient == no:
		e.Kind = guard.UnknownRecipient
	case s.cfg.WatchRelayAttempts && f.Admit.RecipientLocal == no && !s.cfg.takes(domainOf(req.RcptTo)):
		e.Kind = guard.RelayAttempt
	default:
		return
	}
	g.guard.Note(ctx, e)
}

// nobody reports whether it is known that nobody has the recipient's address.
func (f *AdmitFacts) nobody() bool { return f != nil && f.Recipient == no }

// takes reports whether Postfix may take mail for a domain that no account has. A
// recipient without a domain is the postmaster's, or a typing error.
func (c *Config) takes(domain string) bool {
	return domain == "" || domain[0] == '[' || domain == "localhost" || domain == c.Hostname || slices.Contains(c.OtherDomains, domain)
}
