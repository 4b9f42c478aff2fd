package stated

import (
	"bytes"
	"slices"

	"github.com/gatepost/gatepost/internal/state"
)

// Right is what a peer may ask for. A set of them is their sum.
type Right uint32

// The rights.
const (
	// rightNames reads domains, users without their passwords, aliases, grants, posting
	// rules, allow and deny entries, and rates.
	rightNames Right = 1 << iota
	// rightSecrets reads password hashes and the keys that belong to them, notes the
	// use of app passwords, and replaces a hash by another of the same password.
	rightSecrets
	// rightChange changes accounts. No daemon has it.
	rightChange
	// rightCounters counts, and gives back. With rightChange it lists counters, too,
	// and sets them to zero.
	rightCounters
	// rightMerge brings what was counted while this process was away.
	rightMerge
	// rightSigningKeys reads DKIM keys, rightSRSKeys those of rewritten senders.
	rightSigningKeys
	rightSRSKeys
	// rightScore asks the learned filter, and lets it keep what it saw.
	rightScore
	// rightTeach learns from moves in mailboxes.
	rightTeach
	// rightFiled tells the learner where a delivery put a file.
	rightFiled
	// rightQuarantine puts messages into quarantine.
	rightQuarantine
	// rightMail hands over mail of our own. rightWrote asks what waits of it.
	rightMail
	rightWrote
	// rightNotices tells people.
	rightNotices
	// rightSent tells the watcher of accounts of mail and of notifications, rightRefused of
	// refusals, rightLogins of logins.
	rightSent
	rightRefused
	rightLogins
)

// Grant is what one user of the host may do here.
type Grant struct {
	Rights Right
	// Read and Write are tables of the state; who writes one reads it, too.
	Read, Write []state.Table
	// Journal are the daemons in whose name it records.
	Journal []string
}

// The names of the daemons that have a Grant.
const (
	Milter  = "milter"
	Policyd = "policyd"
	Authd   = "authd"
	Lmtpd   = "lmtpd"
)

// Daemons lists them.
func Daemons() []string { return []string{Milter, Policyd, Authd, Lmtpd} }

// GrantOf returns what a daemon needs and no more; one that has no Grant gets
// none.
func GrantOf(daemon string) Grant {
	switch daemon {
	case Milter:
		return Grant{
			Rights:  rightNames | rightSigningKeys | rightSRSKeys | rightScore | rightQuarantine | rightWrote | rightNotices | rightSent,
			Write:   []state.Table{state.Ban, state.Login, state.Delivery, state.Seen, state.Sent, state.Author, state.Reputation},
			Journal: []string{"milter", "guard"},
		}
	case Policyd:
		return Grant{
			Rights:  rightNames | rightCounters | rightMerge | rightSRSKeys | rightNotices | rightRefused,
			Read:    []state.Table{state.Sent, state.Author},
			Write:   []state.Table{state.Ban, state.Login, state.Limit, state.Seen, state.TLSPolicy},
			Journal: []string{"policyd", "socketmap", "guard"},
		}
	case Authd:
		return Grant{
			Rights:  rightNames | rightSecrets | rightNotices | rightLogins,
			Write:   []state.Table{state.Ban, state.Login},
			Journal: []string{"authd", "dict", "auth_policy", "guard"},
		}
	case Lmtpd:
		return Grant{
			Rights:  rightNames | rightCounters | rightSRSKeys | rightTeach | rightFiled | rightMail,
			Read:    []state.Table{state.Delivery, state.Sent},
			Write:   []state.Table{state.Sieve, state.Limit},
			Journal: []string{"lmtpd", "managesieve"},
		}
	}
	return Grant{}
}

// And returns what g and o may do together: daemons that share a user can not be
// told apart.
func (g Grant) And(o Grant) Grant {
	return Grant{
		Rights: g.Rights | o.Rights,
		Read:   slices.Concat(g.Read, o.Read), Write: slices.Concat(g.Write, o.Write), Journal: slices.Concat(g.Journal, o.Journal),
	}
}

// All may do everything; the contract tests of the stores run with it.
func All() Grant {
	g := Grant{Rights: ^Right(0), Write: state.Tables}
	for _, d := range Daemons() {
		g.Journal = append(g.Journal, GrantOf(d).Journal...)
	}
	return g
}

func (g *Grant) may(r Right) bool { return g.Rights&r == r }

func (g *Grant) reads(t state.Table) bool { return slices.Contains(g.Read, t) || g.writes(t) }

func (g *Grant) writes(t state.Table) bool { return slices.Contains(g.Write, t) }

// handRows begins the keys of the rates that an administrator set by hand, in the
// table Limit: daemons read them.
const handRows = "rate/"

// puts reports whether the row of that key may be written, or deleted.
func (g *Grant) puts(t state.Table, key []byte) bool {
	return g.writes(t) && (t != state.Limit || g.may(rightChange) || !bytes.HasPrefix(key, []byte(handRows)))
}

// nothing says that a user is nobody here.
func (g *Grant) nothing() bool {
	return g.Rights == 0 && len(g.Read)+len(g.Write)+len(g.Journal) == 0
}
