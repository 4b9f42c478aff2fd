package greylist

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// Mode says who is asked to come back.
type Mode string

// The modes.
const (
	Off        Mode = "off"
	Suspicious Mode = "suspicious"
	Always     Mode = "always"
)

// UnmarshalText accepts the three modes.
func (m *Mode) UnmarshalText(b []byte) error {
	switch v := Mode(b); v {
	case Off, Suspicious, Always:
		*m = v
		return nil
	}
	return fmt.Errorf("%q is not a mode of greylisting: use off, suspicious or always", b)
}

// Config is the configuration.
type Config struct {
	// Mode says who is asked to come back.
	Mode Mode `yaml:"mode"`
	// Observe answers as with Mode off, and journals who would have been asked.
	Observe bool `yaml:"observe"`
	// Delay is how long the second try has to come after the first.
	Delay unit.Duration `yaml:"delay"`
	// Window is how long after the first try the second may come.
	Window unit.Duration `yaml:"window"`
	// Keep is how long who passed is remembered after the last mail.
	Keep unit.Duration `yaml:"keep"`
	// AutoAllow is after how many different triplets that passed a client is
	// asked no more; 0 is never.
	AutoAllow int `yaml:"auto_allow"`
	// Clients are addresses and networks that are never asked.
	Clients []netaddr.Prefix `yaml:"clients"`
	// OptOut are addresses and domains of recipients who want no delay.
	OptOut []string `yaml:"opt_out"`
	// WhitelistFiles are files that "gatepost greylist import" made.
	WhitelistFiles []string `yaml:"whitelist_files"`

	// RecipientDelimiter is Postfix's recipient_delimiter, handed in from the
	// root of the configuration.
	RecipientDelimiter string `yaml:"-"`
}

// Default returns the configuration that an empty file means. Networks that no
// stranger has are not asked: behind a proxy all clients are one of them.
func Default() Config {
	c := Config{
		Mode:               Suspicious,
		Delay:              unit.Duration(5 * time.Minute),
		Window:             unit.Duration(48 * time.Hour),
		Keep:               unit.Duration(36 * 24 * time.Hour),
		AutoAllow:          5,
		RecipientDelimiter: "+",
	}
	for _, s := range []string{"127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"} {
		c.Clients = append(c.Clients, netaddr.Prefix{Prefix: netip.MustParsePrefix(s)})
	}
	return c
}

// Bounds of the lists.
const (
	maxClients = 10_000
	maxOptOut  = 10_000
	maxFiles   = 32
)

// Validate reports all that is wrong with c, by key, without a look at the
// files.
func (c Config) Validate() error {
	_, err := c.policy()
	return err
}

// CheckFiles reports all that is wrong with WhitelistFiles, by key.
func (c Config) CheckFiles() error {
	var w Whitelist
	return w.readFiles(c.WhitelistFiles)
}

// policy is a configuration, checked and at hand.
type policy struct {
	Config
	never  networks
	optOut map[string]bool // folded addresses, and domains as "@example.org"
	lists  Whitelist
}

func (c Config) policy() (*policy, error) {
	p := &policy{Config: c, optOut: map[string]bool{}}
	var mode Mode
	errs := []error{c.validateTimes()}
	if err := mode.UnmarshalText([]byte(c.Mode)); err != nil {
		errs = append(errs, config.Invalid("mode", "%v", err))
	}
	if c.AutoAllow < 0 || c.AutoAllow > 1000 {
		errs = append(errs, config.Invalid("auto_allow", "%d is not between 0 and 1000", c.AutoAllow))
	}
	if len(c.Clients) > maxClients {
		errs = append(errs, config.Invalid("clients", "%d networks are more than %d: put them into a file of whitelist_files", len(c.Clients), maxClients))
	}
	for i, n := range c.Clients {
		if !n.IsValid() {
			errs = append(errs, config.Invalid(fmt.Sprintf("clients[%d]", i), "is empty"))
			continue
		}
		p.never.add(n.Prefix)
	}
	if len(c.OptOut) > maxOptOut {
		errs = append(errs, config.Invalid("opt_out", "%d are more than %d: put them into a file of whitelist_files", len(c.OptOut), maxOptOut))
	}
	for i, s := range c.OptOut {
		key, err := recipientKey(s, c.RecipientDelimiter)
		if err != nil {
			errs = append(errs, config.Invalid(fmt.Sprintf("opt_out[%d]", i), "%v", err))
		}
		p.optOut[key] = true
	}
	if len(c.WhitelistFiles) > maxFiles {
		errs = append(errs, config.Invalid("whitelist_files", "%d files are more than %d", len(c.WhitelistFiles), maxFiles))
	}
	for i, path := range c.WhitelistFiles {
		if !filepath.IsAbs(path) {
			errs = append(errs, config.Invalid(fmt.Sprintf("whitelist_files[%d]", i), "%q is not an absolute path", path))
		}
	}
	return p, errors.Join(errs...)
}

func (c Config) validateTimes() error {
	var errs []error
	for _, d := range []struct {
		key      string
		value    unit.Duration
		min, max time.Duration
	}{
		{"delay", c.Delay, time.Second, 24 * time.Hour},
		{"window", c.Window, time.Minute, 30 * 24 * time.Hour},
		{"keep", c.Keep, time.Hour, 366 * 24 * time.Hour},
	} {
		if d.value.Std() < d.min || d.value.Std() > d.max {
			errs = append(errs, config.Invalid(d.key, "%s is not between %s and %s", d.value, unit.Duration(d.min), unit.Duration(d.max)))
		}
	}
	if c.Window <= c.Delay {
		errs = append(errs, config.Invalid("window", "%s is not longer than delay, %s: nobody would ever pass", c.Window, c.Delay))
	}
	return errors.Join(errs...)
}

// recipientKey reads an address or a domain of recipients, and returns the
// address as it is compared, or "@" and the domain.
func recipientKey(s, delim string) (string, error) {
	if d, ok := strings.CutPrefix(s, "@"); ok || !strings.Contains(s, "@") {
		if !ok {
			d = s
		}
		d, err := mailaddr.ParseDomain(d)
		if err != nil {
			return "", fmt.Errorf("%q is not an address or a domain", s)
		}
		return "@" + strings.ToLower(d), nil
	}
	a, err := mailaddr.Parse(s)
	if err != nil || a.Domain == "" {
		return "", fmt.Errorf("%q is not an address or a domain", s)
	}
	return foldRecipient(s, delim), nil
}

// networks is a set of networks: a look-up costs as many steps as there are
// different lengths.
type networks struct {
	bits []int // of IPv6 plus 1000
	all  map[netip.Prefix]bool
}

func (n *networks) add(p netip.Prefix) {
	p = p.Masked()
	if n.all == nil {
		n.all = map[netip.Prefix]bool{}
	}
	n.all[p] = true
	if b := lengthOf(p.Addr(), p.Bits()); !slices.Contains(n.bits, b) {
		n.bits = append(n.bits, b)
	}
}

// lengthOf tells the lengths of the two families apart.
func lengthOf(a netip.Addr, bits int) int {
	if a.Is6() {
		return bits + 1000
	}
	return bits
}

func (n *networks) has(a netip.Addr) bool {
	for _, b := range n.bits {
		if (b >= 1000) != a.Is6() {
			continue
		}
		if p, err := a.Prefix(b % 1000); err == nil && n.all[p] {
			return true
		}
	}
	return false
}
