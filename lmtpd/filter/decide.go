package filter

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/sieve"
)

// maxReason bounds the text of a refusal in a reply, in bytes.
const maxReason = 400

// refusal is what becomes of a reject or an ereject.
type refusal int

const (
	// refuseNot keeps the message in Junk: nobody knows who sent it, and the
	// notice would go to whoever the sender's name was stolen from.
	refuseNot refusal = iota
	// refuseReply answers 550, so that the sender's server tells its user.
	refuseReply
	// refuseNotice sends a message.
	refuseNotice
)

// decideRefusal returns what becomes of an action of kind, for a message whose
// sender is proved or not. Others says that the message goes elsewhere as well:
// a reply would deny that.
func decideRefusal(kind sieve.Kind, proved, nullSender, others bool) refusal {
	switch {
	case !proved || nullSender:
		return refuseNot
	case kind == sieve.Ereject && !others:
		return refuseReply
	}
	return refuseNotice
}

// refuseWith returns the reply with the reason of a script: one line of what a
// reply can carry.
func refuseWith(reason string) reply.Reply {
	text := strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(reason, "?"))), " ")
	for len(text) > maxReason {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	r, err := reply.New(550, "7.1", cmp.Or(text, "message refused by the recipient"))
	if err != nil { // characters that no reply carries
		return reply.Must(550, "7.1", "message refused by the recipient")
	}
	return r
}

// decideNoAnswer returns why vacation does not answer, "" where it may.
func decideNoAnswer(m *Message, p proof) string {
	switch {
	case m.Marked:
		return "it is marked as spam"
	case p.dmarcFailed:
		return "DMARC failed"
	}
	return ""
}

// decideScore returns what spamtest sees.
func decideScore(m *Message, mark float64) sieve.Score {
	if !m.Scanned || mark <= 0 {
		return sieve.Score{}
	}
	share := m.Score / mark
	// The recipient may have a threshold of his own, or a rule decided.
	if m.Marked {
		share = max(share, 1)
	} else {
		share = min(share, 0.99)
	}
	return sieve.Score{Known: true, Share: share}
}

// decideSource returns the Source of the n-th copy, which goes into a folder: that
// of the message for the one that it would have without a script, so that a retry
// is known across a change of scripts.
func decideSource(m *Message, f maildir.Folder, n int) maildir.Source {
	if m.Source.Key == (maildir.Key{}) || n == 0 && f == m.Folder {
		return m.Source
	}
	return maildir.Source{Arrived: m.Source.Arrived, Key: maildir.NewKey("sieve", string(m.Source.Key[:]), string(f), strconv.Itoa(n))}
}

// copies are the copies of a plan, each folder and flags once.
type copies struct {
	message *Message
	list    []Copy
}

func (c *copies) add(cp Copy) {
	for i := range c.list {
		if have := &c.list[i]; have.Folder == cp.Folder && have.Flags == cp.Flags && string(have.Content) == string(cp.Content) {
			have.Create = have.Create || cp.Create
			return
		}
	}
	cp.Source = decideSource(c.message, cp.Folder, len(c.list))
	c.list = append(c.list, cp)
}

// place tells where an action files.
type place struct {
	folder maildir.Folder
	// why says why it is not where the script wants it.
	why string
}

// decidePlace returns the folder for an action that files. There tells whether a
// folder is there; use is that of the special use which the action asks for.
func decidePlace(a *sieve.Action, standard maildir.Folder, use string, autocreate bool, there func(maildir.Folder) bool) place {
	if a.Kind == sieve.Keep && a.SpecialUse == "" {
		return place{folder: standard}
	}
	if use != "" {
		if f, err := parseFolder(use); err == nil && there(f) {
			return place{folder: f}
		}
	}
	f, err := parseFolder(a.Mailbox)
	switch {
	case err != nil:
		return place{standard, fmt.Sprintf("%q cannot be the name of a folder", a.Mailbox)}
	case !a.Create && !autocreate && f != standard && !there(f):
		return place{standard, fmt.Sprintf("folder %q does not exist", a.Mailbox)}
	}
	return place{folder: f}
}

// mailID returns the text that makes Message-IDs for what is sent on account of a
// message.
func mailID(unique, hostname string, now time.Time) string {
	return fmt.Sprintf("sieve.%d.%s@%s", now.UnixMicro(), unique, hostname)
}
