package resolver

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/gatepost/gatepost/internal/mailerr"
)

// Resolver asks and remembers. It is safe for concurrent use.
type Resolver struct {
	cfg     Config
	servers []string
	log     *slog.Logger
	cache   *cache
	slots   chan struct{} // one for each query under way
	// authPort is where authoritative servers answer, 53 outside of tests.
	authPort uint16
	// exchange is sockets.exchange outside of tests.
	exchange func(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error)
	together sharedSockets

	mu      sync.Mutex // guards flights and the waiters in them
	flights map[key]*flight
}

// flight is a question under way. It ends by itself, or when nobody waits for
// it any more.
type flight struct {
	waiters int
	cancel  context.CancelFunc
	// asked says that the first server has had its first turn.
	asked bool
	done  chan struct{} // closed when ans and err are set
	ans   answer
	err   error
}

// New returns a Resolver. It reads /etc/resolv.conf when cfg names no server.
func New(cfg Config, log *slog.Logger) (*Resolver, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	servers, err := cfg.servers(systemConf)
	if err != nil {
		return nil, err
	}
	return &Resolver{
		cfg:      cfg,
		servers:  servers,
		log:      log,
		cache:    newCache(int64(cfg.CacheSize)),
		slots:    make(chan struct{}, cfg.MaxQueries),
		authPort: 53,
		exchange: (&sockets{idle: map[string][]*dns.Conn{}}).exchange,
		together: sharedSockets{idle: map[string][]*together{}},
		flights:  make(map[key]*flight),
	}, nil
}

// LookupTXT returns the TXT records at name, each with its strings joined
// (RFC 7208 §3.3). The octets are the zone's: any octet may be among them.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	a, err := r.lookup(ctx, name, dns.TypeTXT)
	return append([]string(nil), a.text...), err
}

// LookupTXTSecure is LookupTXT, and also reports whether DNSSEC vouches for the
// answer: a validating server that is trusted has set the AD bit (RFC 4035
// §3.2.3). An answer of no records can be secure too.
func (r *Resolver) LookupTXTSecure(ctx context.Context, name string) (records []string, secure bool, err error) {
	a, err := r.lookup(ctx, name, dns.TypeTXT)
	return append([]string(nil), a.text...), a.secure && err == nil, err
}

// LookupMX returns the mail exchangers of name, the preferred ones first.
func (r *Resolver) LookupMX(ctx context.Context, name string) ([]MX, error) {
	a, err := r.lookup(ctx, name, dns.TypeMX)
	return append([]MX(nil), a.mx...), err
}

// LookupPTR returns the names that the PTR records at name hold, in lower case
// and without a final dot.
func (r *Resolver) LookupPTR(ctx context.Context, name string) ([]string, error) {
	a, err := r.lookup(ctx, name, dns.TypePTR)
	return append([]string(nil), a.text...), err
}

// LookupAddr returns the names of an address, as LookupPTR does.
func (r *Resolver) LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error) {
	if !addr.IsValid() {
		return nil, nil
	}
	return r.LookupPTR(ctx, reverse(addr.Unmap().WithZone("")))
}

// LookupIP returns the addresses of name: "ip4" asks for A records, "ip6" for
// AAAA, "ip" for both at once and returns the IPv4 addresses first. With "ip"
// one of the two without an answer is an error when the other has no address.
func (r *Resolver) LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	var v4, v6 answer
	var err4, err6 error
	switch network {
	case "ip4":
		v4, err4 = r.lookup(ctx, name, dns.TypeA)
	case "ip6":
		v6, err6 = r.lookup(ctx, name, dns.TypeAAAA)
	case "ip":
		var wg sync.WaitGroup
		wg.Go(func() { v4, err4 = r.lookup(ctx, name, dns.TypeA) })
		v6, err6 = r.lookup(ctx, name, dns.TypeAAAA)
		wg.Wait()
	default:
		return nil, mailerr.With(mailerr.Permanent, fmt.Errorf("look up %q: unknown network %q", name, network))
	}
	out := append(append([]netip.Addr(nil), v4.addrs...), v6.addrs...)
	if len(out) > 0 {
		return out, nil
	}
	if err4 != nil {
		return nil, err4
	}
	return nil, err6
}

// Exists reports whether there is anything at name or below it: all but what
// DNS answers with NXDOMAIN (RFC 8020). A name that is an alias exists,
// wherever it leads.
func (r *Resolver) Exists(ctx context.Context, name string) (bool, error) {
	if _, ok := question(name); !ok {
		return false, nil
	}
	a, err := r.lookup(ctx, name, dns.TypeA)
	return err == nil && !a.gone, err
}

// lookup answers from the cache or asks.
func (r *Resolver) lookup(ctx context.Context, name string, rtype uint16) (answer, error) {
	q, ok := question(name)
	if !ok {
		return answer{}, nil
	}
	k := key{q, rtype}
	if a, ok := r.cache.find(k, time.Now()); ok {
		return a, nil
	}
	f, err := r.join(ctx, k)
	if err != nil {
		return answer{}, failed(k, err)
	}
	return r.await(ctx, k, f)
}

// await waits for the end of f, which the caller has joined.
func (r *Resolver) await(ctx context.Context, k key, f *flight) (answer, error) {
	select {
	case <-f.done:
		r.leave(k, f)
		return f.ans, f.err
	case <-ctx.Done():
		r.leave(k, f)
		return answer{}, failed(k, ctx.Err())
	}
}

// failed says what could not be looked up.
func failed(k key, err error) error {
	return mailerr.With(mailerr.Transient, fmt.Errorf("look up %s %s: %w", dns.TypeToString[k.rtype], k.name, err))
}

// join returns the flight for k, which it starts when there is none.
func (r *Resolver) join(ctx context.Context, k key) (*flight, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flights[k]; f != nil {
		f.waiters++
		return f, nil
	}
	// The flight is not the first caller's alone: it outlives his context as
	// long as someone else waits.
	fctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{waiters: 1, cancel: cancel, done: make(chan struct{})}
	r.flights[k] = f
	go r.fly(fctx, k, f)
	return f, nil
}

// leave ends a flight that nobody waits for.
func (r *Resolver) leave(k key, f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if r.flights[k] == f {
			delete(r.flights, k)
		}
	}
}

// flyOn lets a goroutine go on with f, whose caller was asking until now. It is
// left behind when he is at the end of his time and nobody else waits for it.
func (r *Resolver) flyOn(ctx context.Context, k key, f *flight, asked bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil && f.waiters == 1 {
		if r.flights[k] == f {
			delete(r.flights, k)
		}
		return
	}
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	f.asked = asked
	go r.fly(ctx, k, f)
}

// fly asks for k and ends f with what it hears.
func (r *Resolver) fly(ctx context.Context, k key, f *flight) {
	defer f.cancel()
	ans, err := r.safely(ctx, k, f.asked)
	r.land(ctx, k, f, ans, err)
}

// land ends f, and keeps ans.
func (r *Resolver) land(ctx context.Context, k key, f *flight, ans answer, err error) {
	if err != nil {
		f.err = failed(k, err)
		r.log.LogAttrs(ctx, slog.LevelDebug, "dns question without an answer", slog.Any("err", f.err))
	} else {
		ans.ttl = min(ans.ttl, r.cfg.MaxTTL.Std())
		f.ans = ans
		r.cache.put(k, ans, time.Now())
	}
	r.mu.Lock()
	if r.flights[k] == f {
		delete(r.flights, k)
	}
	r.mu.Unlock()
	close(f.done)
}

// safely is resolve, with a panic made an error: nobody above could catch it,
// and a server's answer must not end the process.
func (r *Resolver) safely(ctx context.Context, k key, asked bool) (ans answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			ans, err = answer{}, fmt.Errorf("panic: %v", v)
			r.log.LogAttrs(ctx, slog.LevelError, "dns look-up panicked",
				slog.String("err", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
		}
	}()
	return r.resolve(ctx, k, asked)
}

// resolve asks for k, and for the targets of aliases that an answer leaves
// open.
func (r *Resolver) resolve(ctx context.Context, k key, asked bool) (answer, error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	hops := 0
	ttl := r.cfg.MaxTTL.Std()
	secure := true
	for {
		m, err := r.ask(ctx, k, asked)
		asked = false
		if err != nil {
			return answer{}, err
		}
		secure = secure && m.AuthenticatedData
		ans, next, err := read(m, k, &hops)
		if err != nil {
			return answer{}, err
		}
		if next == "" {
			ans.ttl, ans.secure = min(ans.ttl, ttl), secure
			return ans, nil
		}
		// The alias itself was good for MaxTTL at most; without its own TTL the
		// joined answer is kept for a minute at most.
		ttl = min(ttl, time.Minute)
		k.name = next
	}
}
