package policyd

import (
	"context"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/srs"
)

// senderLogin answers smtpd_sender_login_maps. A bare domain, with which Postfix
// asks for the owner of all of it, has none.
func (t *lookupTalk) senderLogin(ctx context.Context, key, delim string) (Answer, error) {
	addr, err := mailaddr.Parse(key)
	if err != nil || addr.Domain == "" {
		return Answer{Status: StatusNotFound}, nil
	}
	owners, err := account.Senders(ctx, t.accounts, addr, delim, maxOwners)
	if err != nil {
		return Answer{}, err
	}
	return DecideSenderLogin(owners), nil
}

// maxOwners bounds the logins of one answer: as many as an alias has targets.
const maxOwners = account.MaxTargets

// canonical answers recipient_canonical_maps: where mail to an SRS address of
// ours goes. What is forged or has expired is not there, and so has no mailbox.
func (t *lookupTalk) canonical(key string) Answer {
	to, err := srs.Parse(key)
	if err != nil {
		return Answer{Status: StatusNotFound}
	}
	back, err := t.srs.Reverse(to, time.Now())
	if err != nil {
		return Answer{Status: StatusNotFound}
	}
	return Answer{Status: StatusOK, Text: back.String()}
}

// transport answers transport_maps for an address, or for a bare domain.
func transport(snap *mapSnapshot, key string) Answer {
	if len(snap.routes) == 0 {
		return Answer{Status: StatusNotFound}
	}
	addr, err := srs.Parse(key)
	if err == nil && addr.Domain == "" {
		addr.LocalPart = ""
		addr.Domain, err = mailaddr.ParseDomain(key)
	}
	if err != nil {
		return Answer{Status: StatusNotFound}
	}
	return DecideTransport(snap.routes, addr, snap.cfg.RecipientDelimiter)
}

// tls answers smtp_tls_policy_maps. Postfix asks for the parents of a domain by
// itself; what was said about the domain itself holds.
func (t *lookupTalk) tls(ctx context.Context, key string) (Answer, error) {
	if t.tlsPolicy == nil || key == "" || key[0] == '.' {
		return Answer{Status: StatusNotFound}, nil
	}
	text, err := t.tlsPolicy.Find(ctx, key)
	if err != nil || text == "" {
		return Answer{Status: StatusNotFound}, err
	}
	return Answer{Status: StatusOK, Text: text}, nil
}

// maxDomainAliases bounds the domains that are other names of one another.
const maxDomainAliases = 10

// catchAll returns the targets of a catch-all for addr. Where the domain is
// another name of one of ours, the target has to be there: else Postfix would
// take mail for anybody, and bounce it.
func (t *lookupTalk) catchAll(ctx context.Context, addr mailaddr.Address, a account.Alias, delim string, depth int) ([]mailaddr.Address, error) {
	to := a.For(addr)
	var out []mailaddr.Address
	for i := range to {
		there := true
		if a.To[i].LocalPart == "" {
			var err error
			if there, err = t.there(ctx, to[i], delim, depth); err != nil {
				return nil, err
			}
		}
		if there {
			out = append(out, to[i])
		}
	}
	return out, nil
}

// there reports whether mail for addr has somewhere to go; that of a domain of
// others always has.
func (t *lookupTalk) there(ctx context.Context, addr mailaddr.Address, delim string, depth int) (bool, error) {
	if depth >= maxDomainAliases {
		return false, nil
	}
	if _, err := t.accounts.Domain(ctx, addr.Domain); err != nil {
		return absent(err) == nil, absent(err)
	}
	for _, c := range candidates(addr, delim) {
		if err := t.candidate(ctx, &c, true); err != nil || c.Mailbox || len(c.Alias.To) > 0 {
			return err == nil, err
		}
	}
	a, err := t.accounts.Alias(ctx, mailaddr.Address{Domain: addr.Domain})
	if err != nil {
		return false, absent(err)
	}
	to, err := t.catchAll(ctx, addr, a, delim, depth+1)
	return len(to) > 0, err
}
