package account

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// Errors that a caller may branch on. Every other error of a store means that
// the store is away: it is transient (package mailerr).
var (
	// ErrNotFound means that the store has no such row.
	ErrNotFound = errors.New("no such entry")
	// ErrExists means that the row is there already.
	ErrExists = errors.New("entry exists already")
	// ErrNoDomain means that a user or alias names a domain that is not ours.
	ErrNoDomain = errors.New("no such domain")
	// ErrNotEmpty means that a domain still has users or aliases.
	ErrNotEmpty = errors.New("domain still has users or aliases")
	// ErrInvalid means that a value can not be stored: no address, too long.
	ErrInvalid = errors.New("not valid")
	// ErrLoop means that an alias would lead back to an address that it comes
	// from, so that its mail would reach nobody.
	ErrLoop = errors.New("alias loop")
	// ErrChanged means that a row is no longer what the caller has seen.
	ErrChanged = errors.New("entry has changed")
	// ErrReadOnly means that the rows are somebody else's, whom we never write to.
	ErrReadOnly = errors.New("accounts are kept by another program")
)

// Limits of what a store has to hold, and refuses beyond.
const (
	// MaxPasswordBytes bounds "{SCHEME}hash".
	MaxPasswordBytes = 1024
	// MaxTargets bounds the targets of one alias.
	MaxTargets = 1000
	// MaxQuota bounds a quota, in bytes (4 PiB).
	MaxQuota = 1 << 52
)

// Domain is a mail domain whose mailboxes are here.
type Domain struct {
	// Name is in lower case, without a final dot, and in ASCII: see ValidDomain.
	Name string `json:"name"`
}

// User is a mailbox and its login.
type User struct {
	// ID never comes back for another user.
	ID int64 `json:"id"`
	// Addr is folded to lower case.
	Addr mailaddr.Address `json:"addr"`
	// Password is "{SCHEME}hash"; empty means that no password is right.
	Password secret.Value `json:"-"`
	// Held stops the user's outgoing mail (a stolen password); mail still comes in.
	Held bool `json:"held"`
	// Disabled stops logins and sending.
	Disabled bool `json:"disabled"`
	// Quota is in bytes; 0 means none.
	Quota int64 `json:"quota"`
	// AllowNets are the networks to log in from; none allows all.
	AllowNets []netip.Prefix `json:"allow_nets,omitempty"`
	// NoLogin is why the user may not log in; empty lets the user in. The mailbox
	// stays, and takes mail.
	NoLogin string `json:"nologin,omitempty"`
	// Services are what the user may log in to, sorted; none allows all.
	Services []string `json:"services,omitempty"`
	// Expires is when logins end; zero is never.
	Expires time.Time `json:"expires,omitzero"`
	// Changed is when the row last changed.
	Changed time.Time `json:"changed"`
}

// Alias sends the mail for one address, or for all else of a domain, elsewhere.
type Alias struct {
	// Addr is folded; an empty LocalPart makes it the domain's catch-all.
	Addr mailaddr.Address `json:"addr"`
	// To has the targets in the order in which they were added. That of a catch-all
	// may be a domain, with an empty LocalPart: see For.
	To []mailaddr.Address `json:"to"`
}

// Reader is what a store that is only read offers. It is safe for concurrent
// use. A look-up finds exact rows only: User("x@d") never answers with an
// alias or the catch-all of d, nor with a row for another detail. Addresses
// are folded by the store. The caller must not change what it gets.
type Reader interface {
	Domain(ctx context.Context, name string) (Domain, error)
	// Domains lists all, by name.
	Domains(ctx context.Context) ([]Domain, error)
	User(ctx context.Context, addr mailaddr.Address) (User, error)
	// Users lists the users that mask matches, by domain and local part. A mask
	// is a domain, a pattern of whole addresses with "*" and "?" as Dovecot has
	// them ("a*@example.org"), or empty for all.
	Users(ctx context.Context, mask string) ([]User, error)
	// Alias finds the catch-all of a domain by an empty LocalPart.
	Alias(ctx context.Context, addr mailaddr.Address) (Alias, error)
	// Aliases lists like Users; the address of a catch-all is "@domain".
	Aliases(ctx context.Context, mask string) ([]Alias, error)
	Rights
	AppReader
	// Version grows with every change that was made through this store. Who
	// caches an answer takes Version before the look-up, and drops the answer
	// when Version has moved.
	Version() uint64
}

// Writer changes a store. A change is on disk, and seen by every Reader method,
// before the method returns. Domains and local parts are folded.
type Writer interface {
	// AddDomain adds a domain that is ValidDomain, else it is ErrInvalid.
	AddDomain(ctx context.Context, name string) error
	// RemoveDomain removes a domain. One with users or aliases is ErrNotEmpty,
	// unless force removes them with it. Their mail stays on disk.
	RemoveDomain(ctx context.Context, name string, force bool) error

	// AddUser adds u; ID and Changed are set by the store.
	AddUser(ctx context.Context, u User) error
	RemoveUser(ctx context.Context, addr mailaddr.Address) error
	SetPassword(ctx context.Context, addr mailaddr.Address, password secret.Value) error
	SetHeld(ctx context.Context, addr mailaddr.Address, held bool) error
	SetDisabled(ctx context.Context, addr mailaddr.Address, disabled bool) error
	SetQuota(ctx context.Context, addr mailaddr.Address, bytes int64) error

	// AddAlias adds a's targets to those that the alias has. It is ErrExists
	// when all of them were there, and ErrLoop when mail for the alias would
	// then come back to it through rows that are there. A mailbox may lead to
	// itself: it keeps a copy. A loop through a detail, or one that comes about
	// when a row is removed, is not looked for: Postfix stops it.
	AddAlias(ctx context.Context, a Alias) error
	// RemoveAlias removes the named targets, or the alias when none is named or
	// left. A target that the alias does not have is ErrNotFound, and nothing changes.
	RemoveAlias(ctx context.Context, addr mailaddr.Address, to ...mailaddr.Address) error

	RightsWriter
	LoginWriter
	AppWriter
}

// Store is a store that can be changed.
type Store interface {
	Reader
	Writer
	// Close waits for calls in hand.
	Close() error
}
