package authd

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"

	"github.com/gatepost/gatepost/internal/netaddr"
)

// Limits of a line in bytes, its end included, and of a master reply.
const (
	maxClientLine  = 16384
	maxMasterLine  = 1024
	maxMasterReply = 8192
)

// errProtocol is every fault of the peer for which Dovecot closes the
// connection without a reply.
var errProtocol = errors.New("protocol error")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errProtocol}, args...)...)
}

// escapes are the second bytes of Dovecot's escapes, behind 0x01 (lib/strescape).
var escapes = [...]struct{ letter, is byte }{{'0', 0}, {'1', 1}, {'t', '\t'}, {'r', '\r'}, {'n', '\n'}}

// unescape resolves the escapes in a field. It returns b itself when it has none.
func unescape(b []byte) ([]byte, error) {
	if bytes.IndexByte(b, 1) < 0 {
		return b, nil
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != 1 {
			out = append(out, b[i])
			continue
		}
		i++
		known := false
		for _, e := range escapes {
			if i < len(b) && b[i] == e.letter {
				out, known = append(out, e.is), true
			}
		}
		if !known {
			return nil, broken("unknown escape")
		}
	}
	return out, nil
}

// escaping says whether the peer resolves escapes. Postfix does not: what would
// need one cannot be sent to it.
type escaping bool

const (
	dovecotEscapes escaping = true
	noEscapes      escaping = false
)

// appendField appends s, which must need no escape where there is none.
func (e escaping) appendField(dst []byte, s string) ([]byte, error) {
next:
	for i := range len(s) {
		if s[i] > '\r' { // no escape is above it
			dst = append(dst, s[i])
			continue
		}
		for _, x := range escapes {
			if s[i] != x.is {
				continue
			}
			if e == noEscapes {
				return nil, fmt.Errorf("encode: byte %#02x at %d cannot be sent to this peer", s[i], i)
			}
			dst = append(dst, 1, x.letter)
			continue next
		}
		dst = append(dst, s[i])
	}
	return dst, nil
}

// trimLine takes the CR of a CRLF line end off and refuses bytes that no line
// holds.
func trimLine(line []byte) ([]byte, error) {
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if bytes.IndexByte(line, '\r') >= 0 || bytes.IndexByte(line, '\n') >= 0 || bytes.IndexByte(line, 0) >= 0 {
		return nil, broken("bare CR, LF or NUL in a line")
	}
	return line, nil
}

// fields walks over the tab-separated fields of a line.
type fields struct {
	rest []byte
	more bool
}

func newFields(line []byte) *fields { return &fields{rest: line, more: true} }

// next returns the next field as it stands on the wire.
func (f *fields) next() ([]byte, bool) {
	if !f.more {
		return nil, false
	}
	field := f.rest
	i := bytes.IndexByte(field, '\t') // bytes.Cut takes three times as long
	if f.more = i >= 0; f.more {
		field, f.rest = field[:i], field[i+1:]
	}
	return field, true
}

// text returns the next field with its escapes resolved; it must be there.
func (f *fields) text(what string) (string, error) {
	b, ok := f.next()
	if !ok {
		return "", broken("no %s", what)
	}
	b, err := unescape(b)
	return string(b), err
}

// number returns the next field as a decimal number from least to 2^32-1.
func (f *fields) number(what string, least uint64) (uint32, error) {
	b, ok := f.next()
	if !ok {
		return 0, broken("no %s", what)
	}
	n, ok := parseNumber(b)
	if !ok || uint64(n) < least {
		return 0, broken("%s is not a number from %d to 2^32-1", what, least)
	}
	return n, nil
}

// end refuses what is left.
func (f *fields) end() error {
	if f.more {
		return broken("trailing field")
	}
	return nil
}

// parseNumber reads decimal digits, nothing else.
func parseNumber(b []byte) (uint32, bool) {
	if len(b) == 0 || len(b) > 10 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return uint32(n), n <= math.MaxUint32
}

// version is a protocol version. Only another major one is refused.
type version struct{ major, minor uint32 }

func parseVersion(f *fields) (v version, err error) {
	if v.major, err = f.number("major version", 0); err != nil {
		return v, err
	}
	if v.minor, err = f.number("minor version", 0); err != nil {
		return v, err
	}
	if v.major != 1 {
		return v, broken("major version %d", v.major)
	}
	return v, f.end()
}

func (v version) appendTo(dst []byte) []byte {
	return fmt.Appendf(dst, "VERSION\t%d\t%d\n", v.major, v.minor)
}

// client is who logs in, as far as the peer tells. Requests of both protocols
// have these parameters.
type client struct {
	// service is service= (Postfix, Dovecot to 2.3) or protocol= (2.4).
	service string
	// addr is rip=, invalid where the peer does not know it; port is rport=.
	addr netip.Addr
	port uint16
	// realAddr is real_rip=: who is connected, where that is not addr. Dovecot
	// was told to believe that one.
	realAddr netip.Addr
	// session is Dovecot's id of the session, empty where it is absurdly long.
	session string
	// noPenalty is no-penalty: a network that Dovecot was told to trust.
	noPenalty bool
}

// Bounds of texts that go to the journal.
const (
	maxService = 64
	maxSession = 128
)

// parse takes one parameter, key=value or a bare key. Unknown ones are ignored.
// An address that is none is as good as none: Postfix sends an empty one.
func (c *client) parse(field []byte) error {
	i := bytes.IndexByte(field, '=')
	if i < 0 {
		c.noPenalty = c.noPenalty || string(field) == "no-penalty"
		return nil
	}
	key, raw := field[:i], field[i+1:]
	switch string(key) {
	case "service", "protocol", "rip", "real_rip", "rport", "session":
	default:
		return nil
	}
	value, err := unescape(raw)
	if err != nil {
		return err
	}
	switch string(key) {
	case "service", "protocol":
		if c.service != "" && c.service != string(value) {
			return broken("two services")
		}
		if !isToken(value, maxService) {
			return broken("service is not a word")
		}
		c.service = serviceName(value)
	case "rip":
		c.addr, _ = netaddr.Parse(string(value))
	case "real_rip":
		c.realAddr, _ = netaddr.Parse(string(value))
	case "rport":
		if n, ok := parseNumber(value); ok && n <= 65535 {
			c.port = uint16(n)
		}
	case "session":
		if len(value) <= maxSession {
			c.session = string(value)
		}
	}
	return nil
}

// serviceName is a service as a string; the usual ones take no memory.
func serviceName(b []byte) string {
	for _, s := range [...]string{"smtp", "imap", "submission", "pop3", "sieve", "lmtp"} {
		if string(b) == s {
			return s
		}
	}
	return string(b)
}

// appendTo appends the parameters, each behind a TAB.
func (c client) appendTo(dst []byte) (_ []byte, err error) {
	if c.service != "" {
		if dst, err = dovecotEscapes.appendField(append(dst, "\tservice="...), c.service); err != nil {
			return nil, err
		}
	}
	if c.noPenalty {
		dst = append(dst, "\tno-penalty"...)
	}
	if c.session != "" {
		if dst, err = dovecotEscapes.appendField(append(dst, "\tsession="...), c.session); err != nil {
			return nil, err
		}
	}
	if c.addr.IsValid() {
		dst = c.addr.AppendTo(append(dst, "\trip="...))
	}
	if c.realAddr.IsValid() {
		dst = c.realAddr.AppendTo(append(dst, "\treal_rip="...))
	}
	if c.port != 0 {
		dst = strconv.AppendUint(append(dst, "\trport="...), uint64(c.port), 10)
	}
	return dst, nil
}

// isToken reports whether b is 1 to most visible ASCII characters.
func isToken(b []byte, most int) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(b) > 0 && len(b) <= most
}

// param is a parameter of a reply: key=value, or a bare key.
type param struct {
	key, value string
	flag       bool
}

// appendParams appends params, each behind a TAB.
func (e escaping) appendParams(dst []byte, params []param) (_ []byte, err error) {
	for _, p := range params {
		if !isToken([]byte(p.key), maxService) || bytes.IndexByte([]byte(p.key), '=') >= 0 {
			return nil, fmt.Errorf("encode: %q is no name of a parameter", p.key)
		}
		dst = append(append(dst, '\t'), p.key...)
		if p.flag {
			continue
		}
		if dst, err = e.appendField(append(dst, '='), p.value); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// parseParams reads what appendParams wrote with escapes.
func parseParams(f *fields) (params []param, err error) {
	for {
		b, ok := f.next()
		if !ok {
			return params, nil
		}
		key, raw, hasValue := bytes.Cut(b, []byte{'='})
		if !isToken(key, maxService) {
			return nil, broken("a parameter without a name")
		}
		value, err := unescape(raw)
		if err != nil {
			return nil, err
		}
		params = append(params, param{key: string(key), value: string(value), flag: !hasValue})
	}
}
