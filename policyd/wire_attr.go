package policyd

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/internal/netaddr"
)

// unknown is what Postfix sends for a client without address, name or port.
const unknown = "unknown"

// attribute is one known attribute: where its value goes, and where it comes
// from when a Request is written.
type attribute struct {
	name  string
	parse func(p *requestParser, value string) error
	value func(r *Request) string
	// words are values that come again and again, so that no copy is made.
	words []string
}

// text returns a value as a text of its own.
func (a *attribute) text(value []byte) string {
	for _, w := range a.words {
		if string(value) == w {
			return w
		}
	}
	return string(value)
}

// text is an attribute that is kept as it is.
func text(name string, field func(r *Request) *string) attribute {
	return attribute{
		name:  name,
		parse: func(p *requestParser, v string) error { *field(p.out) = v; return nil },
		value: func(r *Request) string { return *field(r) },
	}
}

// known is text where "unknown" means nothing.
func known(name string, field func(r *Request) *string) attribute {
	a := text(name, field)
	a.parse = func(p *requestParser, v string) error {
		if v != unknown {
			*field(p.out) = v
		}
		return nil
	}
	a.value = func(r *Request) string {
		if v := *field(r); v != "" {
			return v
		}
		return unknown
	}
	return a
}

// oneOf is a with values that mostly come.
func oneOf(words []string, a attribute) attribute {
	a.words = words
	return a
}

// stateWords are the states about which there is one request for each recipient
// or mail.
var stateWords = [...]string{string(StateRcpt), string(StateData), string(StateEndOfMessage)}

// number is an attribute that is empty or a decimal number from 0.
func number(name string, field func(r *Request) *int64) attribute {
	return attribute{
		name: name,
		parse: func(p *requestParser, v string) error {
			if v == "" {
				return nil
			}
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 0 {
				return fmt.Errorf("%w: %s is no number", ErrMalformed, name)
			}
			*field(p.out) = n
			return nil
		},
		value: func(r *Request) string { return strconv.FormatInt(*field(r), 10) },
	}
}

// attributes are in the order in which Postfix 3.7 sends them; the parser
// relies on the order for speed only.
var attributes = [...]attribute{
	{
		name:  "request",
		parse: func(p *requestParser, v string) error { p.request = v; return nil },
		value: func(*Request) string { return requestName },
	},
	oneOf(stateWords[:], text("protocol_state", func(r *Request) *string { return (*string)(&r.ProtocolState) })),
	text("protocol_name", func(r *Request) *string { return &r.ProtocolName }),
	{
		name:  "client_address",
		parse: func(p *requestParser, v string) error { p.out.Client.Addr = parseAddr(v); return nil },
		value: func(r *Request) string { return formatAddr(r.Client.Addr) },
	},
	known("client_name", func(r *Request) *string { return &r.Client.Name }),
	{
		name:  "client_port",
		parse: func(p *requestParser, v string) error { p.out.Client.Port = parsePort(v); return nil },
		value: func(r *Request) string { return formatPort(r.Client.Port) },
	},
	known("reverse_client_name", func(r *Request) *string { return &r.Client.ReverseName }),
	{
		name:  "server_address",
		parse: func(p *requestParser, v string) error { p.out.Server.Addr = parseAddr(v); return nil },
		value: func(r *Request) string { return formatAddr(r.Server.Addr) },
	},
	{
		name:  "server_port",
		parse: func(p *requestParser, v string) error { p.out.Server.Port = parsePort(v); return nil },
		value: func(r *Request) string { return formatPort(r.Server.Port) },
	},
	text("helo_name", func(r *Request) *string { return &r.Client.Helo }),
	text("sender", func(r *Request) *string { return &r.MailFrom }),
	text("recipient", func(r *Request) *string { return &r.RcptTo }),
	number("recipient_count", func(r *Request) *int64 { return &r.RecipientCount }),
	text("queue_id", func(r *Request) *string { return &r.QueueID }),
	text("instance", func(r *Request) *string { return &r.Instance }),
	number("size", func(r *Request) *int64 { return &r.Size }),
	text("etrn_domain", func(r *Request) *string { return &r.ETRNDomain }),
	{
		name:  "stress",
		parse: func(p *requestParser, v string) error { p.out.Stress = v == "yes"; return nil },
		value: func(r *Request) string {
			if r.Stress {
				return "yes"
			}
			return ""
		},
	},
	text("sasl_method", func(r *Request) *string { return &r.SASL.Method }),
	text("sasl_username", func(r *Request) *string { return &r.SASL.Username }),
	text("sasl_sender", func(r *Request) *string { return &r.SASL.Sender }),
	text("ccert_subject", func(r *Request) *string { return &r.TLS.CertSubject }),
	text("ccert_issuer", func(r *Request) *string { return &r.TLS.CertIssuer }),
	text("ccert_fingerprint", func(r *Request) *string { return &r.TLS.CertFingerprint }),
	text("ccert_pubkey_fingerprint", func(r *Request) *string { return &r.TLS.PubkeyFingerprint }),
	text("encryption_protocol", func(r *Request) *string { return &r.TLS.Protocol }),
	text("encryption_cipher", func(r *Request) *string { return &r.TLS.Cipher }),
	number("encryption_keysize", func(r *Request) *int64 { return &r.TLS.KeyBits }),
	text("policy_context", func(r *Request) *string { return &r.PolicyContext }),
}

// requestName is the one value that the attribute "request" has.
const requestName = "smtpd_access_policy"

// requestParser collects the attributes of one request.
type requestParser struct {
	out     *Request
	request string
	seen    uint64 // one bit for each entry of attributes
	next    int    // the entry that Postfix would send next
}

// line takes one "name=value".
func (p *requestParser) line(s string) error {
	if len(s) > MaxLineBytes {
		return fmt.Errorf("%w: a line is longer than %d bytes", ErrMalformed, MaxLineBytes)
	}
	if p.next < len(attributes) {
		next := &attributes[p.next]
		if n := len(next.name); len(s) > n && s[n] == '=' && s[:n] == next.name && p.seen&(1<<p.next) == 0 {
			p.seen |= 1 << p.next
			p.next++
			return next.parse(p, s[n+1:])
		}
	}
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return fmt.Errorf("%w: a line is not name=value", ErrMalformed)
	}
	i := p.find(name)
	if i < 0 || p.seen&(1<<i) != 0 {
		return nil
	}
	p.seen |= 1 << i
	p.next = i + 1
	return attributes[i].parse(p, value)
}

// find returns the index of name in attributes, or -1.
func (p *requestParser) find(name string) int {
	for i := range attributes {
		if attributes[i].name == name {
			return i
		}
	}
	return -1
}

// parseAddr returns the zero Addr for "unknown" and whatever is no address.
func parseAddr(s string) netip.Addr {
	if s == "" || s == unknown {
		return netip.Addr{}
	}
	a, err := netaddr.Parse(s)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

func formatAddr(a netip.Addr) string {
	if !a.IsValid() {
		return unknown
	}
	return a.String()
}

// parsePort returns 0 for "unknown" and whatever is no port.
func parsePort(s string) uint16 {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

func formatPort(p uint16) string {
	if p == 0 {
		return unknown
	}
	return strconv.Itoa(int(p))
}

// Append writes r as Postfix does and returns the longer dst. It refuses a
// value that would not come back: one with NUL, CR or LF, or too long.
func (r *Request) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	for i := range attributes {
		v := attributes[i].value(r)
		if strings.ContainsAny(v, "\x00\r\n") || len(attributes[i].name)+1+len(v) > MaxLineBytes {
			return nil, fmt.Errorf("attribute %s holds NUL, CR or LF, or is too long", attributes[i].name)
		}
		dst = append(dst, attributes[i].name...)
		dst = append(dst, '=')
		dst = append(dst, v...)
		dst = append(dst, '\n')
	}
	dst = append(dst, '\n')
	if len(dst)-start > MaxRequestBytes {
		return nil, fmt.Errorf("request is longer than %d bytes", MaxRequestBytes)
	}
	return dst, nil
}
