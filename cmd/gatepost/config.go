package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatepost/gatepost/authd"
	"github.com/gatepost/gatepost/authd/dict"
	"github.com/gatepost/gatepost/authd/policy"
	"github.com/gatepost/gatepost/internal/abuse"
	"github.com/gatepost/gatepost/internal/account/mysql"
	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/lists"
	"github.com/gatepost/gatepost/internal/lists/maps"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/notice"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/seal"
	"github.com/gatepost/gatepost/internal/sieve"
	"github.com/gatepost/gatepost/internal/sink"
	"github.com/gatepost/gatepost/internal/state/redis"
	"github.com/gatepost/gatepost/internal/tail"
	"github.com/gatepost/gatepost/lmtpd"
	"github.com/gatepost/gatepost/lmtpd/filter"
	"github.com/gatepost/gatepost/lmtpd/managesieve"
	"github.com/gatepost/gatepost/milter"
	"github.com/gatepost/gatepost/policyd"
)

// Config is the whole configuration. docs/man/gatepost.yaml.5 is its manual
// and examples/gatepost.yaml its sample; a test compares the three.
type Config struct {
	// Hostname is Postfix's myhostname.
	Hostname string `yaml:"hostname"`
	// AuthservID names us in Authentication-Results (RFC 8601 §2.5); Hostname
	// if empty.
	AuthservID string `yaml:"authserv_id"`

	// QueueDirectory is Postfix's queue_directory; our sockets for Postfix are
	// below "gatepost" in it.
	QueueDirectory string `yaml:"queue_directory"`
	// RuntimeDirectory has our sockets for Dovecot and the command line.
	RuntimeDirectory string `yaml:"runtime_directory"`
	// DataDirectory has the SQLite files, the DKIM keys and the spool.
	DataDirectory string `yaml:"data_directory"`

	// MailRoot has a directory for each domain, and in it one for each mailbox.
	MailRoot string `yaml:"mail_root"`
	// MailUID and MailGID own the mail and run Gatepost.
	MailUID int `yaml:"mail_uid"`
	MailGID int `yaml:"mail_gid"`

	// RecipientDelimiter is Postfix's recipient_delimiter.
	RecipientDelimiter string `yaml:"recipient_delimiter"`

	// LocalSenders are the domains that programs on this host may sign as.
	LocalSenders []string `yaml:"local_senders"`

	// VerdictKeysFile has the keys by which hosts without a common state believe
	// each other's verdicts; empty: none.
	VerdictKeysFile string `yaml:"verdict_keys_file"`

	Log        logConfig         `yaml:"log"`
	Journal    journal.Config    `yaml:"journal"`
	MySQL      mysql.Config      `yaml:"mysql"`
	Redis      redis.Config      `yaml:"redis"`
	Resolver   resolver.Config   `yaml:"resolver"`
	Mailauth   mailauth.Config   `yaml:"mailauth"`
	Scan       scan.Config       `yaml:"scan"`
	DNSLists   lists.Config      `yaml:"dns_lists"`
	Maps       maps.Config       `yaml:"maps"`
	Learn      learn.Config      `yaml:"learn"`
	Quarantine quarantine.Config `yaml:"quarantine"`
	Milter     milter.Config     `yaml:"milter"`
	DKIM       keys.Config       `yaml:"dkim"`
	Policyd    policyd.Config    `yaml:"policyd"`
	Guard      guard.Config      `yaml:"guard"`
	BanSinks   sink.Config       `yaml:"ban_sinks"`
	WatchLogs  tail.Config       `yaml:"watch_logs"`
	Authd      authd.Config      `yaml:"authd"`
	Dict       dict.Config       `yaml:"dict"`
	AuthPolicy policy.Config     `yaml:"auth_policy"`
	Lmtpd      lmtpd.Config      `yaml:"lmtpd"`
	// Sieve is what lmtpd does with users' scripts.
	Sieve filter.Config `yaml:"sieve"`
	// Managesieve is a room of lmtpd with a listener of its own.
	Managesieve managesieve.Config `yaml:"managesieve"`
	Outgoing    outgoing.Config    `yaml:"outgoing"`
	Notices     notice.Config      `yaml:"notices"`
	Abuse       abuse.Config       `yaml:"abuse"`
	// QueueHelper is the socket of gatepost-queue.service; empty: none.
	QueueHelper string `yaml:"queue_helper"`
}

// logConfig says what is logged, on stderr.
type logConfig struct {
	// Level is debug, info, warn or error.
	Level logLevel `yaml:"level"`
	// Format is text or json.
	Format string `yaml:"format"`
}

// logLevel is a slog.Level in the words of the manual.
type logLevel slog.Level

// MarshalText writes debug, info, warn or error.
func (l logLevel) MarshalText() ([]byte, error) {
	return []byte(strings.ToLower(slog.Level(l).String())), nil
}

// UnmarshalText reads one of these words.
func (l *logLevel) UnmarshalText(b []byte) error {
	for _, known := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(string(b), known.String()) {
			*l = logLevel(known)
			return nil
		}
	}
	return fmt.Errorf("%q is not debug, info, warn or error", b)
}

// Words are what somebody may look for at the root of the file.
func (*Config) Words() map[string]string {
	return map[string]string{"ban": "guard", "bans": "guard",
		"bantime": "guard.ban_time", "findtime": "guard.find_time", "maxretry": "guard.max_failures", "ignoreip": "guard.ignore_networks",
		"weakforced": "auth_policy", "wforce": "auth_policy", "auth_policy_server_url": "auth_policy", "limit": "policyd.limits",
		"srs": "policyd.srs", "dane": "policyd.tls_policy", "mta_sts": "policyd.tls_policy", "greylist": "policyd.greylist",
		"rbl": "dns_lists", "dnsbl": "dns_lists", "bayes": "learn", "rules": "scan.admin_rules"}
}

// Default returns the configuration that an empty file means.
func Default() Config {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return Config{
		Hostname:           strings.ToLower(host),
		QueueDirectory:     "/var/spool/postfix",
		RuntimeDirectory:   "/run/gatepost",
		DataDirectory:      "/var/lib/gatepost",
		MailRoot:           "/var/vmail",
		MailUID:            5000,
		MailGID:            5000,
		RecipientDelimiter: "+",
		Log:                logConfig{Level: logLevel(slog.LevelInfo), Format: "text"},
		Journal:            journal.Default(),
		MySQL:              mysql.Default(),
		Redis:              redis.Default(),
		Resolver:           resolver.Default(),
		Mailauth:           mailauth.Default(),
		Scan:               scan.Default(),
		DNSLists:           lists.Default(),
		Learn:              learn.Default(),
		Quarantine:         quarantine.Default(),
		Milter:             milter.Default(),
		DKIM:               keys.Default(),
		Policyd:            policyd.Default(),
		Guard:              guard.Default(),
		BanSinks:           sink.Default(),
		Authd:              authd.Default(),
		Dict:               dict.Default(),
		AuthPolicy:         policy.Default(),
		Lmtpd:              lmtpd.Default(),
		Sieve:              filter.Default(),
		Managesieve:        managesieve.Default(),
		Outgoing:           outgoing.Default(),
		Notices:            notice.Default(),
		Abuse:              abuse.Default(),
	}
}

// Validate reports all that is wrong with c that can be known without looking
// at the machine. It also hands settings of the root to the parts that need
// them, so it must have been called before c is used.
func (c *Config) Validate() error {
	c.handDown()
	errs := []error{
		c.validateRoot(),
		config.Under("journal", c.Journal.Validate()),
		config.Under("mysql", c.MySQL.Validate()),
		config.Under("redis", c.Redis.Validate()),
		config.Under("resolver", c.Resolver.Validate()),
		config.Under("mailauth", c.Mailauth.Validate()),
		c.compile(),
		config.Under("dns_lists", c.DNSLists.Validate()),
		config.Under("maps", c.Maps.Validate()),
		config.Under("learn", c.Learn.Validate()),
		config.Under("quarantine", c.Quarantine.Validate()),
		config.Under("milter", c.Milter.Validate()),
		config.Under("dkim", c.DKIM.Validate()),
		config.Under("policyd", c.Policyd.Validate()),
		config.Under("guard", c.Guard.Validate()),
		config.Under("ban_sinks", c.BanSinks.Validate()),
		config.Under("watch_logs", c.WatchLogs.Validate()),
		config.Under("authd", c.Authd.Validate()),
		config.Under("dict", c.Dict.Validate()),
		config.Under("auth_policy", c.AuthPolicy.Validate()),
		config.Under("lmtpd", c.Lmtpd.Validate()),
		config.Under("sieve", c.Sieve.Validate()),
		config.Under("managesieve", c.Managesieve.Validate()),
		config.Under("outgoing", c.Outgoing.Validate()),
		config.Under("notices", c.Notices.Validate()),
		config.Under("abuse", c.Abuse.Validate()),
	}
	return errors.Join(errs...)
}

// handDown gives the parts what the root of the file says once for all.
func (c *Config) handDown() {
	if c.AuthservID == "" {
		c.AuthservID = c.Hostname
	}
	spool := ""
	if filepath.IsAbs(c.DataDirectory) { // else validateRoot says so, once
		spool = filepath.Join(c.DataDirectory, "spool")
	}
	c.Milter.AuthservID = c.AuthservID
	c.Milter.SpoolDirectory = spool
	c.Milter.LocalSenders = c.LocalSenders
	c.Milter.Scan = c.Scan
	c.DNSLists.Reject = c.Scan.Reject
	c.Policyd.RecipientDelimiter = c.RecipientDelimiter
	c.Policyd.Hostname = c.Hostname
	c.Policyd.MailRoot = c.MailRoot
	c.Authd.MailRoot, c.Authd.MailUID, c.Authd.MailGID = c.MailRoot, c.MailUID, c.MailGID
	c.Authd.HeldSubmits = c.Policyd.Held != policyd.HeldReject
	c.Authd.TrustedProxies = c.Guard.TrustedProxies
	c.Dict.MailRoot, c.Dict.MailUID, c.Dict.MailGID, c.Dict.MailLocation = c.MailRoot, c.MailUID, c.MailGID, c.Authd.MailLocation
	c.Dict.HeldSubmits = c.Authd.HeldSubmits
	c.Lmtpd.Hostname = c.Hostname
	c.Outgoing.Hostname, c.Notices.Hostname = c.Hostname, c.Hostname
	c.Lmtpd.MailRoot = c.MailRoot
	c.Lmtpd.RecipientDelimiter = c.RecipientDelimiter
	c.Lmtpd.SpoolDirectory = spool
	c.Managesieve.Hostname = c.Hostname
	c.Managesieve.Extensions, c.Managesieve.NotifyMethods = sieve.Extensions(), sieve.NotifyMethods()
	c.Sieve.MailRoot, c.Sieve.Hostname, c.Sieve.AuthservID, c.Sieve.RecipientDelimiter = c.MailRoot, c.Hostname, c.AuthservID, c.RecipientDelimiter
	c.Sieve.UTF8, c.Sieve.Autocreate = c.Lmtpd.Folders.UTF8, c.Lmtpd.Folders.Autocreate
	c.Sieve.SpamScore, c.Sieve.Limits = c.Scan.Mark, c.Policyd.ActiveLimits()
	c.Managesieve.MaxRedirects = c.Sieve.MaxRedirects
	if c.Managesieve.AuthSocketPath == "" {
		c.Managesieve.AuthSocketPath = filepath.Join(c.QueueDirectory, "gatepost", "auth")
	}
}

func (c *Config) validateRoot() error {
	var errs []error
	for _, s := range []struct{ key, name string }{{"hostname", c.Hostname}, {"authserv_id", c.AuthservID}} {
		if d, err := mailaddr.ParseDomain(s.name); err != nil || d != s.name {
			errs = append(errs, config.Invalid(s.key, "%q is not a host name in lower case", s.name))
		}
	}
	for _, s := range []struct{ key, dir string }{
		{"queue_directory", c.QueueDirectory}, {"runtime_directory", c.RuntimeDirectory},
		{"data_directory", c.DataDirectory}, {"mail_root", c.MailRoot},
	} {
		if !filepath.IsAbs(s.dir) || filepath.Clean(s.dir) != s.dir || s.dir == "/" {
			errs = append(errs, config.Invalid(s.key, "%q is not a clean absolute path below /", s.dir))
		}
	}
	if d := c.QueueHelper; d != "" && (!filepath.IsAbs(d) || filepath.Clean(d) != d) {
		errs = append(errs, config.Invalid("queue_helper", "%q is not a clean absolute path", d))
	}
	if f := c.VerdictKeysFile; f != "" && (!filepath.IsAbs(f) || filepath.Clean(f) != f) {
		errs = append(errs, config.Invalid("verdict_keys_file", "%q is not a clean absolute path", f))
	}
	if c.MailUID < 1 || c.MailUID > 1<<31-2 {
		errs = append(errs, config.Invalid("mail_uid", "%d is not the user id of a mail user; 0 is root", c.MailUID))
	}
	if c.MailGID < 1 || c.MailGID > 1<<31-2 {
		errs = append(errs, config.Invalid("mail_gid", "%d is not the group id of a mail user; 0 is root", c.MailGID))
	}
	if len(c.RecipientDelimiter) > 8 {
		errs = append(errs, config.Invalid("recipient_delimiter", "%q is longer than 8 characters", c.RecipientDelimiter))
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		errs = append(errs, config.Invalid("log.format", "%q is not text or json", c.Log.Format))
	}
	return errors.Join(errs...)
}

// senders is what is set about the mail that users send.
func (c *Config) senders() sendersConfig {
	return sendersConfig{c.Outgoing, c.Notices, c.Abuse, c.QueueHelper, c.Policyd.GeoFile, c.RecipientDelimiter}
}

// adminSocket is where the command line asks.
func (c *Config) adminSocket() string { return filepath.Join(c.RuntimeDirectory, "admin") }

// verdictKeys returns the keys of verdict_keys_file, nil where there is none.
func (c *Config) verdictKeys() (*seal.Ring, error) {
	if c.VerdictKeysFile == "" {
		return nil, nil
	}
	return seal.ReadFile(c.VerdictKeysFile)
}

// dkimDirectory has the signing keys.
func (c *Config) dkimDirectory() string { return filepath.Join(c.DataDirectory, "dkim") }

// fixed is what a reload can not change: the process has it open, or more than
// one daemon goes by it and each takes a new configuration for itself.
type fixed struct {
	queue, runtime, data, mail, hostname, delimiter string
	uid, gid                                        int
}

func (c *Config) fixed() fixed {
	return fixed{c.QueueDirectory, c.RuntimeDirectory, c.DataDirectory, c.MailRoot, c.Hostname, c.RecipientDelimiter, c.MailUID, c.MailGID}
}
