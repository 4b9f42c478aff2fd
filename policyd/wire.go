package policyd

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Bounds of one request. Postfix bounds an SMTP command at 2,048 bytes
// (line_length_limit) and sends some thirty attributes.
const (
	// MaxRequestBytes bounds a request with its final empty line.
	MaxRequestBytes = 64 << 10
	// MaxLineBytes bounds one "name=value".
	MaxLineBytes = 8 << 10
	// MaxAttributes bounds the lines of a request.
	MaxAttributes = 128
)

// ErrMalformed is wrapped by every error of ParseRequest: the peer gets no
// answer, and its connection is closed.
var ErrMalformed = errors.New("malformed policy request")

// State is the SMTP event that a request is about (protocol_state). A state
// that is not in the list below is passed on as it is; nothing is decided
// about it.
type State string

// The protocol states of Postfix.
const (
	StateConnect      State = "CONNECT"
	StateEHLO         State = "EHLO"
	StateHELO         State = "HELO"
	StateMail         State = "MAIL"
	StateRcpt         State = "RCPT"
	StateData         State = "DATA"
	StateEndOfMessage State = "END-OF-MESSAGE"
	StateVRFY         State = "VRFY"
	StateETRN         State = "ETRN"
)

// Client is the SMTP client. What Postfix does not know, and sends as
// "unknown", is the zero value.
type Client struct {
	Addr        netip.Addr // client_address
	Port        uint16     // client_port
	Name        string     // client_name, verified
	ReverseName string     // reverse_client_name, not verified
	Helo        string     // helo_name
}

// Endpoint is the local end of the SMTP session.
type Endpoint struct {
	Addr netip.Addr // server_address
	Port uint16     // server_port
}

// Envelope is what is known of the message. The addresses are as the client
// typed them, in Postfix's internal form: without brackets and quotes.
type Envelope struct {
	MailFrom       string // sender; empty for the null reverse-path
	RcptTo         string // recipient; empty at DATA with several
	RecipientCount int64  // recipient_count; 0 before DATA
	Size           int64  // size, in bytes; a claim before END-OF-MESSAGE
}

// SASL is the login of the SMTP session; zero without one.
type SASL struct {
	Method   string // sasl_method
	Username string // sasl_username
	Sender   string // sasl_sender: the AUTH parameter of MAIL
}

// TLS is the encryption of the SMTP session; zero without.
type TLS struct {
	Protocol          string // encryption_protocol
	Cipher            string // encryption_cipher
	KeyBits           int64  // encryption_keysize
	CertSubject       string // ccert_subject, xtext
	CertIssuer        string // ccert_issuer, xtext
	CertFingerprint   string // ccert_fingerprint
	PubkeyFingerprint string // ccert_pubkey_fingerprint
}

// Request is one policy request (request=smtpd_access_policy).
type Request struct {
	ProtocolState State  // protocol_state
	ProtocolName  string // protocol_name
	Client        Client
	Server        Endpoint
	Envelope
	QueueID       string // queue_id; empty until a recipient was accepted
	Instance      string // instance: one for each mail transaction
	ETRNDomain    string // etrn_domain
	Stress        bool   // stress=yes
	SASL          SASL
	TLS           TLS
	PolicyContext string // policy_context of the service in main.cf
}

// Outbound reports whether the mail comes from a user of ours: it has a login,
// or the service's policy_context says that only submission asks it.
func (r *Request) Outbound() bool {
	return r.SASL.Username != "" || r.PolicyContext == contextSubmission
}

// contextSubmission is the policy_context of a service that only submission
// services name.
const contextSubmission = "submission"

// requestLen returns the length of the first whole request in b, with its
// final empty line, or 0 if b does not hold one. Nothing before from is looked
// at again.
func requestLen(b []byte, from int) int {
	if len(b) > 0 && b[0] == '\n' {
		return 1
	}
	from = max(from-1, 0)
	if i := bytes.Index(b[from:], []byte("\n\n")); i >= 0 {
		return from + i + 2
	}
	return 0
}

// ParseRequest reads one request: lines "name=value" and an empty line, each
// ended by LF. Names may come in any order, and a name that it does not know
// is ignored; of a name that comes twice the first counts. A NUL or a CR
// anywhere, a line without "=", a number that is none and another request than
// smtpd_access_policy are errors. The strings of the Request share one copy of
// b.
func ParseRequest(b []byte) (Request, error) {
	var r Request
	if err := parseRequest(b, &r); err != nil {
		return Request{}, err
	}
	return r, nil
}

// parseRequest is ParseRequest into a Request that is used again.
func parseRequest(b []byte, out *Request) error {
	*out = Request{}
	if len(b) > MaxRequestBytes || !bytes.HasSuffix(b, []byte("\n\n")) {
		return fmt.Errorf("%w: no end within %d bytes", ErrMalformed, MaxRequestBytes)
	}
	if hasControls(b) {
		return fmt.Errorf("%w: NUL or CR", ErrMalformed)
	}
	p := requestParser{out: out}
	rest := string(b[:len(b)-1])
	for n := 0; rest != ""; n++ {
		if n == MaxAttributes {
			return fmt.Errorf("%w: more than %d attributes", ErrMalformed, MaxAttributes)
		}
		end := strings.IndexByte(rest, '\n')
		if err := p.line(rest[:end]); err != nil {
			return err
		}
		rest = rest[end+1:]
	}
	if p.request != requestName {
		return fmt.Errorf("%w: request is not %s", ErrMalformed, requestName)
	}
	return nil
}
