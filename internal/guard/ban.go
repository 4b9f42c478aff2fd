package guard

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/state"
)

// Ban closes services to one network until it ends.
type Ban struct {
	// ID names the ban in replies, in the journal and on the command line.
	ID      string       `json:"id"`
	Network netip.Prefix `json:"network"`
	// Services is what is closed, sorted: submission, imap, pop3, sieve and web
	// together, or mx alone.
	Services []string `json:"services,omitempty"`
	// User is set where only this account is closed on the network. Such a ban
	// is not in the list: it is too small for one.
	User string `json:"user,omitempty"`
	// Rule is the setting whose line was crossed, empty when a person added it.
	Rule string `json:"rule,omitempty"`
	// Reason is one sentence for the operator. It holds nothing that the
	// client typed.
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	// Times is which ban of the network it is, as far as they are remembered.
	Times int `json:"times,omitempty"`
	// Manual says that a person added it.
	Manual bool `json:"manual,omitempty"`
	// Shared says that the network must not be closed in a firewall: accounts
	// proved themselves there, which still get in unless a person added the ban, or
	// an address in it is never banned.
	Shared bool `json:"shared,omitempty"`
	// Observe says that the rule only watches.
	Observe bool `json:"observe,omitempty"`
}

// loginServices are closed by failed logins.
func loginServices() []string { return []string{"imap", "pop3", "sieve", "submission", "web"} }

// maxReasonBytes bounds the reason that a person gives, maxIDBytes the name of
// a ban.
const (
	maxReasonBytes = 500
	maxIDBytes     = 32
)

// mx says that b closes port 25.
func (b *Ban) mx() bool { return slices.Contains(b.Services, MX) }

// key is the name of b's row: port 25 has a ban of its own.
func (b *Ban) key() string {
	if b.mx() {
		return b.Network.String() + " " + MX
	}
	return b.Network.String()
}

// entry returns b as a row of the table state.Ban, which is kept as long as b
// makes the next ban longer.
func (b Ban) entry(gone time.Time) (state.Entry, error) {
	v, err := json.Marshal(b)
	if err != nil {
		return state.Entry{}, fmt.Errorf("encode ban of %s: %w", netaddr.String(b.Network), err)
	}
	return state.Entry{Key: b.key(), Value: v, Expires: gone}, nil
}

// banOf reads a row of the table state.Ban.
func banOf(e state.Entry) (Ban, error) {
	var b Ban
	if err := json.Unmarshal(e.Value, &b); err != nil {
		return Ban{}, fmt.Errorf("decode ban %q: %w", e.Key, err)
	}
	switch {
	case !b.Network.IsValid() || b.Network != b.Network.Masked() || b.Network.Addr().Is4In6() || b.key() != e.Key:
		return Ban{}, fmt.Errorf("decode ban %q: the row names another network", e.Key)
	case b.ID == "" || len(b.ID) > maxIDBytes || len(b.Reason) > maxReasonBytes || !printable(b.ID+b.Reason+b.Rule+b.User):
		return Ban{}, fmt.Errorf("decode ban %q: its texts are not of a ban", e.Key)
	case b.Times < 0 || b.Times > maxTimes:
		return Ban{}, fmt.Errorf("decode ban %q: it is number %d", e.Key, b.Times)
	case b.Until.Sub(b.Since) > 2*maxSpan: // with jitter
		return Ban{}, fmt.Errorf("decode ban %q: it is longer than one can be", e.Key)
	}
	if b.mx() {
		b.Services = []string{MX}
	} else {
		b.Services = loginServices()
	}
	return b, nil
}

// maxTimes is how many bans of one network are told apart.
const maxTimes = 1000

// printable reports whether s is without control characters.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
