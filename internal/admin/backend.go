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
)

// Backend is the parts of the process that the command line asks. Every field
// is set but Health and Metrics, which may be nil.
type Backend struct {
	Accounts account.Store
	Keys     keyStore
	DNS      keyDNS
	Guard    guardStore
	Limits   limitStore
	Journal  journalStore
	Metrics  http.Handler
	// Health returns what is wrong, or nil.
	Health func(context.Context) error
}

type guardStore interface {
	Bans(ctx context.Context) ([]guard.Ban, error)
	Add(ctx context.Context, network netip.Prefix, d time.Duration, reason string) (guard.Ban, error)
	Remove(ctx context.Context, network netip.Prefix) error
}

type limitStore interface {
	Usage(ctx context.Context) ([]limit.Usage, error)
}

type journalStore interface {
	Flush(ctx context.Context) error
	Story(ctx context.Context, id string) (journal.Story, error)
	Client(ctx context.Context, network netip.Prefix, since time.Time) ([]journal.Record, error)
}

// sentinels are the errors that keep their identity across the socket.
var sentinels = map[error]string{
	account.ErrNotFound: "not-found",
	account.ErrExists:   "exists",
	account.ErrNoDomain: "no-domain",
	account.ErrNotEmpty: "not-empty",
	account.ErrInvalid:  "invalid",
	account.ErrLoop:     "loop",
	journal.ErrNotFound: "no-story",
	keys.ErrNoKey:       "no-key",
	keys.ErrExists:      "key-exists",
	keys.ErrNothing:     "nothing",
	keys.ErrInUse:       "in-use",
	guard.ErrNotFound:   "no-ban",
	guard.ErrInvalid:    "bad-ban",
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
}
