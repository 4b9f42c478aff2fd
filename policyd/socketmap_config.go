package policyd

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// SRSConfig is the Sender Rewriting Scheme: what package srs does with mail that
// aliases send on, and with the bounces that come back.
type SRSConfig struct {
	// Domain is that of the addresses that we make; empty switches all off. It
	// may be a domain of the accounts, or one of its own with an MX that leads
	// here and an SPF record that names this host.
	Domain string `yaml:"domain"`
	// KeyFile has the keys, one a line, the newest first; empty means srs.keys in
	// data_directory. It is made where there is none.
	KeyFile string `yaml:"key_file"`
	// PerTarget is how much mail may go back to one address.
	PerTarget unit.Rate `yaml:"per_target"`
}

// DefaultSRS returns the settings that a file leaves out.
func DefaultSRS() SRSConfig {
	return SRSConfig{PerTarget: unit.Rate{Count: 20, Window: time.Hour}}
}

// Validate reports all that is wrong with c.
func (c SRSConfig) Validate() error {
	var errs []error
	if _, err := mailaddr.ParseDomain(c.Domain); c.Domain != "" && (err != nil || strings.HasPrefix(c.Domain, "[")) {
		errs = append(errs, config.Invalid("domain", "%q is not a domain", c.Domain))
	}
	if c.KeyFile != "" && !strings.HasPrefix(c.KeyFile, "/") {
		errs = append(errs, config.Invalid("key_file", "%q does not begin with /", c.KeyFile))
	}
	if c.PerTarget.Count < 1 || c.PerTarget.Window < time.Minute || c.PerTarget.Window > 24*time.Hour {
		errs = append(errs, config.Invalid("per_target", "%s is not at least 1 in 1m to 24h", c.PerTarget))
	}
	return errors.Join(errs...)
}

// maxRoutes bounds the entries of transport_maps.
const maxRoutes = 10_000

// Route is one entry of transport_maps.
type Route struct {
	// For is a recipient's address, a domain, or ".domain" for all below it.
	For string `yaml:"for"`
	// Transport is transport:nexthop as transport(5) has it.
	Transport string `yaml:"transport"`
}

// routes are the entries of transport_maps by their key in lower case.
type routes map[string]string

// newRoutes returns list ready to be asked, and all that is wrong with it.
func newRoutes(list []Route) (routes, error) {
	var errs []error
	if len(list) > maxRoutes {
		errs = append(errs, config.Invalid("transport_maps", "%d entries are more than %d", len(list), maxRoutes))
	}
	out := make(routes, len(list))
	for i, r := range list {
		key := fmt.Sprintf("transport_maps[%d]", i)
		name, err := r.key()
		if err != nil {
			errs = append(errs, config.Invalid(key+".for", "%v", err))
		}
		if _, twice := out[name]; twice {
			errs = append(errs, config.Invalid(key+".for", "%q stands in the list twice", r.For))
		}
		if !strings.Contains(r.Transport, ":") || strings.TrimSpace(r.Transport) != r.Transport || validActionText(r.Transport) != nil {
			errs = append(errs, config.Invalid(key+".transport", "%q is not transport:nexthop", r.Transport))
		}
		out[name] = r.Transport
	}
	return out, errors.Join(errs...)
}

// key returns the name under which the entry is found. "*" is none: it would
// take the mail of our own domains with it, which relayhost does not.
func (r Route) key() (string, error) {
	if strings.Contains(r.For, "@") {
		a, err := mailaddr.Parse(r.For)
		if err != nil || a.Domain == "" {
			return "", fmt.Errorf("%q is not an address", r.For)
		}
		return a.Folded().String(), nil
	}
	rest := strings.TrimPrefix(r.For, ".")
	d, err := mailaddr.ParseDomain(rest)
	if err != nil {
		return "", fmt.Errorf("%q is not an address, a domain or .domain", r.For)
	}
	return r.For[:len(r.For)-len(rest)] + d, nil
}

// validateTables reports what is wrong with what the socketmap server serves.
func (c Config) validateTables() error {
	_, err := newRoutes(c.TransportMaps)
	return errors.Join(err, config.Under("srs", c.SRS.Validate()), config.Under("tls_policy", c.TLSPolicy.Validate()))
}
