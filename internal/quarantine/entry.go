package quarantine

import (
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/verdict"
)

// Entry is what is kept of a message beside its bytes. Texts are what a
// stranger typed, as UTF-8.
type Entry struct {
	// ID names the entry. Put makes it.
	ID string `json:"id"`
	// QueueID is Postfix's.
	QueueID string `json:"queue_id,omitempty"`
	// Arrived is when Postfix was given the message.
	Arrived time.Time `json:"arrived"`
	Client  Client    `json:"client"`
	// MailFrom is the reverse-path without brackets, "" for the null one;
	// RcptTo are all recipients, without brackets.
	MailFrom string   `json:"mail_from"`
	RcptTo   []string `json:"rcpt_to"`
	Header   Header   `json:"header"`

	Score float64 `json:"score"`
	// Discard says that a rule discarded the message: nobody was to have it.
	Discard bool `json:"discard,omitempty"`
	// Lines are the reasons of the score.
	Lines []verdict.Line `json:"lines,omitempty"`
	Edits Edits          `json:"edits,omitzero"`
	// Size is the message's in bytes.
	Size int64 `json:"size"`
}

// Kind returns "quarantine", or "discard".
func (e *Entry) Kind() string {
	if e.Discard {
		return "discard"
	}
	return verdict.Quarantine.String()
}

// Client is the SMTP client that brought the message.
type Client struct {
	Addr netip.Addr `json:"addr,omitzero"`
	// Name is its verified name, "" for none.
	Name string `json:"name,omitempty"`
	Helo string `json:"helo,omitempty"`
}

// Header has fields of the message that a list shows, decoded.
type Header struct {
	From      string `json:"from,omitempty"`
	Subject   string `json:"subject,omitempty"`
	MessageID string `json:"message_id,omitempty"`
}

// Edits are what a delivery would have changed.
type Edits struct {
	// AuthResults is the value of our Authentication-Results, folded with LF.
	AuthResults string `json:"auth_results,omitempty"`
	// Cut are the fields that only this host may add, in order.
	Cut []Span `json:"cut,omitempty"`
}

// Span is the bytes [Start, End) of the message.
type Span struct {
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}

// Mark is what became of an entry.
type Mark struct {
	// Delivered has a line for each mailbox that got the message.
	Delivered []Delivered `json:"delivered,omitempty"`
	// Done says that all who were to have it have it.
	Done bool `json:"done,omitempty"`
	// Learn says that the message is to be learned as ham, Learned that it was.
	Learn   bool `json:"learn,omitempty"`
	Learned bool `json:"learned,omitempty"`
}

// Has reports whether mailbox got the message.
func (m Mark) Has(mailbox string) bool {
	for _, d := range m.Delivered {
		if d.To == mailbox {
			return true
		}
	}
	return false
}

// Delivered is one copy that was delivered.
type Delivered struct {
	// To is the mailbox.
	To string    `json:"to"`
	At time.Time `json:"at"`
	// ID is the queue id under which the delivery is journaled.
	ID string `json:"id"`
}

// State is a word for how far an entry is.
type State string

// The states.
const (
	// Held is an entry that nobody got.
	Held State = "held"
	// Partly is one that somebody got, and not all.
	Partly State = "partly"
	// Released is one that all got who were to.
	Released State = "released"
	// Damaged is a file that cannot be read.
	Damaged State = "damaged"
)

// Item is an entry as lists show it.
type Item struct {
	Entry
	// Verdict is "quarantine", or "discard".
	Verdict string `json:"verdict"`
	// Expires is when the entry goes at the latest.
	Expires time.Time `json:"expires"`
	State   State     `json:"state"`
	// Recipients counts all, of whom a list shows the first in RcptTo.
	Recipients int `json:"recipients"`
	Mark
}

func (m Mark) state() State {
	switch {
	case m.Done:
		return Released
	case len(m.Delivered) > 0:
		return Partly
	}
	return Held
}
