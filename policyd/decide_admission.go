package policyd

import (
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/geo"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// admission is the part of Policy that says who may send as whom and who may
// write at all.
type admission struct {
	localSender, access unit.Mode
	hosts               []TrustedHost
	checks              ChecksConfig
	hostname, delim     string
	mailRoot            string
	// geo tells countries to the rules; nil knows none.
	geo *geo.Table
}

// build returns c ready to be asked.
func (c AdmissionConfig) build() admission {
	return admission{
		localSender: c.RejectUnauthenticatedLocalSender, access: c.AccessLists,
		hosts: c.TrustedHosts, checks: c.Checks, hostname: c.Hostname, delim: c.Delimiter, mailRoot: c.MailRoot,
	}
}

// AdmitFacts are what was found out about sender, client and recipient.
type AdmitFacts struct {
	// Owners are whose the sender is, where a login may not use it.
	Owners []mailaddr.Address
	// SenderLocal and RecipientLocal say whether the domain is ours.
	SenderLocal, RecipientLocal outcome
	// Entry is the allow or deny entry that holds; without a name there is none.
	Entry access.Entry
	// ClientName says whether the client's address has a name, SenderDomain
	// whether mail can go back to the sender's domain.
	ClientName, SenderDomain outcome
	SenderNullMX             bool
	// Recipient says whether somebody has the recipient's address.
	Recipient outcome
	// RecipientAway says that the account store did not answer about it.
	RecipientAway bool
	// Posting says who may write to the recipient, Member that the author is one
	// to whom it leads.
	Posting account.Posting
	Member  bool
	// Full are the mailboxes that the recipient leads to, if each is over quota;
	// none where one has room, or is not known to have none.
	Full []mailaddr.Address

	trust trust
	// author is the login, or the sender of one who did not log in and whose
	// domain is not ours.
	author mailaddr.Address
}

// decideAdmission refuses by rights, entries and checks, in this order. At RCPT
// only: the other states have either no recipient or one that passed.
func decideAdmission(v *Verdict, a *admission, req *Request, f *AdmitFacts, _ time.Time) {
	if f == nil || req.ProtocolState != StateRcpt {
		return
	}
	allowed := false
	if req.SASL.Username == "" {
		allowed = decideAccess(v, a, f)
	}
	if !allowed || !f.Entry.Proved() { // whoever has our name may say so himself
		decideUnauthenticated(v, a, req, f)
	}
	decideChecks(v, a, req, f, allowed)
}

// admissionHint tells the administrator more of a verdict than the peer heard:
// who owns the sender and what grants it, and why an entry was added. It is ""
// where there is no more to tell.
func admissionHint(v *Verdict, req *Request, user string, f *AdmitFacts) string {
	if f == nil {
		return ""
	}
	for _, r := range rulesOf(v) {
		switch {
		case r == ruleSender && f.SenderLocal != no:
			return rightsHint(user, req.MailFrom, f.Owners)
		case r == ruleLocalSender:
			return "a host that may send for this domain without a login belongs into policyd.trusted_hosts"
		case r == ruleTrustedHost:
			return "its domains are in policyd.trusted_hosts"
		case len(r) > len(ruleDeny) && r[:len(ruleDeny)] == ruleDeny && f.Entry.Reason != "":
			return "the entry was added because: " + named(f.Entry.Reason)
		case r == ruleListPosting && f.Posting.Reason != "":
			return "the rule was set because: " + named(f.Posting.Reason)
		case r == ruleOverQuota:
			return fullHint(f.Full)
		}
	}
	return ""
}

// rulesOf returns the rule that decided, and those that would have.
func rulesOf(v *Verdict) []string {
	var out []string
	if v.Rule != "" {
		out = append(out, v.Rule)
	}
	for _, w := range v.Would {
		out = append(out, w.Rule)
	}
	return out
}

// named is shown for a place where a sentence may end: it is never empty, and
// neither begins nor ends with a blank, which Postfix would cut off.
func named(s string) string {
	if s = strings.TrimSpace(shown(s)); s == "" {
		return "<>"
	}
	return s
}
