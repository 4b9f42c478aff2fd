package mysql

import (
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

func TestParseHost(t *testing.T) {
	for in, want := range map[string]string{
		"unix:/run/mysqld/mysqld.sock": "unix /run/mysqld/mysqld.sock", "inet:db.example.org:3307": "tcp db.example.org:3307",
		"db.example.org": "tcp db.example.org:3306", "192.0.2.1": "tcp 192.0.2.1:3306", "inet:[2001:db8::1]:3306": "tcp [2001:db8::1]:3306",
		"[2001:db8::1]": "tcp [2001:db8::1]:3306",
	} {
		network, addr, err := parseHost(in)
		if got := network + " " + addr; err != nil || got != want {
			t.Errorf("parseHost(%s) = %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "unix:run/x", "localhost", "inet:localhost:3306", "/run/x", "a b", "inet:", ":3306", "a:b:c"} {
		if _, addr, err := parseHost(in); err == nil {
			t.Errorf("parseHost(%q) = %s, want an error", in, addr)
		}
	}
}

func good() Config {
	c := Default()
	c.Hosts, c.User, c.PasswordFile, c.DBName = []string{"unix:/run/mysqld/mysqld.sock"}, "gatepost", "/etc/gatepost/mysql.password", "mailserver"
	return c
}

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil || Default().On() {
		t.Errorf("Default() is %v", err)
	}
	if err := good().Validate(); err != nil {
		t.Errorf("good() is %v", err)
	}
	for _, tc := range []struct {
		key  string
		edit func(c *Config)
	}{
		{"hosts", func(c *Config) { c.Hosts = []string{"localhost"} }},
		{"write_host", func(c *Config) { c.WriteHost = "unix:x" }},
		{"user", func(c *Config) { c.User = "" }},
		{"password_file", func(c *Config) { c.PasswordFile = "" }},
		{"password_file", func(c *Config) { c.PasswordFile = "password" }},
		{"dbname", func(c *Config) { c.DBName = "a`b" }},
		{"own_dbname", func(c *Config) { c.OwnDBName = "a.b" }},
		{"tls_security_level", func(c *Config) { c.TLSLevel = "may" }},
		{"tls_security_level", func(c *Config) { c.TLSCAFile = "/ca.pem" }},
		{"tls_cert_file", func(c *Config) { c.TLSLevel, c.TLSCertFile = "verify", "/c.pem" }},
		{"schema", func(c *Config) { c.Schema = "vpopmail" }},
		{"queries", func(c *Config) { c.Queries.User = "SELECT 1" }},
		{"queries.user", func(c *Config) { c.Schema, c.Queries.User = "guide", "SELECT ?" }},
		{"default_pass_scheme", func(c *Config) { c.Schema, c.DefaultPassScheme = "guide", "{SHA512-CRYPT}" }},
		{"max_connections", func(c *Config) { c.MaxConnections = 1 }},
		{"idle_connections", func(c *Config) { c.IdleConnections = 21 }},
		{"cache_size", func(c *Config) { c.CacheSize = 0 }},
		{"connection_life", func(c *Config) { c.ConnectionLife = 0 }},
		{"connect_timeout", func(c *Config) { c.ConnectTimeout = 0 }},
		{"max_statement_time", func(c *Config) { c.MaxStatementTime = unit.Duration(time.Hour) }},
		{"cache_time", func(c *Config) { c.CacheTime = unit.Duration(time.Hour) }},
	} {
		c := good()
		tc.edit(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tc.key) {
			t.Errorf("%s: Validate() = %v", tc.key, err)
		}
	}
}

func TestClock(t *testing.T) {
	c := newClock()
	if c.provedWithin(time.Minute) {
		t.Error("a new clock is proved")
	}
	c.polled(0, 5, c.now())
	epoch, known := c.version()
	if known != 5 || !c.provedWithin(time.Minute) {
		t.Errorf("after a poll known is %d", known)
	}
	c.polled(5, 5, c.now())
	if e, _ := c.version(); e != epoch {
		t.Error("a poll without news moves the epoch")
	}
	c.changed(6)
	c.polled(5, 5, c.now()) // it was asked before the change
	if e, known := c.version(); known != 6 || e <= epoch {
		t.Errorf("after a change known is %d, epoch %d, was %d", known, e, epoch)
	}
	c.polled(6, 2, c.now()) // the server was restored from a backup
	if _, known := c.version(); known != 2 {
		t.Errorf("after a server went back known is %d", known)
	}
}

func TestMigrationsAreNumbered(t *testing.T) {
	all, err := steps(migrations)
	if err != nil || len(all) == 0 {
		t.Fatalf("steps() = %v, %v", all, err)
	}
	for _, s := range all {
		for _, one := range s.statements() {
			if !strings.HasPrefix(one, "CREATE TABLE IF NOT EXISTS {") && !strings.HasPrefix(one, "INSERT IGNORE INTO {") {
				t.Errorf("%s: a statement that can not be made twice: %.60s", s.name, one)
			}
		}
	}
}
