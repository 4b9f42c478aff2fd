package learn

import (
	"errors"
	"strings"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config says what is learned by itself, and what is kept.
type Config struct {
	// Watch learns from what users move into and out of their Junk folders.
	Watch bool `yaml:"watch"`
	// Junk and Trash are the names of those folders, as a mail program shows
	// them. Folders below them count with them.
	Junk  []string `yaml:"junk"`
	Trash []string `yaml:"trash"`
	// MailboxDaily is how much one mailbox may teach the filter in 24 hours.
	MailboxDaily int `yaml:"mailbox_daily"`
	// KeepDays is how long the features of a message are kept.
	KeepDays int `yaml:"keep_days"`
	// KeepBytes bounds the file of the features of all mail, and that of what
	// was learned, each. The oldest features go first.
	KeepBytes unit.Size `yaml:"keep_bytes"`
}

const (
	minKeepBytes = 4 << 20
	maxKeepDays  = 30
	maxFolders   = 20
)

// Default learns from moves, at most 100 a day of each mailbox, and keeps
// features for 30 days and in 512 MB.
func Default() Config {
	return Config{
		Watch:        true,
		Junk:         []string{"Junk", "Spam"},
		Trash:        []string{"Trash", "Deleted Items", "Deleted Messages"},
		MailboxDaily: 100,
		KeepDays:     maxKeepDays,
		KeepBytes:    512 << 20,
	}
}

// Validate reports all faults.
func (c Config) Validate() error {
	var errs []error
	folders := func(key string, names []string) {
		if c.Watch && len(names) == 0 || len(names) > maxFolders {
			errs = append(errs, config.Invalid(key, "%d names; 1 to %d are right", len(names), maxFolders))
		}
		for _, n := range names {
			if strings.Trim(n, "./") != n || n == "" || len(n) > 200 || strings.EqualFold(n, "INBOX") || strings.ContainsFunc(n, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				errs = append(errs, config.Invalid(key, "%q is not the name of a folder", n))
			}
		}
	}
	folders("junk", c.Junk)
	folders("trash", c.Trash)
	for _, j := range c.Junk {
		for _, t := range c.Trash {
			if strings.EqualFold(j, t) {
				errs = append(errs, config.Invalid("trash", "%q is a junk folder too", t))
			}
		}
	}
	if c.MailboxDaily < 1 || c.MailboxDaily > 10_000 {
		errs = append(errs, config.Invalid("mailbox_daily", "%d is not between 1 and 10000", c.MailboxDaily))
	}
	if c.KeepDays < 1 || c.KeepDays > maxKeepDays {
		errs = append(errs, config.Invalid("keep_days", "%d is not between 1 and %d", c.KeepDays, maxKeepDays))
	}
	if c.KeepBytes < minKeepBytes {
		errs = append(errs, config.Invalid("keep_bytes", "%v is below %v", c.KeepBytes, unit.Size(minKeepBytes)))
	}
	return errors.Join(errs...)
}
