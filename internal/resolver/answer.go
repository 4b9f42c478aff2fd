package resolver

import (
	"errors"
	"net/netip"
	"sort"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// MX is one mail exchanger (RFC 5321 §5.1). Host is in lower case without a
// final dot; "" for the null MX (RFC 7505).
type MX struct {
	Preference uint16
	Host       string
}

// answer is what DNS said to one question. Only the field of the question's
// type is filled. It is shared between callers and never changed.
type answer struct {
	text  []string // TXT, PTR
	addrs []netip.Addr
	mx    []MX
	tlsa  []TLSA
	gone  bool // NXDOMAIN for the name that was asked, not for an alias's target
	// secure says that a server that is trusted has validated the answer and
	// all aliases that lead to it.
	secure bool
	ttl    time.Duration
}

// size returns the octets that a holds, about.
func (a answer) size() int64 {
	n := int64(24 * len(a.addrs))
	for _, s := range a.text {
		n += int64(len(s)) + 16
	}
	for _, m := range a.mx {
		n += int64(len(m.Host)) + 24
	}
	for _, t := range a.tlsa {
		n += int64(len(t.Data)) + 24
	}
	return n
}

// maxAliases bounds the aliases that are followed for one question, those
// within one answer and those asked for together.
const maxAliases = 10

// maxRecords bounds the records that are taken from one answer.
const maxRecords = 1000

// errAliases is a chain of aliases without an end.
var errAliases = errors.New("too many aliases")

// read takes the records for k out of m, which was asked for k.name. next is
// the name to ask for when m ends in an alias whose target it does not tell;
// hops counts the aliases so far.
func read(m *dns.Msg, k key, hops *int) (ans answer, next string, err error) {
	name := k.name
	ttl := uint32(1<<32 - 1)
	for {
		target, t, ok := alias(m, name)
		if !ok || k.rtype == dns.TypeCNAME {
			break
		}
		if *hops++; *hops > maxAliases {
			return answer{}, "", errAliases
		}
		name, ttl = target, min(ttl, life(t))
	}
	n := 0
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Rrtype != k.rtype || h.Class != dns.ClassINET || fold(h.Name) != name || n == maxRecords {
			continue
		}
		n++
		ttl = min(ttl, life(h.Ttl))
		ans.add(rr)
	}
	if n == 0 {
		neg, ok := negativeTTL(m)
		if !ok && name != k.name && m.Rcode == dns.RcodeSuccess {
			return answer{}, name, nil
		}
		ttl = min(ttl, neg)
	}
	sort.SliceStable(ans.mx, func(i, j int) bool { return ans.mx[i].Preference < ans.mx[j].Preference })
	ans.gone = m.Rcode == dns.RcodeNameError && *hops == 0
	ans.ttl = time.Duration(ttl) * time.Second
	return ans, "", nil
}

// alias returns where name leads to in m.
func alias(m *dns.Msg, name string) (target string, ttl uint32, ok bool) {
	for _, rr := range m.Answer {
		c, is := rr.(*dns.CNAME)
		if is && c.Hdr.Class == dns.ClassINET && fold(c.Hdr.Name) == name {
			return fold(c.Target), c.Hdr.Ttl, true
		}
	}
	return "", 0, false
}

// negativeTTL returns how long "no" holds: the smaller of the SOA record's TTL
// and its minimum (RFC 2308 §5). Without one it must not be kept.
func negativeTTL(m *dns.Msg) (uint32, bool) {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(life(soa.Hdr.Ttl), life(soa.Minttl)), true
		}
	}
	return 0, false
}

// life returns a TTL, 0 for one that has the highest bit set (RFC 2181 §8).
func life(ttl uint32) uint32 {
	if ttl > 1<<31-1 {
		return 0
	}
	return ttl
}

// add takes one record in.
func (a *answer) add(rr dns.RR) {
	switch rr := rr.(type) {
	case *dns.TXT:
		var b strings.Builder
		for _, s := range rr.Txt {
			b.WriteString(unescape(s))
		}
		a.text = append(a.text, b.String())
	case *dns.PTR:
		if h, ok := host(rr.Ptr); ok {
			a.text = append(a.text, h)
		}
	case *dns.MX:
		h, ok := host(rr.Mx)
		if ok || rr.Mx == "." {
			a.mx = append(a.mx, MX{Preference: rr.Preference, Host: h})
		}
	case *dns.TLSA:
		a.tlsa = append(a.tlsa, TLSA{Usage: rr.Usage, Selector: rr.Selector, MatchingType: rr.MatchingType, Data: rr.Certificate})
	case *dns.A:
		if ip, ok := netip.AddrFromSlice(rr.A); ok {
			a.addrs = append(a.addrs, ip.Unmap())
		}
	case *dns.AAAA:
		// A mapped address in an AAAA record is kept as it is written: it is no
		// IPv4 address of that name.
		if ip, ok := netip.AddrFromSlice(rr.AAAA.To16()); ok {
			a.addrs = append(a.addrs, ip)
		}
	}
}
