package scan

import (
	"strings"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

// session reports whether an SMTP client brought the message, so that its
// envelope is known.
func (f *facts) session() bool { return f.Client.Addr.IsValid() || len(f.RcptTo) > 0 }

// isBounce: the null reverse-path is that of reports (RFC 5321 §4.5.5).
func (f *facts) isBounce() bool { return f.session() && f.MailFrom.IsNull() }

// bounceMany: a report goes to the one who sent (RFC 5321 §6.1).
func bounceMany(f *facts) outcome { return when(f.isBounce() && len(f.RcptTo) > 1) }

// bounceNoAuth: nothing vouches for who reports: neither SPF for the HELO name
// (RFC 7208 §2.4) nor a signature.
func bounceNoAuth(f *facts) outcome {
	spf := f.Auth.SPF.MailFrom.Result
	if !f.isBounce() || !f.Auth.DKIMChecked || f.signers(authres.Pass, authres.TempError) != nil {
		return outcome{}
	}
	return when(spf != "" && spf != authres.Pass && spf != authres.TempError)
}

// bounceFake: who writes as a mail system writes text, or a report (RFC 6522),
// not a page with links.
func bounceFake(f *facts) outcome {
	switch strings.ToLower(f.head().from.Addr.LocalPart) {
	case "mailer-daemon", "postmaster", "mail-daemon":
	default:
		return outcome{}
	}
	root := f.Raw.Root
	if root.Is("multipart", "report") || len(f.text.HTML) == 0 {
		return outcome{}
	}
	return when(len(f.text.Links) > 0)
}

// bounceWords: the subject of a report, from someone who is no mail system.
func bounceWords(f *facts) outcome {
	if f.Raw.Root.Is("multipart", "report") || f.isBounce() {
		return outcome{}
	}
	switch strings.ToLower(f.head().from.Addr.LocalPart) {
	case "mailer-daemon", "postmaster", "mail-daemon", "daemon", "":
		return outcome{}
	}
	s := strings.ToLower(f.subject())
	for _, w := range []string{"undelivered mail", "delivery status notification", "returned mail:", "mail delivery failed", "undeliverable:",
		"delivery failure", "failure notice", "messages pending", "pending messages", "undelivered messages", "incoming messages"} {
		if strings.HasPrefix(s, w) {
			return yes(w)
		}
	}
	return outcome{}
}
