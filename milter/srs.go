package milter

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/scan"
)

// senderRewriter makes senders of ours (package srs).
type senderRewriter interface {
	// Domain is that of the senders, "" when it is off.
	Domain() string
	// Forward returns from where there is nothing to rewrite.
	Forward(from mailaddr.Address, now time.Time) mailaddr.Address
}

// Forwarding is what the milter needs to pass mail on under a sender of ours: at
// the next hop SPF looks at this host, and not at the one that wrote. All of it
// is needed.
type Forwarding struct {
	SRS senderRewriter
	// Outside reports whether mail to one of the recipients leaves for a domain
	// that is not ours, by an alias (account.Forwards).
	Outside func(ctx context.Context, rcpts []mailaddr.Address) (bool, error)
	// Own reports whether a domain is ours.
	Own func(ctx context.Context, domain string) (bool, error)
}

// senderTimeout is for the account store's answers about one message.
const senderTimeout = 5 * time.Second

// forwarded is what a sender depends on.
type forwarded struct {
	Direction scan.Direction
	// NullSender says that the reverse-path is null: a bounce has to stay one.
	NullSender bool
	MailFrom   mailaddr.Address
	RcptTo     []mailaddr.Address
}

// sender returns the sender under which a message is passed on, the null Address
// if it keeps its own: when it is ours, made here or written under a domain of
// ours, whose SPF record names this host anyway, and when all recipients are
// here. A message has one sender, so where some recipients are here and some are
// not, all of them see the new one.
func (f *Forwarding) sender(ctx context.Context, p forwarded, now time.Time) (mailaddr.Address, error) {
	if f.SRS.Domain() == "" || p.Direction != scan.Inbound || p.NullSender || !rewritable(p.MailFrom) {
		return mailaddr.Address{}, nil
	}
	ours, err := f.Own(ctx, p.MailFrom.Domain)
	if err != nil || ours {
		return mailaddr.Address{}, err
	}
	outside, err := f.Outside(ctx, p.RcptTo)
	if err != nil || !outside {
		return mailaddr.Address{}, err
	}
	to := f.SRS.Forward(p.MailFrom, now)
	if to == p.MailFrom {
		return mailaddr.Address{}, nil
	}
	return to, nil
}

// rewritable reports whether a can be a part of another address. What RFC 5321
// does not allow, and Postfix does, keeps its quotes in the local part.
func rewritable(a mailaddr.Address) bool {
	if a.LocalPart == "" || a.Domain == "" || a.LocalPart[0] == '"' {
		return false
	}
	return !strings.ContainsFunc(a.LocalPart, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// newSender returns the sender that the message in hand is to have, the null
// Address if it keeps its own. A store that does not answer changes nothing: the
// mail is let in all the same, and its next hop may not like it.
func (s *session) newSender(f *Forwarding) mailaddr.Address {
	if f == nil || s.g.agreed.Actions&actChangeFrom == 0 {
		return mailaddr.Address{}
	}
	ctx, cancel := context.WithTimeout(s.ctx, senderTimeout)
	defer cancel()
	m := s.msg
	a, err := f.sender(ctx, forwarded{
		Direction: m.origin.Direction, NullSender: m.nullSender(), MailFrom: m.sender(), RcptTo: m.recipients(),
	}, time.Now())
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "sender not rewritten, the accounts do not answer",
			slog.String("queue_id", s.g.macros.value("i")), slog.Any("err", err))
		return mailaddr.Address{}
	}
	return a
}

// changeSender hands the change to the guard.
func (s *session) changeSender(a mailaddr.Address) {
	s.g.edit(respChangeFrom, []byte(a.Path()), []byte{0})
}
