package dict

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config has the settings of the dict server.
type Config struct {
	// UIDs may ask, beside root. Dovecot 2.3 asks as root by default, 2.4 as
	// the user of its auth-worker.
	UIDs []int `yaml:"uids"`
	// MaxConnections bounds the connections. Further ones wait in the kernel's
	// queue. Read when a listener starts.
	MaxConnections int `yaml:"max_connections"`
	// Grace is how long a look-up in hand may take when the daemon ends.
	Grace unit.Duration `yaml:"grace"`

	// MailRoot, MailUID, MailGID and MailLocation are those of authd, handed
	// down.
	MailRoot     string `yaml:"-"`
	MailUID      int    `yaml:"-"`
	MailGID      int    `yaml:"-"`
	MailLocation string `yaml:"-"`
	// HeldSubmits lets an account log in to send whose sending is held.
	HeldSubmits bool `yaml:"-"`
	// DefaultPassScheme and AppPasswordsOnly are those of authd. A Dovecot that
	// checks the main password itself must not let it in where nobody else does.
	DefaultPassScheme string `yaml:"-"`
	AppPasswordsOnly  bool   `yaml:"-"`
}

// Default returns the settings of an empty configuration.
func Default() Config {
	return Config{
		MaxConnections: 200,
		Grace:          unit.Duration(5 * time.Second),
		MailRoot:       "/var/vmail", MailUID: 5000, MailGID: 5000,
		MailLocation: "maildir:~/Maildir",
	}
}

// Fixed bounds.
const (
	// handshakeTime is for the line that comes first.
	handshakeTime = 10 * time.Second
	// idleTime is how long a connection may be silent. Dovecot closes after
	// each look-up, or after a minute where it is told idle_msecs.
	idleTime = 5 * time.Minute
	// lookupTime is for one question to the store: Dovecot waits 30 s.
	lookupTime = 10 * time.Second
	// writeTime is how long a peer may leave a part of a reply unread.
	writeTime = 10 * time.Second
)

// Validate returns all faults of c.
func (c Config) Validate() error {
	var errs []error
	for i, uid := range c.UIDs {
		if uid < 0 {
			errs = append(errs, config.Invalid(fmt.Sprintf("uids[%d]", i), "%d is no user id", uid))
		}
	}
	if c.MaxConnections < 1 || c.MaxConnections > 100_000 {
		errs = append(errs, config.Invalid("max_connections", "%d is not between 1 and 100000", c.MaxConnections))
	}
	if d := c.Grace.Std(); d < 0 || d > time.Minute {
		errs = append(errs, config.Invalid("grace", "%v is more than 1m", c.Grace))
	}
	if _, err := password.ParseScheme(c.DefaultPassScheme); err != nil && c.DefaultPassScheme != "" {
		errs = append(errs, config.Invalid("default_pass_scheme", "%v", err))
	}
	if !filepath.IsAbs(c.MailRoot) {
		errs = append(errs, config.Invalid("mail_root", "%q is not an absolute path", c.MailRoot))
	}
	return errors.Join(errs...)
}
