package policy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config has the settings of the policy server.
type Config struct {
	// Listen is address:port. Empty: there is none.
	Listen string `yaml:"listen"`
	// APIKeyFile has the key that auth_policy_server_api_header sends, in one
	// line.
	APIKeyFile string `yaml:"api_key_file"`
	// DefaultRealm is the domain of login names without one, Dovecot's
	// auth_default_realm.
	DefaultRealm string `yaml:"default_realm"`
	// Hosts may stand in the Host field, beside addresses and localhost.
	Hosts []string `yaml:"hosts"`
	// MaxConnections bounds the connections: Dovecot has 100. Read at the start.
	MaxConnections int `yaml:"max_connections"`
	// Grace is how long a request in hand may take when the daemon ends.
	Grace unit.Duration `yaml:"grace"`
}

// Default returns the settings of an empty configuration: no policy server.
func Default() Config {
	return Config{MaxConnections: 200, Grace: unit.Duration(5 * time.Second)}
}

// Fixed bounds.
const (
	maxBodyBytes   = 64 << 10
	maxHeaderBytes = 8 << 10
	// requestTime is for reading a request and writing its answer; idleTime is
	// between two. Dovecot keeps a connection for 10 s.
	requestTime = 10 * time.Second
	idleTime    = time.Minute
	// maxDelay is the longest tarpit: with Dovecot's own delay of 2 s and its
	// password check Postfix still hears an answer within 10 s.
	maxDelay = 5 * time.Second
	// reportTime is how long the answer to a report waits for the guard, which
	// writes a ban to disk. It holds in memory before that.
	reportTime = 2 * time.Millisecond

	minKeyBytes = 16
	maxKeyBytes = 1024
)

// Validate returns all faults of c.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, config.Invalid(key, format, args...)) }
	if c.Listen != "" {
		host, port, err := net.SplitHostPort(c.Listen)
		n, portErr := strconv.ParseUint(port, 10, 16)
		_, addrErr := netip.ParseAddr(host)
		if err != nil || portErr != nil || n == 0 || addrErr != nil {
			bad("listen", "%q is not address:port, for example 127.0.0.1:4001", c.Listen)
		}
		if c.APIKeyFile == "" {
			bad("api_key_file", "the policy server needs a key: name a file with one, as of `openssl rand -hex 24`")
		}
	}
	if _, err := mailaddr.ParseDomain(c.DefaultRealm); c.DefaultRealm != "" && err != nil {
		bad("default_realm", "%q is no domain", c.DefaultRealm)
	}
	for i, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, " /:@") {
			bad(fmt.Sprintf("hosts[%d]", i), "%q is not the name of a host", h)
		}
	}
	if c.MaxConnections < 1 || c.MaxConnections > 10_000 {
		bad("max_connections", "%d is not between 1 and 10000", c.MaxConnections)
	}
	if d := c.Grace.Std(); d < 0 || d > time.Minute {
		bad("grace", "%v is more than 1m", c.Grace)
	}
	return errors.Join(errs...)
}

// readKey reads the key of the file.
func readKey(path string) (secret.Value, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return secret.Value{}, fmt.Errorf("read the key of the policy server: %w", err)
	}
	key := strings.TrimSpace(string(b))
	if len(key) < minKeyBytes || len(key) > maxKeyBytes || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return secret.Value{}, fmt.Errorf("read the key of the policy server: %s does not have %d to %d visible characters in one line", path, minKeyBytes, maxKeyBytes)
	}
	return secret.String(key), nil
}
