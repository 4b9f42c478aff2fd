package milter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/reply"
)

// command is the first byte of a packet from the MTA.
type command byte

// The commands of protocol version 6.
const (
	cmdAbort   command = 'A' // SMFIC_ABORT
	cmdBody    command = 'B' // SMFIC_BODY
	cmdConnect command = 'C' // SMFIC_CONNECT
	cmdMacro   command = 'D' // SMFIC_MACRO
	cmdEOM     command = 'E' // SMFIC_BODYEOB
	cmdHelo    command = 'H' // SMFIC_HELO
	cmdQuitNC  command = 'K' // SMFIC_QUIT_NC
	cmdHeader  command = 'L' // SMFIC_HEADER
	cmdMail    command = 'M' // SMFIC_MAIL
	cmdEOH     command = 'N' // SMFIC_EOH
	cmdOptNeg  command = 'O' // SMFIC_OPTNEG
	cmdQuit    command = 'Q' // SMFIC_QUIT
	cmdRcpt    command = 'R' // SMFIC_RCPT
	cmdData    command = 'T' // SMFIC_DATA
	cmdUnknown command = 'U' // SMFIC_UNKNOWN
)

// response is the first byte of a packet to the MTA.
type response byte

// The responses that we send.
const (
	respAddHeader    response = 'h' // SMFIR_ADDHEADER
	respChangeHeader response = 'm' // SMFIR_CHGHEADER
	respInsertHeader response = 'i' // SMFIR_INSHEADER
	respChangeFrom   response = 'e' // SMFIR_CHGFROM
	respAccept       response = 'a' // SMFIR_ACCEPT
	respContinue     response = 'c' // SMFIR_CONTINUE
	respReplyCode    response = 'y' // SMFIR_REPLYCODE
	respOptNeg       response = 'O' // SMFIC_OPTNEG, echoed
)

// edits reports whether r changes the message, and is thus followed by more.
func (r response) edits() bool {
	switch r {
	case respAddHeader, respChangeHeader, respInsertHeader, respChangeFrom, '+', '-', 'b', 'q', '2':
		return true
	}
	return false
}

// Bits of the negotiation.
const (
	actAddHeaders    uint32 = 0x1   // SMFIF_ADDHDRS
	actChangeHeaders uint32 = 0x10  // SMFIF_CHGHDRS
	actChangeFrom    uint32 = 0x40  // SMFIF_CHGFROM
	actMacroList     uint32 = 0x100 // SMFIF_SETSYMLIST

	noReplyHeader  uint32 = 0x80     // SMFIP_NR_HDR
	noReplyConnect uint32 = 0x1000   // SMFIP_NR_CONN
	noReplyHelo    uint32 = 0x2000   // SMFIP_NR_HELO
	noReplyMail    uint32 = 0x4000   // SMFIP_NR_MAIL
	noReplyRcpt    uint32 = 0x8000   // SMFIP_NR_RCPT
	noReplyEOH     uint32 = 0x40000  // SMFIP_NR_EOH
	noReplyBody    uint32 = 0x80000  // SMFIP_NR_BODY
	leadingSpace   uint32 = 0x100000 // SMFIP_HDR_LEADSPC
)

// What we ask for, as far as the MTA offers it. SMFIP_NR_DATA (0x10000) and
// SMFIP_NR_UNKN (0x20000) are left out: the library answers every DATA by
// itself, and the guard every UNKNOWN.
const (
	protocolVersion = 6
	wantActions     = actAddHeaders | actChangeHeaders | actChangeFrom | actMacroList
	wantProtocol    = leadingSpace | noReplyHeader | noReplyConnect | noReplyHelo |
		noReplyMail | noReplyRcpt | noReplyEOH | noReplyBody
)

// wantMacros is our SMFIF_SETSYMLIST: it replaces what milter_*_macros of
// main.cf say, so that what we need does not hang on their settings.
var wantMacros = []macroList{
	{0, "j {daemon_name} {daemon_addr} v _ {client_addr} {client_name} {client_port} {client_ptr} {client_resolve}"},
	{1, "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}"},
	{2, "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}"},
	{3, "i {rcpt_addr} {rcpt_host} {rcpt_mailer}"},
	{4, "i"},
	{5, "i"},
	{6, "i"},
}

// Bounds of a packet's data, without the length and the command byte. A body
// chunk is 65535 bytes from Postfix; Sendmail may negotiate up to a megabyte.
const (
	maxFrame   = 1 << 20
	maxCommand = 1 << 16
)

// Errors of the decoders. errShape covers every packet that is not of the form
// that its command has.
var (
	errLength  = errors.New("packet length out of bounds")
	errShape   = errors.New("malformed packet")
	errCommand = errors.New("unknown command")
)

// frame is one packet.
type frame struct {
	Cmd  command
	Data []byte
}

// maxData returns the most data that c may carry, and an error for a command
// that is none.
func maxData(c command) (int, error) {
	switch c {
	case cmdBody, cmdEOM:
		return maxFrame, nil
	case cmdMacro, cmdConnect, cmdHelo, cmdMail, cmdRcpt, cmdHeader, cmdUnknown, cmdOptNeg:
		return maxCommand, nil
	case cmdAbort, cmdEOH, cmdData, cmdQuit, cmdQuitNC:
		return 0, nil
	}
	return 0, fmt.Errorf("%w %q", errCommand, byte(c))
}

// readFrame reads one packet; its data is in buf, which grows with the bytes
// that arrive, not with the length that was announced. io.EOF means that the
// peer closed before a packet.
func readFrame(r io.Reader, buf []byte) (frame, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return frame{}, buf, err
	}
	if _, err := io.ReadFull(r, head[1:4]); err != nil {
		return frame{}, buf, unexpected(err)
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n < 1 || n > maxFrame+1 {
		return frame{}, buf, fmt.Errorf("%w: %d", errLength, n)
	}
	if _, err := io.ReadFull(r, head[4:]); err != nil {
		return frame{}, buf, unexpected(err)
	}
	f := frame{Cmd: command(head[4])}
	limit, err := maxData(f.Cmd)
	if err != nil {
		return frame{}, buf, err
	}
	want := int(n) - 1
	if want > limit {
		return frame{}, buf, fmt.Errorf("%w: %d for %q", errLength, n, byte(f.Cmd))
	}
	const step = 64 << 10
	buf = buf[:0]
	for len(buf) < want {
		have := len(buf)
		buf = slices.Grow(buf, min(step, want-have))[:min(have+step, want)]
		if m, err := io.ReadFull(r, buf[have:]); err != nil {
			return frame{}, buf[:have+m], unexpected(err)
		}
	}
	f.Data = buf
	return f, buf, nil
}

// unexpected makes an end within a packet tell from one between packets.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendFrame appends one packet with the parts of data in turn.
func appendFrame(dst []byte, code byte, data ...[]byte) []byte {
	n := 1
	for _, d := range data {
		n += len(d)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, code)
	for _, d := range data {
		dst = append(dst, d...)
	}
	return dst
}

// macroList names the macros that we want at a stage (0 connect, 1 helo, 2
// mail, 3 rcpt, 4 data, 5 end of message, 6 end of header).
type macroList struct {
	Stage uint32
	Names string
}

// options is the data of a negotiation packet.
type options struct {
	Version, Actions, Protocol uint32
	Macros                     []macroList
}

// parseOptions reads the MTA's offer: three words, and nothing behind them.
func parseOptions(b []byte) (options, error) {
	if len(b) != 12 {
		return options{}, fmt.Errorf("negotiation of %d bytes: %w", len(b), errShape)
	}
	o := options{
		Version:  binary.BigEndian.Uint32(b),
		Actions:  binary.BigEndian.Uint32(b[4:]),
		Protocol: binary.BigEndian.Uint32(b[8:]),
	}
	if o.Version < 2 {
		return options{}, fmt.Errorf("protocol version %d: %w", o.Version, errShape)
	}
	return o, nil
}

// append appends o as the data of a negotiation packet.
func (o options) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, o.Version)
	dst = binary.BigEndian.AppendUint32(dst, o.Actions)
	dst = binary.BigEndian.AppendUint32(dst, o.Protocol)
	for _, m := range o.Macros {
		dst = binary.BigEndian.AppendUint32(dst, m.Stage)
		dst = append(append(dst, m.Names...), 0)
	}
	return dst
}

// negotiate returns our answer to what the MTA offers: a bit that it did not
// offer is a protocol error to Postfix, which then defers the mail.
func negotiate(offer options) options {
	o := options{
		Version:  min(offer.Version, protocolVersion),
		Actions:  offer.Actions & wantActions,
		Protocol: offer.Protocol & wantProtocol,
	}
	if o.Actions&actMacroList != 0 {
		o.Macros = wantMacros
	}
	return o
}

// silent reports whether the MTA waits for no answer to c.
func (o options) silent(c command) bool {
	var bit uint32
	switch c {
	case cmdConnect:
		bit = noReplyConnect
	case cmdHelo:
		bit = noReplyHelo
	case cmdMail:
		bit = noReplyMail
	case cmdRcpt:
		bit = noReplyRcpt
	case cmdHeader:
		bit = noReplyHeader
	case cmdEOH:
		bit = noReplyEOH
	case cmdBody:
		bit = noReplyBody
	}
	return o.Protocol&bit != 0
}

// connectInfo is what CONNECT tells.
type connectInfo struct {
	// Host is the client's name, or "[addr]".
	Host string
	// Family is '4', '6', 'L' (a Unix socket) or 'U' (unknown).
	Family byte
	Port   uint16
	// Addr is set for '4' and '6', Path for 'L'.
	Addr netip.Addr
	Path string
}

// parseConnect reads host NUL family, and unless the family is unknown port
// and address NUL. libmilter sends a port for a Unix socket too.
func parseConnect(b []byte) (connectInfo, error) {
	host, rest, ok := bytes.Cut(b, []byte{0})
	if !ok || len(rest) < 1 {
		return connectInfo{}, fmt.Errorf("CONNECT: %w", errShape)
	}
	c := connectInfo{Host: string(host), Family: rest[0]}
	rest = rest[1:]
	if c.Family == 'U' && len(rest) == 0 {
		return c, nil
	}
	if len(rest) < 3 || bytes.IndexByte(rest[2:], 0) != len(rest)-3 {
		return connectInfo{}, fmt.Errorf("CONNECT: %w", errShape)
	}
	c.Port = binary.BigEndian.Uint16(rest)
	address := string(rest[2 : len(rest)-1])
	switch c.Family {
	case 'L':
		c.Path = address
		return c, nil
	case '4', '6':
		a, err := netaddr.Parse(address)
		if err != nil {
			return connectInfo{}, fmt.Errorf("CONNECT: address: %w", errShape)
		}
		c.Addr = a
		return c, nil
	}
	return connectInfo{}, fmt.Errorf("CONNECT: family %q: %w", c.Family, errShape)
}

// parseStrings reads one string or more, each ended by NUL: the path and the
// ESMTP parameters of MAIL and RCPT, the name of HELO, the word of UNKNOWN.
func parseStrings(b []byte) ([]string, error) {
	if len(b) == 0 || b[len(b)-1] != 0 {
		return nil, fmt.Errorf("string without end: %w", errShape)
	}
	var ss []string
	for len(b) > 0 {
		n := bytes.IndexByte(b, 0)
		ss = append(ss, string(b[:n]))
		b = b[n+1:]
	}
	return ss, nil
}

// parseHeader reads name NUL value NUL. A NUL within the value ends it, as it
// does in Postfix's queue file for the milter.
func parseHeader(b []byte) (name, value []byte, err error) {
	name, rest, ok := bytes.Cut(b, []byte{0})
	if !ok || len(name) == 0 || len(rest) == 0 || rest[len(rest)-1] != 0 {
		return nil, nil, fmt.Errorf("HEADER: %w", errShape)
	}
	value, _, _ = bytes.Cut(rest, []byte{0})
	return name, value, nil
}

// checkMacros reports whether b is the data of a macro packet: a command byte,
// then pairs of strings.
func checkMacros(b []byte) error {
	if len(b) == 0 || len(b) > 1 && b[len(b)-1] != 0 || bytes.Count(b[1:], []byte{0})%2 != 0 {
		return fmt.Errorf("MACRO: %w", errShape)
	}
	return nil
}

// replyText returns r as the data of SMFIR_REPLYCODE: the MTA takes "%" for the
// beginning of a format, and "%%" for itself.
func replyText(r reply.Reply) string { return strings.ReplaceAll(r.String(), "%", "%%") }
