package mailauth

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/resolver"
)

// maxNames bounds how many names of one address are led back (RFC 7208
// §4.6.4 has the same for ptr).
const maxNames = 10

// iprev finds a name of the client that leads back to its address. Where it has
// to ask, it does so in wg.
func (c *Checker) iprev(ctx context.Context, wg *sync.WaitGroup, in Input, r *IPRev) {
	r.Addr = in.ClientAddr
	if isHost(in.ClientName) {
		r.Result, r.Name = authres.Pass, strings.ToLower(strings.TrimSuffix(in.ClientName, "."))
		return
	}
	wg.Go(func() { *r = c.askName(ctx, in.ClientAddr) })
}

// askName is iprev by DNS.
func (c *Checker) askName(ctx context.Context, addr netip.Addr) (r IPRev) {
	r.Addr = addr
	defer c.guard(ctx, authres.IPRev, &r.Result, &r.Reason)
	dns := resolver.NewShare(c.res, shareIPRev)
	names, err := dns.LookupAddr(ctx, addr)
	if err != nil {
		r.Result, r.Reason = authres.TempError, "reverse lookup had no answer"
		return r
	}
	if len(names) == 0 {
		r.Result, r.Reason = authres.PermError, "address has no name"
		return r
	}
	names = names[:min(len(names), maxNames)]
	found, unknown := leadBack(ctx, dns, names, addr)
	switch {
	case found != "":
		r.Result, r.Name = authres.Pass, found
	case unknown:
		r.Result, r.Reason = authres.TempError, "forward lookup had no answer"
	default:
		r.Result, r.Reason = authres.Fail, "name does not lead back"
	}
	return r
}

// leadBack returns the first of names that has addr, all asked at once;
// unknown says that DNS gave no answer about one of them.
func leadBack(ctx context.Context, dns *resolver.Share, names []string, addr netip.Addr) (found string, unknown bool) {
	network := "ip4"
	if addr.Is6() {
		network = "ip6"
	}
	addrs := make([][]netip.Addr, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { addrs[i], errs[i] = dns.LookupIP(ctx, network, name) })
	}
	wg.Wait()
	for i, name := range names {
		if slices.Contains(addrs[i], addr) {
			return name, false
		}
		unknown = unknown || errs[i] != nil
	}
	return "", unknown
}

// isHost reports whether s is the name of a host with a domain: at least two
// labels of letters, digits, "-" and "_" (which real hosts have), the last of
// which is not all digits.
func isHost(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	digits := true
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		digits = true
		for i := range len(label) {
			c := label[i]
			digit := c >= '0' && c <= '9'
			if !digit && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' {
				return false
			}
			digits = digits && digit
		}
	}
	return !digits
}
