package policyd

import (
	"net/netip"
	"strings"
	"time"

	ruleexpr "github.com/gatepost/gatepost/internal/rule"
)

// ruleEnv is what a rule's expression sees: the attributes of Postfix under
// their own names, and facts about account, sender, recipient, client and time.
type ruleEnv struct {
	ruleexpr.Meter

	ProtocolState     string `expr:"protocol_state"`
	ProtocolName      string `expr:"protocol_name"`
	ClientAddress     string `expr:"client_address"`
	ClientName        string `expr:"client_name"`
	ClientPort        int    `expr:"client_port"`
	ReverseClientName string `expr:"reverse_client_name"`
	ServerAddress     string `expr:"server_address"`
	ServerPort        int    `expr:"server_port"`
	HeloName          string `expr:"helo_name"`
	Sender            string `expr:"sender"`
	Recipient         string `expr:"recipient"`
	RecipientCount    int    `expr:"recipient_count"`
	QueueID           string `expr:"queue_id"`
	Instance          string `expr:"instance"`
	Size              int    `expr:"size"`
	ETRNDomain        string `expr:"etrn_domain"`
	Stress            bool   `expr:"stress"`
	SASLMethod        string `expr:"sasl_method"`
	SASLUsername      string `expr:"sasl_username"`
	SASLSender        string `expr:"sasl_sender"`
	CertSubject       string `expr:"ccert_subject"`
	CertIssuer        string `expr:"ccert_issuer"`
	CertFingerprint   string `expr:"ccert_fingerprint"`
	PubkeyFingerprint string `expr:"ccert_pubkey_fingerprint"`
	Encryption        string `expr:"encryption_protocol"`
	Cipher            string `expr:"encryption_cipher"`
	KeyBits           int    `expr:"encryption_keysize"`
	PolicyContext     string `expr:"policy_context"`

	// SenderDomain and RecipientDomain are in lower case, "" without one; the
	// locals say that the domain is ours, and are known at RCPT.
	SenderDomain    string `expr:"sender_domain"`
	RecipientDomain string `expr:"recipient_domain"`
	SenderLocal     bool   `expr:"sender_local"`
	RecipientLocal  bool   `expr:"recipient_local"`
	// Account is of the login.
	Account ruleAccount `expr:"account"`
	// Country and ASN are of the client, "" and 0 where the geo file does not
	// know it.
	Country string `expr:"country"`
	ASN     int    `expr:"asn"`
	// Hour, Minute, Weekday ("monday"), Time ("14:05") and Date ("2026-11-20")
	// are those of the server's clock.
	Hour    int    `expr:"hour"`
	Minute  int    `expr:"minute"`
	Weekday string `expr:"weekday"`
	Time    string `expr:"time"`
	Date    string `expr:"date"`

	address addrText // of the last client
}

// addrText is an address and its text, which costs more than to compare it.
type addrText struct {
	addr netip.Addr
	text string
}

// of returns the text of a.
func (t *addrText) of(a netip.Addr) string {
	if t.addr != a {
		t.addr, t.text = a, a.String()
	}
	return t.text
}

// ruleAccount is the account of the login; zero without one.
type ruleAccount struct {
	Known   bool   `expr:"known"`
	Address string `expr:"address"`
	Domain  string `expr:"domain"`
}

// domainOf returns what stands behind the last "@", in lower case.
func domainOf(address string) string {
	address = rewritten(address)
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return ""
	}
	return strings.ToLower(strings.TrimSuffix(address[i+1:], "."))
}

// fill tells e of a request, as far as the rules of p look at it.
func (e *ruleEnv) fill(p *Policy, req *Request, f *Facts, now time.Time) {
	*e = ruleEnv{
		ProtocolState: string(req.ProtocolState), ProtocolName: req.ProtocolName,
		ClientName: req.Client.Name, ClientPort: int(req.Client.Port), ReverseClientName: req.Client.ReverseName,
		ServerPort: int(req.Server.Port), HeloName: req.Client.Helo,
		Sender: req.MailFrom, Recipient: req.RcptTo, RecipientCount: int(req.RecipientCount), QueueID: req.QueueID,
		Instance: req.Instance, Size: int(req.Size), ETRNDomain: req.ETRNDomain, Stress: req.Stress,
		SASLMethod: req.SASL.Method, SASLUsername: req.SASL.Username, SASLSender: req.SASL.Sender,
		CertSubject: req.TLS.CertSubject, CertIssuer: req.TLS.CertIssuer, CertFingerprint: req.TLS.CertFingerprint,
		PubkeyFingerprint: req.TLS.PubkeyFingerprint, Encryption: req.TLS.Protocol, Cipher: req.TLS.Cipher,
		KeyBits: int(req.TLS.KeyBits), PolicyContext: req.PolicyContext, address: e.address,
	}
	n := &p.needs
	if n.domains {
		e.SenderDomain, e.RecipientDomain = domainOf(req.MailFrom), domainOf(req.RcptTo)
	}
	if n.clock {
		e.Hour, e.Minute, e.Weekday = now.Hour(), now.Minute(), strings.ToLower(now.Weekday().String())
	}
	if n.date {
		e.Time, e.Date = now.Format("15:04"), now.Format(time.DateOnly)
	}
	if n.client && req.Client.Addr.IsValid() {
		e.ClientAddress = e.address.of(req.Client.Addr)
	}
	if n.place && req.Client.Addr.IsValid() {
		at := p.admission.geo.Find(req.Client.Addr)
		e.Country, e.ASN = at.Country, int(at.ASN)
	}
	if n.server && req.Server.Addr.IsValid() {
		e.ServerAddress = req.Server.Addr.String()
	}
	if f.Known && n.domains {
		e.Account = ruleAccount{Known: true, Address: f.User, Domain: domainOf(f.User)}
	}
	if a := f.Admit; a != nil {
		e.SenderLocal, e.RecipientLocal = a.SenderLocal == yes, a.RecipientLocal == yes
	}
}
