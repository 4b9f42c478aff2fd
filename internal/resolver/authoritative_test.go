package resolver

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/gatepost/gatepost/internal/dnstest"
	"github.com/gatepost/gatepost/internal/unit"
)

// zones are authoritative servers at 127.0.0.2, .3, ..., all on one port, and a
// recursive one that knows where they are.
type zones struct {
	r   *Resolver
	rec *dnstest.Zone
	at  []*dnstest.Zone
}

// startZones starts n authoritative servers.
func startZones(t *testing.T, n int) *zones {
	t.Helper()
	z := &zones{rec: dnstest.NewZone()}
	for range 20 {
		if z.at = z.at[:0]; z.listen(t, n) {
			return z
		}
	}
	t.Fatal("no port is free at all addresses")
	return nil
}

// listen starts all servers on a port that the first one picks.
func (z *zones) listen(t *testing.T, n int) bool {
	t.Helper()
	port := "0"
	for i := range n {
		zone := dnstest.NewZone()
		srv, err := dnstest.Start(net.JoinHostPort(fmt.Sprintf("127.0.0.%d", i+2), port), zone)
		if err != nil {
			return false
		}
		t.Cleanup(func() { _ = srv.Close() })
		_, port, _ = net.SplitHostPort(srv.Addr())
		z.at = append(z.at, zone)
	}
	rec, err := dnstest.Start("127.0.0.1:0", z.rec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rec.Close() })
	cfg := Default()
	cfg.Servers, cfg.CacheSize, cfg.Timeout = []string{rec.Addr()}, 0, unit.Duration(300*time.Millisecond)
	if z.r, err = New(cfg, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	z.r.authPort = uint16(p)
	return true
}

// say is what all servers say, one line each: "server: records ttl".
func say(all []Shown) string {
	var out []string
	for _, s := range all {
		line := fmt.Sprintf("%s: %q %v", s.Server, s.Records, s.TTL)
		if s.Err != nil {
			line = s.Server + ": " + s.Err.Error()
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

const delegated = `
example.org. NS ns1.example.org.
example.org. NS ns2.example.org.
ns1.example.org. A 127.0.0.2
ns2.example.org. A 127.0.0.3
example.org. 900 IN SOA ns1.example.org. hm.example.org. 1 2 3 4 600
`

func TestAuthoritative(t *testing.T) {
	const record = `s._domainkey.example.org. 120 TXT "v=DKIM1; " "p=x"`
	for _, tc := range []struct {
		name   string
		rec    string // beside delegated
		a, b   string // what the servers have beside a SOA record
		faultB dnstest.Fault
		want   string
		errs   string // a part of the error
		neg    time.Duration
	}{
		{name: "both", a: record, b: record, neg: 10 * time.Minute,
			want: "ns1.example.org (127.0.0.2): [\"v=DKIM1; p=x\"] 2m0s\nns2.example.org (127.0.0.3): [\"v=DKIM1; p=x\"] 2m0s"},
		{name: "one has not yet", a: record, neg: 10 * time.Minute,
			want: "ns1.example.org (127.0.0.2): [\"v=DKIM1; p=x\"] 2m0s\nns2.example.org (127.0.0.3): [] 1m0s"},
		{name: "one is ill", a: record, b: record, faultB: dnstest.ServFail, neg: 10 * time.Minute,
			want: "ns1.example.org (127.0.0.2): [\"v=DKIM1; p=x\"] 2m0s\nns2.example.org (127.0.0.3): SERVFAIL"},
		{name: "one is lame", a: record, b: record, faultB: dnstest.Lame, neg: 10 * time.Minute,
			want: "ns1.example.org (127.0.0.2): [\"v=DKIM1; p=x\"] 2m0s\nns2.example.org (127.0.0.3): does not answer for the zone"},
		{name: "one is silent", a: record, b: record, faultB: dnstest.Timeout, neg: 10 * time.Minute,
			want: "ns1.example.org (127.0.0.2): [\"v=DKIM1; p=x\"] 2m0s\nns2.example.org (127.0.0.3): context deadline exceeded"},
		{name: "one without EDNS", a: record, b: record, faultB: dnstest.NoEDNS, neg: 10 * time.Minute,
			want: "ns1.example.org (127.0.0.2): [\"v=DKIM1; p=x\"] 2m0s\nns2.example.org (127.0.0.3): [\"v=DKIM1; p=x\"] 2m0s"},
		{name: "no zone", rec: "-", errs: "find the servers of s._domainkey.example.org.: no zone has it"},
		{name: "server without an address", rec: "example.org. NS ns3.example.org.", errs: "name server ns3.example.org. has no address"},
		{name: "address that cannot be reached", rec: "ns1.example.org. AAAA 2001:db8::1", a: record, b: record, neg: 10 * time.Minute,
			want: "ns1.example.org (127.0.0.2): [\"v=DKIM1; p=x\"] 2m0s\nns2.example.org (127.0.0.3): [\"v=DKIM1; p=x\"] 2m0s"},
		{name: "alias into another zone", rec: "example.net. NS ns.example.net.\nns.example.net. A 127.0.0.4",
			a: "s._domainkey.example.org. CNAME k.example.net.", b: "s._domainkey.example.org. CNAME k.example.net.", neg: 10 * time.Minute,
			want: "ns.example.net (127.0.0.4): [\"there\"] 5m0s"},
		{name: "alias at one server", rec: "example.net. NS ns.example.net.\nns.example.net. A 127.0.0.4",
			a: record, b: "s._domainkey.example.org. CNAME k.example.net.", neg: 10 * time.Minute,
			want: "ns1.example.org (127.0.0.2): [\"v=DKIM1; p=x\"] 2m0s\nns.example.net (127.0.0.4): [\"there\"] 5m0s"},
		{name: "alias to itself", a: "s._domainkey.example.org. CNAME s._domainkey.example.org.",
			b: "s._domainkey.example.org. CNAME s._domainkey.example.org.", errs: "too many aliases"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			z := startZones(t, 3)
			if tc.rec != "-" {
				z.rec.MustAdd(delegated + tc.rec)
			}
			soa := "example.org. 900 IN SOA ns1.example.org. hm.example.org. 1 2 3 4 600\n"
			z.at[0].MustAdd(soa + tc.a)
			z.at[1].MustAdd(soa + tc.b)
			z.at[2].MustAdd("example.net. 300 IN SOA ns.example.net. hm.example.net. 1 2 3 4 60\nk.example.net. TXT there")
			z.at[1].Fail(".", tc.faultB)
			z.r.exchange = noIPv6
			all, neg, err := z.r.Authoritative(t.Context(), "S._domainkey.Example.org")
			if got := say(all); got != tc.want {
				t.Errorf("the servers say\n%s\nwant\n%s", got, tc.want)
			}
			if (err == nil) != (tc.errs == "") || err != nil && !strings.Contains(err.Error(), tc.errs) {
				t.Errorf("error %v, want %q", err, tc.errs)
			}
			if neg != tc.neg {
				t.Errorf("negative answers live %v, want %v", neg, tc.neg)
			}
		})
	}
}

// noIPv6 is exchange on a host that has no route to IPv6.
func noIPv6(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	if strings.HasPrefix(server, "[") {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
	}
	return exchange(ctx, network, server, q)
}

// TestAuthoritativePanic: what breaks at one server is that server's silence.
func TestAuthoritativePanic(t *testing.T) {
	z := startZones(t, 1)
	z.rec.MustAdd("example.org. NS ns1.example.org.\nns1.example.org. A 127.0.0.2")
	z.r.exchange = func(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
		if strings.HasPrefix(server, "127.0.0.2:") || q.Question[0].Name == "broken." {
			panic("planted")
		}
		return exchange(ctx, network, server, q)
	}
	all, _, err := z.r.Authoritative(t.Context(), "a.example.org")
	if got := say(all); err != nil || got != "ns1.example.org (127.0.0.2): panic: planted" {
		t.Errorf("the servers say %s, %v", got, err)
	}
	if _, _, err := z.r.Authoritative(t.Context(), "broken"); err == nil {
		t.Error("no error after a panic")
	}
}

// TestAuthoritativeIsBounded: a hostile zone costs a bounded number of queries,
// and the caller's time is the limit.
func TestAuthoritativeIsBounded(t *testing.T) {
	z := startZones(t, 1)
	z.rec.MustAdd("example.org. NS ns1.example.org.\nns1.example.org. A 127.0.0.2")
	for i := range 50 {
		z.at[0].MustAdd(fmt.Sprintf("n%d.example.org. CNAME n%d.example.org.", i, i+1))
	}
	if _, _, err := z.r.Authoritative(t.Context(), "n0.example.org"); err == nil {
		t.Error("50 aliases were followed")
	}
	if n := len(z.at[0].Queries()); n > 2*maxZoneAliases {
		t.Errorf("%d queries for a chain of aliases", n)
	}
	for i := range maxNameServers + 1 {
		z.rec.MustAdd(fmt.Sprintf("many.example. NS ns%d.many.example.", i))
	}
	if _, _, err := z.r.Authoritative(t.Context(), "a.many.example"); err == nil || !strings.Contains(err.Error(), "more than 16 name servers") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := z.r.Authoritative(ctx, "a.example.org"); err == nil {
		t.Error("an answer after the time was over")
	}
}
