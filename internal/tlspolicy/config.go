package tlspolicy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/config"
)

// maxMandatory bounds the own list.
const maxMandatory = 10_000

// Config is what the administrator wants of TLS towards others.
type Config struct {
	// Mandatory is the own list. It wins.
	Mandatory []Rule `yaml:"mandatory"`
	// DANE looks for TLSA records, MTASTS for policies of MTA-STS.
	DANE   bool `yaml:"dane"`
	MTASTS bool `yaml:"mta_sts"`
}

// Rule is one entry of the own list.
type Rule struct {
	// Domain is a domain, ".domain" for all below it, or a next hop as
	// transport(5) has it: "[mx.example.org]:587".
	Domain string `yaml:"domain"`
	// Level is a level of smtp_tls_policy_maps.
	Level string `yaml:"level"`
	// Match are the names that a certificate may have; only for verify and
	// secure. Empty: Postfix's own (smtp_tls_secure_cert_match and so on).
	Match []string `yaml:"match"`
}

// The levels, in the words of postconf(5).
const (
	levelMay      = "may"
	levelEncrypt  = "encrypt"
	levelDANE     = "dane"
	levelDANEOnly = "dane-only"
	levelVerify   = "verify"
	levelSecure   = "secure"
)

// levels may stand in the own list. "may" lifts what DANE or MTA-STS ask for.
var levels = []string{levelMay, levelEncrypt, levelDANE, levelDANEOnly, levelVerify, levelSecure}

// Default returns the settings that a file leaves out: nothing is asked of
// anybody.
func Default() Config { return Config{} }

// Validate reports all that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if len(c.Mandatory) > maxMandatory {
		errs = append(errs, config.Invalid("mandatory", "%d entries are more than %d", len(c.Mandatory), maxMandatory))
	}
	seen := map[string]bool{}
	for i, r := range c.Mandatory {
		key := fmt.Sprintf("mandatory[%d]", i)
		errs = append(errs, config.Under(key, r.validate()))
		name := strings.ToLower(r.Domain)
		if seen[name] {
			errs = append(errs, config.Invalid(key+".domain", "%q stands in the list twice", r.Domain))
		}
		seen[name] = true
	}
	return errors.Join(errs...)
}

func (r Rule) validate() error {
	var errs []error
	if !printable(r.Domain) {
		errs = append(errs, config.Invalid("domain", "%q is not a domain, .domain or next hop", r.Domain))
	}
	if !slices.Contains(levels, r.Level) {
		errs = append(errs, config.Invalid("level", "%q is not one of %s", r.Level, strings.Join(levels, ", ")))
	}
	if len(r.Match) > 0 && r.Level != levelVerify && r.Level != levelSecure {
		errs = append(errs, config.Invalid("match", "it has no meaning with level %s", r.Level))
	}
	for i, m := range r.Match {
		if !printable(m) || strings.ContainsAny(m, ":;,=") {
			errs = append(errs, config.Invalid(fmt.Sprintf("match[%d]", i), "%q is not a name, .domain, nexthop, dot-nexthop or hostname", m))
		}
	}
	return errors.Join(errs...)
}

// printable reports whether s is a word of printable ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

// text is the rule as Postfix takes it.
func (r Rule) text() string {
	if len(r.Match) == 0 {
		return r.Level
	}
	return r.Level + " match=" + strings.Join(r.Match, ":")
}
