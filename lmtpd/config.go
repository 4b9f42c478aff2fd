package lmtpd

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config is the section "lmtpd" of the configuration file. The fields without a
// yaml name are keys of its root; who reads the file fills them in.
type Config struct {
	// MaxConnections is the cap of each listener; the next client waits. Read
	// when Serve starts.
	MaxConnections int `yaml:"max_connections"`
	// RecipientLimit bounds the recipients of one message. Postfix sends at
	// most lmtp_destination_recipient_limit (50) at a time.
	RecipientLimit int `yaml:"recipient_limit"`
	// ParallelDeliveries is how many copies of one message are made at once: as a
	// rule names of one file, whose syncs then share a commit of the file system.
	ParallelDeliveries int `yaml:"parallel_deliveries"`
	// MessageSizeLimit is offered as SIZE. Postfix bounces what is larger, so
	// it has to be above Postfix's own message_size_limit (10240000 bytes by
	// default) with room for header fields that are added on the way.
	MessageSizeLimit unit.Size `yaml:"message_size_limit"`
	// IdleTimeout bounds the wait for a command.
	IdleTimeout unit.Duration `yaml:"idle_timeout"`
	// DataTimeout bounds the wait for the next piece of a message, and each
	// write of a reply.
	DataTimeout unit.Duration `yaml:"data_timeout"`
	// MessageTimeout bounds the reading of a whole message.
	MessageTimeout unit.Duration `yaml:"message_timeout"`
	// Grace is how long a transaction in hand may take after the end of Serve
	// was asked for.
	Grace unit.Duration `yaml:"grace"`
	// HopcountLimit is how many Received fields a message may have. Postfix's own
	// hopcount_limit (50) bounces before.
	HopcountLimit int `yaml:"hopcount_limit"`

	Headers HeaderConfig `yaml:"headers"`
	Folders FolderConfig `yaml:"folders"`
	Quota   QuotaConfig  `yaml:"quota"`

	// SpoolDirectory holds messages larger than SpoolMemory, as unlinked files;
	// "" is the system's temporary directory.
	SpoolDirectory string `yaml:"-"`
	// SpoolMemory is what one message may hold of memory; eight of up to 2 MB may
	// hold more.
	SpoolMemory unit.Size `yaml:"spool_memory"`

	// Hostname is Postfix's myhostname. The greeting has that of the start.
	Hostname string `yaml:"-"`
	// MailRoot is the directory above all mailboxes (package maildir).
	MailRoot string `yaml:"-"`
	// RecipientDelimiter is Postfix's recipient_delimiter.
	RecipientDelimiter string `yaml:"-"`
}

// Default returns the settings that a file leaves out.
func Default() Config {
	return Config{
		MaxConnections:     100,
		RecipientLimit:     1000,
		ParallelDeliveries: 20,
		MessageSizeLimit:   256 << 20,
		IdleTimeout:        unit.Duration(5 * time.Minute),
		DataTimeout:        unit.Duration(3 * time.Minute),
		MessageTimeout:     unit.Duration(time.Hour),
		Grace:              unit.Duration(5 * time.Second),
		SpoolMemory:        256 << 10,
		HopcountLimit:      100, // RFC 5321 §6.3
		Headers:            HeaderConfig{ReturnPath: true, DeliveredTo: true, Received: true},
		Folders:            FolderConfig{Autosubscribe: true},
		Quota:              QuotaConfig{ExceededMessage: "Quota exceeded (mailbox for user is full)"},
		Hostname:           "localhost",
		MailRoot:           "/var/vmail",
		RecipientDelimiter: "+",
	}
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, config.Invalid(key, format, args...))
	}
	for _, n := range []struct {
		key         string
		v, min, max int
	}{
		{"max_connections", c.MaxConnections, 1, 10000},
		{"recipient_limit", c.RecipientLimit, 50, 10000},
		{"parallel_deliveries", c.ParallelDeliveries, 1, 100},
		{"hopcount_limit", c.HopcountLimit, 10, 1000},
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
		{"idle_timeout", c.IdleTimeout, time.Second, 24 * time.Hour},
		{"data_timeout", c.DataTimeout, time.Second, time.Hour},
		{"message_timeout", c.MessageTimeout, time.Second, 24 * time.Hour},
		{"grace", c.Grace, 0, time.Hour},
	} {
		if v := d.v.Std(); v < d.min || v > d.max {
			bad(d.key, "%s is not between %s and %s", d.v, unit.Duration(d.min), unit.Duration(d.max))
		}
	}
	// go-smtp reads SIZE= as 32 bits.
	if c.MessageSizeLimit < 64<<10 || c.MessageSizeLimit > 4<<30-1 {
		bad("message_size_limit", "%s is not between %s and less than %s", c.MessageSizeLimit, unit.Size(64<<10), unit.Size(4<<30))
	}
	if c.SpoolMemory < 0 || c.SpoolMemory > 1<<30 {
		bad("spool_memory", "%s is not between %s and %s", c.SpoolMemory, unit.Size(0), unit.Size(1<<30))
	}
	if c.SpoolDirectory != "" && !filepath.IsAbs(c.SpoolDirectory) {
		bad("spool_directory", "%q is not an absolute path", c.SpoolDirectory)
	}
	if _, err := c.Quota.reply(longestAddress); err != nil {
		bad("quota.quota_exceeded_message", "%s", err)
	}
	return errors.Join(errs...)
}
