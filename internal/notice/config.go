package notice

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config has the settings of notices.
type Config struct {
	// To are who administers this server; none: no mail to them.
	To []mailaddr.Address `yaml:"to"`
	// From is the author of notices; null: postmaster at the hostname.
	From mailaddr.Address `yaml:"from"`
	// Users tells users what concerns them.
	Users bool `yaml:"users"`
	// WebhookFile is a file with the URL that gets a POST, which is a secret.
	WebhookFile string `yaml:"webhook_file"`
	// Templates is a directory with texts in place of ours.
	Templates string `yaml:"templates"`
	// Window is within what time the same thing is told once, where what is told
	// has no window of its own.
	Window unit.Duration `yaml:"window"`

	// Hostname is ours; the process hands it down.
	Hostname string `yaml:"-"`
}

// Default returns the settings of an empty configuration: nobody gets mail.
func Default() Config {
	return Config{Users: true, Window: unit.Duration(24 * time.Hour)}
}

const maxTo = 20

// Validate returns all faults of c. It reads no file; see Check.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, config.Invalid(key, format, args...)) }
	if len(c.To) > maxTo {
		bad("to", "%d addresses, at most %d", len(c.To), maxTo)
	}
	for i, a := range c.To {
		if a.Domain == "" || a.LocalPart == "" {
			bad(fmt.Sprintf("to[%d]", i), "%q is not an address such as admin@example.org", a.String())
		}
	}
	if !c.From.IsNull() && (c.From.Domain == "" || c.From.LocalPart == "") {
		bad("from", "%q is not an address such as postmaster@example.org", c.From.String())
	}
	if d := c.Window.Std(); d < time.Minute || d > 30*24*time.Hour {
		bad("window", "%v is not between 1m and 30d", c.Window)
	}
	return errors.Join(errs...)
}

// Check reads the files that c names and returns all faults.
func (c Config) Check() error {
	_, err := load(c.Templates)
	if c.WebhookFile == "" {
		return err
	}
	_, hookErr := readURL(c.WebhookFile)
	return errors.Join(err, hookErr)
}

// from returns the author of notices.
func (c Config) from() mailaddr.Address {
	if c.From.IsNull() {
		return mailaddr.Address{LocalPart: "postmaster", Domain: strings.ToLower(c.Hostname)}
	}
	return c.From
}

// readFile reads a file of at most so many bytes.
func readFile(path string, most int64) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > most {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", path, most)
	}
	return os.ReadFile(path)
}
