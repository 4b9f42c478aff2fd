// Package dnstest is a DNS server for tests: it answers from a map, over UDP
// and TCP, and can be told to be ill. It is no server for the internet.
//
// Records are written as in a zone file, so what `gatepost dkim dns` prints
// can be loaded as it is:
//
//	zone := dnstest.NewZone()
//	zone.MustAdd(`example.org. 300 IN TXT "v=spf1 -all"`)
//	zone.Fail("broken.example", dnstest.ServFail)
//	srv, err := dnstest.Start("127.0.0.1:0", zone)
//	defer srv.Close()
package dnstest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Fault is a way in which a name fails.
type Fault int

// The faults.
const (
	// Healthy names are answered.
	Healthy Fault = iota
	// ServFail answers SERVFAIL.
	ServFail
	// Refused answers REFUSED.
	Refused
	// Timeout does not answer at all.
	Timeout
	// Truncate answers over UDP with nothing but the TC bit, over TCP in full.
	Truncate
	// Stray sends answers with a wrong id and a wrong question over UDP before
	// the right one.
	Stray
	// NoEDNS answers FORMERR to a query with EDNS.
	NoEDNS
	// Lame answers as a server that does not have the zone: without the AA bit.
	Lame
)

// Zone is what the server knows: all of DNS, as far as a test goes. It is safe
// for concurrent use, and may be changed while servers answer from it.
type Zone struct {
	mu     sync.Mutex // guards all below
	names  map[string][]dns.RR
	faults map[string]Fault
	all    Fault
	secure map[string]bool // "." for all
	log    []string
}

// NewZone returns an empty zone: every name is NXDOMAIN.
func NewZone() *Zone {
	return &Zone{names: make(map[string][]dns.RR), faults: make(map[string]Fault), secure: make(map[string]bool)}
}

// Add reads records in the syntax of a zone file (RFC 1035 §5.1). Names are
// complete, with or without their final dot; a missing TTL is 300 seconds.
// Nothing is added when text holds an error.
func (z *Zone) Add(text string) error {
	p := dns.NewZoneParser(strings.NewReader(text+"\n"), ".", "")
	p.SetDefaultTTL(300)
	var rrs []dns.RR
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		rrs = append(rrs, rr)
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("read zone: %w", err)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, rr := range rrs {
		name := dns.CanonicalName(rr.Header().Name)
		z.names[name] = append(z.names[name], rr)
	}
	return nil
}

// MustAdd is Add for constants: it panics where Add returns an error.
func (z *Zone) MustAdd(text string) {
	if err := z.Add(text); err != nil {
		panic(err)
	}
}

// AddTXT adds a TXT record at name with whatever octets text holds.
func (z *Zone) AddTXT(name, text string) {
	rr := &dns.TXT{Hdr: dns.RR_Header{Name: fqdn(name), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 300}}
	for len(text) > 255 {
		rr.Txt = append(rr.Txt, escape(text[:255]))
		text = text[255:]
	}
	rr.Txt = append(rr.Txt, escape(text))
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names[rr.Hdr.Name] = append(z.names[rr.Hdr.Name], rr)
}

// fqdn returns name as it comes out of a query: with its final dot, in lower
// case, with the escapes that package dns puts in. Octets of name stand for
// themselves.
func fqdn(name string) string {
	wire := make([]byte, 300)
	n, err := dns.PackDomainName(dns.Fqdn(strings.ReplaceAll(name, `\`, `\\`)), wire, 0, nil, false)
	if err != nil {
		panic(fmt.Sprintf("dnstest: %q is no name: %v", name, err))
	}
	out, _, err := dns.UnpackDomainName(wire[:n], 0)
	if err != nil {
		panic(fmt.Sprintf("dnstest: %q is no name: %v", name, err))
	}
	return dns.CanonicalName(out)
}

// escape writes s as package dns keeps character-strings.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Remove forgets all records at name.
func (z *Zone) Remove(name string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.names, fqdn(name))
}

// Fail makes name fail, or heals it with Healthy. The name "." stands for all
// names without a fault of their own.
func (z *Zone) Fail(name string, f Fault) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if name == "." {
		z.all = f
		return
	}
	if f == Healthy {
		delete(z.faults, fqdn(name))
		return
	}
	z.faults[fqdn(name)] = f
}

// Secure makes answers to questions for name validated ones: they carry the AD
// bit for who asks with it (RFC 6840 §5.7). The name "." stands for all names.
func (z *Zone) Secure(name string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.secure[fqdn(name)] = true
}

// validated reports whether the answer to q carries the AD bit.
func (z *Zone) validated(q dns.Question) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.secure["."] || z.secure[dns.CanonicalName(q.Name)]
}

// Queries returns what was asked since the last call, in order, each as
// "udp TXT example.org.". At most 100,000 are kept.
func (z *Zone) Queries() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	log := z.log
	z.log = nil
	return log
}

// note records a query and returns how to treat it.
func (z *Zone) note(network string, q dns.Question) Fault {
	z.mu.Lock()
	defer z.mu.Unlock()
	name := dns.CanonicalName(q.Name)
	if len(z.log) < 100000 {
		z.log = append(z.log, network+" "+dns.TypeToString[q.Qtype]+" "+name)
	}
	if f, ok := z.faults[name]; ok {
		return f
	}
	return z.all
}

// maxChain bounds the aliases that one answer follows.
const maxChain = 16

// answer fills m for q: aliases are followed, "no" carries a SOA record.
func (z *Zone) answer(m *dns.Msg, q dns.Question) {
	z.mu.Lock()
	defer z.mu.Unlock()
	name := dns.CanonicalName(q.Name)
	for range maxChain {
		var alias *dns.CNAME
		found := false
		for _, rr := range z.names[name] {
			c, ok := rr.(*dns.CNAME)
			if rr.Header().Rrtype == q.Qtype {
				m.Answer, found = append(m.Answer, rr), true
			} else if ok {
				alias = c
			}
		}
		if found {
			return
		}
		if alias == nil {
			z.no(m, name)
			return
		}
		m.Answer = append(m.Answer, alias)
		name = dns.CanonicalName(alias.Target)
	}
}

// no says that name has no such data, or that there is no such name. The
// caller holds mu.
func (z *Zone) no(m *dns.Msg, name string) {
	if len(z.names[name]) == 0 {
		m.Rcode = dns.RcodeNameError
		for other := range z.names {
			if dns.IsSubDomain(name, other) {
				m.Rcode = dns.RcodeSuccess
				break
			}
		}
	}
	m.Ns = append(m.Ns, &dns.SOA{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60},
		Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 60,
	})
}
