package authd

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config has the settings of authd.
type Config struct {
	// MaxConnections bounds the connections of each listener. Further ones wait
	// in the kernel's queue. Read when a listener starts.
	MaxConnections int `yaml:"max_connections"`
	// FailureDelay passes before a refusal is sent, as with Dovecot's
	// auth_failure_delay. It holds nothing else up.
	FailureDelay unit.Duration `yaml:"failure_delay"`
	// Mechanisms are offered to the peers, in this order: PLAIN, LOGIN,
	// SCRAM-SHA-256, SCRAM-SHA-1. A connection keeps what it was told.
	Mechanisms []string `yaml:"mechanisms"`
	// CacheTime is how long a right password is known without hashing it again;
	// 0s switches that off.
	CacheTime unit.Duration `yaml:"cache_time"`
	// HashMemory bounds what all password hashes under way take together. Read
	// at the start.
	HashMemory unit.Size `yaml:"hash_memory"`
	// DefaultPassScheme is the scheme of stored passwords that name none, as
	// Dovecot's default_pass_scheme; empty leaves those to their "$…$".
	DefaultPassScheme string `yaml:"default_pass_scheme"`
	// Rehash is the scheme that the stored password is changed to at the next
	// right login, in a table of ours; empty leaves them.
	Rehash string `yaml:"rehash"`
	// AppPasswordsOnly keeps the main password out of mail clients.
	AppPasswordsOnly bool `yaml:"app_passwords_only"`
	// MailLocation is Dovecot's mail_location, told with every userdb answer.
	MailLocation string `yaml:"mail_location"`
	// UserdbFields are told with every userdb answer: names of Dovecot's
	// settings and their values.
	UserdbFields map[string]string `yaml:"userdb_fields"`
	// MasterUIDs may ask PASS, LIST and CACHE-FLUSH, beside root.
	MasterUIDs []int `yaml:"master_uids"`
	// Grace is how long requests in hand may take when the daemon ends.
	Grace unit.Duration `yaml:"grace"`

	// MailRoot, MailUID and MailGID are mail_root, mail_uid and mail_gid of the
	// whole configuration: a user's home is MailRoot/domain/local-part.
	MailRoot string `yaml:"-"`
	MailUID  int    `yaml:"-"`
	MailGID  int    `yaml:"-"`
	// TrustedProxies are those of the guard: who may name another address as
	// its client's. Behind anybody else, the client is the proxy itself.
	TrustedProxies []netaddr.Prefix `yaml:"-"`
	// HeldSubmits lets an account log in to send whose sending is held, because
	// the policy server sees to its mail.
	HeldSubmits bool `yaml:"-"`
}

// Default returns the settings of an empty configuration.
func Default() Config {
	return Config{
		MaxConnections: 1000,
		FailureDelay:   unit.Duration(2 * time.Second),
		Mechanisms:     []string{mechPlain, mechLogin},
		CacheTime:      unit.Duration(5 * time.Minute),
		HashMemory:     128 << 20,
		MailLocation:   "maildir:~/Maildir",
		Grace:          unit.Duration(5 * time.Second),
		MailRoot:       "/var/vmail",
		MailUID:        5000,
		MailGID:        5000,
	}
}

// Fixed bounds.
const (
	// answerTime is how long a login may take, its delay included: Postfix
	// waits 10 s.
	answerTime = 8 * time.Second
	// handshakeTime is for the two lines that come first. After them a
	// connection may be silent: Postfix keeps one for its whole life.
	handshakeTime = 10 * time.Second
	// requestTime is how long an unfinished exchange, and a login that no mail
	// process took over, is remembered: 150 s as with Dovecot.
	requestTime = 150 * time.Second
	// writeTime is how long a peer may leave a reply unread.
	writeTime = 10 * time.Second
	// maxOpen bounds the unanswered requests, and the logins that wait for
	// their mail process, of one connection.
	maxOpen = 1024
	// maxCached bounds the right passwords that are known.
	maxCached = 10_000

	maxDelay     = 5 * time.Second
	maxCacheTime = 24 * time.Hour
)

// Validate returns all faults of c.
func (c Config) Validate() error {
	errs := []error{c.validateLogins(), c.validateSchemes()}
	if c.MaxConnections < 1 || c.MaxConnections > 100_000 {
		errs = append(errs, config.Invalid("max_connections", "%d is not between 1 and 100000", c.MaxConnections))
	}
	if c.MailLocation == "" || strings.ContainsFunc(c.MailLocation, isControl) {
		errs = append(errs, config.Invalid("mail_location", "it is empty or holds a control character"))
	}
	if err := validFields(c.UserdbFields); err != nil {
		errs = append(errs, config.Invalid("userdb_fields", "%v", err))
	}
	for i, uid := range c.MasterUIDs {
		if uid < 0 {
			errs = append(errs, config.Invalid(fmt.Sprintf("master_uids[%d]", i), "%d is no user id", uid))
		}
	}
	if d := c.Grace.Std(); d < 0 || d > time.Minute {
		errs = append(errs, config.Invalid("grace", "%v is more than 1m", c.Grace))
	}
	if !filepath.IsAbs(c.MailRoot) || len(c.MailRoot) > 1024 {
		errs = append(errs, config.Invalid("mail_root", "%q is not an absolute path", c.MailRoot))
	}
	if c.MailUID < 1 || c.MailGID < 1 {
		errs = append(errs, config.Invalid("mail_uid", "mail belongs to no ordinary user"))
	}
	return errors.Join(errs...)
}

// validateLogins returns the faults of what logins are judged by.
func (c Config) validateLogins() error {
	var errs []error
	if d := c.FailureDelay.Std(); d < 0 || d > maxDelay {
		errs = append(errs, config.Invalid("failure_delay", "%v is more than %v: Postfix waits 10s for the whole answer", c.FailureDelay, unit.Duration(maxDelay)))
	}
	if err := validMechanisms(c.Mechanisms); err != nil {
		errs = append(errs, config.Invalid("mechanisms", "%v", err))
	}
	if d := c.CacheTime.Std(); d < 0 || d > maxCacheTime {
		errs = append(errs, config.Invalid("cache_time", "%v is more than %v", c.CacheTime, unit.Duration(maxCacheTime)))
	}
	if c.HashMemory < 8<<20 || c.HashMemory > 16<<30 {
		errs = append(errs, config.Invalid("hash_memory", "%v is not between 8MB and 16GB", c.HashMemory))
	}
	return errors.Join(errs...)
}

// validateSchemes returns the faults of default_pass_scheme and rehash.
func (c Config) validateSchemes() error {
	var errs []error
	if _, err := password.ParseScheme(c.DefaultPassScheme); err != nil && c.DefaultPassScheme != "" {
		errs = append(errs, config.Invalid("default_pass_scheme", "%v", err))
	}
	want, err := password.ParseScheme(c.Rehash)
	switch {
	case c.Rehash == "":
	case err != nil:
		errs = append(errs, config.Invalid("rehash", "%v", err))
	case !slices.Contains(password.MakeSchemes(), want) || isWeak(want):
		errs = append(errs, config.Invalid("rehash", "%s is nothing to change good hashes to: use %s", want, password.Default))
	case c.offersScram() && !slices.Contains(c.Mechanisms, string(want)):
		errs = append(errs, config.Invalid("rehash", "%s cannot serve the SCRAM in mechanisms: take that out, or rehash to it", want))
	}
	return errors.Join(errs...)
}

func isWeak(s password.Scheme) bool {
	_, weak := password.Weak(s)
	return weak
}

func (c Config) offersScram() bool {
	return slices.Contains(c.Mechanisms, mechScram256) || slices.Contains(c.Mechanisms, mechScram1)
}

// scheme reads a setting that is valid; empty is none.
func (c Config) scheme(name string) password.Scheme {
	s, _ := password.ParseScheme(name)
	return s
}

// validMechanisms: an smtpd that is told of none dies before its banner.
func validMechanisms(names []string) error {
	if len(names) == 0 {
		return errors.New("it is empty: name PLAIN at least")
	}
	for i, n := range names {
		if _, ok := mechanismFlags(n); !ok {
			return fmt.Errorf("no mechanism %q: there are %s", n, strings.Join(mechanismNames(), ", "))
		}
		if slices.Contains(names[:i], n) {
			return fmt.Errorf("%s stands twice", n)
		}
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// mailbox returns what c says of users' mail.
func (c *Config) mailbox() mailbox {
	return mailbox{root: c.MailRoot, uid: c.MailUID, gid: c.MailGID, location: c.MailLocation, extra: c.UserdbFields}
}
