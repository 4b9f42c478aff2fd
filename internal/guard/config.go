package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config has the settings of the guard.
type Config struct {
	// Mode: off counts nothing, observe records bans that nobody obeys.
	Mode unit.Mode `yaml:"mode"`
	// MaxFailures with different passwords within FindTime ban a network for
	// BanTime. Each account that proved itself on the network adds two.
	MaxFailures int           `yaml:"max_failures"`
	FindTime    unit.Duration `yaml:"find_time"`
	BanTime     unit.Duration `yaml:"ban_time"`
	// BanGrowth is how long the second ban of a network takes, and those after
	// it; ForgetTime without a ban makes the next one a step shorter.
	BanGrowth  []unit.Duration `yaml:"ban_growth"`
	ForgetTime unit.Duration   `yaml:"forget_time"`
	// BanJitter is the most by which a ban is longer, in percent of it.
	BanJitter int `yaml:"ban_jitter"`
	// ProvenTime is how long a success lets an account in from the same
	// network, whatever others do there.
	ProvenTime unit.Duration `yaml:"proven_time"`
	// IgnoreNetworks are never blamed, which is for addresses that many share:
	// a webmail, a monitoring. An account is still guarded there.
	IgnoreNetworks []netaddr.Prefix `yaml:"ignore_networks"`
	// TrustedProxies may tell the address of their client. They are never
	// blamed either.
	TrustedProxies []netaddr.Prefix `yaml:"trusted_proxies"`
	// TrapAccounts belong to nobody: one attempt at them is enough.
	TrapAccounts []string `yaml:"trap_accounts"`
	// NotifyFailures is of how many wrong passwords from elsewhere within a day
	// a user is told, 0 for never.
	NotifyFailures int `yaml:"notify_failures"`
	// MaxNetworks bounds how many networks are counted at a time.
	MaxNetworks int   `yaml:"max_networks"`
	Rules       Rules `yaml:"rules"`
}

// Rule is a line of its own: more than Max within FindTime.
type Rule struct {
	// Mode is for this rule alone; Config.Mode observe makes enforce observe.
	Mode     unit.Mode     `yaml:"mode"`
	Max      int           `yaml:"max"`
	FindTime unit.Duration `yaml:"find_time"`
}

// Rules are the lines beside MaxFailures. Reaching Max crosses them.
type Rules struct {
	// Slow counts what MaxFailures does, over a long time.
	Slow Rule `yaml:"slow"`
	// Accounts counts the accounts that one network fails at.
	Accounts Rule `yaml:"accounts"`
	// Unknown counts the accounts among them that nobody has.
	Unknown Rule `yaml:"unknown"`
	// Passwords counts the accounts at which one password was wrong, from
	// wherever: beyond it that password is looked at from proven places only.
	Passwords Rule `yaml:"passwords"`
	// Account counts wrong passwords of one account from places that are not
	// proven: beyond it they are answered late, and three from one network
	// close it.
	Account Rule `yaml:"account"`
	// NetworkDelay and NetworkBan count the accounts that an IPv4 /24 or an
	// IPv6 /48 fails at. The first answers late, the second bans it whole.
	NetworkDelay Rule `yaml:"network_delay"`
	NetworkBan   Rule `yaml:"network_ban"`
	// MX counts points on port 25: an unknown recipient 1, refused spam 2, a
	// relay attempt 4.
	MX Rule `yaml:"mx"`
}

// Default returns the settings of an empty configuration.
func Default() Config {
	rule := func(most int, d time.Duration) Rule { return Rule{unit.Enforce, most, unit.Duration(d)} }
	return Config{
		Mode:        unit.Enforce,
		MaxFailures: 5,
		FindTime:    unit.Duration(10 * time.Minute),
		BanTime:     unit.Duration(10 * time.Minute),
		BanGrowth:   []unit.Duration{unit.Duration(time.Hour), unit.Duration(day), unit.Duration(7 * day)},
		ForgetTime:  unit.Duration(7 * day),
		ProvenTime:  unit.Duration(14 * day),
		IgnoreNetworks: []netaddr.Prefix{
			{Prefix: loopback4},
			{Prefix: loopback6},
		},
		NotifyFailures: 20,
		MaxNetworks:    50_000,
		Rules: Rules{
			Slow:         rule(15, 7*day),
			Accounts:     rule(10, time.Hour),
			Unknown:      rule(5, time.Hour),
			Passwords:    rule(10, time.Hour),
			Account:      rule(20, day),
			NetworkDelay: rule(20, time.Hour),
			NetworkBan:   rule(100, time.Hour),
			MX:           Rule{unit.Observe, 20, unit.Duration(time.Hour)},
		},
	}
}

const day = 24 * time.Hour

// Bounds of settings. A count saturates at maxLine, so no line lies above.
const (
	maxFailures = 100
	maxLine     = 200
	maxSpan     = 366 * day
	maxNetworks = 1_000_000
	maxTraps    = 1000
	maxGrowth   = 10
	maxJitter   = 100
)

// Validate returns all faults of c.
func (c Config) Validate() error {
	var errs []error
	span := func(key string, d unit.Duration) {
		if d.Std() < time.Second || d.Std() > maxSpan {
			errs = append(errs, config.Invalid(key, "%v is not between 1s and 366d", d))
		}
	}
	number := func(key string, n, least, most int) {
		if n < least || n > most {
			errs = append(errs, config.Invalid(key, "%d is not between %d and %d", n, least, most))
		}
	}
	mode := func(key string, m unit.Mode) {
		if m != unit.Off && m != unit.Observe && m != unit.Enforce {
			errs = append(errs, config.Invalid(key, "%q is not a mode: use off, observe or enforce", string(m)))
		}
	}
	mode("mode", c.Mode)
	number("max_failures", c.MaxFailures, 1, maxFailures)
	span("find_time", c.FindTime)
	span("ban_time", c.BanTime)
	number("ban_growth", len(c.BanGrowth), 0, maxGrowth)
	for i, d := range c.BanGrowth {
		span(fmt.Sprintf("ban_growth[%d]", i), d)
	}
	span("forget_time", c.ForgetTime)
	number("ban_jitter", c.BanJitter, 0, maxJitter)
	span("proven_time", c.ProvenTime)
	number("notify_failures", c.NotifyFailures, 0, maxLine)
	number("max_networks", c.MaxNetworks, 1, maxNetworks)
	number("trap_accounts", len(c.TrapAccounts), 0, maxTraps)
	for _, r := range c.Rules.named() {
		key := "rules." + string(r.name)
		mode(key+".mode", r.rule.Mode)
		number(key+".max", r.rule.Max, 1, maxLine)
		span(key+".find_time", r.rule.FindTime)
	}
	errs = append(errs, c.validLists()...)
	return errors.Join(errs...)
}

// validLists returns the faults of the members of lists.
func (c Config) validLists() (errs []error) {
	networks := func(key string, list []netaddr.Prefix, all string) {
		for i, n := range list {
			switch name := fmt.Sprintf("%s[%d]", key, i); {
			case !n.IsValid():
				errs = append(errs, config.Invalid(name, "a network is missing"))
			case n.Bits() == 0:
				errs = append(errs, config.Invalid(name, "%v is everybody: %s", n, all))
			}
		}
	}
	networks("ignore_networks", c.IgnoreNetworks, "use mode: off or observe to ban nobody")
	networks("trusted_proxies", c.TrustedProxies, "anybody could tell any address")
	for i, s := range c.TrapAccounts {
		if _, err := mailaddr.Parse(s); err != nil {
			errs = append(errs, config.Invalid(fmt.Sprintf("trap_accounts[%d]", i), "%v", err))
		}
	}
	return errs
}

// namedRule is a rule with its key.
type namedRule struct {
	name ruleName
	rule Rule
}

// named lists the rules, with their keys.
func (r Rules) named() []namedRule {
	return []namedRule{
		{ruleSlow, r.Slow}, {ruleAccounts, r.Accounts}, {ruleUnknown, r.Unknown}, {rulePasswords, r.Passwords},
		{ruleAccount, r.Account}, {ruleNetworkDelay, r.NetworkDelay}, {ruleNetworkBan, r.NetworkBan}, {ruleMX, r.MX},
	}
}

// Proxies reports whether a may tell the address of its client.
func (c Config) Proxies(a netip.Addr) bool { return within(c.TrustedProxies, a.Unmap().WithZone("")) }

// blameless says why a is never banned, "" if it may be.
func (c *Config) blameless(a netip.Addr) string {
	switch {
	case !a.IsValid(), a.IsUnspecified():
		return "no address"
	case a.IsLoopback():
		return "loopback"
	case a.IsMulticast():
		return "multicast"
	case within(c.IgnoreNetworks, a):
		return "ignore_networks"
	case within(c.TrustedProxies, a):
		return "trusted_proxies"
	}
	return ""
}

// touches reports whether p has an address that is never banned, so that p must
// not be closed where nobody could tell that address apart.
func (c *Config) touches(p netip.Prefix) bool {
	over := func(n netaddr.Prefix) bool { return n.Overlaps(p) }
	return p.Overlaps(loopback4) || p.Overlaps(loopback6) ||
		slices.ContainsFunc(c.IgnoreNetworks, over) || slices.ContainsFunc(c.TrustedProxies, over)
}

// Loopback as networks.
var (
	loopback4 = netip.MustParsePrefix("127.0.0.0/8")
	loopback6 = netip.MustParsePrefix("::1/128")
)

func within(list []netaddr.Prefix, a netip.Addr) bool {
	for _, n := range list {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
