package filter

import (
	"context"
	"io"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/sieve"
)

// Message is a message for one mailbox, with what delivery knows of it.
type Message struct {
	// User owns the mailbox.
	User account.User
	// RcptTo is the recipient of the envelope, and MailFrom its sender, turned
	// back where it was rewritten by SRS.
	RcptTo, MailFrom mailaddr.Address
	// Source is what makes the message the same when it comes again; zero where
	// that is not known.
	Source maildir.Source
	// Folder is where it goes without a script; the inbox will do where NoCreate
	// is set and it is missing.
	Folder   maildir.Folder
	NoCreate bool
	// Scanned says that the milter looked at it: Score is the result then, and
	// Authentication-Results are its own. Marked says that it is taken for spam.
	Scanned, Marked bool
	Score           float64
	// Top are the fields that delivery puts in front, Body the message as it
	// came.
	Top  []byte
	Body func() io.Reader
}

// Plan is what is to be done with a message. Send comes first, then the copies
// are written, then Done.
type Plan struct {
	// Copies are to be written in turn. Without one, and without Refuse, the
	// message is dealt with.
	Copies []Copy
	// Refuse is the reply in place of a copy; zero for none.
	Refuse reply.Reply
	// Notes tell what the scripts did, for the journal.
	Notes []string
	// Err is what went wrong, for the log: the copies are right all the same.
	Err error

	user   account.User
	source maildir.Key
	// keepSource is the Source of a copy that stands in for a mail.
	keepSource maildir.Source
	folder     maildir.Folder
	noCreate   bool
	now        time.Time
	mails      []pending
	marks      []sieve.Mark
	// lines are for the user's log.
	lines []string
	// undone says that a mail which stood in for a copy was not sent.
	undone bool
}

// Copy is one copy of the message in the mailbox.
type Copy struct {
	Folder maildir.Folder
	// Create makes the folder where it is missing; else the inbox will do.
	Create bool
	// Flags are the letters of the Maildir's info, sorted.
	Flags string
	// Content is the message with the edits of the script; nil is Top and Body as
	// they came.
	Content []byte
	// Source is that of the copy.
	Source maildir.Source
}

// pending is one mail that waits to be sent.
type pending struct {
	mail outgoing.Mail
	// what describes it for the log.
	what string
	// id names it among those of this message.
	id    string
	marks []sieve.Mark
	// keeps says that the message is kept when this is not sent.
	keeps bool
}

// accounts is what filtering needs of the account store.
type accounts interface {
	Domain(ctx context.Context, name string) (account.Domain, error)
	Aliases(ctx context.Context, mask string) ([]account.Alias, error)
	Version() uint64
}
