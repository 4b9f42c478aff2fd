package account

import (
	"context"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// Backend is all that a driver of accounts offers.
type Backend interface {
	Store
	Rehasher
	AppUses
	Standings
	// Fresh returns the view that logins use. It never answers from what was
	// right some time ago: an error says that the store is away. Besides, it is
	// an AppUses, and a Rehasher unless passwords are somebody else's.
	Fresh() Reader
	// Writable returns nil if a change can be made now, and else what keeps it
	// from being written.
	Writable(ctx context.Context) error
	// OwnKey returns a random key that the store keeps under a name of ours, made
	// when it is first asked for.
	OwnKey(ctx context.Context, name string) (secret.Value, error)
}

// Standings keeps rates of users, groups and domains, and the groups. A store
// without answers is as with Reader: an error that is none of this package means
// that it is away. It is safe for concurrent use.
type Standings interface {
	// Standing returns what limits have to know of a user; a user who is not there
	// has only what the domain has.
	Standing(ctx context.Context, user mailaddr.Address) (Standing, error)
	// Rates lists all rates: of users, of groups, of domains, each by name.
	Rates(ctx context.Context) ([]LimitRate, error)
	// SetRate sets or replaces a rate, under the promises of Writer. A user or
	// domain that is not there, and a group without members, are ErrNotFound.
	SetRate(ctx context.Context, r LimitRate) error
	// RemoveRate forgets a rate; one that is not there is ErrNotFound.
	RemoveRate(ctx context.Context, s Subject, limit string) error
	// Groups lists the groups that have a member, by name.
	Groups(ctx context.Context) ([]Group, error)
	// AddToGroup adds users to a group, which need not be there. It is ErrNotFound
	// when one of them is not there, and ErrExists when all were in it.
	AddToGroup(ctx context.Context, g Group) error
	// RemoveFromGroup removes users from a group, or without any the group and its
	// rates. A user who is not in it is ErrNotFound, and nothing changes.
	RemoveFromGroup(ctx context.Context, g Group) error
}

// Limits is Standings by its older name.
type Limits struct{ Standings }

// NewLimits returns what s keeps of rates and groups.
func NewLimits(s Standings) *Limits { return &Limits{s} }
