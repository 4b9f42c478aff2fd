package account

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// What a value has to be so that a store can keep it is said here once, for all
// drivers. Normal returns the form that is stored, or an ErrInvalid.

// FoldDomain returns a domain in lower case, without a final dot.
func FoldDomain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Fold returns an address as stores have it.
func Fold(a mailaddr.Address) mailaddr.Address {
	return mailaddr.Address{LocalPart: mailaddr.FoldLocal(a.LocalPart), Domain: FoldDomain(a.Domain)}
}

// AliasName writes a catch-all as "@domain".
func AliasName(a mailaddr.Address) string {
	if a.LocalPart == "" {
		return "@" + a.Domain
	}
	return a.String()
}

// normalAddr folds a and says whether its local part was UTF-8: folding would
// hide that it was not.
func normalAddr(a mailaddr.Address) (mailaddr.Address, error) {
	if !utf8.ValidString(a.LocalPart) {
		return a, fmt.Errorf("%w: %q is not UTF-8", ErrInvalid, a.LocalPart)
	}
	return Fold(a), nil
}

// validAddr wants what Parse gives, with a domain.
func validAddr(a mailaddr.Address) error {
	again, err := mailaddr.Parse(a.String())
	if err != nil || again != a || a.Domain == "" {
		return fmt.Errorf("%w: %q is no full address", ErrInvalid, a.LocalPart+"@"+a.Domain)
	}
	return nil
}

func validAlias(a Alias) error {
	name := a.Addr
	if name.LocalPart == "" {
		name.LocalPart = "x" // a catch-all
	}
	if err := validAddr(name); err != nil {
		return err
	}
	if len(a.To) == 0 || len(a.To) > MaxTargets {
		return fmt.Errorf("%w: an alias has 1 to %d targets", ErrInvalid, MaxTargets)
	}
	for _, to := range a.To {
		if isDomain(to) && a.Addr.LocalPart == "" {
			to.LocalPart = "x" // the whole domain is another name
		}
		if err := validAddr(to); err != nil {
			return err
		}
	}
	return nil
}

// Normal returns u as it is stored. ID and Changed are the store's.
func (u User) Normal() (User, error) {
	var errs [6]error
	u.Addr, errs[0] = normalAddr(u.Addr)
	if errs[0] == nil {
		errs[0] = validAddr(u.Addr)
	}
	u.AllowNets, errs[1] = NormalNets(u.AllowNets)
	u.Services, errs[2] = ParseServices(u.Services...)
	errs[3], errs[4], errs[5] = ValidPassword(u.Password), ValidQuota(u.Quota), ValidReason(u.NoLogin)
	return u, errors.Join(errs[:]...)
}

// Normal returns a as it is stored; targets stay as they are typed.
func (a Alias) Normal() (Alias, error) {
	var err error
	if a.Addr, err = normalAddr(a.Addr); err != nil {
		return a, err
	}
	return a, validAlias(a)
}

// NormalGrant returns an address that is granted as it is stored; an empty
// LocalPart is every address of the domain.
func NormalGrant(as mailaddr.Address) (mailaddr.Address, error) {
	as, err := normalAddr(as)
	if err != nil {
		return as, err
	}
	name := as
	if name.LocalPart == "" {
		name.LocalPart = "x"
	}
	return as, validAddr(name)
}

// Normal returns p as it is stored. ID, Created and the last use are the store's.
func (p AppPassword) Normal() (AppPassword, error) {
	p.User = Fold(p.User)
	services, err := ParseServices(p.Services...)
	switch {
	case err != nil:
		return p, err
	case p.Name == "" || len(p.Name) > MaxAppName || !utf8.ValidString(p.Name) ||
		strings.ContainsFunc(p.Name, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.TrimSpace(p.Name) != p.Name:
		return p, fmt.Errorf("%w: the name of an app password is a word or two, of at most %d bytes", ErrInvalid, MaxAppName)
	case p.Hash.IsEmpty():
		return p, fmt.Errorf("%w: an app password has a hash", ErrInvalid)
	}
	p.Services = services
	return p, ValidPassword(p.Hash)
}

// maxModerators bounds the moderators of one list.
const maxModerators = 100

// Normal returns p as it is stored.
func (p Posting) Normal() (Posting, error) {
	addr, err := normalAddr(p.Addr)
	if err != nil {
		return p, err
	}
	p.Addr = addr
	if err := validPosting(p); err != nil {
		return p, err
	}
	p.Moderators = slices.Clone(p.Moderators)
	for i, m := range p.Moderators {
		p.Moderators[i] = Fold(m)
	}
	return p, nil
}

func validPosting(p Posting) error {
	if err := validAddr(p.Addr); err != nil {
		return err
	}
	if !slices.Contains(PostingRules(), p.Rule) {
		return fmt.Errorf("%w: %q is not public, domain, members, moderators or nobody", ErrInvalid, p.Rule)
	}
	if len(p.Moderators) > maxModerators {
		return fmt.Errorf("%w: a list has %d moderators at most", ErrInvalid, maxModerators)
	}
	for _, m := range p.Moderators {
		if err := validAddr(m); err != nil {
			return err
		}
	}
	if len(p.Reason) > access.MaxReason || !utf8.ValidString(p.Reason) || strings.ContainsFunc(p.Reason, unicode.IsControl) {
		return fmt.Errorf("%w: a reason is one line of at most %d bytes", ErrInvalid, access.MaxReason)
	}
	return nil
}

// Normal returns r as it is stored. Whether the limit is there and the rate can be
// read is not looked at.
func (r LimitRate) Normal() (LimitRate, error) {
	r.Subject = r.Subject.Folded()
	if r.Limit == "" || r.Rate == "" || len(r.Limit) > MaxRateBytes || len(r.Rate) > MaxRateBytes {
		return r, fmt.Errorf("%w: a limit and a rate have 1 to %d bytes", ErrInvalid, MaxRateBytes)
	}
	return r, nil
}

// Normal returns g as it is stored, for a group that gets users.
func (g Group) Normal() (Group, error) {
	g.Name = strings.ToLower(g.Name)
	if !validGroup(g.Name) || len(g.Users) == 0 {
		return g, fmt.Errorf("%w: a group has a name of 1 to %d letters, digits, \"-\", \"_\" and \".\", and users", ErrInvalid, MaxGroupBytes)
	}
	g.Users = slices.Clone(g.Users)
	for i, u := range g.Users {
		g.Users[i] = Fold(u)
	}
	return g, nil
}

// validGroup reports whether s, which is folded, can be the name of a group.
func validGroup(s string) bool {
	return s != "" && len(s) <= MaxGroupBytes && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	})
}

// NormalNets masks the networks, takes IPv4 out of its IPv6 form, sorts them and
// drops what stands twice.
func NormalNets(nets []netip.Prefix) ([]netip.Prefix, error) {
	if len(nets) > MaxNets {
		return nil, fmt.Errorf("%w: a user has %d networks at most", ErrInvalid, MaxNets)
	}
	var all []netip.Prefix
	for _, n := range nets {
		if n.Addr().Is4In6() && n.Bits() >= 96 {
			n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
		}
		if !n.IsValid() || n.Addr().Is4In6() {
			return nil, fmt.Errorf("%w: %q is no network such as 192.0.2.0/24", ErrInvalid, n)
		}
		all = append(all, n.Masked())
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all), nil
}

// ValidReason returns nil for a reason of NoLogin that can be stored.
func ValidReason(reason string) error {
	if len(reason) > MaxReason || !utf8.ValidString(reason) || strings.ContainsFunc(reason, unicode.IsControl) {
		return fmt.Errorf("%w: a reason is one line of at most %d bytes", ErrInvalid, MaxReason)
	}
	return nil
}

// ValidPassword returns nil for a hash that can be stored.
func ValidPassword(p secret.Value) error {
	if len(p.Reveal()) > MaxPasswordBytes {
		return fmt.Errorf("%w: a password hash has %d bytes at most", ErrInvalid, MaxPasswordBytes)
	}
	for _, c := range p.Reveal() {
		if c < ' ' || c == 0x7f {
			return fmt.Errorf("%w: a password hash has no control characters", ErrInvalid)
		}
	}
	return nil
}

// ValidQuota returns nil for a quota that can be stored.
func ValidQuota(bytes int64) error {
	if bytes < 0 || bytes > MaxQuota {
		return fmt.Errorf("%w: quota %d", ErrInvalid, bytes)
	}
	return nil
}
