package lmtpd

import (
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/reply"
)

// HeaderConfig is which fields each copy gets on top.
type HeaderConfig struct {
	ReturnPath bool `yaml:"return_path"`
	// DeliveredTo is put where a message has a single recipient. Loops are
	// recognised by it.
	DeliveredTo bool `yaml:"delivered_to"`
	Received    bool `yaml:"received"`
}

// FolderConfig is about folders other than the inbox. The words are Dovecot's.
type FolderConfig struct {
	// SaveToDetail delivers for user+Folder into that folder.
	SaveToDetail bool `yaml:"save_to_detail_mailbox"`
	// Autocreate makes that folder where it is missing: whoever knows the address
	// can then make as many as he likes. Without it such mail goes to the inbox.
	// Junk is made in any case.
	Autocreate bool `yaml:"mailbox_autocreate"`
	// Autosubscribe subscribes a folder that is made.
	Autosubscribe bool `yaml:"mailbox_autosubscribe"`
	// UTF8 is for a mail_location with ":UTF-8".
	UTF8 bool `yaml:"utf8"`
}

// Driver says who knows how much a mailbox holds.
type Driver int

const (
	// DriverNone holds nothing against a quota: the default.
	DriverNone Driver = iota
	// DriverMaildir keeps the file maildirsize, as Dovecot's driver of that name.
	DriverMaildir
)

var driverNames = [...]string{DriverNone: "none", DriverMaildir: "maildir"}

// String returns the word in the configuration.
func (d Driver) String() string { return driverNames[d] }

// MarshalText is String.
func (d Driver) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the word in the configuration.
func (d *Driver) UnmarshalText(b []byte) error {
	for i, name := range driverNames {
		if string(b) == name {
			*d = Driver(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not one of %s", b, strings.Join(driverNames[:], ", "))
}

// QuotaConfig is about mailboxes that are full. The words are Dovecot's.
type QuotaConfig struct {
	Driver Driver `yaml:"driver"`
	// FullTempfail keeps mail for a full mailbox in Postfix's queue (452 4.2.2);
	// else it bounces (552 5.2.2).
	FullTempfail bool `yaml:"quota_full_tempfail"`
	// ExceededMessage is what the sender reads; %u is the recipient.
	ExceededMessage string `yaml:"quota_exceeded_message"`
}

// longestAddress is what Validate puts for %u.
var longestAddress = strings.Repeat("x", 64) + "@" + strings.Repeat("x", 255)

// reply returns what user's sender gets.
func (q QuotaConfig) reply(user string) (reply.Reply, error) {
	code := 552
	if q.FullTempfail {
		code = 452
	}
	return reply.New(code, "2.2", strings.ReplaceAll(q.ExceededMessage, "%u", user))
}
