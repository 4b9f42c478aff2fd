package lmtpd

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/received"
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
// means, and the address.
func resolve(ctx context.Context, a accounts, rcpt, delim string) (mailaddr.Address, account.User, error) {
	addr, err := parseAddress(rcpt)
	if err != nil || addr.IsNull() {
		return addr, account.User{}, errAddress
	}
	u, _, err := account.Resolve(ctx, a, addr, delim)
	if err != nil {
		return addr, account.User{}, fmt.Errorf("look up %s: %w", addr, err)
	}
	return addr, u, nil
}

// gather reads the top of a message and looks its verdict up. A state that is
// away holds up no mail: the message then is not scanned, and err is for the
// log.
func gather(ctx context.Context, v verdicts, hostname string, top []byte) (f Facts, err error) {
	m := rawmsg.Scan(headerOf(top), rawmsg.Default())
	f.MessageID, _ = m.First("Message-Id")
	value, _ := m.First("Received")
	r, ok := received.Parse(value, hostname)
	if !ok {
		f.Why = "the first Received field is not that of the Postfix here"
		return f, nil
	}
	f.QueueID = r.QueueID
	f.Row, f.Scanned, err = v.Find(ctx, r.QueueID, r.Date)
	switch {
	case err != nil:
		f.Scanned, f.Why = false, "the verdict could not be looked up"
	case !f.Scanned:
		f.Why = "no verdict was left for it"
	}
	return f, err
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
