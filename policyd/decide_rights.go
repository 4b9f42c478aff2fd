package policyd

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// The rules of rights that Decide names besides reject_sender_login_mismatch.
const (
	ruleLocalSender = "reject_unauthenticated_local_sender"
	ruleTrustedHost = "trusted_host"
)

// rightsText tells a user that a sender is not his or hers, and who can mend it:
// nobody for a domain of others.
func rightsText(user, sender string, local bool) string {
	text := "user " + named(user) + " may not send as " + named(sender)
	if local {
		text += "; the administrator of this server can grant it"
	}
	return text
}

// rightsHint tells the administrator who owns an address, and the command that
// grants it.
func rightsHint(user, sender string, owners []mailaddr.Address) string {
	text := "nobody here has " + named(sender)
	if len(owners) == 1 && strings.EqualFold(owners[0].String(), sender) {
		text = named(sender) + " is a mailbox of its own"
	} else if len(owners) > 0 {
		var names []string
		for _, o := range owners {
			names = append(names, o.String())
		}
		text = named(sender) + " belongs to " + strings.Join(names, ", ")
	}
	return text + "; to grant it: gatepost user grant " + shellWord(user) + " --send-as " + shellWord(sender)
}

// shellWord quotes s for a shell where it has to be.
func shellWord(s string) string {
	s = shown(s)
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@.+-_=,/%", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// trust is what a client may do without a login.
type trust struct {
	host bool // it is a trusted host
	// sender says that it may send as the sender, mode what becomes of one as whom
	// it may not.
	sender bool
	mode   unit.Mode
}

// trusted finds what the client of req may do. The null sender belongs to
// nobody, so every trusted host may use it.
func (a *admission) trusted(req *Request, from mailaddr.Address) trust {
	var t trust
	for i := range a.hosts {
		h := &a.hosts[i]
		if !h.has(req.Client.Addr) {
			continue
		}
		if !t.host {
			t.host, t.mode = true, cmp.Or(h.Mode, unit.Enforce)
		}
		t.sender = t.sender || h.Forwards || req.MailFrom == "" || slices.Contains(h.Domains, from.Domain)
	}
	return t
}

// decideUnauthenticated refuses a sender of ours whom nobody logged in for, and
// a sender that a trusted host has no right to.
func decideUnauthenticated(v *Verdict, a *admission, req *Request, f *AdmitFacts) {
	if req.SASL.Username != "" || req.MailFrom == "" {
		return
	}
	if f.trust.host && !f.trust.sender && (req.PolicyContext == contextSubmission || f.SenderLocal == yes) {
		v.set(f.trust.mode, ruleTrustedHost, refusal(553, "7.1", "this host may not send as "+named(req.MailFrom)))
		return
	}
	if f.trust.sender || f.SenderLocal != yes || a.localSender == unit.Off {
		return
	}
	v.set(a.localSender, ruleLocalSender, refusal(553, "7.1", "sender "+named(req.MailFrom)+" belongs to this server and has to log in"))
}
