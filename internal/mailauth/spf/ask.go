package spf

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/gatepost/gatepost/internal/resolver"
)

// txt asks for TXT records.
func (e *evaluation) txt(ctx context.Context, name string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.cost.Questions++
	return e.c.dns.LookupTXT(ctx, name)
}

// ip asks for addresses.
func (e *evaluation) ip(ctx context.Context, network, name string) ([]netip.Addr, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.cost.Questions++
	return e.c.dns.LookupIP(ctx, network, name)
}

// exchangers asks for MX records.
func (e *evaluation) exchangers(ctx context.Context, name string) ([]resolver.MX, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.cost.Questions++
	return e.c.dns.LookupMX(ctx, name)
}

// network is the kind of address that the client has.
func (e *evaluation) network() string {
	if e.client.Addr.Is6() {
		return "ip6"
	}
	return "ip4"
}

// found is the answer about one host.
type found struct {
	addrs []netip.Addr
	err   error
}

// addresses asks for the addresses of all hosts at once. A panic of the
// resolver goes on in the caller's goroutine, where it can be caught.
func (e *evaluation) addresses(ctx context.Context, hosts []string) []found {
	out := make([]found, len(hosts))
	if len(hosts) == 1 {
		out[0].addrs, out[0].err = e.ip(ctx, e.network(), hosts[0])
		return out
	}
	e.cost.Questions += len(hosts)
	var wg sync.WaitGroup
	var once sync.Once
	panicked := ""
	for i, h := range hosts {
		wg.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					once.Do(func() { panicked = fmt.Sprintf("%v\n%s", v, debug.Stack()) })
				}
			}()
			out[i].addrs, out[i].err = e.c.dns.LookupIP(ctx, e.network(), h)
		})
	}
	wg.Wait()
	if panicked != "" {
		panic(panicked)
	}
	return out
}

// names are the validated names of the client (RFC 7208 §5.5).
type names struct {
	asked bool
	list  []string // in lower case, without a final dot
}

// validate finds the names of the client that lead back to it, among the first
// ten. It asks once. What DNS does not answer is left out (RFC 7208 §5.5); the
// error is that the time of the check is over.
func (e *evaluation) validate(ctx context.Context) error {
	n := &e.names
	if n.asked {
		return nil
	}
	n.asked = true
	e.cost.Questions++
	all, err := e.c.dns.LookupAddr(ctx, e.client.Addr)
	if err == nil {
		hosts := make([]string, 0, maxHosts)
		for _, h := range all[:min(len(all), maxHosts)] {
			if h = strings.ToLower(strings.TrimSuffix(h, ".")); isName(h) {
				hosts = append(hosts, h)
			}
		}
		for i, f := range e.addresses(ctx, hosts) {
			if slices.Contains(f.addrs, e.client.Addr) {
				n.list = append(n.list, hosts[i])
			}
		}
	}
	if ctx.Err() != nil {
		return tempError("names", e.client.Addr.String())
	}
	return nil
}

// below reports whether one of the names is domain or below it.
func (n *names) below(domain string) bool {
	domain = strings.ToLower(domain)
	for _, s := range n.list {
		if isBelow(s, domain) {
			return true
		}
	}
	return false
}

// best returns the name for %{p}: domain itself, else one below it, else any,
// else "unknown" (RFC 7208 §7.3).
func (n *names) best(domain string) string {
	domain = strings.ToLower(domain)
	below, first := "", ""
	for _, s := range n.list {
		if s == domain {
			return s
		}
		if below == "" && isBelow(s, domain) {
			below = s
		}
		first = cmp.Or(first, s)
	}
	return cmp.Or(below, first, "unknown")
}

// isBelow reports whether s is domain or a name below it, both in lower case.
func isBelow(s, domain string) bool {
	head, ok := strings.CutSuffix(s, domain)
	return ok && domain != "" && (head == "" || strings.HasSuffix(head, "."))
}
