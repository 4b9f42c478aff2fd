package admin

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/lmtp"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/quarantine/release"
)

// Backend is the parts of the process that the command line asks. Every field
// is set but Health, Metrics and those that say so, which may be nil.
type Backend struct {
	Accounts   account.Store
	Keys       keyStore
	DNS        keyDNS
	Guard      guardStore
	Limits     limitStore
	Journal    journalStore
	Greylist   greylistStore
	Hold       holder
	Signals    signalReader
	Learn      learnStore
	Quarantine quarantineStore
	// Rules, Lists, Maps and Release are nil where no daemon runs.
	Rules   ruleStore
	Lists   listStore
	Maps    mapStore
	Release releaser
	// Policy is nil where no policy server runs.
	Policy  policyTester
	Metrics http.Handler
	State   stateAdmin
	// Backup is nil where no store is open.
	Backup backupSource
	// Health returns what is wrong, or nil.
	Health func(context.Context) error
}

type guardStore interface {
	guardAdmin
	Bans(ctx context.Context) ([]guard.Ban, error)
	Add(ctx context.Context, network netip.Prefix, d time.Duration, reason string) (guard.Ban, error)
	Remove(ctx context.Context, network netip.Prefix) error
}

type limitStore interface {
	Usage(ctx context.Context) ([]limit.Usage, error)
	limitAdmin
}

type journalStore interface {
	Flush(ctx context.Context) error
	Story(ctx context.Context, id string) (journal.Story, error)
	Client(ctx context.Context, network netip.Prefix, since time.Time) ([]journal.Record, error)
	journalPager
}

// sentinels are the errors that keep their identity across the socket.
var sentinels = map[error]string{
	account.ErrNotFound: "not-found",
	account.ErrExists:   "exists",
	account.ErrNoDomain: "no-domain",
	account.ErrNotEmpty: "not-empty",
	account.ErrReadOnly: "read-only",
	account.ErrInvalid:  "invalid",
	account.ErrLoop:     "loop",
	journal.ErrNotFound: "no-story",
	keys.ErrNoKey:       "no-key",
	keys.ErrExists:      "key-exists",
	keys.ErrNothing:     "nothing",
	keys.ErrInUse:       "in-use",
	guard.ErrNotFound:   "no-ban",
	guard.ErrInvalid:    "bad-ban",

	quarantine.ErrNotFound:  "no-entry",
	quarantine.ErrAmbiguous: "two-entries",
	quarantine.ErrDamaged:   "damaged-entry",
	release.ErrBusy:         "release-busy",
	release.ErrNobody:       "release-nobody",
	lmtp.ErrAway:            "lmtp-away",
}

var statusOf = map[string]int{
	"not-found":  http.StatusNotFound,
	"exists":     http.StatusConflict,
	"no-domain":  http.StatusConflict,
	"not-empty":  http.StatusConflict,
	"invalid":    http.StatusBadRequest,
	"loop":       http.StatusConflict,
	"no-story":   http.StatusNotFound,
	"no-key":     http.StatusNotFound,
	"key-exists": http.StatusConflict,
	"nothing":    http.StatusConflict,
	"in-use":     http.StatusConflict,
	"no-ban":     http.StatusNotFound,
	"bad-ban":    http.StatusBadRequest,

	"no-entry":       http.StatusNotFound,
	"two-entries":    http.StatusConflict,
	"damaged-entry":  http.StatusConflict,
	"release-busy":   http.StatusConflict,
	"release-nobody": http.StatusConflict,
	"lmtp-away":      http.StatusServiceUnavailable,
}
