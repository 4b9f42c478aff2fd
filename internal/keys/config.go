package keys

import (
	"errors"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config is the section "dkim" of the configuration file.
type Config struct {
	// RetireAfter is how long a key that was replaced keeps its record in the
	// DNS, for mail that is still under way, before it is to be revoked.
	RetireAfter unit.Duration `yaml:"retire_after"`
	// Expire is how long a signature is good (x=, RFC 6376 §3.5); 0 writes no
	// x=. It bounds how long a signed message can be sent again by others.
	Expire unit.Duration `yaml:"expire"`
}

// Default returns the settings that a file leaves out.
func Default() Config {
	return Config{RetireAfter: unit.Duration(7 * 24 * time.Hour)}
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if d := c.RetireAfter.Std(); d < 24*time.Hour || d > 366*24*time.Hour {
		errs = append(errs, config.Invalid("retire_after", "%s is not between 1d and 366d", c.RetireAfter))
	}
	// A message may stay in a queue for five days before it is checked.
	if d := c.Expire.Std(); d != 0 && (d < 24*time.Hour || d > 366*24*time.Hour) {
		errs = append(errs, config.Invalid("expire", "%s is not 0s or between 1d and 366d", c.Expire))
	}
	return errors.Join(errs...)
}
