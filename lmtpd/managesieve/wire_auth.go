package managesieve

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/internal/secret"
)

// maxAuthLine is the longest line of Dovecot's client protocol, in either
// direction, its end included.
const maxAuthLine = 16384

// maxResponse bounds a SASL message of a client in base64, so that its line is
// within maxAuthLine; as Postfix's smtpd_sasl_response_limit.
const maxResponse = 12288

// errAuth is every fault of the auth server.
var errAuth = errors.New("auth server breaks its protocol")

// authRequest is an AUTH.
type authRequest struct {
	id      uint32
	mech    string
	session string
	// client and server are the ends of the connection.
	client, server netip.AddrPort
	// hasResp says that there is an initial response, which may be empty.
	hasResp bool
	resp    secret.Value // base64
}

// appendTo appends the line. The client is told to be on TLS, as it is, and that
// no login follows: nobody asks the master socket.
func (r authRequest) appendTo(dst []byte) ([]byte, error) {
	if !isMechanism(r.mech) || !isWord(r.session) || r.hasResp && !isBase64(r.resp.Reveal()) {
		return nil, errors.New("encode AUTH: not a mechanism, a session or base64")
	}
	dst = fmt.Appendf(dst, "AUTH\t%d\t%s\tservice=sieve\tnologin\tsecured=tls\tfinal-resp-ok\tsession=%s", r.id, r.mech, r.session)
	for _, end := range []struct {
		ip, port string
		addr     netip.AddrPort
	}{{"lip", "lport", r.server}, {"rip", "rport", r.client}} {
		if end.addr.IsValid() {
			dst = fmt.Appendf(dst, "\t%s=%s\t%s=%d", end.ip, end.addr.Addr().Unmap().WithZone(""), end.port, end.addr.Port())
		}
	}
	if r.hasResp {
		dst = append(append(dst, "\tresp="...), r.resp.Reveal()...)
	}
	return append(dst, '\n'), nil
}

// appendCont appends the client's next message.
func appendCont(dst []byte, id uint32, data secret.Value) ([]byte, error) {
	if !isBase64(data.Reveal()) {
		return nil, errors.New("encode CONT: not base64")
	}
	dst = append(strconv.AppendUint(append(dst, "CONT\t"...), uint64(id), 10), '\t')
	return append(append(dst, data.Reveal()...), '\n'), nil
}

// isBase64 reports whether b holds nothing else; whether it decodes is for the
// auth server. What it lets through cannot end a field or a line.
func isBase64(b []byte) bool {
	for _, c := range b {
		if !isAlnum(c) && c != '+' && c != '/' && c != '=' {
			return false
		}
	}
	return len(b) <= maxResponse
}

// isMechanism reports whether s is the name of a SASL mechanism (RFC 4422 §3.1).
func isMechanism(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 20
}

func isWord(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// authVerb is the first word of a line of the auth server.
type authVerb string

const (
	authVersion authVerb = "VERSION"
	authMech    authVerb = "MECH"
	authDone    authVerb = "DONE"
	authOK      authVerb = "OK"
	authCont    authVerb = "CONT"
	authFail    authVerb = "FAIL"
)

// authLine is one line of the auth server. Which fields count depends on verb.
type authLine struct {
	verb authVerb
	// mech is that of MECH, "" for one that nobody is offered here.
	mech string
	id   uint32
	data string // CONT: base64
	// OK and FAIL:
	user, reason, code, resp string
	temp, nologin            bool
}

// parseAuthLine reads a line without its LF. Unknown verbs are returned as they
// are, unknown parameters are ignored, as both sides do.
func parseAuthLine(line []byte) (l authLine, err error) {
	line = bytes.TrimSuffix(line, []byte{'\r'})
	f := bytes.Split(line, []byte{'\t'})
	l.verb = authVerb(f[0])
	f = f[1:]
	switch l.verb {
	case authVersion:
		if len(f) != 2 || string(f[0]) != "1" {
			return l, fmt.Errorf("%w: it is not version 1", errAuth)
		}
		return l, nil
	case authMech:
		if len(f) > 0 {
			l.mech = offered(string(f[0]), f[1:])
		}
		return l, nil
	case authOK, authCont, authFail:
	default:
		return l, nil
	}
	if len(f) == 0 {
		return l, fmt.Errorf("%w: %s without an id", errAuth, l.verb)
	}
	id, err := strconv.ParseUint(string(f[0]), 10, 32)
	if err != nil || id == 0 {
		return l, fmt.Errorf("%w: %s without an id", errAuth, l.verb)
	}
	l.id = uint32(id)
	if l.verb == authCont {
		if len(f) != 2 || !isBase64(f[1]) {
			return l, fmt.Errorf("%w: CONT without a message", errAuth)
		}
		l.data = string(f[1])
		return l, nil
	}
	for _, p := range f[1:] {
		if err := l.param(p); err != nil {
			return l, err
		}
	}
	return l, nil
}

// param takes one parameter of OK or FAIL.
func (l *authLine) param(field []byte) error {
	key, raw, _ := bytes.Cut(field, []byte{'='})
	value, err := unescape(raw)
	if err != nil {
		return err
	}
	switch string(key) {
	case "user":
		l.user = value
	case "reason":
		l.reason = value
	case "code":
		l.code = value
	case "resp":
		l.resp = value
		if !isBase64(raw) {
			return fmt.Errorf("%w: resp is not base64", errAuth)
		}
	case "temp":
		l.temp = true
	case "nologin":
		l.nologin = true
	}
	return nil
}

// unescape resolves Dovecot's escapes behind 0x01.
func unescape(b []byte) (string, error) {
	var out strings.Builder
	for i := 0; i < len(b); i++ {
		if b[i] != 1 {
			out.WriteByte(b[i])
			continue
		}
		i++
		if i == len(b) {
			return "", fmt.Errorf("%w: broken escape", errAuth)
		}
		at := strings.IndexByte("01trn", b[i])
		if at < 0 {
			return "", fmt.Errorf("%w: unknown escape", errAuth)
		}
		out.WriteByte("\x00\x01\t\r\n"[at])
	}
	return out.String(), nil
}

// offered returns the name of a mechanism that clients may be offered: not one
// that wants a certificate or a channel binding, lets anybody in, or that the
// server keeps to itself.
func offered(name string, flags [][]byte) string {
	hidden := slices.ContainsFunc(flags, func(f []byte) bool { return string(f) == "private" || string(f) == "anonymous" })
	if hidden || !isMechanism(name) || strings.HasSuffix(name, "-PLUS") || name == "EXTERNAL" || name == "ANONYMOUS" {
		return ""
	}
	return name
}
