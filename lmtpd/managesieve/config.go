package managesieve

import (
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config is the section "managesieve" of the configuration file. The fields
// without a yaml name are set by who reads the file.
type Config struct {
	// Listen is host:port; empty is off. Read at the start.
	Listen string `yaml:"listen"`
	// SSLCert is a file with the certificate and those above it in PEM, SSLKey
	// its key. Both are looked at again once a minute.
	SSLCert string `yaml:"ssl_cert"`
	SSLKey  string `yaml:"ssl_key"`
	// AuthSocketPath is the auth server's socket for clients such as Postfix;
	// empty is authd's.
	AuthSocketPath string `yaml:"auth_socket_path"`
	// MaxConnections bounds the connections; further ones wait in the kernel's
	// queue. Read at the start.
	MaxConnections int `yaml:"max_connections"`
	// MaxConnectionsPerClient bounds those of one address, or IPv6 /64; further
	// ones get BYE.
	MaxConnectionsPerClient int `yaml:"max_connections_per_client"`
	// LoginTimeout bounds all that comes before the login.
	LoginTimeout unit.Duration `yaml:"login_timeout"`
	// IdleTimeout bounds the wait for a command behind it: at least 30 minutes by
	// RFC 5804 §1.7.
	IdleTimeout unit.Duration `yaml:"idle_timeout"`
	// MaxScriptSize is Dovecot's sieve_max_script_size, QuotaMaxScripts and
	// QuotaMaxStorage its settings of that name with sieve_ before; 0 is no bound
	// for either of the latter.
	MaxScriptSize   unit.Size `yaml:"max_script_size"`
	QuotaMaxScripts int       `yaml:"quota_max_scripts"`
	QuotaMaxStorage unit.Size `yaml:"quota_max_storage"`
	// Grace is how long a command in hand may take when the daemon ends.
	Grace unit.Duration `yaml:"grace"`

	// Hostname is told in the greeting.
	Hostname string `yaml:"-"`
	// Extensions and NotifyMethods are told as SIEVE and NOTIFY, MaxRedirects as
	// MAXREDIRECTS: what the scripts' interpreter knows.
	Extensions    []string `yaml:"-"`
	NotifyMethods []string `yaml:"-"`
	MaxRedirects  int      `yaml:"-"`
}

// Default returns the settings that a file leaves out.
func Default() Config {
	return Config{
		MaxConnections:          200,
		MaxConnectionsPerClient: 20,
		LoginTimeout:            unit.Duration(time.Minute),
		IdleTimeout:             unit.Duration(30 * time.Minute),
		MaxScriptSize:           1 << 20,
		QuotaMaxScripts:         100,
		QuotaMaxStorage:         10 << 20,
		Grace:                   unit.Duration(5 * time.Second),
		Hostname:                "localhost",
	}
}

// Fixed bounds.
const (
	// maxCommand bounds a command before login, and what one has beside a script
	// after it.
	maxCommand = 16 << 10
	// maxDiscard bounds a literal that is read to be refused.
	maxDiscard = 16 << 20
	// maxScript is what the compiler takes.
	maxScript = 1 << 20
	// maxBad is how many commands that are none a connection may send, refused
	// logins among them.
	maxBad = 10
	// commandTime bounds the arrival of a command that has begun, and writeTime
	// the wait of a client to read an answer.
	commandTime = 5 * time.Minute
	writeTime   = time.Minute
	// authTime bounds each answer of the auth server: Dovecot's delays penalties
	// by 15 s, authd answers within 8.
	authTime = 30 * time.Second
	// handshakeTime bounds the auth server's part of a handshake, which it
	// sends at once.
	handshakeTime = 5 * time.Second
	// maxSteps bounds the messages of a login.
	maxSteps = 10
	// maxChecks bounds the scripts that are compiled at the same time.
	maxChecks = 4
	// certificateAge is how long files of certificates are not looked at again.
	certificateAge = time.Minute
)

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	errs := []error{c.validateListener()}
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.Invalid(key, format, args...))
	}
	for _, n := range []struct {
		key         string
		v, min, max int
	}{
		{"max_connections", c.MaxConnections, 1, 10000},
		{"max_connections_per_client", c.MaxConnectionsPerClient, 1, 10000},
		{"quota_max_scripts", c.QuotaMaxScripts, 0, 10000},
	} {
		if n.v < n.min || n.v > n.max {
			bad(n.key, "%d is not between %d and %d", n.v, n.min, n.max)
		}
	}
	for _, d := range []struct {
		key      string
		v        unit.Duration
		min, max time.Duration
	}{
		{"login_timeout", c.LoginTimeout, 10 * time.Second, time.Hour},
		{"idle_timeout", c.IdleTimeout, time.Minute, 24 * time.Hour},
		{"grace", c.Grace, 0, time.Hour},
	} {
		if v := d.v.Std(); v < d.min || v > d.max {
			bad(d.key, "%s is not between %s and %s", d.v, unit.Duration(d.min), unit.Duration(d.max))
		}
	}
	if c.MaxScriptSize < 1<<10 || c.MaxScriptSize > maxScript {
		bad("max_script_size", "%s is not between %s and %s", c.MaxScriptSize, unit.Size(1<<10), unit.Size(maxScript))
	}
	if c.QuotaMaxStorage < 0 || c.QuotaMaxStorage > 1<<30 {
		bad("quota_max_storage", "%s is not between %s and %s", c.QuotaMaxStorage, unit.Size(0), unit.Size(1<<30))
	}
	return errors.Join(errs...)
}

// validateListener returns the faults of what a listener needs.
func (c Config) validateListener() error {
	var errs []error
	for _, f := range []struct{ key, path string }{
		{"ssl_cert", c.SSLCert}, {"ssl_key", c.SSLKey}, {"auth_socket_path", c.AuthSocketPath},
	} {
		if f.path != "" && !filepath.IsAbs(f.path) {
			errs = append(errs, config.Invalid(f.key, "%q is not an absolute path", f.path))
		}
	}
	if c.Listen == "" {
		return errors.Join(errs...)
	}
	if _, port, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, config.Invalid("listen", `%q is not host:port, such as "[::]:4190"`, c.Listen))
	} else if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		errs = append(errs, config.Invalid("listen", "%q is no port", port))
	}
	if c.SSLCert == "" || c.SSLKey == "" {
		errs = append(errs, config.Invalid("ssl_cert", "a listener needs ssl_cert and ssl_key: passwords are taken over TLS only"))
	}
	return errors.Join(errs...)
}
