package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config has the settings of the guard.
type Config struct {
	// Mode: off counts nothing, observe records bans that nobody obeys.
	Mode unit.Mode `yaml:"mode"`
	// MaxFailures within FindTime ban a network for BanTime.
	MaxFailures int           `yaml:"max_failures"`
	FindTime    unit.Duration `yaml:"find_time"`
	BanTime     unit.Duration `yaml:"ban_time"`
	// IgnoreNetworks are never counted, banned or refused.
	IgnoreNetworks []netaddr.Prefix `yaml:"ignore_networks"`
	// MaxNetworks bounds how many networks are counted, and how many are
	// banned, at a time.
	MaxNetworks int `yaml:"max_networks"`
}

// Default returns the settings of an empty configuration.
func Default() Config {
	return Config{
		Mode:        unit.Enforce,
		MaxFailures: 5,
		FindTime:    unit.Duration(10 * time.Minute),
		BanTime:     unit.Duration(10 * time.Minute),
		IgnoreNetworks: []netaddr.Prefix{
			{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
			{Prefix: netip.MustParsePrefix("::1/128")},
		},
		MaxNetworks: 50_000,
	}
}

// Bounds of settings.
const (
	maxFailures = 100
	maxSpan     = 366 * 24 * time.Hour
	maxNetworks = 1_000_000
)

// Validate returns all faults of c.
func (c Config) Validate() error {
	var errs []error
	if c.Mode != unit.Off && c.Mode != unit.Observe && c.Mode != unit.Enforce {
		errs = append(errs, config.Invalid("mode", "%q is not a mode: use off, observe or enforce", string(c.Mode)))
	}
	if c.MaxFailures < 1 || c.MaxFailures > maxFailures {
		errs = append(errs, config.Invalid("max_failures", "%d is not between 1 and %d", c.MaxFailures, maxFailures))
	}
	if d := c.FindTime.Std(); d < time.Second || d > maxSpan {
		errs = append(errs, config.Invalid("find_time", "%v is not between 1s and 366d", c.FindTime))
	}
	if d := c.BanTime.Std(); d < time.Second || d > maxSpan {
		errs = append(errs, config.Invalid("ban_time", "%v is not between 1s and 366d", c.BanTime))
	}
	if c.MaxNetworks < 1 || c.MaxNetworks > maxNetworks {
		errs = append(errs, config.Invalid("max_networks", "%d is not between 1 and %d", c.MaxNetworks, maxNetworks))
	}
	for i, n := range c.IgnoreNetworks {
		if !n.IsValid() {
			errs = append(errs, config.Invalid(fmt.Sprintf("ignore_networks[%d]", i), "a network is missing"))
		}
	}
	return errors.Join(errs...)
}

// ignores reports whether the guard leaves a alone.
func (c Config) ignores(a netip.Addr) bool {
	if !a.IsValid() || a.IsUnspecified() {
		return true
	}
	for _, n := range c.IgnoreNetworks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
