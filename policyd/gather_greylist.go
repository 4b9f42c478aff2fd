package policyd

import (
	"context"
	"log/slog"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/greylist"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/state"
)

// greylister is the greylist as the gatherer asks it.
type greylister interface {
	See(ctx context.Context, q greylist.Query, now time.Time) greylist.Outcome
}

// seeGreylist asks the greylist about a recipient that a stranger names. Its
// outcome is zero for a login and for another state. It is asked only about
// inbound mail that nothing else refuses: it remembers who was here.
func seeGreylist(ctx context.Context, list greylister, log *slog.Logger, req *Request, now time.Time) greylist.Outcome {
	if list == nil || req.SASL.Username != "" || req.ProtocolState != StateRcpt || req.RcptTo == "" {
		return greylist.Outcome{}
	}
	o := list.See(ctx, greylist.Query{
		Client: req.Client.Addr, Name: req.Client.Name, Helo: req.Client.Helo, MailFrom: req.MailFrom, RcptTo: req.RcptTo,
	}, now)
	if o.Err != nil {
		log.LogAttrs(ctx, state.LogLevel(o.Err), "greylist does not work, mail passes",
			slog.String("session", req.Instance), slog.String("rcpt_to", req.RcptTo), slog.Any("err", o.Err))
	}
	return o
}

// Mailboxes tells the greylist which mailbox an alias leads to. Build it with
// NewMailboxes.
type Mailboxes struct {
	accounts accountReader
	delim    string
}

// NewMailboxes returns Mailboxes that ask accounts. delim is Postfix's
// recipient_delimiter.
func NewMailboxes(accounts accountReader, delim string) *Mailboxes {
	return &Mailboxes{accounts: accounts, delim: delim}
}

// maxMailboxSteps bounds the aliases that are followed to one mailbox.
const maxMailboxSteps = 5

// Mailbox returns the one mailbox that rcpt leads to, "" if there is none, or
// more, or if that can not be found out for the moment.
func (m *Mailboxes) Mailbox(ctx context.Context, rcpt string) string {
	addr, err := mailaddr.Parse(rcpt)
	for range maxMailboxSteps {
		if err != nil {
			return ""
		}
		u, _, resolved := account.Resolve(ctx, m.accounts, addr, m.delim)
		if resolved == nil {
			return u.Addr.String()
		}
		if base, _, ok := addr.CutDetail(m.delim); ok {
			addr = base
		}
		var a account.Alias
		a, err = m.accounts.Alias(ctx, addr.Folded())
		if err != nil || len(a.To) != 1 {
			return ""
		}
		addr = a.To[0]
	}
	return ""
}
