package filter

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config is the section "sieve" of the configuration file. The fields without a
// yaml name are keys of other sections; who reads the file fills them in.
type Config struct {
	// Enabled runs scripts at delivery.
	Enabled bool `yaml:"enabled"`
	// Before and After are the paths of scripts that run before and after that of
	// the user, in turn; Default is that of a user who has none. "%d" in a path is
	// the domain of the user: such a file need not be there.
	Before  []string `yaml:"before"`
	After   []string `yaml:"after"`
	Default string   `yaml:"default"`
	// GlobalDirectory has what scripts include as :global, NAME.sieve.
	GlobalDirectory string `yaml:"global_directory"`
	// FilterJunk runs scripts for mail that goes to Junk, too.
	FilterJunk bool `yaml:"filter_junk"`
	// MaxRedirects bounds the redirects of one message; 0 forbids them.
	MaxRedirects int `yaml:"max_redirects"`
	// MaxActions bounds the actions of one message.
	MaxActions int `yaml:"max_actions"`
	// MessageSizeLimit is above what scripts do not run: the message goes where
	// it goes without one.
	MessageSizeLimit unit.Size `yaml:"message_size_limit"`
	// CacheScripts bounds the compiled scripts that are kept in memory.
	CacheScripts int `yaml:"cache_scripts"`
	// SpecialUse are the folders with a special use.
	SpecialUse SpecialUse `yaml:"special_use"`

	// MailRoot, UTF8 and Autocreate are those of lmtpd.
	MailRoot   string `yaml:"-"`
	UTF8       bool   `yaml:"-"`
	Autocreate bool   `yaml:"-"`
	// Hostname is ours, and AuthservID our name in Authentication-Results.
	Hostname   string `yaml:"-"`
	AuthservID string `yaml:"-"`
	// RecipientDelimiter is Postfix's recipient_delimiter.
	RecipientDelimiter string `yaml:"-"`
	// SpamScore is the score at which mail is marked as spam, 0 for none.
	SpamScore float64 `yaml:"-"`
	// Limits are those of outgoing mail.
	Limits []limit.Limit `yaml:"-"`
}

// SpecialUse names the folder of each special use (RFC 6154), as Dovecot's
// settings do; "" is none.
type SpecialUse struct {
	Archive string `yaml:"archive"`
	Drafts  string `yaml:"drafts"`
	Junk    string `yaml:"junk"`
	Sent    string `yaml:"sent"`
	Trash   string `yaml:"trash"`
}

// folder returns the folder of a use such as "\Junk", and "" for none.
func (u SpecialUse) folder(use string) string {
	switch strings.ToLower(use) {
	case `\archive`:
		return u.Archive
	case `\drafts`:
		return u.Drafts
	case `\junk`:
		return u.Junk
	case `\sent`:
		return u.Sent
	case `\trash`:
		return u.Trash
	}
	return ""
}

// uses are the uses that SpecialUse knows.
var uses = []string{`\Archive`, `\Drafts`, `\Junk`, `\Sent`, `\Trash`}

// Default returns the settings that a file leaves out: scripts are off, so that
// an update changes nobody's delivery.
func Default() Config {
	return Config{
		MaxRedirects: 4, MaxActions: 32, // Pigeonhole's
		MessageSizeLimit: 64 << 20,
		CacheScripts:     1000,
		SpecialUse:       SpecialUse{Archive: "Archive", Drafts: "Drafts", Junk: "Junk", Sent: "Sent", Trash: "Trash"},
		MailRoot:         "/var/vmail", Hostname: "localhost", AuthservID: "localhost", RecipientDelimiter: "+",
	}
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, config.Invalid(key, format, args...)) }
	path := func(key, p string) {
		if !filepath.IsAbs(p) {
			bad(key, "%q is not an absolute path", p)
		}
	}
	for _, p := range c.Before {
		path("before", p)
	}
	for _, p := range c.After {
		path("after", p)
	}
	if c.Default != "" {
		path("default", c.Default)
	}
	if c.GlobalDirectory != "" {
		path("global_directory", c.GlobalDirectory)
	}
	for _, n := range []struct {
		key         string
		v, min, max int
	}{
		{"max_redirects", c.MaxRedirects, 0, 100},
		{"max_actions", c.MaxActions, 1, 1000},
		{"cache_scripts", c.CacheScripts, 1, 100000},
	} {
		if n.v < n.min || n.v > n.max {
			bad(n.key, "%d is not between %d and %d", n.v, n.min, n.max)
		}
	}
	if c.MessageSizeLimit < 64<<10 || c.MessageSizeLimit > outgoing.MaxBytes {
		bad("message_size_limit", "%s is not between %s and %s", c.MessageSizeLimit, unit.Size(64<<10), unit.Size(outgoing.MaxBytes))
	}
	for _, use := range uses {
		if name := c.SpecialUse.folder(use); name != "" {
			if _, err := maildir.ParseFolder(name); err != nil {
				bad("special_use."+strings.ToLower(use[1:]), "%q cannot be the name of a folder", name)
			}
		}
	}
	return errors.Join(errs...)
}
