package resolver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/gatepost/gatepost/internal/mailerr"
)

// Bounds of one question to all servers of a zone.
const (
	maxZoneAliases = 5  // from zone to zone
	maxNameServers = 16 // of one zone
	maxAddresses   = 8  // of one server
	maxDirect      = 8  // questions under way at once
	maxTargets     = 4  // different aliases of one name
	maxClimb       = 20 // labels to the zone's name
)

// Shown is what one server of a zone says about a name.
type Shown struct {
	// Server is its name and address: "ns1.example.org (192.0.2.53)".
	Server string
	// Records are the TXT records there, each with its strings joined.
	Records []string
	// TTL is how long others may keep this answer, also one without a record.
	TTL time.Duration
	// Err is why the server gave no answer, or none that counts.
	Err error
}

// Authoritative asks every authoritative server of the zone that name is in for
// its TXT records, each at every address that can be reached from here. An
// alias is followed to the servers of its target's zone. negative is how long
// caches may still say that there is no such record (RFC 2308 §5), the longest
// of all zones. The error says that the zone or its servers are not known;
// what one of them does not answer is in its Shown.
func (r *Resolver) Authoritative(ctx context.Context, name string) (all []Shown, negative time.Duration, err error) {
	defer func() { r.recovered(ctx, recover(), &err) }()
	q, ok := question(name)
	if !ok {
		return nil, 0, mailerr.With(mailerr.Permanent, fmt.Errorf("%q is no name in the DNS", name))
	}
	names := []string{q}
	for range maxZoneAliases {
		var next []string
		for _, n := range names {
			shown, neg, targets, err := r.zone(ctx, n)
			if err != nil {
				return nil, 0, mailerr.With(mailerr.Transient, fmt.Errorf("find the servers of %s: %w", n, err))
			}
			all, negative = append(all, shown...), max(negative, neg)
			next = append(next, targets...)
		}
		if len(next) == 0 {
			return all, negative, nil
		}
		slices.Sort(next)
		names = slices.Compact(next)
		if len(names) > maxTargets {
			break
		}
	}
	return nil, 0, mailerr.With(mailerr.Permanent, fmt.Errorf("look up %s: %w", q, errAliases))
}

// nameServer is one address to ask.
type nameServer struct {
	host string
	addr netip.Addr
}

func (n nameServer) String() string {
	return strings.TrimSuffix(n.host, ".") + " (" + n.addr.String() + ")"
}

// direct is what one server said.
type direct struct {
	Shown
	target   string        // where its alias leads
	negative time.Duration // of its zone
	noRoute  bool
}

// zone asks all servers of the zone of q. targets are where aliases lead; the
// servers that have one are not in shown.
func (r *Resolver) zone(ctx context.Context, q string) (shown []Shown, negative time.Duration, targets []string, err error) {
	apex, hosts, err := r.apex(ctx, q)
	if err != nil {
		return nil, 0, nil, err
	}
	servers, err := r.addresses(ctx, hosts)
	if err != nil {
		return nil, 0, nil, err
	}
	answers := make([]direct, len(servers))
	slots := make(chan struct{}, maxDirect)
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			defer func() { r.recovered(ctx, recover(), &answers[i].Err) }()
			answers[i].Server = s.String()
			answers[i] = r.direct(ctx, s, apex, q)
		})
	}
	wg.Wait()
	reached := make(map[string]bool)
	for i, s := range servers {
		reached[s.host] = reached[s.host] || answers[i].Err == nil
	}
	for i, a := range answers {
		if a.noRoute && reached[servers[i].host] {
			continue // this host has no IPv6, say; the server was heard all the same
		}
		negative = max(negative, a.negative)
		if a.target != "" {
			targets = append(targets, a.target)
			continue
		}
		shown = append(shown, a.Shown)
	}
	return shown, negative, targets, nil
}

// recovered makes an error of a panic: a server's answer must not end the
// process.
func (r *Resolver) recovered(ctx context.Context, v any, err *error) {
	if v == nil {
		return
	}
	*err = fmt.Errorf("panic: %v", v)
	r.log.LogAttrs(ctx, slog.LevelError, "dns look-up panicked",
		slog.String("err", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
}

// apex returns the name of the zone that q is in, and its servers.
func (r *Resolver) apex(ctx context.Context, q string) (apex string, hosts []string, err error) {
	name := q
	for range maxClimb {
		m, err := r.ask(ctx, key{name, dns.TypeNS}, false)
		if err != nil {
			return "", nil, err
		}
		for _, rr := range m.Answer {
			if ns, ok := rr.(*dns.NS); ok && fold(ns.Hdr.Name) == name {
				hosts = append(hosts, fold(ns.Ns))
			}
		}
		if len(hosts) > maxNameServers {
			return "", nil, fmt.Errorf("zone %s has more than %d name servers", name, maxNameServers)
		}
		if len(hosts) > 0 {
			slices.Sort(hosts)
			return name, slices.Compact(hosts), nil
		}
		i, end := dns.NextLabel(name, 0)
		if end {
			break
		}
		name = name[i:]
	}
	return "", nil, errors.New("no zone has it")
}

// addresses returns the addresses of servers. One without an address is an
// error: nobody could say what it shows.
func (r *Resolver) addresses(ctx context.Context, hosts []string) ([]nameServer, error) {
	found := make([][]netip.Addr, len(hosts))
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			found[i], errs[i] = r.LookupIP(ctx, "ip", h)
			if errs[i] == nil && len(found[i]) == 0 {
				errs[i] = fmt.Errorf("name server %s has no address", h)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var out []nameServer
	for i, h := range hosts {
		for _, a := range found[i][:min(len(found[i]), maxAddresses)] {
			out = append(out, nameServer{h, a})
		}
	}
	return out, nil
}

// direct asks one server for the TXT records at q.
func (r *Resolver) direct(ctx context.Context, s nameServer, apex, q string) direct {
	out := direct{Shown: Shown{Server: s.String()}}
	m, err := r.nonRecursive(ctx, s, key{q, dns.TypeTXT})
	if err != nil {
		out.Err = err
		for _, no := range []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT} {
			out.noRoute = out.noRoute || errors.Is(err, no)
		}
		return out
	}
	if target, _, ok := alias(m, q); ok {
		out.target = target
	}
	hops := maxAliases - 1 // what is behind an alias is asked for where it lives
	if out.target == "" {
		ans, _, err := read(m, key{q, dns.TypeTXT}, &hops)
		if err != nil {
			out.Err = err
			return out
		}
		out.Records, out.TTL = ans.text, ans.ttl
	}
	neg, ok := negativeTTL(m)
	if !ok || out.target != "" { // behind an alias the SOA is that of its target's zone
		if m, err = r.nonRecursive(ctx, s, key{apex, dns.TypeSOA}); err != nil {
			out.Err, out.target = err, ""
			return out
		}
		m.Ns = append(m.Ns, m.Answer...)
		neg, _ = negativeTTL(m)
	}
	out.negative = time.Duration(neg) * time.Second
	return out
}

// nonRecursive puts one question to one server, which must answer for its own
// zone and not from what it heard elsewhere.
func (r *Resolver) nonRecursive(ctx context.Context, s nameServer, k key) (*dns.Msg, error) {
	server := netip.AddrPortFrom(s.addr, r.authPort).String()
	var last error
	for range r.cfg.Attempts {
		m, err := r.try(ctx, server, k, false)
		switch {
		case err == nil && !m.Authoritative:
			return nil, errors.New("does not answer for the zone")
		case err == nil:
			return m, nil
		}
		if last = err; ctx.Err() != nil {
			break
		}
	}
	return nil, last
}
