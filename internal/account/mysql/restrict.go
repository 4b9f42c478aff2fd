package mysql

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/account"
)

// noneLeft is why a user may not log in whom nothing is left to log in to, or
// from.
const noneLeft = "no service or network is allowed"

// restrict reads what another program says of a user's logins. A word that is no
// service or network allows nothing.
func restrict(u *account.User, services, nets string) {
	for _, word := range words(services) {
		if all, err := account.ParseServices(word); err == nil {
			u.Services = append(u.Services, all...)
		}
	}
	slices.Sort(u.Services)
	u.Services = slices.Compact(u.Services)
	for _, word := range words(nets) {
		n, err := netip.ParsePrefix(word)
		if err != nil {
			var a netip.Addr
			a, err = netip.ParseAddr(word)
			n = netip.PrefixFrom(a, a.BitLen())
		}
		if one, bad := account.NormalNets([]netip.Prefix{n}); err == nil && bad == nil {
			u.AllowNets = append(u.AllowNets, one...)
		}
	}
	if len(u.Services) == 0 && len(words(services)) > 0 || len(u.AllowNets) == 0 && len(words(nets)) > 0 {
		u.NoLogin = noneLeft
	}
}

// words splits a list with commas or spaces between.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' || r == '\r' })
}

// allowBoth leaves u what both u and the others allow. An empty list allows all.
func allowBoth(u *account.User, services []string, nets []netip.Prefix) {
	closed := false
	switch {
	case len(services) == 0:
	case len(u.Services) == 0:
		u.Services = services
	default:
		u.Services = slices.DeleteFunc(slices.Clone(u.Services), func(s string) bool { return !slices.Contains(services, s) })
		closed = len(u.Services) == 0
	}
	switch {
	case len(nets) == 0:
	case len(u.AllowNets) == 0:
		u.AllowNets = nets
	default:
		u.AllowNets = common(u.AllowNets, nets)
		closed = closed || len(u.AllowNets) == 0
	}
	if closed {
		u.NoLogin = noneLeft
	}
}

// common returns the networks that are in both lists.
func common(a, b []netip.Prefix) (both []netip.Prefix) {
	for _, m := range a {
		for _, n := range b {
			switch {
			case !m.Overlaps(n):
			case m.Bits() > n.Bits():
				both = append(both, m)
			default:
				both = append(both, n)
			}
		}
	}
	return both
}
