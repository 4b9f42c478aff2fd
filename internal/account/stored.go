package account

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// How drivers write lists and times into one column is said here once.

// Millis is t as it is stored: in milliseconds, 0 for none. The one moment that
// would be 0 itself is the one before it: an end must not become none.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	if ms := t.UnixMilli(); ms != 0 {
		return ms
	}
	return -1
}

// FromMillis reads what Millis wrote.
func FromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// FormatNets writes networks with a space between.
func FormatNets(nets []netip.Prefix) string {
	var b strings.Builder
	for i, n := range nets {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(n.String())
	}
	return b.String()
}

// ParseNets reads what FormatNets wrote. A text that somebody else put there is an
// error: to leave a network out would let logins in or keep them out.
func ParseNets(text string) (nets []netip.Prefix, err error) {
	for _, f := range strings.Fields(text) {
		n, err := netip.ParsePrefix(f)
		if err != nil {
			return nil, fmt.Errorf("network %q: %w", f, err)
		}
		nets = append(nets, n)
	}
	return nets, nil
}

// ParseList reads a list of words with a space between, as of services.
func ParseList(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Fields(text)
}

// FormatModerators writes addresses, one in a line.
func FormatModerators(all []mailaddr.Address) string {
	var b strings.Builder
	for _, m := range all {
		b.WriteString(m.String() + "\n")
	}
	return b.String()
}

// ParseModerators reads what FormatModerators wrote.
func ParseModerators(text string) (all []mailaddr.Address, err error) {
	for line := range strings.Lines(text) {
		a, err := mailaddr.Parse(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("moderator %q: %w", line, err)
		}
		all = append(all, a)
	}
	return all, nil
}

// ParseTarget reads a stored target of an alias; "@example.org" is all of a
// domain.
func ParseTarget(text string) (mailaddr.Address, error) {
	var to mailaddr.Address
	err := to.UnmarshalText([]byte(text))
	if err == nil && to.IsNull() {
		err = mailaddr.ErrSyntax
	}
	return to, err
}
