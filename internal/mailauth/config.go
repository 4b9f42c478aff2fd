package mailauth

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config says how much time checking may take, and whom to believe.
type Config struct {
	// Timeout is for the client's name, SPF, DKIM and ARC of one message
	// together. What has no answer by then is temperror. What DMARC has to ask
	// when they are known has half of it more, so that a slow record of a
	// stranger does not eat up the time for the policy that condemns him.
	Timeout unit.Duration `yaml:"timeout"`
	DMARC   DMARCConfig   `yaml:"dmarc"`
	// TrustedForwarders are domains, in A-labels and lower case, whose word
	// about a message that DMARC fails is taken: see Forwarder. "arc:", "dkim:"
	// or "spf:" in front says by what the domain may be known; without it, by
	// each of them.
	TrustedForwarders []string `yaml:"trusted_forwarders"`
}

// DMARCConfig is about DMARC.
type DMARCConfig struct {
	// Mode says how the Organizational Domain is found.
	Mode dmarc.Mode `yaml:"mode"`
}

// Default returns the settings that a file leaves out.
func Default() Config {
	return Config{Timeout: unit.Duration(10 * time.Second), DMARC: DMARCConfig{Mode: dmarc.ModeTree}}
}

// maxForwarders bounds the list of trusted forwarders, which is gone through
// for each message that DMARC fails.
const maxForwarders = 1000

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if t := c.Timeout.Std(); t < 100*time.Millisecond || t > 2*time.Minute {
		errs = append(errs, config.Invalid("timeout", "%s is not between 100ms and 2m", c.Timeout))
	}
	if m := c.DMARC.Mode; m != dmarc.ModeTree && m != dmarc.ModePSL {
		errs = append(errs, config.Invalid("dmarc.mode", "%q is neither %s nor %s", m, dmarc.ModeTree, dmarc.ModePSL))
	}
	if n := len(c.TrustedForwarders); n > maxForwarders {
		errs = append(errs, config.Invalid("trusted_forwarders", "%d are more than %d", n, maxForwarders))
	}
	for i, entry := range c.TrustedForwarders {
		_, d := splitForwarder(entry)
		if !isHost(d) || d != strings.ToLower(d) || strings.HasSuffix(d, ".") {
			errs = append(errs, config.Invalid("trusted_forwarders["+strconv.Itoa(i)+"]", "%q is not a domain in lower case, in the form that DNS has, with arc:, dkim: or spf: in front if only that is to count", entry))
		}
	}
	return errors.Join(errs...)
}
