package policyd

import (
	"strings"

	"github.com/gatepost/gatepost/internal/journal"
)

// Lost is what the journal does not keep of a request. A rule that looks at one
// of these sees it empty in a replay.
func Lost() []string {
	return []string{"reverse_client_name", "server_address", "server_port", "protocol_name", "size", "recipient_count before DATA",
		"stress", "sasl_sender", "etrn_domain", "the TLS and certificate attributes"}
}

// Asked is a request of the past, made again from the journal.
type Asked struct {
	Request Request
	// Record is what the journal has.
	Record journal.Record
}

// FromJournal makes requests of a record of the policy server: one for each
// recipient that is named. A record of another daemon gives none.
//
// A passed recipient is told of in the record of its mail's DATA; it is asked as
// at RCPT, and its answer was DUNNO.
func FromJournal(r journal.Record) []Asked {
	if r.Daemon != daemon {
		return nil
	}
	state := State(strings.ToUpper(r.Event))
	req := Request{
		ProtocolState: state,
		Client:        Client{Addr: r.ClientAddr, Port: r.ClientPort, Name: r.ClientName, ReverseName: r.ClientName, Helo: r.Helo},
		Envelope:      Envelope{MailFrom: r.MailFrom},
		QueueID:       r.QueueID, Instance: r.Session,
		SASL: SASL{Method: r.Mech, Username: r.User},
	}
	for _, f := range r.Facts {
		if f.Key == "policy_context" {
			req.PolicyContext = f.Value
		}
	}
	var out []Asked
	for _, rcpt := range r.RcptTo {
		one, was := req, r
		one.RcptTo, one.ProtocolState = rcpt, StateRcpt
		if state != StateRcpt && state != StateVRFY { // it passed, whatever became of the mail
			was.Event, was.Verdict, was.Rule, was.Reply = "rcpt", "dunno", "", ActionDunno
		}
		if state == StateVRFY {
			one.ProtocolState = state
		}
		out = append(out, Asked{one, was})
	}
	if counts(state) {
		req.RecipientCount = int64(len(r.RcptTo))
	}
	if state != StateRcpt && state != StateVRFY || len(r.RcptTo) == 0 {
		out = append(out, Asked{req, r})
	}
	return out
}

// History reports whether a record's answer came from what was counted or seen
// before, which a replay cannot know.
func (a Asked) History() bool {
	return strings.HasPrefix(a.Record.Rule, "limit ") || a.Record.Rule == ruleGreylist || a.Record.Rule == ruleHeld ||
		a.Record.Rule == ruleSRSTarget || a.Record.Rule == ruleAccounts || a.Record.Rule == ruleLate
}
