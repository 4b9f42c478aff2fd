package mailauth

import (
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/publicsuffix"
)

// Proves reports whether domain answers for the message: DMARC passes for it,
// or, where it publishes no policy, a signature or the envelope sender of the
// same organization is right.
func (r Results) Proves(domain string) bool {
	org, ok := publicsuffix.Organization(domain)
	if !ok {
		return false
	}
	same := func(d string) bool {
		o, ok := publicsuffix.Organization(d)
		return ok && o == org
	}
	if same(r.DMARC.Domain) && (r.DMARC.Result == authres.Pass || r.DMARC.Result == authres.Fail) {
		return r.DMARC.Result == authres.Pass
	}
	for _, d := range r.DKIM {
		if d.Result == authres.Pass && same(d.Domain) {
			return true
		}
	}
	return r.SPF.MailFrom.Result == authres.Pass && same(r.SPF.MailFrom.Domain)
}
