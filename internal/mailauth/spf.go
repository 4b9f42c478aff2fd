package mailauth

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"

	"blitiri.com.ar/go/spf"
	"golang.org/x/net/idna"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

// spf starts the evaluation of both identities in wg, and writes each into its
// own field of r. With a null reverse-path both are postmaster@HELO, which is
// evaluated once.
func (c *Checker) spf(ctx context.Context, wg *sync.WaitGroup, in Input, r *SPF) {
	helo := strings.ToLower(strings.TrimSuffix(in.Helo, "."))
	from := SPFMailFrom{Domain: in.MailFrom.Domain, Sender: in.MailFrom.String()}
	if in.MailFrom.IsNull() {
		from = SPFMailFrom{Domain: helo, Sender: "postmaster@" + helo, NullPath: true}
	}
	r.MailFrom = from
	r.Helo = SPFHelo{Domain: helo}
	wg.Go(func() {
		r.Helo.Result, r.Helo.Reason = c.evaluate(ctx, in.ClientAddr, helo, "postmaster", helo)
		if from.NullPath {
			r.MailFrom.Result, r.MailFrom.Reason = r.Helo.Result, r.Helo.Reason
		}
	})
	if !from.NullPath {
		wg.Go(func() {
			r.MailFrom.Result, r.MailFrom.Reason = c.evaluate(ctx, in.ClientAddr, helo, in.MailFrom.LocalPart, from.Domain)
		})
	}
}

// evaluate is check_host() of RFC 7208 §4.1 for local@domain.
func (c *Checker) evaluate(ctx context.Context, addr netip.Addr, helo, local, domain string) (res authres.Result, reason string) {
	defer c.guard(ctx, authres.SPF, &res, &reason)
	ascii, ok := spfDomain(domain)
	if !ok {
		return authres.None, "" // RFC 7208 §4.3
	}
	if strings.Contains(local, "@") {
		// The library would cut the domain there.
		local = "postmaster"
	}
	got, err := spf.CheckHostWithSender(net.IP(addr.AsSlice()), helo, local+"@"+ascii,
		spf.WithContext(ctx), spf.WithResolver(spfResolver{c.res, addr}))
	return spfResult(got, err)
}

// spfDomain returns domain as SPF asks for it; false for what RFC 7208 §4.3
// gives "none" without a question: an address literal, one label, a label that
// is empty or too long.
func spfDomain(domain string) (string, bool) {
	for i := range len(domain) {
		if domain[i] >= 0x80 {
			a, err := idna.Lookup.ToASCII(domain)
			if err != nil {
				return "", false
			}
			domain = a
			break
		}
	}
	return domain, isHost(domain)
}

// spfReasons are the errors of the library that a reader of the result can use.
var spfReasons = []struct {
	err  error
	text string
}{
	{spf.ErrLookupLimitReached, "too many lookups"},
	{spf.ErrVoidLookupLimitReached, "too many void lookups"},
	{spf.ErrTooManyMXRecords, "too many MX records"},
	{spf.ErrMultipleRecords, "more than one record"},
}

// spfResult maps what the library says.
func spfResult(got spf.Result, err error) (authres.Result, string) {
	switch got {
	case spf.None, spf.Neutral, spf.Pass, spf.Fail, spf.SoftFail:
		return authres.Result(got), ""
	case spf.TempError:
		return authres.TempError, "lookup had no answer"
	case spf.PermError:
		for _, r := range spfReasons {
			if errors.Is(err, r.err) {
				return authres.PermError, r.text
			}
		}
		return authres.PermError, "record cannot be evaluated"
	}
	return authres.TempError, "internal error"
}

// spfResolver gives the library our resolver in the shape of net.Resolver's
// methods, and our outcomes as the errors that it tells apart: *net.DNSError
// itself, never wrapped.
type spfResolver struct {
	res  dnsResolver
	addr netip.Addr // of the client
}

func (r spfResolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	txt, err := r.res.LookupTXT(ctx, name)
	return txt, dnsError(name, err, len(txt))
}

func (r spfResolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	mx, err := r.res.LookupMX(ctx, name)
	out := make([]*net.MX, 0, len(mx))
	for _, m := range mx {
		out = append(out, &net.MX{Host: m.Host, Pref: m.Preference})
	}
	return out, dnsError(name, err, len(mx))
}

// LookupIPAddr asks for A records, and for AAAA records only when the client
// has such an address: exists: wants A in any case (RFC 7208 §5.7).
func (r spfResolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	network := "ip4"
	if r.addr.Is6() {
		network = "ip"
	}
	addrs, err := r.res.LookupIP(ctx, network, host)
	out := make([]net.IPAddr, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, net.IPAddr{IP: a.AsSlice()})
	}
	return out, dnsError(host, err, len(addrs))
}

func (r spfResolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	names, err := r.res.LookupAddr(ctx, r.addr)
	return names, dnsError(addr, err, len(names))
}

// dnsError returns the error that a net.Resolver would give. The caller
// returns it as an error only when it is not nil.
func dnsError(name string, err error, n int) error {
	if err != nil {
		return &net.DNSError{Err: "no answer", Name: name, IsTemporary: true}
	}
	if n == 0 {
		return &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
	}
	return nil
}
