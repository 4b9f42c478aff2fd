package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/gatepost/gatepost/internal/mailerr"
)

// errNotKept is a question whose answer is not in the cache.
var errNotKept = mailerr.With(mailerr.Transient, errors.New("not in the cache"))

// Recalled answers from the cache of a Resolver alone, and never waits. Most
// mail needs no more, and then a check needs no goroutine to wait in. It is safe
// for concurrent use.
type Recalled struct {
	r      *Resolver
	missed atomic.Bool
}

// Recall returns a Recalled with nothing missed yet.
func (r *Resolver) Recall() *Recalled { return &Recalled{r: r} }

// Missed reports whether something was asked that the cache does not have: what
// came of it then means nothing.
func (c *Recalled) Missed() bool { return c.missed.Load() }

// find is Resolver.lookup without the question.
func (c *Recalled) find(name string, rtype uint16) (answer, error) {
	q, ok := question(name)
	if !ok {
		return answer{}, nil
	}
	a, ok := c.r.cache.find(key{q, rtype}, time.Now())
	if !ok {
		c.missed.Store(true)
		return answer{}, errNotKept
	}
	return a, nil
}

// LookupTXT is Resolver.LookupTXT.
func (c *Recalled) LookupTXT(_ context.Context, name string) ([]string, error) {
	a, err := c.find(name, dns.TypeTXT)
	return append([]string(nil), a.text...), err
}

// LookupMX is Resolver.LookupMX.
func (c *Recalled) LookupMX(_ context.Context, name string) ([]MX, error) {
	a, err := c.find(name, dns.TypeMX)
	return append([]MX(nil), a.mx...), err
}

// LookupAddr is Resolver.LookupAddr.
func (c *Recalled) LookupAddr(_ context.Context, addr netip.Addr) ([]string, error) {
	if !addr.IsValid() {
		return nil, nil
	}
	a, err := c.find(reverse(addr.Unmap().WithZone("")), dns.TypePTR)
	return append([]string(nil), a.text...), err
}

// LookupIP is Resolver.LookupIP of "ip4" or "ip6".
func (c *Recalled) LookupIP(_ context.Context, network, name string) ([]netip.Addr, error) {
	rtype := dns.TypeA
	switch network {
	case "ip4":
	case "ip6":
		rtype = dns.TypeAAAA
	default:
		c.missed.Store(true)
		return nil, mailerr.With(mailerr.Permanent, fmt.Errorf("recall %q: unknown network %q", name, network))
	}
	a, err := c.find(name, rtype)
	return append([]netip.Addr(nil), a.addrs...), err
}

// Exists is Resolver.Exists.
func (c *Recalled) Exists(_ context.Context, name string) (bool, error) {
	if _, ok := question(name); !ok {
		return false, nil
	}
	a, err := c.find(name, dns.TypeA)
	return err == nil && !a.gone, err
}

// RecallTXT returns the TXT records at name, if the cache knows them or that
// there are none.
func (r *Resolver) RecallTXT(name string) (records []string, known bool) {
	c := Recalled{r: r}
	records, err := c.LookupTXT(context.Background(), name)
	return records, err == nil
}
