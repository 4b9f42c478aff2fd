package quarantine

import (
	"errors"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config is the section "quarantine" of the configuration file.
type Config struct {
	// MaxBytes is what the files may take of the disk together.
	MaxBytes unit.Size `yaml:"max_bytes"`
	// MinFree is what has to stay free on the disk.
	MinFree unit.Size `yaml:"min_free"`
	// Keep is how long a message is kept after it arrived.
	Keep unit.Duration `yaml:"keep"`
	// KeepDiscarded is the same for one that a rule discarded.
	KeepDiscarded unit.Duration `yaml:"keep_discarded"`
	// DeleteReleased removes a message as soon as all have it.
	DeleteReleased bool `yaml:"delete_released"`
}

// Default keeps 2 GB, a message 30 days, a discarded one 7.
func Default() Config {
	return Config{
		MaxBytes: 2 << 30, MinFree: 256 << 20,
		Keep: unit.Duration(30 * 24 * time.Hour), KeepDiscarded: unit.Duration(7 * 24 * time.Hour),
	}
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if c.MaxBytes < 16<<20 || c.MaxBytes > 1<<50 {
		errs = append(errs, config.Invalid("max_bytes", "%s is not between %s and %s", c.MaxBytes, unit.Size(16<<20), unit.Size(1<<50)))
	}
	if c.MinFree < 0 || c.MinFree > 1<<50 {
		errs = append(errs, config.Invalid("min_free", "%s is not between %s and %s", c.MinFree, unit.Size(0), unit.Size(1<<50)))
	}
	for _, d := range []struct {
		key string
		v   unit.Duration
	}{{"keep", c.Keep}, {"keep_discarded", c.KeepDiscarded}} {
		if v := d.v.Std(); v < time.Hour || v > 3660*24*time.Hour {
			errs = append(errs, config.Invalid(d.key, "%s is not between 1h and 3660d", d.v))
		}
	}
	return errors.Join(errs...)
}
