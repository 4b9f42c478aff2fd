package account

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/account/use"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// Limits of app passwords.
const (
	// MaxAppPasswords bounds those of one user: a login looks at each.
	MaxAppPasswords = 50
	// MaxAppName bounds the name of one, in bytes.
	MaxAppName = 64
)

// AppPassword is a password for one device or program of a user.
type AppPassword struct {
	// ID never comes back for another one.
	ID   int64            `json:"id"`
	User mailaddr.Address `json:"user"`
	// Name tells it from the user's others ("phone"). Its case stays.
	Name string `json:"name"`
	// Hash is what password.NewApp returns to be stored.
	Hash secret.Value `json:"-"`
	// Services are those that it is good for, sorted; none is all.
	Services []string  `json:"services"`
	Created  time.Time `json:"created"`
	// Expires is when it ends; zero is never.
	Expires time.Time `json:"expires,omitzero"`
	// LastUsed and LastAddr are of the last login with it, zero if there was none.
	LastUsed time.Time  `json:"last_used,omitzero"`
	LastAddr netip.Addr `json:"last_addr,omitzero"`
}

// AllowsService reports whether p is good for the service that a protocol calls
// word. Whether the user may log in to it is another question.
func (p AppPassword) AllowsService(word string) bool { return allows(p.Services, word) }

// Expired reports whether p's time is over.
func (p AppPassword) Expired(now time.Time) bool { return ended(p.Expires, now) }

// AppReader reads app passwords.
type AppReader interface {
	// AppPasswords lists those of user, by name, expired ones too. It is as cheap
	// as User, and empty for a user that is not there.
	AppPasswords(ctx context.Context, user mailaddr.Address) ([]AppPassword, error)
}

// AppWriter changes app passwords. Adding and removing moves Version.
type AppWriter interface {
	// AddAppPassword adds p to p.User; ID, Created and the last use are set by
	// the store. A name that the user has is ErrExists.
	AddAppPassword(ctx context.Context, p AppPassword) error
	// RemoveAppPassword is ErrNotFound for a name that the user has not.
	RemoveAppPassword(ctx context.Context, user mailaddr.Address, name string) error
}

// AppUses takes notes of logins with app passwords. A store of somebody else's
// has none.
type AppUses interface {
	// UsedAppPassword notes a login with p. It does not block: AppPasswords shows
	// it at once, the disk has it within a minute, and Version does not move.
	UsedAppPassword(p AppPassword, when time.Time, from netip.Addr)
}

// ShowUses returns rows with the uses that last knows of and the rows do not;
// the rows themselves stay as they are.
func ShowUses(rows []AppPassword, last func(id int64) (use.Use, bool)) []AppPassword {
	shown, own := rows, false
	for i, p := range rows {
		w, ok := last(p.ID)
		if !ok || !w.When.After(p.LastUsed) {
			continue
		}
		if !own {
			shown, own = slices.Clone(rows), true
		}
		shown[i].LastUsed, shown[i].LastAddr = w.When, w.From
	}
	return shown
}
