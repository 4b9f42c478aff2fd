package mtasts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fetchTimeout is for one policy, from the look-up of the host to the last byte.
const fetchTimeout = 10 * time.Second

// maxAddrs bounds the addresses of a host that are tried.
const maxAddrs = 4

// fetcher gets policy files over HTTPS.
type fetcher struct {
	dns   addrResolver
	roots *x509.CertPool
	// port and reachable are those of the public internet outside of tests.
	port      uint16
	reachable func(netip.Addr) bool
}

// addrResolver is what a fetch needs of DNS.
type addrResolver interface {
	// LookupIP returns the addresses of a host; network is "ip".
	LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error)
}

// public reports whether a is an address of the public internet. The domain is
// a stranger's choice: he shall not have us speak to what only we can reach.
func public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() &&
		!slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

// special are networks of RFC 6890 that net/netip has no word for. The last six
// are IPv6 addresses that hold one of IPv4, or lead to one: through a translator
// of ours they would lead to what is private.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carriers, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("fec0::/10"), // site-local, RFC 3879
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("::ffff:0:0:0/96"), // RFC 2765
	netip.MustParsePrefix("64:ff9b::/96"),    // RFC 6052
	netip.MustParsePrefix("64:ff9b:1::/48"),  // RFC 8215
	netip.MustParsePrefix("2001::/32"),       // Teredo
	netip.MustParsePrefix("2002::/16"),       // 6to4
}

// fetch returns the policy of domain.
func (f *fetcher) fetch(ctx context.Context, domain string) (Policy, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	host := "mta-sts." + domain
	transport := &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return f.dial(ctx, host) },
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: f.roots, ServerName: host},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: MaxPolicyBytes,
	}
	client := http.Client{
		Transport: transport,
		// RFC 8461 §3.3: a redirect is not followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return Policy{}, fmt.Errorf("fetch policy of %s: %w", domain, err)
	}
	req.Header.Set("User-Agent", "gatepost")
	resp, err := client.Do(req)
	if err != nil {
		return Policy{}, fmt.Errorf("fetch policy of %s: %w", domain, err)
	}
	defer func() { _ = resp.Body.Close() }()
	p, err := read(resp)
	if err != nil {
		return Policy{}, fmt.Errorf("policy of %s: %w", domain, err)
	}
	return p, nil
}

// read takes the policy out of a response (RFC 8461 §3.3).
func read(resp *http.Response) (Policy, error) {
	if resp.StatusCode != http.StatusOK {
		return Policy{}, malformed("the server answers with status %d", resp.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "text/plain" {
		return Policy{}, malformed("it is not text/plain")
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, MaxPolicyBytes+1))
	if err != nil {
		return Policy{}, err
	}
	return ParsePolicy(b)
}

// dial connects to one of the addresses of host.
func (f *fetcher) dial(ctx context.Context, host string) (net.Conn, error) {
	addrs, err := f.dns.LookupIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	last := errors.New("it has no address on the public internet")
	tried := 0
	for _, a := range addrs {
		if !f.reachable(a) {
			continue
		}
		if tried++; tried > maxAddrs {
			break
		}
		// A share of the time for each, so that one dead address is not the end.
		d := net.Dialer{Timeout: fetchTimeout / maxAddrs}
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(a.String(), strconv.Itoa(int(f.port))))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, fmt.Errorf("connect to %s: %w", strings.TrimSuffix(host, "."), last)
}
