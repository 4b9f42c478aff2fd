package outgoing

import (
	"errors"
	"net"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config says where mail of our own goes.
type Config struct {
	// Address is the smtpd for it, host:port on this host. Empty: mail of our own
	// is not sent, and what would send some says so.
	Address string `yaml:"address"`
	// User and PasswordFile are the SASL login of this machine.
	User         string `yaml:"user"`
	PasswordFile string `yaml:"password_file"`
	// GiveUp is how long a message is tried.
	GiveUp unit.Duration `yaml:"give_up"`
	// MaxMessages bounds the spool. What comes above it is refused.
	MaxMessages int `yaml:"max_messages"`

	// Hostname is ours; the process hands it down.
	Hostname string `yaml:"-"`
}

// Default returns what a new server has: mail of our own is off.
func Default() Config {
	return Config{GiveUp: unit.Duration(5 * 24 * time.Hour), MaxMessages: 10000}
}

// Validate reports all that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, config.Invalid(key, format, args...)) }
	if c.Address != "" {
		host, port, err := net.SplitHostPort(c.Address)
		switch {
		case err != nil || port == "":
			bad("address", "%q is not host:port, for example 127.0.0.1:10587", c.Address)
		case host != "localhost" && !net.ParseIP(host).IsLoopback():
			bad("address", "%q is not on this host: mail of our own goes to a smtpd of its own on 127.0.0.1 or [::1]", c.Address)
		}
		if c.User == "" {
			bad("user", "the smtpd for mail of our own needs a login")
		}
		if c.PasswordFile == "" {
			bad("password_file", "the smtpd for mail of our own needs a login: name the file with its password")
		}
	}
	if d := c.GiveUp.Std(); d < time.Hour || d > 30*24*time.Hour {
		bad("give_up", "%v is not between 1h and 30d", c.GiveUp)
	}
	if c.MaxMessages < 1 || c.MaxMessages > 1_000_000 {
		bad("max_messages", "%d is not between 1 and 1000000", c.MaxMessages)
	}
	return errors.Join(errs...)
}
