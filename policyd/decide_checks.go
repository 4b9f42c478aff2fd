package policyd

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/unit"
)

// The named checks.
const (
	ruleHeloIP           = "helo_ip"
	ruleHeloOwnName      = "helo_own_name"
	rulePTRMissing       = "ptr_missing"
	ruleSenderDomain     = "sender_domain_missing"
	ruleUnknownRecipient = "unknown_recipient"
	ruleListPosting      = "list_posting"
	ruleOverQuota        = "over_quota"
)

// outcome is what a look-up found out: unknown is no answer, or no question.
type outcome int8

const (
	unknownYet outcome = iota
	yes
	no
)

// outcomeOf turns the answer of a look-up into an outcome.
func outcomeOf(there bool, err error) outcome {
	switch {
	case err != nil:
		return unknownYet
	case there:
		return yes
	}
	return no
}

// decideChecks asks the checks of client and sender, then those of the
// recipient. An unknown never refuses, but where the account store did not
// answer about a recipient: the sender tries again.
func decideChecks(v *Verdict, a *admission, req *Request, f *AdmitFacts, allowed bool) {
	if req.SASL.Username == "" && !f.trust.host && !allowed {
		decideClientChecks(v, a, req, f)
	}
	c := a.checks
	switch {
	case f.RecipientAway && c.UnknownRecipient != unit.Off:
		v.set(c.UnknownRecipient, ruleAccounts, refuse(reply.Broken))
	case f.Recipient == no:
		v.set(c.UnknownRecipient, ruleUnknownRecipient, refusal(550, "1.1", named(req.RcptTo)+" is not known here"))
	}
	decidePosting(v, c.ListPosting, req, f)
	if len(f.Full) > 0 { // last: what is refused for good need not come back
		v.set(c.OverQuota, ruleOverQuota, refusal(c.OverQuotaCode, "2.2", "the mailbox of "+named(req.RcptTo)+" is full"))
	}
}

// fullHint tells the administrator whose mailboxes are full.
func fullHint(full []mailaddr.Address) string {
	var names []string
	for _, a := range full[:min(len(full), maxShownOwners)] {
		names = append(names, a.String())
	}
	if len(full) > len(names) {
		names = append(names, "...")
	}
	return "over quota, as its maildirsize says: " + strings.Join(names, ", ") + "; doveadm quota recalc counts again"
}

// decideClientChecks asks the checks that a stranger has to stand.
func decideClientChecks(v *Verdict, a *admission, req *Request, f *AdmitFacts) {
	c := a.checks
	if c.HeloIP != unit.Off && heloIsWrongAddress(req.Client.Helo, req.Client.Addr) {
		v.set(c.HeloIP, ruleHeloIP, refusal(550, "7.1", "HELO "+named(req.Client.Helo)+" is not a host name"))
	}
	if a.hostname != "" && strings.EqualFold(strings.TrimSuffix(req.Client.Helo, "."), a.hostname) && !isOwn(req) {
		v.set(c.HeloOwnName, ruleHeloOwnName, refusal(550, "7.1", "HELO "+named(req.Client.Helo)+" is the name of this server, not yours"))
	}
	if f.ClientName == no {
		v.set(c.PTRMissing, rulePTRMissing, refusal(550, "7.25", "your address has no host name in the DNS"))
	}
	if f.SenderDomain == no {
		text, detail := "no mail can be sent back to "+named(req.MailFrom)+": its domain has no mail server", "1.8"
		if f.SenderNullMX {
			text, detail = "no mail can be sent back to "+named(req.MailFrom)+": its domain says that it takes none", "7.27"
		}
		v.set(c.SenderDomainMissing, ruleSenderDomain, refusal(550, detail, text))
	}
}

// isOwn reports whether the client is this host.
func isOwn(req *Request) bool {
	a := req.Client.Addr
	return a.IsValid() && (a.IsLoopback() || a == req.Server.Addr)
}

// heloIsWrongAddress reports whether a HELO name is a bare address, or a literal
// of an address that is not the client's.
func heloIsWrongAddress(helo string, client netip.Addr) bool {
	inner, open := strings.CutPrefix(helo, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	a, err := netaddr.Parse(inner)
	if err != nil {
		return false
	}
	return !open || !closed || client.IsValid() && a != client
}

// decidePosting refuses who may not write to the recipient.
func decidePosting(v *Verdict, mode unit.Mode, req *Request, f *AdmitFacts) {
	p := f.Posting
	if p.Rule == "" || p.Rule == account.PostPublic || f.RecipientAway {
		return
	}
	if p.Rule == account.PostNobody {
		v.set(mode, ruleListPosting, refusal(550, "1.1", named(req.RcptTo)+" takes no mail any more"))
		return
	}
	if !mayPost(p, f) {
		v.set(mode, ruleListPosting, refusal(550, "7.2", postingText(p.Rule, req.RcptTo)))
	}
}

// mayPost reports whether the sender may write to a list. The author is the
// login, or for a stranger the envelope sender, who is not proved at RCPT.
func mayPost(p account.Posting, f *AdmitFacts) bool {
	if slices.Contains(p.Moderators, f.author) {
		return true
	}
	switch p.Rule {
	case account.PostDomain:
		return f.author.Domain == p.Addr.Domain
	case account.PostMembers:
		return f.Member
	}
	return false
}

func postingText(r account.PostingRule, rcpt string) string {
	who := "its moderators"
	switch r {
	case account.PostDomain:
		who = "users of its own domain"
	case account.PostMembers:
		who = "its members"
	}
	return "only " + who + " may write to " + named(rcpt)
}
