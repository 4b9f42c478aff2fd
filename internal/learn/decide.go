package learn

import (
	"fmt"
	"time"
)

// Source says who wants something learned.
type Source string

// The sources.
const (
	// CLI is an administrator, on the command line or by the web.
	CLI Source = "cli"
	// Release is an administrator who took a message out of quarantine.
	Release Source = "release"
	// Trap is an address that only spam is sent to.
	Trap Source = "trap"
	// Move is a user who moved a message into or out of Junk.
	Move Source = "move"
	// Weak is ham that nobody has called so: read and kept, or answered.
	Weak Source = "weak"
)

// byUser reports whether the source is a mailbox, whose say is bounded.
func (s Source) byUser() bool { return s == Move || s == Weak }

// Known reports whether s is one of the sources.
func (s Source) Known() bool {
	switch s {
	case CLI, Release, Trap, Move, Weak:
		return true
	}
	return false
}

// Policy bounds what one mailbox may do.
type Policy struct {
	// MailboxDaily is how often a mailbox is listened to in 24 hours.
	MailboxDaily int
	// MoveShare is the strength of one mailbox's move; with the agreement of
	// another it is 1. WeakShare is that of weak ham.
	MoveShare, WeakShare float64
	// Free is how much strength a mailbox has before its share of the total is
	// looked at; MaxPart is that share.
	Free, MaxPart float64
	// WeakRatio is how many times as much ham as spam may be learned before weak
	// ham has to wait.
	WeakRatio int
	// Bulk is how many moves within a minute are the work of a person.
	Bulk int
}

// policyOf returns the Policy of a configuration.
func policyOf(c Config) Policy {
	return Policy{MailboxDaily: c.MailboxDaily, MoveShare: 0.5, WeakShare: 0.3, Free: 25, MaxPart: 0.25, WeakRatio: 5, Bulk: 200}
}

// weakFree is how much ham may be learned before WeakRatio is looked at.
const weakFree = 100

// agreeFor is how long the word of another mailbox on a campaign counts.
const agreeFor = 30 * 24 * time.Hour

// Event is one wish to have a message learned.
type Event struct {
	Spam   bool
	Source Source
	// User is the mailbox of a Move or Weak.
	User string
	// Minute is how many moves the mailbox made within the minute, this one
	// among them.
	Minute int
	// Approved says that an administrator has looked at a bulk move.
	Approved bool
}

// Vote is a learn of the same message that holds, or was refused before.
type Vote struct {
	ID      int64
	Spam    bool
	Source  Source
	User    string
	Share   float64
	Refused bool
	// Outvoted says that it was refused for another mailbox's word, and for
	// nothing else.
	Outvoted bool
	// Waiting says that an administrator has not approved it yet.
	Waiting bool
	// Later says that another host heard it after the wish was made, which took
	// its time to come here.
	Later bool
}

// History is what a decision needs to know.
type History struct {
	// Votes are those on this very message.
	Votes []Vote
	// Held says that the account of the mailbox is held or disabled.
	Held bool
	// Today counts the learns of the mailbox within 24 hours.
	Today int
	// Own is the strength of all that the mailbox has taught, Total that of
	// everybody.
	Own, Total float64
	// Mailboxes is how many there are on this server.
	Mailboxes int
	// Agree counts other mailboxes that said the same of the message's campaign
	// within 30 days.
	Agree int
	// Ham and Spam count what was learned.
	Ham, Spam int
}

// Decision is what to do with an Event.
type Decision struct {
	// What is done.
	What What
	// Share is the strength with which it is learned, 0 to 1.
	Share float64
	// Undo are the votes that go.
	Undo []int64
	// Reason says why not, as a sentence for a person.
	Reason string
}

// What is done with a wish.
type What string

// What can be done.
const (
	New       What = "new"
	Already   What = "already"
	Corrected What = "corrected"
	Refused   What = "refused"
	Waiting   What = "waiting"
	// Queued is a wish that is durable here and waits for the stream.
	Queued What = "queued"
)

// Decide returns what becomes of e. Equal arguments give equal decisions.
//
// An administrator is always listened to, and overrules everybody. A mailbox
// corrects itself and what nobody said aloud (weak ham); against another
// mailbox or an administrator its word is noted and not learned, until more
// mailboxes have said the same than the contrary. Else a spammer with one
// mailbox here would have the last word on his mail by having the first.
func Decide(p Policy, e Event, h History) Decision {
	if d, done := decideKnown(e, h); done {
		return d
	}
	if !e.Source.byUser() {
		d := Decision{What: New, Share: 1}
		for _, v := range h.Votes {
			if v.Refused {
				continue
			}
			if v.Spam != e.Spam {
				d.What = Corrected
			}
			d.Undo = append(d.Undo, v.ID) // also what a mailbox said with half its strength
		}
		return d
	}
	// Before what others say: a word of one who may not speak counts in no
	// majority.
	if reason := p.bound(e, h); reason != "" {
		return Decision{What: Refused, Reason: reason}
	}
	d := decideOthers(e, h)
	if d.What == Refused {
		return d
	}
	if e.Source == Move && !e.Approved && e.Minute > p.Bulk {
		return Decision{What: Waiting, Reason: fmt.Sprintf("more than %d messages were moved within a minute", p.Bulk)}
	}
	if d.Share = p.share(e, h); d.Share <= 0 {
		return Decision{What: Already, Reason: "others have said so"}
	}
	return d
}

// decideKnown answers a wish that was fulfilled or refused before, or that its
// mailbox has overtaken.
func decideKnown(e Event, h History) (Decision, bool) {
	for _, v := range h.Votes {
		same := e.Source.byUser() && v.Spam == e.Spam && v.User == e.User
		switch {
		case v.Later && e.Source.byUser() && v.Source == Move && v.User == e.User:
			return Decision{What: Already, Reason: "the mailbox has moved it since"}, true
		case v.Refused:
		case v.Waiting:
			if same && e.Source == Move && !e.Approved {
				return Decision{What: Already, Reason: "it waits for an administrator"}, true
			}
		case v.Spam == e.Spam && !v.Source.byUser():
			return Decision{What: Already}, true
		case same && (v.Source == Move || e.Source == Weak):
			return Decision{What: Already}, true
		case e.Source == Weak && v.Spam == e.Spam:
			return Decision{What: Already}, true // once is enough
		}
	}
	return Decision{}, false
}

// decideOthers weighs a mailbox's word against the votes that are there.
func decideOthers(e Event, h History) Decision {
	d := Decision{What: New}
	outvotes := e.Source == Move && majority(e, h)
	for _, v := range h.Votes {
		switch {
		case v.Refused:
		case v.User == e.User && v.Source.byUser():
			if v.Spam != e.Spam && e.Source == Weak && v.Source == Move {
				return Decision{What: Refused, Reason: "the same mailbox has moved it to Junk"}
			}
			if v.Spam != e.Spam && !v.Waiting {
				d.What = Corrected
			}
			d.Undo = append(d.Undo, v.ID)
		case v.Waiting || v.Spam == e.Spam:
		case !v.Source.byUser():
			return Decision{What: Refused, Reason: "an administrator says otherwise"}
		case v.Source == Weak && e.Source == Move, outvotes:
			d.What = Corrected
			d.Undo = append(d.Undo, v.ID)
		default:
			return Decision{What: Refused, Reason: otherwise}
		}
	}
	return d
}

// otherwise is the reason of a refusal that may be overcome by a majority.
const otherwise = "another mailbox says otherwise"

// majority reports whether more mailboxes, e's among them, have moved the
// message as e does than the other way. Of each the last word counts, and Votes
// have the last one first.
func majority(e Event, h History) bool {
	said := map[string]bool{e.User: true}
	lead := 1
	for _, v := range h.Votes {
		if v.Source != Move || said[v.User] || v.Waiting || v.Refused && !v.Outvoted {
			continue
		}
		said[v.User] = true
		if v.Spam == e.Spam {
			lead++
		} else {
			lead--
		}
	}
	return lead > 0
}

// bound returns why a mailbox is not listened to, "" if it is.
func (p Policy) bound(e Event, h History) string {
	switch {
	case h.Held:
		return "the account is held"
	case e.Approved:
		return ""
	case h.Today >= p.MailboxDaily:
		return fmt.Sprintf("the mailbox has taught %d messages within 24 hours, as many as it may", h.Today)
	}
	if part := p.part(h.Mailboxes); h.Own >= p.Free && h.Own >= part*h.Total {
		return fmt.Sprintf("the mailbox has taught %.0f %% of all, as much as it may", 100*h.Own/max(h.Total, 1))
	}
	if e.Source == Weak && h.Ham >= weakFree && h.Ham > p.WeakRatio*h.Spam {
		return "there is enough ham for the spam that was learned"
	}
	return ""
}

// part returns the share of the total that one of n mailboxes may have: of few,
// each has half as much again as would be even; a mailbox alone has all.
func (p Policy) part(n int) float64 {
	if n <= 1 {
		return 2 // never reached
	}
	return min(max(p.MaxPart, 1.5/float64(n)), 0.9)
}

// share returns the strength of a word that counts. Several mailboxes that got
// the same message teach it once between them; a campaign of which another
// mailbox said the same is learned in full.
func (p Policy) share(e Event, h History) float64 {
	said, others := 0.0, false
	for _, v := range h.Votes {
		if v.User != e.User && v.Spam == e.Spam && !v.Refused && !v.Waiting {
			said, others = said+v.Share, others || v.Source == Move
		}
	}
	switch {
	case e.Source == Weak:
		return p.WeakShare
	case others:
		return 1 - said
	case h.Agree > 0:
		return 1
	}
	return p.MoveShare
}
