package account

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// The services that a user or an app password may be kept to. They are those of
// a ban (package guard); the protocols' own words lead to them by ServiceOf.
const (
	IMAP       = "imap"
	POP3       = "pop3"
	Submission = "submission"
	Sieve      = "sieve"
	Web        = "web"
)

// Limits of what restricts a login.
const (
	// MaxNets bounds the networks of one user.
	MaxNets = 100
	// MaxReason bounds the reason of NoLogin, in bytes.
	MaxReason = 200
)

// Services lists the services, sorted.
func Services() []string { return []string{IMAP, POP3, Sieve, Submission, Web} }

// ServiceOf returns the service that a protocol's word means: "smtp" is
// submission, as Postfix and Dovecot say it, "managesieve" is sieve. A word that
// is none of ours, as "doveadm", stays as it is, in lower case.
func ServiceOf(word string) string {
	word = strings.ToLower(word)
	switch word {
	case "smtp", "smtps", "submissions":
		return Submission
	case "imaps":
		return IMAP
	case "pop3s":
		return POP3
	case "managesieve":
		return Sieve
	case "webmail", "http":
		return Web
	}
	return word
}

// MailClient reports whether a protocol's word means a service of mail clients,
// for which an app password can be asked. A webmail and others may have a second
// factor in front.
func MailClient(word string) bool {
	return slices.Contains([]string{IMAP, POP3, Sieve, Submission}, ServiceOf(word))
}

// ParseServices reads words of services, sorts them and drops what stands twice.
func ParseServices(words ...string) ([]string, error) {
	var all []string
	for _, w := range words {
		s := ServiceOf(w)
		if !slices.Contains(Services(), s) {
			return nil, fmt.Errorf("%w: no service %q: there are %s", ErrInvalid, w, strings.Join(Services(), ", "))
		}
		all = append(all, s)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// allows reports whether list has the service that word means. An empty list
// has all.
func allows(list []string, word string) bool {
	return len(list) == 0 || slices.Contains(list, ServiceOf(word))
}

// AllowsService reports whether u may log in to the service that a protocol
// calls word.
func (u User) AllowsService(word string) bool { return allows(u.Services, word) }

// AllowsAddr reports whether u may log in from addr; an IPv6 form of an IPv4
// address is that address. With AllowNets, a login without an address is refused.
func (u User) AllowsAddr(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return len(u.AllowNets) == 0 || slices.ContainsFunc(u.AllowNets, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// Expired reports whether u's time is over.
func (u User) Expired(now time.Time) bool { return ended(u.Expires, now) }

func ended(end, now time.Time) bool { return !end.IsZero() && !now.Before(end) }

// LoginWriter changes what restricts a user's logins.
type LoginWriter interface {
	// SetAllowNets sets the networks to log in from; none allows all.
	SetAllowNets(ctx context.Context, addr mailaddr.Address, nets []netip.Prefix) error
	// SetNoLogin sets why the user may not log in; empty lets the user in.
	SetNoLogin(ctx context.Context, addr mailaddr.Address, reason string) error
	// SetServices sets what the user may log in to; none allows all.
	SetServices(ctx context.Context, addr mailaddr.Address, services []string) error
	// SetExpires sets when the user's logins end; the zero time is never.
	SetExpires(ctx context.Context, addr mailaddr.Address, end time.Time) error
}

// Rehasher is a store in which a stored password may be replaced by another
// hash of the same password. A database of somebody else's is none: we never
// write there.
type Rehasher interface {
	// Rehash replaces old by new and reads new back, in one transaction. verify
	// is called with what was read, before the commit; its error takes the change
	// back, and is returned. A row that no longer has old is ErrChanged.
	Rehash(ctx context.Context, addr mailaddr.Address, old, new secret.Value, verify func(secret.Value) error) error
}
