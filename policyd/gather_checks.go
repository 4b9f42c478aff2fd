package policyd

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/deadline"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/unit"
)

// lookTime bounds what the DNS is waited for: what is not known then refuses
// nothing.
const lookTime = 3 * time.Second

// look asks the DNS for what the checks of client and sender need.
func (g *admitter) look(ctx context.Context, a *admission, req *Request, from mailaddr.Address, out *AdmitFacts) {
	if g.dns == nil || a.checks.PTRMissing == unit.Off && a.checks.SenderDomainMissing == unit.Off {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	if a.checks.PTRMissing != unit.Off && req.Client.Addr.IsValid() && !req.Client.Addr.IsLoopback() {
		out.ClientName = g.clientName(ctx, req)
	}
	if a.checks.SenderDomainMissing != unit.Off && isHostName(from.Domain) && out.SenderLocal != yes {
		out.SenderDomain, out.SenderNullMX = g.senderDomain(ctx, req, from.Domain)
	}
}

// isHostName reports whether the DNS can be asked about a domain as it is: an
// address literal and a name that is not in A-labels can not.
func isHostName(domain string) bool {
	return domain != "" && domain[0] != '[' && !strings.ContainsFunc(domain, func(r rune) bool { return r >= 0x80 })
}

// clientName finds whether the client's address has a name. Postfix says
// "unknown" for none and for no answer alike, so the DNS is asked again.
func (g *admitter) clientName(ctx context.Context, req *Request) outcome {
	if req.Client.ReverseName != "" || req.Client.Name != "" {
		return yes
	}
	names, err := g.dns.LookupAddr(ctx, req.Client.Addr)
	g.noAnswer(ctx, req, err)
	return outcomeOf(len(names) > 0, err)
}

// senderDomain finds whether mail can go to a domain: by MX records, or without
// any by an address (RFC 5321 §5.1). One MX record with the host "." says that
// the domain takes no mail (RFC 7505).
func (g *admitter) senderDomain(ctx context.Context, req *Request, domain string) (there outcome, nullMX bool) {
	mx, err := g.dns.LookupMX(ctx, domain)
	switch {
	case err != nil:
		g.noAnswer(ctx, req, err)
		return unknownYet, false
	case len(mx) == 1 && (mx[0].Host == "" || mx[0].Host == "."):
		return no, true
	case len(mx) > 0:
		return yes, false
	}
	ips, err := g.dns.LookupIP(ctx, "ip", domain)
	g.noAnswer(ctx, req, err)
	return outcomeOf(len(ips) > 0, err), false
}

func (g *admitter) noAnswer(ctx context.Context, req *Request, err error) {
	if err != nil {
		g.log.LogAttrs(ctx, slog.LevelDebug, "check without an answer of the DNS, it refuses nothing",
			slog.String("session", req.Instance), slog.String("mail_from", req.MailFrom), slog.Any("err", err))
	}
}

// maxQuotaBoxes bounds the mailboxes that are looked at for one recipient: a list
// of more is never full.
const maxQuotaBoxes = 20

// full returns the mailboxes that mail for to reaches, if each of them is over
// quota. Where one has room, is elsewhere or does not tell there are none: a mail
// that Dovecot refuses later is better than one that is refused in error.
func (g *admitter) full(ctx context.Context, a *admission, req *Request, to mailaddr.Address) []mailaddr.Address {
	boxes, err := account.Owners(ctx, g.accounts, to, a.delim, maxQuotaBoxes+1)
	if err != nil {
		g.away(ctx, req, err)
		return nil
	}
	if len(boxes) > maxQuotaBoxes || a.mailRoot == "" {
		return nil
	}
	for _, b := range boxes {
		if deadline.Passed(ctx) != nil || !g.overQuota(ctx, a.mailRoot, req, b) {
			return nil
		}
	}
	if len(boxes) == 0 {
		return nil
	}
	outside, err := account.Forwards(ctx, g.accounts, []mailaddr.Address{to}, a.delim)
	if err != nil {
		g.away(ctx, req, err)
	}
	if outside || err != nil {
		return nil
	}
	return boxes
}

// overQuota reports whether a mailbox is known to be full.
func (g *admitter) overQuota(ctx context.Context, root string, req *Request, box mailaddr.Address) bool {
	u, err := maildir.ReadUsage(root, box)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // without maildirsize there is no such quota
		g.log.LogAttrs(ctx, slog.LevelDebug, "quota of a mailbox not known, it refuses nothing",
			slog.String("session", req.Instance), slog.String("user", box.String()), slog.Any("err", err))
	}
	return err == nil && u.Over()
}
