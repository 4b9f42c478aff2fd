package lmtpd

import (
	"errors"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/verdict"
)

// The replies of this daemon beside those of package reply.
var (
	replyUnknown   = reply.Must(550, "1.1", "no such mailbox here")
	replyAddress   = reply.Must(501, "1.3", "recipient address is too long or not an address")
	replySender    = reply.Must(501, "1.7", "sender address is too long or not an address")
	replyNested    = reply.Must(503, "5.1", "MAIL was given already")
	replyTooMany   = reply.Must(452, "5.3", "too many recipients, send the rest in another transaction")
	replyTooLarge  = reply.Must(552, "3.4", "message is larger than this server takes")
	replySavedOnly = reply.Must(250, "0.0", "saved")
)

// The words of a verdict in the journal and the log.
const (
	verdictDelivered = "delivered"
	verdictDeferred  = "deferred"
	verdictRefused   = "refused"
)

// The words for what led to a verdict. Metrics have them as their verdict.
const (
	ruleInbox     = "inbox"
	ruleJunk      = "junk"
	ruleUnscanned = "unscanned"
	ruleUnknown   = "unknown_recipient"
	ruleTooMany   = "recipient_limit"
	ruleTooLarge  = "message_size_limit"
	ruleAddress   = "address"
	ruleFault     = "fault"
)

// decideRcpt returns the reply that refuses a recipient, or none. Err is that
// of the look-up: a store that is away is not a mailbox that is missing. A held
// or disabled account still receives.
func decideRcpt(have, limit int, err error) (r reply.Reply, rule string) {
	switch {
	case errors.Is(err, errAddress):
		return replyAddress, ruleAddress
	case have >= limit:
		return replyTooMany, ruleTooMany
	case errors.Is(err, account.ErrNotFound):
		return replyUnknown, ruleUnknown
	case err != nil:
		return transient(err), ruleFault
	}
	return reply.Reply{}, ""
}

// Facts are what is known about a message when it has been read.
type Facts struct {
	// QueueID is from Postfix's Received field; "" without one.
	QueueID   string
	MessageID string
	// Row is the delivery verdict, if Scanned.
	Row     delivery.Row
	Scanned bool
	// Why says why there is no verdict.
	Why string
}

// place is where a copy goes, and why.
type place struct {
	folder maildir.Folder
	rule   string
}

// decidePlace returns where the copy for rcpt goes. The worst is Junk: Postfix
// has accepted the message, so that a refusal here would go to a sender who may
// be forged.
func decidePlace(f Facts, rcpt mailaddr.Address) place {
	switch {
	case !f.Scanned:
		return place{maildir.Inbox, ruleUnscanned}
	case f.Row.For(rcpt.String()) >= verdict.Mark:
		return place{maildir.Junk, ruleJunk}
	}
	return place{maildir.Inbox, ruleInbox}
}

// facts returns f and p for the journal.
func (p place) facts(f Facts) []journal.Fact {
	out := []journal.Fact{{Key: "folder", Value: p.folder.String()}}
	if !f.Scanned {
		return append(out, journal.Fact{Key: "scan", Value: "not scanned: " + f.Why})
	}
	return append(out, journal.Fact{Key: "scan", Value: f.Row.Verdict.String()})
}

// answer returns the reply for one recipient after the end of data. Only a
// message that was stored is a 2yz. An error is a 4yz, whatever it says of
// itself: Postfix has the message, and tries again; but for a message above the
// size that we offered, which no retry makes smaller.
func answer(st maildir.Stored, err error, id string) (r reply.Reply, verdict string) {
	switch {
	case errors.Is(err, errTooLarge):
		return replyTooLarge, verdictRefused
	case err != nil:
		return transient(err), verdictDeferred
	case st.IsZero():
		return reply.Broken, verdictDeferred
	}
	if r, err := reply.New(250, "0.0", id+" saved"); err == nil {
		return r, verdictDelivered
	}
	return replySavedOnly, verdictDelivered
}

// transient returns the reply that err carries where that is a 4yz, else
// reply.Broken.
func transient(err error) reply.Reply {
	if r := reply.FromError(err); r.Class() == mailerr.Transient && r.Code() >= 400 {
		return r
	}
	return reply.Broken
}
