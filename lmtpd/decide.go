package lmtpd

import (
	"errors"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/verdict"
	"github.com/gatepost/gatepost/lmtpd/filter"
)

// The replies of this daemon beside those of package reply.
var (
	replyUnknown   = reply.Must(550, "1.1", "no such mailbox here")
	replyAddress   = reply.Must(501, "1.3", "recipient address is too long or not an address")
	replySender    = reply.Must(501, "1.7", "sender address is too long or not an address")
	replyNested    = reply.Must(503, "5.1", "MAIL was given already")
	replyTooMany   = reply.Must(452, "5.3", "too many recipients, send the rest in another transaction")
	replyTooLarge  = reply.Must(552, "3.4", "message is larger than this server takes")
	replyHops      = reply.Must(554, "4.6", "too many hops, this message goes round in circles")
	replyLoop      = reply.Must(554, "4.6", "this mailbox had the message before, mail is going round in circles")
	replyFiltered  = reply.Must(250, "0.0", "filtered")
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
	ruleDetail    = "detail"
	ruleQuota     = "quota"
	ruleLoop      = "loop"
	ruleHops      = "hopcount_limit"
	ruleSieve     = "sieve"
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
	// QueueID and Arrived are from Postfix's Received field; "" without one.
	QueueID   string
	Arrived   time.Time
	MessageID string
	// Hops is how many Received fields there are; Delivered has the addresses
	// in those Delivered-To fields that a delivery by LMTP on this host wrote
	// before the message came to Postfix again.
	Hops      int
	Delivered []string
	// Row is the delivery verdict, if Scanned.
	Row     delivery.Row
	Scanned bool
	// Sealed are the fields in which another host tells its verdict; ScannedBy
	// names it where the row is from one.
	Sealed    []string
	ScannedBy string
	// Why says why there is no verdict.
	Why string
}

// place is where a copy goes, and why.
type place struct {
	folder maildir.Folder
	rule   string
	// optional says that the inbox will do where the folder cannot be had.
	optional bool
	// plan is what scripts decided; nil without one.
	plan *filter.Plan
}

// decidePlace returns where the copy for rcpt goes, whose detail is what stood
// behind the delimiter. The worst is Junk: Postfix has accepted the message, so
// that a refusal here would go to a sender who may be forged. Spam has no say
// about its folder.
func decidePlace(cfg FolderConfig, f Facts, rcpt mailaddr.Address, detail string) place {
	if f.Scanned && f.Row.For(rcpt.String()) >= verdict.Mark {
		return place{folder: maildir.Junk, rule: ruleJunk}
	}
	if cfg.SaveToDetail && detail != "" {
		if folder, err := maildir.ParseFolder(detail); err == nil && folder != maildir.Inbox {
			return place{folder: folder, rule: ruleDetail, optional: true}
		}
	}
	if !f.Scanned {
		return place{rule: ruleUnscanned}
	}
	return place{rule: ruleInbox}
}

// decideLoop returns the reply that ends a loop for rcpt, or none. A field that
// somebody else wrote says nothing.
func decideLoop(f Facts, limit int, rcpt mailaddr.Address) (r reply.Reply, rule string) {
	switch {
	case f.Hops > limit:
		return replyHops, ruleHops
	case slices.Contains(f.Delivered, rcpt.Folded().String()):
		return replyLoop, ruleLoop
	}
	return reply.Reply{}, ""
}

// facts returns f and where a copy is for the journal.
func facts(f Facts, p place, st maildir.Stored) []journal.Fact {
	var out []journal.Fact
	if !st.IsZero() {
		out = append(out, journal.Fact{Key: "folder", Value: st.Folder().String()})
	}
	if p.plan != nil {
		for _, n := range p.plan.Notes {
			out = append(out, journal.Fact{Key: "sieve", Value: n})
		}
	}
	if st.Again() {
		out = append(out, journal.Fact{Key: "again", Value: "an earlier try had delivered it"})
	}
	if !f.Scanned {
		return append(out, journal.Fact{Key: "scan", Value: "not scanned: " + f.Why})
	}
	out = append(out, journal.Fact{Key: "scan", Value: f.Row.Verdict.String()})
	if f.ScannedBy != "" {
		out = append(out, journal.Fact{Key: "scanned_by", Value: f.ScannedBy})
	}
	return out
}

// refusal is an error with the reply of a decision.
type refusal struct {
	reply reply.Reply
	rule  string
}

func (r refusal) Error() string { return r.reply.String() }

// refuse returns the decision in err, if there is one that a reply tells: all
// else is a fault.
func refuse(q QuotaConfig, user string, err error) (r refusal, ok bool) {
	switch {
	case errors.As(err, &r):
		return r, true
	case errors.Is(err, errTooLarge):
		return refusal{replyTooLarge, ruleTooLarge}, true
	case errors.Is(err, maildir.ErrQuota):
		full, err := q.reply(user)
		if err != nil { // an address that no reply can carry
			full, _ = QuotaConfig{FullTempfail: q.FullTempfail, ExceededMessage: "mailbox is full"}.reply("")
		}
		return refusal{full, ruleQuota}, true
	}
	return refusal{}, false
}

// answer returns the reply for one recipient after the end of data, and its
// rule where that is a refusal or a fault. Only a message that was stored is a
// 2yz. An error that is no decision is a 4yz, whatever it says of itself:
// Postfix has the message, and tries again.
func answer(q QuotaConfig, user string, st maildir.Stored, err error, id string) (r reply.Reply, verdict, rule string) {
	if no, ok := refuse(q, user, err); ok {
		switch code := no.reply.Code(); {
		case code < 300:
			return no.reply, verdictDelivered, no.rule
		case code < 500:
			return no.reply, verdictDeferred, no.rule
		}
		return no.reply, verdictRefused, no.rule
	}
	switch {
	case err != nil:
		return transient(err), verdictDeferred, ruleFault
	case st.IsZero():
		return reply.Broken, verdictDeferred, ruleFault
	}
	if r, err := reply.New(250, "0.0", id+" saved"); err == nil {
		return r, verdictDelivered, ""
	}
	return replySavedOnly, verdictDelivered, ""
}

// transient returns the reply that err carries where that is a 4yz, else
// reply.Broken.
func transient(err error) reply.Reply {
	if r := reply.FromError(err); r.Class() == mailerr.Transient && r.Code() >= 400 {
		return r
	}
	return reply.Broken
}
