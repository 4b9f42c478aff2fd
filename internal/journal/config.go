package journal

import (
	"errors"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config says how much is kept. The oldest records go first.
type Config struct {
	// Days is how long a record is kept.
	Days int `yaml:"days"`
	// Bytes is the size of the database above which the oldest records go.
	Bytes unit.Size `yaml:"bytes"`
}

// minBytes leaves room for what is written between two looks at the size.
const minBytes = 4 << 20

// Default keeps 30 days, and 1 GB.
func Default() Config { return Config{Days: 30, Bytes: 1 << 30} }

// Validate reports all faults.
func (c Config) Validate() error {
	var errs []error
	if c.Days < 1 || c.Days > 3660 {
		errs = append(errs, config.Invalid("days", "%d is not between 1 and 3660", c.Days))
	}
	if c.Bytes < minBytes {
		errs = append(errs, config.Invalid("bytes", "%v is below %v", c.Bytes, unit.Size(minBytes)))
	}
	return errors.Join(errs...)
}
