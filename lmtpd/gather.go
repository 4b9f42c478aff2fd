package lmtpd

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/received"
	"github.com/gatepost/gatepost/internal/seal"
	"github.com/gatepost/gatepost/lmtpd/filter"
)

// accounts is what delivery needs of the account store: account.Resolve.
type accounts interface {
	Domain(ctx context.Context, name string) (account.Domain, error)
	User(ctx context.Context, addr mailaddr.Address) (account.User, error)
	Alias(ctx context.Context, addr mailaddr.Address) (account.Alias, error)
}

// verdicts finds what the milter decided about a message.
type verdicts interface {
	Find(ctx context.Context, queueID string, at time.Time) (delivery.Row, bool, error)
}

// writer stores one copy of a message.
type writer interface {
	Deliver(ctx context.Context, m maildir.Message) (maildir.Stored, error)
	Share() *maildir.Share
}

// senders turns an address back that we made of the sender of a message that
// was passed on; any error says that it is none.
type senders interface {
	Reverse(to mailaddr.Address, now time.Time) (mailaddr.Address, error)
}

// filters is a *filter.Filter: it runs users' scripts.
type filters interface {
	Plan(ctx context.Context, m filter.Message) *filter.Plan
	Send(ctx context.Context, p *filter.Plan)
	Done(ctx context.Context, p *filter.Plan) error
}

// filings is told where a file of a mailbox came from, so that the learner does
// not take our filing for a user's. It never blocks.
type filings interface {
	NoteFiled(base string, junk bool)
}

// recorder takes journal records and never blocks.
type recorder interface{ Record(journal.Record) }

// meter counts.
type meter interface {
	Request(daemon, verdict string, took time.Duration)
	Sessions(daemon string, delta int)
}

// resolve returns the owner of the mailbox that rcpt, as go-smtp gives it,
// means, the address, and its detail.
func resolve(ctx context.Context, a accounts, rcpt, delim string) (recipient, error) {
	addr, err := parseAddress(rcpt)
	if err != nil || addr.IsNull() {
		return recipient{}, errAddress
	}
	u, detail, err := account.Resolve(ctx, a, addr, delim)
	if err != nil {
		return recipient{}, fmt.Errorf("look up %s: %w", addr, err)
	}
	return recipient{given: rcpt, addr: addr, user: u, detail: detail}, nil
}

// gather reads the top of a message and looks its verdict up. A state that is
// away holds up no mail: the message then is not scanned, and err is for the
// log.
func gather(ctx context.Context, v verdicts, hostname string, top []byte) (f Facts, err error) {
	m := rawmsg.Scan(headerOf(top), rawmsg.Default())
	f.MessageID, _ = m.First("Message-Id")
	f.Hops, f.Delivered = hops(m.Fields, hostname)
	f.Sealed = sealed(m.Fields)
	value, _ := m.First("Received")
	r, ok := received.Parse(value, hostname)
	if !ok {
		f.Why = "the first Received field is not that of the Postfix here"
		return f, nil
	}
	f.QueueID, f.Arrived = r.QueueID, r.Date
	f.Row, f.Scanned, err = v.Find(ctx, r.QueueID, r.Date)
	switch {
	case err != nil:
		f.Scanned, f.Why = false, "the verdict could not be looked up"
	case !f.Scanned:
		f.Why = "no verdict was left for it"
	}
	return f, err
}

// sealed returns the fields in which another host tells its verdict, two at most:
// more than one is none.
func sealed(fields []rawmsg.Field) []string {
	var out []string
	for i := range fields {
		if fields[i].Is(seal.Field) && len(out) < 2 {
			out = append(out, string(fields[i].Value))
		}
	}
	return out
}

// hops counts the Received fields, and returns the addresses of the Delivered-To
// fields of earlier deliveries here: below the first Received field, because
// Postfix may put one above (lmtp(8), flags=D), and with our own Received field
// under it.
func hops(fields []rawmsg.Field, hostname string) (n int, delivered []string) {
	for i := range fields {
		if !fields[i].Is("Received") {
			continue
		}
		n++
		if i == 0 || n == 1 || !fields[i-1].Is("Delivered-To") || !received.ByLMTP(header.Unfold(fields[i].Value), hostname) {
			continue
		}
		if a, err := mailaddr.Parse(strings.TrimSpace(header.Unfold(fields[i-1].Value))); err == nil {
			delivered = append(delivered, a.Folded().String())
		}
	}
	return n, delivered
}

// headerOf returns the header block at the start of top.
func headerOf(top []byte) []byte {
	for pos := 0; pos < len(top); {
		n := bytes.IndexByte(top[pos:], '\n')
		if n < 0 {
			break
		}
		if line := top[pos : pos+n]; len(line) == 0 || string(line) == "\r" {
			return top[:pos]
		}
		pos += n + 1
	}
	return top
}
