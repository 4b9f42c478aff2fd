package mailauth

import (
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config says how much time checking may take.
type Config struct {
	// Timeout is for all checks of one message together. What has no answer by
	// then is temperror.
	Timeout unit.Duration `yaml:"timeout"`
}

// Default returns the settings that a file leaves out.
func Default() Config { return Config{Timeout: unit.Duration(10 * time.Second)} }

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	if t := c.Timeout.Std(); t < 100*time.Millisecond || t > 2*time.Minute {
		return config.Invalid("timeout", "%s is not between 100ms and 2m", c.Timeout)
	}
	return nil
}
