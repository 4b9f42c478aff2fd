package access

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/netaddr"
)

// Bounds of entries.
const (
	// MaxEntries bounds the entries of a store.
	MaxEntries = 50_000
	// MaxPatterns bounds those of them that are globs or RE2 patterns, each of
	// which is tried on each client.
	MaxPatterns = 500
	// MaxReason bounds a reason, in bytes.
	MaxReason = 200

	maxPattern = 200
)

// ErrInvalid is wrapped by every error about how an entry is written.
var ErrInvalid = errors.New("not an entry")

// Entry is one entry. Name and For are as Normal writes them.
type Entry struct {
	// Deny refuses; else the entry allows.
	Deny bool `json:"deny"`
	// Name is what the entry is about.
	Name string `json:"name"`
	// For is a mailbox, "@domain", or empty for the whole server.
	For string `json:"for,omitempty"`
	// Reason is for those who look later.
	Reason string `json:"reason,omitempty"`
	// Until is when the entry ends; zero for one that stays.
	Until time.Time `json:"until,omitzero"`
	// Added is set by the store.
	Added time.Time `json:"added,omitzero"`
}

// Ended reports whether e holds no more.
func (e Entry) Ended(now time.Time) bool { return !e.Until.IsZero() && !now.Before(e.Until) }

// Proved reports whether e names what a stranger can not choose: its network or
// its verified name, and not what it says of itself.
func (e Entry) Proved() bool {
	n, err := parseName(e.Name)
	return err == nil && (n.kind == ofNetwork || n.kind == ofClientName)
}

// Normal returns e with its name and scope in the one form in which they are
// stored, or says what is wrong with them.
func (e Entry) Normal() (Entry, error) {
	n, err := parseName(e.Name)
	if err != nil {
		return e, err
	}
	e.Name = n.text
	if e.For, err = normalScope(e.For); err != nil {
		return e, err
	}
	if len(e.Reason) > MaxReason || !utf8.ValidString(e.Reason) || strings.ContainsFunc(e.Reason, unicode.IsControl) {
		return e, fmt.Errorf("%w: a reason is one line of at most %d bytes", ErrInvalid, MaxReason)
	}
	return e, nil
}

// Storable returns e as Normal does, and refuses a name that means everybody:
// one slip of the hand would refuse all mail, or score none. What was stored
// before can still be removed.
func (e Entry) Storable() (Entry, error) {
	e, err := e.Normal()
	if err != nil {
		return e, err
	}
	if p, err := netip.ParsePrefix(e.Name); err == nil && p.Bits() == 0 {
		return e, fmt.Errorf("%w: %s is the whole Internet: name a smaller network", ErrInvalid, e.Name)
	}
	return e, nil
}

// normalScope reads "", "user@example.org", "@example.org" and "example.org".
func normalScope(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	if !strings.Contains(s, "@") {
		s = "@" + s
	}
	var a mailaddr.Address
	if err := a.UnmarshalText([]byte(s)); err != nil || a.Domain == "" || a != a.Folded() && a.LocalPart == "" {
		return "", fmt.Errorf("%w: %q is neither a mailbox such as alice@example.org nor a domain", ErrInvalid, s)
	}
	return a.Folded().String(), nil
}

// kind is what a name is about. The larger one is nearer.
type kind int

const (
	ofClientName kind = iota + 1
	ofHelo
	ofNetwork
	ofDomain
	ofExact
	ofAddress
)

// name is a parsed name.
type name struct {
	kind kind
	text string // as it is stored
	// key is what is compared: an address, a domain, a network, a name.
	key string
	// pattern is set for a glob or an RE2 pattern.
	pattern *regexp.Regexp
}

// prefixes are the words before a name of the client.
var prefixes = map[string]kind{"helo:": ofHelo, "rdns:": ofClientName}

func parseName(s string) (name, error) {
	s = strings.TrimSpace(s)
	if len(s) > maxPattern {
		return name{}, fmt.Errorf("%w: %d bytes are more than %d", ErrInvalid, len(s), maxPattern)
	}
	for prefix, k := range prefixes {
		if len(s) > len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
			return clientPattern(k, prefix, s[len(prefix):])
		}
	}
	if p, err := netaddr.ParsePrefix(s); err == nil {
		text := netaddr.String(p)
		return name{kind: ofNetwork, text: text, key: p.String()}, nil
	}
	if strings.Contains(strings.TrimPrefix(strings.TrimPrefix(s, "*"), "@"), "@") {
		a, err := mailaddr.Parse(s)
		if err != nil || a.Domain == "" || strings.Contains(s, "*") {
			return name{}, badName(s)
		}
		a.Domain = inASCII(a.Domain)
		text := a.Folded().String()
		return name{kind: ofAddress, text: text, key: text}, nil
	}
	return domainName(s)
}

func domainName(s string) (name, error) {
	bare, alone := strings.CutPrefix(strings.TrimPrefix(s, "*"), "@")
	d, err := mailaddr.ParseDomain(strings.TrimPrefix(bare, "."))
	if err != nil || !strings.Contains(d, ".") {
		return name{}, badName(s)
	}
	d = inASCII(d)
	if alone {
		return name{kind: ofExact, text: "@" + d, key: d}, nil
	}
	return name{kind: ofDomain, text: d, key: d}, nil
}

// inASCII returns a domain in A-labels. With SMTPUTF8 a client chooses between
// two names of one domain, and Postfix hands on what it typed. What has no such
// form stays.
func inASCII(domain string) string {
	if !strings.ContainsFunc(domain, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return domain
	}
	if a, err := idna.Lookup.ToASCII(domain); err == nil {
		return a
	}
	return domain
}

func badName(s string) error {
	return fmt.Errorf("%w: %q: use user@example.com, example.com (with what is below it), @example.com (that alone), a network, helo:NAME or rdns:NAME", ErrInvalid, s)
}

// clientPattern reads what stands behind "helo:" or "rdns:".
func clientPattern(k kind, prefix, s string) (name, error) {
	if strings.ContainsFunc(s, unicode.IsControl) || !utf8.ValidString(s) {
		return name{}, fmt.Errorf("%w: it holds a control character", ErrInvalid)
	}
	if len(s) > 2 && s[0] == '/' && s[len(s)-1] == '/' {
		// Names of hosts have no case, and are in lower case when they are compared.
		re, err := regexp.Compile("(?i)" + s[1:len(s)-1])
		if err != nil {
			return name{}, fmt.Errorf("%w: %v", ErrInvalid, err)
		}
		return name{kind: k, text: prefix + s, key: s, pattern: re}, nil
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	n := name{kind: k, text: prefix + s, key: s}
	if strings.ContainsAny(s, "*?") {
		n.pattern = glob(s)
	}
	return n, nil
}

// glob turns a pattern of "*" and "?" into one of RE2, whose time is linear.
func glob(s string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A`)
	for _, r := range s {
		switch r {
		case '*':
			b.WriteString(`.*`)
		case '?':
			b.WriteString(`.`)
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String())
}
