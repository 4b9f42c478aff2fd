package sieve

import (
	"context"
	"strings"
	"time"
)

// Env is what a run may know besides the message: facts that the caller
// gathered, and small questions that it answers from its stores. Nothing of it
// changes anything: what is to be remembered stands in the Result.
type Env struct {
	// Limits are those of the run; the zero value is DefaultLimits().
	Limits Limits
	// Settings are the administrator's.
	Settings Settings
	Envelope Envelope
	User     User
	// Now is the time of delivery in the zone of the host.
	Now time.Time
	// Spam returns how much the message is spam; nil: nobody looked.
	Spam func(ctx context.Context) Score
	// Virus returns 0 for not looked at, 1 for clean, to 5 for surely infected
	// (RFC 5235 §2.3); nil is 0.
	Virus func(ctx context.Context) int
	// NoAnswer says why vacation does not answer this message: it is marked as
	// spam, DMARC failed. "" lets it.
	NoAnswer string
	// Mailboxes, Lists and Memory may be nil: there are none then.
	Mailboxes mailboxes
	Lists     externalLists
	Memory    memory
	// Items are environment items (RFC 5183) of the caller, such as "host";
	// those of this package are "name", "version", "location" and "phase".
	Items map[string]string
	// Trace is told each test and action, for `gatepost sieve test`; nil for
	// none.
	Trace func(Event)
}

// Envelope is that of SMTP. Addresses are as the peer gave them, without
// brackets; From is "" for the null reverse-path.
type Envelope struct {
	From, To string
	// OrigTo is the recipient before aliases, "" when it is not known.
	OrigTo string
	// Auth is the name that the sender was authenticated under, "" for none.
	Auth string
}

// User is whose scripts run.
type User struct {
	// Name is the login name.
	Name string
	// Email is the user's own address; "" takes the envelope's recipient.
	Email string
	// Addresses are all addresses that deliver to the user.
	Addresses []string
}

// Score is how much a message is spam.
type Score struct {
	// Known is false when nothing looked at the message.
	Known bool
	// Share is the score divided by the one at which mail counts as spam: 1
	// and more is spam, 0 and less is not.
	Share float64
}

// mailboxes is what mailboxexists and specialuse_exists ask.
type mailboxes interface {
	// Exists reports whether mail can be filed into the mailbox.
	Exists(ctx context.Context, mailbox string) bool
	// SpecialUse reports whether the mailbox, or any for "", has the special
	// use such as "\Sent" (RFC 6154).
	SpecialUse(ctx context.Context, mailbox, use string) bool
}

// externalLists answers :list (RFC 6134).
type externalLists interface {
	// Names are in their long form: "urn:ietf:params:sieve:addrbook:default".
	// Known reports whether there is a list of that name.
	Known(list string) bool
	// Contains reports whether value is in the list.
	Contains(ctx context.Context, list, value string) (bool, error)
}

// memory answers duplicate and vacation.
type memory interface {
	// Seen reports whether id was marked for this user, and the time has not
	// passed (Mark).
	Seen(ctx context.Context, id string) (bool, error)
}

// Settings are what the administrator decides for all scripts.
type Settings struct {
	// RecipientDelimiter parts user and detail (RFC 5233): any of these
	// characters; "" is "+".
	RecipientDelimiter string
	// NoAdd and NoDelete are the fields, in lower case, that addheader and
	// deleteheader leave alone. Subject is never among them; Received and
	// Auto-Submitted are always among those that stay.
	NoAdd, NoDelete map[string]bool
	// DefaultMailbox is where keep files; "" is INBOX.
	DefaultMailbox string
	Vacation       VacationSettings
	// OwnFrom takes :from of vacation and notify only for an address of the
	// user's, with a detail or without.
	OwnFrom bool
	Notify  NotifySettings
	// RedirectFrom is the sender of redirected mail whose sender is not null.
	RedirectFrom SenderRule
}

// SenderRule picks an envelope sender.
type SenderRule struct {
	// Kind is one of "" (as the message had it, for notify the postmaster),
	// "sender", "recipient", "orig_recipient", "user_email", "postmaster" and
	// "explicit".
	Kind string
	// Address is that of "explicit"; "" is the null reverse-path.
	Address string
}

// Event is one line of a trace.
type Event struct {
	// Script and Pos tell where.
	Script string
	Pos    Pos
	// Text is a test with its result, or an action.
	Text string
}

func (m *machine) delimiter() string { return m.env.Settings.delimiter() }

func (s *Settings) delimiter() string {
	if s.RecipientDelimiter != "" {
		return s.RecipientDelimiter
	}
	return "+"
}

func (s *Settings) mailbox() string {
	if s.DefaultMailbox != "" {
		return s.DefaultMailbox
	}
	return "INBOX"
}

// listName writes out the short form of a name (RFC 6134 §2.2).
func listName(s string) string {
	if strings.HasPrefix(s, ":addrbook:") {
		return "urn:ietf:params:sieve" + s
	}
	return s
}

func (m *machine) inList(list, value string) (bool, error) {
	if m.env.Lists == nil {
		return false, nil
	}
	return m.env.Lists.Contains(m.ctx, listName(list), value)
}
