package resolver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/miekg/dns"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config says whom to ask and how long.
type Config struct {
	// Servers are recursive servers, address or address:port, asked in this
	// order. Empty: those of /etc/resolv.conf, or else 127.0.0.1.
	Servers []string `yaml:"servers"`
	// TrustAD believes the AD bit of every server. Without it only that of a
	// server with a loopback address counts: whoever sits on the way to
	// another one can set it (RFC 4035 §4.9.3).
	TrustAD bool `yaml:"trust_ad"`
	// Timeout is for one try at one server.
	Timeout unit.Duration `yaml:"timeout"`
	// Attempts is how often the list of servers is gone through.
	Attempts int `yaml:"attempts"`
	// MaxQueries bounds the queries that are under way at once.
	MaxQueries int `yaml:"max_queries"`
	// CacheSize bounds the cache.
	CacheSize unit.Size `yaml:"cache_size"`
	// MaxTTL bounds how long an answer is kept.
	MaxTTL unit.Duration `yaml:"max_ttl"`
}

// Default returns the settings that a file leaves out.
func Default() Config {
	return Config{
		Timeout:    unit.Duration(2 * time.Second),
		Attempts:   2,
		MaxQueries: 256,
		CacheSize:  16 << 20,
		MaxTTL:     unit.Duration(time.Hour),
	}
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	for i, s := range c.Servers {
		if _, err := serverAddr(s); err != nil {
			errs = append(errs, config.Invalid(fmt.Sprintf("servers[%d]", i), "%v", err))
		}
	}
	if t := c.Timeout.Std(); t < 100*time.Millisecond || t > 30*time.Second {
		errs = append(errs, config.Invalid("timeout", "%s is not between 100ms and 30s", c.Timeout))
	}
	if c.Attempts < 1 || c.Attempts > 5 {
		errs = append(errs, config.Invalid("attempts", "%d is not between 1 and 5", c.Attempts))
	}
	if c.MaxQueries < 1 || c.MaxQueries > 10000 {
		errs = append(errs, config.Invalid("max_queries", "%d is not between 1 and 10000", c.MaxQueries))
	}
	if c.CacheSize < 0 || c.CacheSize > 1<<30 {
		errs = append(errs, config.Invalid("cache_size", "%s is not between 0B and 1GB", c.CacheSize))
	}
	if t := c.MaxTTL.Std(); t < 0 || t > 24*time.Hour {
		errs = append(errs, config.Invalid("max_ttl", "%s is not between 0s and 24h", c.MaxTTL))
	}
	return errors.Join(errs...)
}

// serverAddr reads one entry of Servers into what net.Dial takes.
func serverAddr(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return net.JoinHostPort(a.String(), "53"), nil
	}
	if ap, err := netip.ParseAddrPort(s); err == nil && ap.Port() != 0 {
		return ap.String(), nil
	}
	return "", fmt.Errorf("%q is not an address such as 127.0.0.1, 127.0.0.1:5353 or [::1]:53", s)
}

// systemConf is where the system says whom to ask.
const systemConf = "/etc/resolv.conf"

// servers returns the addresses to dial.
func (c Config) servers(conf string) ([]string, error) {
	var out []string
	for _, s := range c.Servers {
		a, err := serverAddr(s)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	if len(out) > 0 {
		return out, nil
	}
	// No file means the local server, as resolv.conf(5) has it.
	if sys, err := dns.ClientConfigFromFile(conf); err == nil {
		for _, s := range sys.Servers {
			if a, err := netip.ParseAddr(s); err == nil {
				out = append(out, netip.AddrPortFrom(a, portOf(sys.Port)).String())
			}
		}
	}
	if len(out) == 0 {
		out = []string{"127.0.0.1:53"}
	}
	return out, nil
}

// trusts reports whether the AD bit of server, an address that c.servers
// returned, is to be believed.
func (c Config) trusts(server string) bool {
	a, err := netip.ParseAddrPort(server)
	return err == nil && (c.TrustAD || a.Addr().Unmap().IsLoopback())
}

func portOf(s string) uint16 {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 53
	}
	return uint16(n)
}
