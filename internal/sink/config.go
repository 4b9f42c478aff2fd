package sink

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/firewall"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config has the settings of all sinks.
type Config struct {
	Nftables NftablesConfig `yaml:"nftables"`
	Command  CommandConfig  `yaml:"command"`
	Webhook  WebhookConfig  `yaml:"webhook"`
}

// NftablesConfig has the settings of the firewall.
type NftablesConfig struct {
	Mode unit.Mode `yaml:"mode"`
	// Services are those whose ports are closed, where a ban is for them.
	Services []string `yaml:"services"`
	// Socket is the helper's; the process hands it down.
	Socket string `yaml:"-"`
}

// CommandConfig has the settings of the command.
type CommandConfig struct {
	Mode unit.Mode `yaml:"mode"`
	// Argv is the program, with its whole path, and its arguments.
	Argv []string `yaml:"argv"`
	// Timeout bounds one run.
	Timeout unit.Duration `yaml:"timeout"`
	// Told is the file that keeps what the program was called for; the process
	// hands it down. Empty: it is forgotten with the process.
	Told string `yaml:"-"`
}

// WebhookConfig has the settings of the webhook.
type WebhookConfig struct {
	Mode unit.Mode `yaml:"mode"`
	URL  string    `yaml:"url"`
	// Auth is hmac or bearer: what the secret is used for.
	Auth string `yaml:"auth"`
	// SecretFile has the secret in its first line.
	SecretFile string `yaml:"secret_file"`
	// Timeout bounds one POST.
	Timeout unit.Duration `yaml:"timeout"`
}

// Default returns the settings of an empty configuration: all are off.
func Default() Config {
	return Config{
		Nftables: NftablesConfig{Mode: unit.Off, Services: []string{"imap", "pop3", "sieve", "submission"}},
		Command:  CommandConfig{Mode: unit.Off, Timeout: unit.Duration(10 * time.Second)},
		Webhook:  WebhookConfig{Mode: unit.Off, Auth: "hmac", Timeout: unit.Duration(10 * time.Second)},
	}
}

// Bounds of settings.
const (
	maxArgs    = 64
	maxArgSize = 1024
	maxTimeout = time.Minute
)

// Validate returns all faults of c. It reads no file; see Check.
func (c Config) Validate() error {
	return errors.Join(
		config.Under("nftables", c.Nftables.validate()),
		config.Under("command", c.Command.validate()),
		config.Under("webhook", c.Webhook.validate()))
}

// Check reads the file that c names and returns all faults.
func (c Config) Check() error {
	if c.Webhook.SecretFile == "" {
		return nil
	}
	_, err := readSecret(c.Webhook.SecretFile)
	return err
}

func validMode(m unit.Mode) error {
	if m == unit.Off || m == unit.Observe || m == unit.Enforce {
		return nil
	}
	return config.Invalid("mode", "%q is not a mode: use off, observe or enforce", string(m))
}

func validTimeout(d unit.Duration) error {
	if d.Std() >= 100*time.Millisecond && d.Std() <= maxTimeout {
		return nil
	}
	return config.Invalid("timeout", "%v is not between 100ms and %v", d, maxTimeout)
}

func (c NftablesConfig) validate() error {
	errs := []error{validMode(c.Mode)}
	for i, s := range c.Services {
		key := fmt.Sprintf("services[%d]", i)
		switch {
		case !slices.Contains(firewall.Services(), s):
			errs = append(errs, config.Invalid(key, "%q is not one of %s", s, strings.Join(firewall.Services(), ", ")))
		case slices.Contains(c.Services[:i], s):
			errs = append(errs, config.Invalid(key, "%q is there twice", s))
		}
	}
	if c.Mode != unit.Off && len(c.Services) == 0 {
		errs = append(errs, config.Invalid("services", "it is empty, so nothing would be closed"))
	}
	return errors.Join(errs...)
}

func (c CommandConfig) validate() error {
	errs := []error{validMode(c.Mode), validTimeout(c.Timeout)}
	bad := func(key, format string, args ...any) { errs = append(errs, config.Invalid(key, format, args...)) }
	switch {
	case len(c.Argv) == 0 && c.Mode != unit.Off:
		bad("argv", "it is empty: name the program and its arguments")
	case len(c.Argv) > 0 && !filepath.IsAbs(c.Argv[0]):
		bad("argv[0]", "%q does not begin with /", c.Argv[0])
	case len(c.Argv) > maxArgs:
		bad("argv", "%d words, at most %d", len(c.Argv), maxArgs)
	}
	for i, word := range c.Argv {
		key := fmt.Sprintf("argv[%d]", i)
		if len(word) > maxArgSize || strings.ContainsRune(word, 0) {
			bad(key, "it has more than %d bytes, or a NUL", maxArgSize)
		}
		for _, name := range placeholders(word) {
			if _, ok := values(Change{})[name]; !ok {
				bad(key, "{%s} is not known: use {network}, {family}, {services}, {ports}, {seconds}, {until}, {action} or {id}", name)
			} else if i == 0 {
				bad(key, "the program is fixed: {%s} belongs into an argument", name)
			}
		}
	}
	return errors.Join(errs...)
}

func (c WebhookConfig) validate() error {
	errs := []error{validMode(c.Mode), validTimeout(c.Timeout)}
	bad := func(key, format string, args ...any) { errs = append(errs, config.Invalid(key, format, args...)) }
	if c.URL != "" || c.Mode != unit.Off {
		u, err := url.Parse(c.URL)
		switch {
		case err != nil || u.Host == "":
			bad("url", "%q is not a URL such as https://ban.example.org/hook", c.URL)
		case u.User != nil:
			bad("url", "a password does not belong here: use secret_file")
		case u.Scheme != "https" && !(u.Scheme == "http" && here(u.Hostname())):
			bad("url", "it has to begin with https:// (http:// for this host only)")
		}
	}
	if c.Auth != "hmac" && c.Auth != "bearer" {
		bad("auth", "%q is neither hmac nor bearer", c.Auth)
	}
	if c.Mode == unit.Enforce && c.SecretFile == "" {
		bad("secret_file", "it is missing: whoever gets the POST could not tell it from anybody else's")
	}
	return errors.Join(errs...)
}

func here(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
