package abuse

import (
	"errors"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config has the settings of the watcher.
type Config struct {
	// Mode: off looks at nothing, observe journals what enforce would do.
	Mode unit.Mode `yaml:"mode"`
	// Warn and Hold are points at which the administrator is told, and sending
	// is held.
	Warn float64 `yaml:"warn"`
	Hold float64 `yaml:"hold"`
	// Settle is how long habits are learned before an account is held.
	Settle unit.Duration `yaml:"settle"`
	// FreeRecipients an hour are never odd, whatever the habit.
	FreeRecipients int `yaml:"free_recipients"`
	// NewLogin is within how long after a login from a new network mail from
	// there is odd.
	NewLogin unit.Duration `yaml:"new_login"`
	// Ignore are accounts, or domains as @example.org, that nobody watches.
	Ignore []string `yaml:"ignore"`
	// MaxAccounts bounds how many accounts are in memory. The one that was
	// quiet for longest goes first: its last hour is forgotten, its habit not.
	MaxAccounts int `yaml:"max_accounts"`
}

// Default returns the settings of an empty configuration.
func Default() Config {
	return Config{
		Mode: unit.Observe, Warn: 5, Hold: 10,
		Settle:         unit.Duration(3 * 24 * time.Hour),
		FreeRecipients: 50,
		NewLogin:       unit.Duration(2 * time.Minute),
		MaxAccounts:    10_000,
	}
}

// Bounds of settings. minHold is more than any one family of signals gives with
// what outsiders may add to it.
const (
	minHold     = familyCap + outsideCap + 1
	maxHold     = 5 * familyCap
	maxIgnore   = 10_000
	maxAccounts = 1_000_000
)

// Validate returns all faults of c.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, config.Invalid(key, format, args...)) }
	if c.Mode != unit.Off && c.Mode != unit.Observe && c.Mode != unit.Enforce {
		bad("mode", "%q is not a mode: use off, observe or enforce", string(c.Mode))
	}
	if !(c.Hold >= minHold && c.Hold <= maxHold) {
		bad("hold", "%v is not between %d and %d points: less would let one kind of signal hold an account", c.Hold, int(minHold), int(maxHold))
	}
	if !(c.Warn >= 1 && c.Warn <= c.Hold) {
		bad("warn", "%v is not between 1 and hold (%v)", c.Warn, c.Hold)
	}
	if d := c.Settle.Std(); d < 0 || d > 30*24*time.Hour {
		bad("settle", "%v is not between 0s and 30d", c.Settle)
	}
	if c.FreeRecipients < 5 || c.FreeRecipients > 100_000 {
		bad("free_recipients", "%d is not between 5 and 100000", c.FreeRecipients)
	}
	if d := c.NewLogin.Std(); d < 0 || d > time.Hour {
		bad("new_login", "%v is not between 0s and 1h", c.NewLogin)
	}
	if c.MaxAccounts < 10 || c.MaxAccounts > maxAccounts {
		bad("max_accounts", "%d is not between 10 and %d", c.MaxAccounts, maxAccounts)
	}
	if len(c.Ignore) > maxIgnore {
		bad("ignore", "%d entries, at most %d", len(c.Ignore), maxIgnore)
	}
	for _, s := range c.Ignore {
		if domain, ok := strings.CutPrefix(s, "@"); ok {
			if _, err := mailaddr.ParseDomain(domain); err != nil {
				bad("ignore", "%q is not a domain such as @example.org", s)
			}
			continue
		}
		if a, err := mailaddr.Parse(s); err != nil || a.Domain == "" {
			bad("ignore", "%q is not an address such as news@example.org, nor @example.org", s)
		}
	}
	return errors.Join(errs...)
}

// ignores reports whether nobody watches account.
func (c Config) ignores(account string) bool {
	_, domain, _ := strings.Cut(account, "@")
	for _, s := range c.Ignore {
		if strings.EqualFold(s, account) || strings.EqualFold(s, "@"+domain) {
			return true
		}
	}
	return false
}
