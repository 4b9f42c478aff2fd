package policyd

import (
	"context"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// maxShownOwners bounds the owners of an address that the administrator is told.
const maxShownOwners = 5

// owners finds whose the sender is that a login may not use. Without an answer
// nobody is named.
func (g *admitter) owners(ctx context.Context, a *admission, req *Request, from mailaddr.Address, f *Facts, out *AdmitFacts) {
	if !f.Known || f.MaySend || f.AccountsAway || from.Domain == "" {
		return
	}
	var err error
	if out.Owners, err = account.Owners(ctx, g.accounts, from, a.delim, maxShownOwners); err != nil {
		g.away(ctx, req, err)
	}
}

// recipient finds whether somebody has the recipient's address, and who may
// write to it. A recipient in SRS form is nobody's and somebody's: package srs
// knows.
func (g *admitter) recipient(ctx context.Context, a *admission, w wants, req *Request, from, to mailaddr.Address, f *Facts, out *AdmitFacts) {
	if f.SRS.Form {
		return
	}
	asked := a.checks.UnknownRecipient != unit.Off // else only the guard wants to know
	if w.recipient || asked {
		switch out.RecipientLocal {
		case unknownYet:
			out.RecipientAway = asked
		case yes:
			there, err := g.there(ctx, to, a.delim)
			if err != nil {
				g.away(ctx, req, err)
			}
			out.Recipient, out.RecipientAway = outcomeOf(there, err), err != nil && asked
		}
	}
	if a.checks.ListPosting != unit.Off && out.RecipientLocal == yes {
		g.posting(ctx, a, req, from, to, f, out)
	}
	if a.checks.OverQuota != unit.Off && out.RecipientLocal == yes && out.Recipient != no {
		out.Full = g.full(ctx, a, req, to)
	}
}

// there reports whether a mailbox, an alias or a catch-all takes mail for to, as
// the table server would answer.
func (g *admitter) there(ctx context.Context, to mailaddr.Address, delim string) (bool, error) {
	if to.LocalPart == "" {
		return false, nil
	}
	t := lookupTalk{accounts: g.accounts}
	return t.there(ctx, to, delim, 0)
}

// posting finds who may write to the recipient. Without an answer everybody may:
// a list that is open for a moment is better than mail that is lost.
func (g *admitter) posting(ctx context.Context, a *admission, req *Request, from, to mailaddr.Address, f *Facts, out *AdmitFacts) {
	store, ok := g.accounts.(postingReader)
	if !ok {
		return
	}
	p, err := account.PostingFor(ctx, store, to, a.delim)
	if err == nil && p.Rule != account.PostPublic && p.Rule != account.PostNobody {
		out.author = g.author(ctx, req, from, f, out)
		if p.Rule == account.PostMembers {
			out.Member, err = account.IsMember(ctx, g.accounts, out.author, to, a.delim)
		}
	}
	if err != nil {
		g.away(ctx, req, err)
		return
	}
	out.Posting = p
}

// author returns who writes: the login, or the sender of one who did not log in.
// A stranger with a sender of ours is nobody.
func (g *admitter) author(ctx context.Context, req *Request, from mailaddr.Address, f *Facts, out *AdmitFacts) mailaddr.Address {
	if req.SASL.Username != "" {
		user, _ := mailaddr.Parse(f.User) // the zero address is nobody
		return user.Folded()
	}
	if out.SenderLocal == unknownYet {
		out.SenderLocal = g.local(ctx, req, from.Domain)
	}
	if out.SenderLocal == no || out.trust.sender {
		return from.Folded()
	}
	return mailaddr.Address{}
}
