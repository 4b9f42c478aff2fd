package stated

import (
	"context"
	"io"

	"github.com/gatepost/gatepost/internal/abuse"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/notice"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/secret"
)

// Parts are what a Server serves. All are needed.
type Parts struct {
	Build      string // the version of the process
	State      *Hub
	Accounts   account.Backend
	Journal    recorder
	Learn      learner
	Quarantine quarantiner
	Outgoing   spool
	Notices    notifier
	Abuse      watcher
	Keys       signers
	// SRS returns the keys of rewritten senders, the newest first; none is off.
	SRS func() ([]secret.Value, error)
	// Seals returns the domain that seals (milter.arc_seal), "" for none; nil is
	// none, too.
	Seals func() string
}

// recorder is a *journal.Journal.
type recorder interface{ Record(journal.Record) }

// learner is a *learn.Learner.
type learner interface {
	ScoreItem(features []byte) (classify.Score, error)
	Keep(t learn.Trace, f *classify.Features)
	NoteFiled(base string, junk bool)
	Filed(ctx context.Context, base string) (junk, ok bool)
	Learn(ctx context.Context, w learn.Wish) (learn.Result, error)
	Seen(ctx context.Context, mailbox string) ([]byte, error)
	SetSeen(ctx context.Context, mailbox string, seen []byte) error
	ReportWatch(s learn.WatchStatus)
}

// quarantiner is a *quarantine.Store.
type quarantiner interface {
	Put(ctx context.Context, e quarantine.Entry, msg io.Reader) (string, error)
}

// spool is an *outgoing.Queue.
type spool interface {
	Add(m outgoing.Mail) error
	Wrote(messageID string) (outgoing.Kind, bool)
}

// notifier is a *notice.Teller.
type notifier interface{ Tell(e notice.Event) }

// watcher is an *abuse.Watcher.
type watcher interface {
	Sent(s abuse.Sent)
	Bounced(b abuse.Bounced)
	Refused(r abuse.Refused)
	Login(l abuse.Login)
}

// signers is a *keys.Store.
type signers interface {
	List() []keys.Key
	Active(domain string) []keys.Key
	Sign(keys []keys.Key, msg io.Reader) ([]string, error)
}

// keep keeps the features of a message.
func (p Parts) keep(k keeping) error {
	var f classify.Features
	if err := f.UnmarshalBinary(k.Features); err != nil {
		return err
	}
	p.Learn.Keep(k.Trace, &f)
	return nil
}
