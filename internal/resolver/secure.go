package resolver

import (
	"context"
	"net/netip"
	"sync"

	"github.com/miekg/dns"
)

// TLSA is one TLSA record (RFC 6698 §2.1). Data is in hexadecimal digits.
type TLSA struct {
	Usage, Selector, MatchingType uint8
	Data                          string
}

// LookupTLSA returns the TLSA records at name, such as
// "_25._tcp.mx.example.org", and whether DNSSEC vouches for the answer, as
// LookupTXTSecure does. Records that are not secure prove nothing.
func (r *Resolver) LookupTLSA(ctx context.Context, name string) (records []TLSA, secure bool, err error) {
	a, err := r.lookup(ctx, name, dns.TypeTLSA)
	return append([]TLSA(nil), a.tlsa...), a.secure && err == nil, err
}

// LookupMXSecure is LookupMX, and also reports whether DNSSEC vouches for the
// answer. An answer of no records can be secure too.
func (r *Resolver) LookupMXSecure(ctx context.Context, name string) (records []MX, secure bool, err error) {
	a, err := r.lookup(ctx, name, dns.TypeMX)
	return append([]MX(nil), a.mx...), a.secure && err == nil, err
}

// LookupIPSecure returns all addresses of name, and whether DNSSEC vouches for
// them: for the A and for the AAAA answer. It is an error when one of the two
// has no answer.
func (r *Resolver) LookupIPSecure(ctx context.Context, name string) (addrs []netip.Addr, secure bool, err error) {
	var v4 answer
	var err4 error
	var wg sync.WaitGroup
	wg.Go(func() { v4, err4 = r.lookup(ctx, name, dns.TypeA) })
	v6, err := r.lookup(ctx, name, dns.TypeAAAA)
	wg.Wait()
	if err4 != nil {
		err = err4
	}
	if err != nil {
		return nil, false, err
	}
	return append(append(addrs, v4.addrs...), v6.addrs...), v4.secure && v6.secure, nil
}
