package redis

import (
	"errors"
	"net"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

const (
	// maxDial and maxTimeout keep a request below 300 ms when a server is away.
	maxDial    = 300 * time.Millisecond
	maxTimeout = 200 * time.Millisecond
	maxPool    = 1000
	maxPrefix  = 64
)

// Config says where Redis or Valkey is.
type Config struct {
	// Addresses are host:port. None: state is embedded. One is a server of its
	// own, several are nodes of one Cluster; with MasterName they are Sentinels.
	Addresses  []string `yaml:"addresses"`
	MasterName string   `yaml:"master_name"`
	// SentinelUser and SentinelPasswordFile are the login at the Sentinels,
	// Username and PasswordFile that at the servers.
	SentinelUser         string `yaml:"sentinel_user"`
	SentinelPasswordFile string `yaml:"sentinel_password_file"`
	Username             string `yaml:"username"`
	PasswordFile         string `yaml:"password_file"`
	TLS                  TLS    `yaml:"tls"`
	// Database is the number for SELECT; a Cluster has only 0.
	Database int `yaml:"database"`
	// KeyPrefix goes before all keys, so that one Redis can serve others, too.
	KeyPrefix string `yaml:"key_prefix"`
	// DialTimeout and Timeout bound a connect and each read and write.
	DialTimeout unit.Duration `yaml:"dial_timeout"`
	Timeout     unit.Duration `yaml:"timeout"`
	// PoolSize bounds the connections of this process to each server.
	PoolSize int `yaml:"pool_size"`
}

// TLS says how connections are encrypted.
type TLS struct {
	Enable bool `yaml:"enable"`
	// CAFile has the certificates that are trusted; empty: those of the system.
	CAFile string `yaml:"ca_file"`
	// ServerName is the name in the servers' certificates; empty: the host that
	// was connected to.
	ServerName string `yaml:"server_name"`
}

// Default returns what a new server has: no Redis.
func Default() Config {
	return Config{
		DialTimeout: unit.Duration(200 * time.Millisecond),
		Timeout:     unit.Duration(200 * time.Millisecond),
		PoolSize:    32,
	}
}

// Enabled reports whether state is on Redis.
func (c Config) Enabled() bool { return len(c.Addresses) > 0 }

// cluster reports whether the servers are a Cluster.
func (c Config) cluster() bool { return len(c.Addresses) > 1 && c.MasterName == "" }

// Validate reports all that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, config.Invalid(key, format, args...)) }
	for _, a := range c.Addresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			bad("addresses", "%q is not host:port, for example 192.0.2.10:6379", a)
		}
	}
	switch {
	case c.Database < 0 || c.Database > 1_000_000:
		bad("database", "%d is not between 0 and 1000000", c.Database)
	case c.cluster() && c.Database != 0:
		bad("database", "several addresses without master_name are a Cluster, which has only database 0")
	}
	if c.MasterName == "" && (c.SentinelUser != "" || c.SentinelPasswordFile != "") {
		bad("master_name", "there is a login for Sentinels: say the name of their master")
	}
	if c.MasterName != "" && !c.Enabled() {
		bad("addresses", "master_name is set: name the Sentinels")
	}
	if c.Username != "" && c.PasswordFile == "" {
		bad("password_file", "username needs a password: name the file with it")
	}
	if c.SentinelUser != "" && c.SentinelPasswordFile == "" {
		bad("sentinel_password_file", "sentinel_user needs a password: name the file with it")
	}
	if !c.TLS.Enable && (c.TLS.CAFile != "" || c.TLS.ServerName != "") {
		bad("tls.enable", "ca_file and server_name say nothing without tls.enable: true")
	}
	if len(c.KeyPrefix) > maxPrefix || strings.ContainsFunc(c.KeyPrefix, notInPrefix) {
		bad("key_prefix", "%q is not letters, digits, - _ . and :, %d at most", c.KeyPrefix, maxPrefix)
	}
	c.validateBounds(bad)
	return errors.Join(errs...)
}

// validateBounds reports times and numbers that are out of bounds.
func (c Config) validateBounds(bad func(key, format string, args ...any)) {
	if d := c.DialTimeout.Std(); d < time.Millisecond || d > maxDial {
		bad("dial_timeout", "%v is not between 1ms and %v: no request may wait longer for a server that is away", c.DialTimeout, unit.Duration(maxDial))
	}
	if d := c.Timeout.Std(); d < time.Millisecond || d > maxTimeout {
		bad("timeout", "%v is not between 1ms and %v: no request may wait longer for a server that hangs", c.Timeout, unit.Duration(maxTimeout))
	}
	if c.PoolSize < 1 || c.PoolSize > maxPool {
		bad("pool_size", "%d is not between 1 and %d", c.PoolSize, maxPool)
	}
}

// notInPrefix keeps braces out above all: they say in which slot a key lies.
func notInPrefix(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.:", r))
}
