package resolver

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// headSize is the fixed part of a DNS message (RFC 1035 §4.1.1).
const headSize = 12

// readPlain reads the answer to the question k for addresses, and whether the
// server says that it validated it, where wire is of the form that nearly all
// such answers have: no error, the very name that was asked, A records or none.
// Everything else is not ok, and left to package dns, which makes an object of
// each part of it. The id is the caller's to check.
func readPlain(wire []byte, k key) (ans answer, validated, ok bool) {
	if len(wire) < headSize || k.rtype != dns.TypeA {
		return answer{}, false, false
	}
	flags := binary.BigEndian.Uint16(wire[2:])
	rcode := int(flags & 0xf)
	// QR, no opcode, no TC; a rest of NOERROR or NXDOMAIN; one question.
	if flags&0xfa00 != 0x8000 || rcode != dns.RcodeSuccess && rcode != dns.RcodeNameError || binary.BigEndian.Uint16(wire[4:]) != 1 {
		return answer{}, false, false
	}
	name, at, err := dns.UnpackDomainName(wire, headSize)
	if err != nil || fold(name) != k.name || len(wire) < at+4 ||
		binary.BigEndian.Uint32(wire[at:]) != uint32(k.rtype)<<16|dns.ClassINET {
		return answer{}, false, false
	}
	p := plainReader{wire: wire, at: at + 4}
	ttl := uint32(1<<32 - 1)
	for range binary.BigEndian.Uint16(wire[6:]) {
		rr, fine := p.record()
		if !fine || rr.pointer != headSize || rr.rtype != dns.TypeA || rr.class != dns.ClassINET || len(rr.data) != 4 {
			return answer{}, false, false
		}
		ans.addrs = append(ans.addrs, netip.AddrFrom4([4]byte(rr.data)))
		ttl = min(ttl, life(rr.ttl))
	}
	negative, fine := p.rest(binary.BigEndian.Uint16(wire[8:]), binary.BigEndian.Uint16(wire[10:]))
	if !fine {
		return answer{}, false, false
	}
	if len(ans.addrs) == 0 {
		ttl = negative
	}
	ans.gone, ans.ttl = rcode == dns.RcodeNameError, time.Duration(ttl)*time.Second
	return ans, flags&0x20 != 0, true
}

// plainReader goes through the records of a message.
type plainReader struct {
	wire []byte
	at   int
}

// plainRecord is one record. pointer is where its name stands if that is a
// pointer and nothing else, else 0.
type plainRecord struct {
	pointer      int
	rtype, class uint16
	ttl          uint32
	data         []byte
}

// record reads the next record.
func (p *plainReader) record() (rr plainRecord, ok bool) {
	if len(p.wire) >= p.at+2 && p.wire[p.at]&0xc0 == 0xc0 {
		rr.pointer = int(binary.BigEndian.Uint16(p.wire[p.at:]) & 0x3fff)
	}
	if p.at, ok = skipName(p.wire, p.at); !ok || len(p.wire) < p.at+10 {
		return rr, false
	}
	b := p.wire[p.at:]
	rr.rtype, rr.class, rr.ttl = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])
	size := int(binary.BigEndian.Uint16(b[8:]))
	if len(b) < 10+size {
		return rr, false
	}
	rr.data = b[10 : 10+size]
	p.at += 10 + size
	return rr, true
}

// rest reads the authority and the additional section to the end of the message.
// negative is how long "no" holds (RFC 2308 §5), in seconds; what has an extended
// code is not ok (RFC 6891 §6.1.3).
func (p *plainReader) rest(authority, additional uint16) (negative uint32, ok bool) {
	found := false
	for range authority {
		rr, ok := p.record()
		if !ok {
			return 0, false
		}
		if found || rr.rtype != dns.TypeSOA {
			continue
		}
		// Two names, then five numbers, the last of which is the minimum.
		from := p.at - len(rr.data)
		for range 2 {
			if from, ok = skipName(p.wire[:p.at], from); !ok {
				return 0, false
			}
		}
		if p.at-from != 20 {
			return 0, false
		}
		found, negative = true, min(life(rr.ttl), life(binary.BigEndian.Uint32(p.wire[p.at-4:])))
	}
	for range additional {
		rr, ok := p.record()
		if !ok || rr.rtype == dns.TypeOPT && rr.ttl>>24 != 0 {
			return 0, false
		}
	}
	return negative, p.at == len(p.wire)
}

// skipName returns where the name at ends.
func skipName(wire []byte, at int) (end int, ok bool) {
	for at < len(wire) {
		switch n := int(wire[at]); {
		case n == 0:
			return at + 1, true
		case n >= 0xc0:
			return at + 2, at+2 <= len(wire)
		case n > maxLabel:
			return 0, false
		default:
			at += 1 + n
		}
	}
	return 0, false
}
