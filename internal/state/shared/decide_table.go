package shared

import (
	"strings"

	"github.com/gatepost/gatepost/internal/state"
)

// rule says how a table is kept; the package's doc has all of them in a table.
type rule struct {
	// copied: the local store has a copy of what this host wrote, and of what it
	// heard or listed.
	copied bool
	// both: what the common store does not have is looked for in the copy.
	both bool
	// alone: while the store is away, this host's copy answers. Otherwise a read
	// is ErrAway: one host's part would be taken for the whole.
	alone bool
	// merged: what is written while the store is away is brought to it later.
	// Otherwise a write is ErrAway.
	merged bool
	// whole: a list is all that holds, and what it lacks leaves the copy.
	whole bool
}

// ruleOf returns the rule for a key, or for a prefix of keys.
func ruleOf(t state.Table, key string) rule {
	switch t {
	case state.Delivery, state.Sieve:
		return rule{copied: true, both: true, alone: true, merged: true}
	case state.Ban, state.Login, state.Limit:
		return rule{copied: true, alone: true, merged: true, whole: true}
	case state.TLSPolicy:
		return rule{copied: true, alone: true, merged: true}
	case state.Sent:
		// A key with a slash is a habit of a sender: the watcher of abuse goes on
		// with what this host knows of it. The others are who wrote to whom.
		if strings.Contains(key, "/") {
			return rule{copied: true, alone: true, merged: true}
		}
		return rule{merged: true}
	case state.Author, state.Reputation:
		return rule{merged: true}
	}
	return rule{} // state.Seen
}
