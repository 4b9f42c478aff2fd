package guard

import (
	"encoding/json"
	"errors"
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
	// Host is the host that made it, where hosts have names. Trial says that the
	// guard there only observed, so that others do no more.
	Host  string `json:"host,omitempty"`
	Trial bool   `json:"trial,omitempty"`
}

// loginServices are closed by failed logins.
func loginServices() []string { return []string{"imap", "pop3", "sieve", "submission", "web"} }

// maxReasonBytes bounds the reason that a person gives, maxIDBytes the name of
// a ban, maxHostBytes that of a host.
const (
	maxReasonBytes = 500
	maxIDBytes     = 32
	maxHostBytes   = 255
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

// row is a row of the table state.Ban. Where hosts share it a ban that was lifted
// stays there until it would have ended: a row that is not there may be lost.
type row struct {
	Ban
	Lifted time.Time `json:"lifted,omitzero"`
}

// entry returns b as a row of the table state.Ban, which is kept as long as b
// makes the next ban longer. lifted is zero for one that holds.
func (b Ban) entry(gone, lifted time.Time) (state.Entry, error) {
	v, err := json.Marshal(row{b, lifted})
	if err != nil {
		return state.Entry{}, fmt.Errorf("encode ban of %s: %w", netaddr.String(b.Network), err)
	}
	return state.Entry{Key: b.key(), Value: v, Expires: gone}, nil
}

// banOf reads a row of the table state.Ban. lifted is zero for a ban that holds. One
// of a host whose clock is years ahead would hold until then.
func banOf(e state.Entry, now time.Time) (b Ban, lifted time.Time, err error) {
	var r row
	if err := json.Unmarshal(e.Value, &r); err != nil {
		return Ban{}, lifted, fmt.Errorf("decode ban %q: %w", e.Key, err)
	}
	if b, err = r.valid(e.Key); err == nil && b.Until.Sub(now) > 2*maxSpan {
		err = errors.New("it ends later than one can")
	}
	if err != nil {
		return Ban{}, lifted, fmt.Errorf("decode ban %q: %w", e.Key, err)
	}
	return b, r.Lifted, nil
}

// valid returns b if it can be the row of that key.
func (b Ban) valid(key string) (Ban, error) {
	switch {
	case !b.Network.IsValid() || b.Network != b.Network.Masked() || b.Network.Addr().Is4In6() || b.key() != key:
		return Ban{}, errors.New("the row names another network")
	case b.ID == "" || len(b.ID) > maxIDBytes || len(b.Reason) > maxReasonBytes || len(b.Host) > maxHostBytes || !printable(b.ID+b.Reason+b.Rule+b.User+b.Host):
		return Ban{}, errors.New("its texts are not of a ban")
	case b.Times < 0 || b.Times > maxTimes:
		return Ban{}, fmt.Errorf("it is number %d", b.Times)
	case b.Until.Sub(b.Since) > 2*maxSpan: // with jitter
		return Ban{}, errors.New("it is longer than one can be")
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
