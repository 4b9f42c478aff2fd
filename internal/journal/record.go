package journal

import (
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/verdict"
)

// Record is one thing that a daemon decided or saw. It must hold no secret.
// Texts may be what a stranger typed: they are made printable and cut to
// MaxTextBytes before they are stored. After Record has been called the caller
// must not change what the slices hold.
type Record struct {
	Time time.Time `json:"time"`
	// Daemon and Event say who and what: "milter" "message"; "policyd" "rcpt",
	// "data", "end-of-message"; "authd" "login"; "lmtpd" "deliver"; "guard" "ban".
	Daemon string `json:"daemon"`
	Event  string `json:"event"`

	// QueueID is Postfix's, MessageID the header field's.
	QueueID   string `json:"queue_id,omitempty"`
	MessageID string `json:"message_id,omitempty"`
	// Session tells the transactions of one daemon apart: policyd's instance,
	// authd's Dovecot session. Sessions of two daemons are never compared.
	Session string `json:"session,omitempty"`
	// Service is the listener or the SASL service.
	Service string `json:"service,omitempty"`

	ClientAddr netip.Addr `json:"client_addr,omitzero"`
	ClientPort uint16     `json:"client_port,omitempty"`
	ClientName string     `json:"client_name,omitempty"`
	Helo       string     `json:"helo,omitempty"`
	User       string     `json:"user,omitempty"`
	Mech       string     `json:"mech,omitempty"`
	MailFrom   string     `json:"mail_from,omitempty"`
	RcptTo     []string   `json:"rcpt_to,omitempty"`

	// Verdict is the daemon's word; Rule is what led to it; Reply is what the
	// peer was told.
	Verdict string  `json:"verdict,omitempty"`
	Rule    string  `json:"rule,omitempty"`
	Reply   string  `json:"reply,omitempty"`
	Score   float64 `json:"score,omitempty"`
	// Lines are the reasons of a score; their sum is Score.
	Lines []verdict.Line `json:"lines,omitempty"`
	// Facts are what else is worth telling, in order.
	Facts []Fact        `json:"facts,omitempty"`
	Took  time.Duration `json:"took_ns,omitempty"`
}

// Fact is a named fact, for example {"signature", "example.org s=2026 rsa-sha256"}.
type Fact struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// refusals are the verdicts by which somebody was turned away, or mail kept.
var refusals = map[string]bool{
	"reject": true, "defer": true, "deferred": true, "refuse": true, "refused": true, "discard": true,
	"quarantine": true, "hold": true, "fail": true, "temp": true, "ban": true,
}

// Refused reports whether r tells of a refusal: by its verdict, or because the
// reply is a 4yz or a 5yz.
func (r *Record) Refused() bool {
	return refusals[r.Verdict] || r.Reply != "" && (r.Reply[0] == '4' || r.Reply[0] == '5')
}

// important reports whether r is dropped last.
func (r *Record) important() bool { return r.Daemon == "guard" || r.Refused() }
