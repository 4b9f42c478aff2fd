package mysql

import (
	"errors"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Own is the schema whose tables are ours.
const Own = "gatepost"

// TLS levels, by Postfix's words.
const (
	tlsNone    = "none"
	tlsEncrypt = "encrypt"
	tlsVerify  = "verify"
)

// Config says where the accounts are. Keys are those of Postfix's
// mysql_table(5) where it has one.
type Config struct {
	// Hosts are asked: unix:/path, inet:host:port, host or host:port. Empty:
	// accounts are not in MySQL.
	Hosts []string `yaml:"hosts"`
	// WriteHost takes changes; empty is the first of Hosts.
	WriteHost string `yaml:"write_host"`
	User      string `yaml:"user"`
	// PasswordFile has the password in its first line. It is read for each new
	// connection.
	PasswordFile string `yaml:"password_file"`
	DBName       string `yaml:"dbname"`
	// OwnDBName has the tables gatepost_…; empty is DBName.
	OwnDBName string `yaml:"own_dbname"`

	// TLSLevel is none, encrypt, or verify, which wants a certificate for the
	// name of the host.
	TLSLevel string `yaml:"tls_security_level"`
	// TLSCAFile has the authorities; empty takes the system's.
	TLSCAFile string `yaml:"tls_ca_file"`
	// TLSCertFile and TLSKeyFile are shown to a server that asks for one.
	TLSCertFile string `yaml:"tls_cert_file"`
	TLSKeyFile  string `yaml:"tls_key_file"`

	// Schema is "gatepost" or the name of a preset.
	Schema string `yaml:"schema"`
	// Queries replace those of the preset: see Schema.
	Queries Queries `yaml:"queries"`
	// DefaultPassScheme is that of hashes without "{SCHEME}"; empty leaves it to
	// who reads them (authd's default_pass_scheme).
	DefaultPassScheme string `yaml:"default_pass_scheme"`

	// MaxConnections bounds those to each host, IdleConnections those that stay
	// open, and ConnectionLife how long one is used.
	MaxConnections  int           `yaml:"max_connections"`
	IdleConnections int           `yaml:"idle_connections"`
	ConnectionLife  unit.Duration `yaml:"connection_life"`
	// ConnectTimeout bounds the making of a connection.
	ConnectTimeout unit.Duration `yaml:"connect_timeout"`
	// MaxStatementTime is set on each connection: the server ends a statement
	// that takes longer, also one whose asker has gone. Lists have ten times as
	// much.
	MaxStatementTime unit.Duration `yaml:"max_statement_time"`

	// LastGood answers for known names while no server does.
	LastGood bool `yaml:"last_good"`
	// CacheSize bounds the answers of each kind that are kept in memory.
	CacheSize int `yaml:"cache_size"`
	// CacheTime is how long answers of a foreign schema are kept. Those of our own
	// tables are kept until something changes.
	CacheTime unit.Duration `yaml:"cache_time"`
}

// Queries are those of Schema, each empty for the preset's.
type Queries struct {
	Domain  string `yaml:"domain"`
	Domains string `yaml:"domains"`
	User    string `yaml:"user"`
	Users   string `yaml:"users"`
	Alias   string `yaml:"alias"`
	Aliases string `yaml:"aliases"`
}

// Default returns the settings without a host.
func Default() Config {
	return Config{
		TLSLevel: tlsNone, Schema: Own,
		MaxConnections: 20, IdleConnections: 10, ConnectionLife: unit.Duration(time.Hour),
		ConnectTimeout: unit.Duration(2 * time.Second), MaxStatementTime: unit.Duration(2 * time.Second),
		LastGood: true, CacheSize: 20_000, CacheTime: unit.Duration(10 * time.Second),
	}
}

// On reports whether accounts are in MySQL.
func (c Config) On() bool { return len(c.Hosts) > 0 }

// database is a name that needs no quoting anywhere.
var database = regexp.MustCompile(`^[0-9A-Za-z_$-]{1,64}$`)

// Validate reports all that is wrong with c.
func (c Config) Validate() error {
	if !c.On() {
		return nil
	}
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, config.Invalid(key, format, args...)) }
	c.validHosts(bad)
	if c.User == "" {
		bad("user", "is missing: the user at the server")
	}
	if c.PasswordFile == "" {
		bad("password_file", "is missing: the file with the password of %q", c.User)
	}
	if !database.MatchString(c.DBName) {
		bad("dbname", "%q is no name of a database: letters, digits, \"_\", \"-\" and \"$\"", c.DBName)
	}
	if c.OwnDBName != "" && !database.MatchString(c.OwnDBName) {
		bad("own_dbname", "%q is no name of a database: letters, digits, \"_\", \"-\" and \"$\"", c.OwnDBName)
	}
	c.validSchema(bad)
	c.validBounds(bad)
	return errors.Join(errs...)
}

type badFunc func(key, format string, args ...any)

func (c Config) validHosts(bad badFunc) {
	for _, h := range c.Hosts {
		if _, _, err := parseHost(h); err != nil {
			bad("hosts", "%v", err)
		}
	}
	if _, _, err := parseHost(c.WriteHost); c.WriteHost != "" && err != nil {
		bad("write_host", "%v", err)
	}
	if !slices.Contains([]string{tlsNone, tlsEncrypt, tlsVerify}, c.TLSLevel) {
		bad("tls_security_level", "%q is not none, encrypt or verify", c.TLSLevel)
	}
	for key, file := range map[string]string{
		"password_file": c.PasswordFile, "tls_ca_file": c.TLSCAFile, "tls_cert_file": c.TLSCertFile, "tls_key_file": c.TLSKeyFile,
	} {
		if file != "" && !filepath.IsAbs(file) {
			bad(key, "%q is no absolute path", file)
		}
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		bad("tls_cert_file", "a certificate and its key go together: set tls_cert_file and tls_key_file")
	}
	if c.TLSLevel == tlsNone && c.TLSCAFile+c.TLSCertFile != "" {
		bad("tls_security_level", "is none: set it to verify, or leave the files out")
	}
}

func (c Config) validSchema(bad badFunc) {
	s, err := c.schema()
	if err != nil {
		bad("schema", "%v", err)
		return
	}
	if c.Schema == Own {
		if c.Queries != (Queries{}) {
			bad("queries", "are for a foreign schema; name it in mysql.schema")
		}
		return
	}
	for _, q := range s.named() {
		if _, err := compile(q.text); err != nil {
			bad("queries."+q.name, "%v", err)
		}
	}
	if strings.ContainsAny(c.DefaultPassScheme, "{}") {
		bad("default_pass_scheme", "%q: write the name alone, as SHA512-CRYPT", c.DefaultPassScheme)
	}
}

func (c Config) validBounds(bad badFunc) {
	if c.MaxConnections < 2 || c.MaxConnections > 1000 {
		bad("max_connections", "%d is not between 2 and 1000", c.MaxConnections)
	}
	if c.IdleConnections < 1 || c.IdleConnections > c.MaxConnections {
		bad("idle_connections", "%d is not between 1 and max_connections (%d)", c.IdleConnections, c.MaxConnections)
	}
	if c.CacheSize < 100 || c.CacheSize > 10_000_000 {
		bad("cache_size", "%d is not between 100 and 10000000", c.CacheSize)
	}
	for _, d := range []struct {
		key      string
		v        unit.Duration
		min, max time.Duration
	}{
		{"connection_life", c.ConnectionLife, time.Second, 24 * time.Hour},
		{"connect_timeout", c.ConnectTimeout, 100 * time.Millisecond, 30 * time.Second},
		{"max_statement_time", c.MaxStatementTime, 100 * time.Millisecond, 30 * time.Second},
		{"cache_time", c.CacheTime, 0, 10 * time.Minute},
	} {
		if v := d.v.Std(); v < d.min || v > d.max {
			bad(d.key, "%v is not between %v and %v", d.v, unit.Duration(d.min), unit.Duration(d.max))
		}
	}
}

// defaultPort is MySQL's.
const defaultPort = "3306"

// parseHost reads a host as Postfix's mysql_table(5) writes it.
func parseHost(s string) (network, addr string, err error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return "", "", errors.New(s + ": the path of a socket begins with /, as in unix:/run/mysqld/mysqld.sock")
		}
		return "unix", path, nil
	}
	host := strings.TrimPrefix(s, "inet:")
	name, port, splitErr := net.SplitHostPort(host)
	if splitErr != nil {
		name, port = strings.Trim(host, "[]"), defaultPort
	}
	switch {
	case name == "" || port == "" || strings.ContainsAny(name, "/ ") || strings.Contains(name, ":") && net.ParseIP(name) == nil:
		return "", "", errors.New(s + " is no host: write unix:/path, inet:host:port or host")
	case name == "localhost":
		// Postfix takes it for the socket, others for TCP.
		return "", "", errors.New(s + " may mean two things: write unix:/run/mysqld/mysqld.sock, or 127.0.0.1")
	}
	return "tcp", net.JoinHostPort(name, port), nil
}
