package mailauth

import (
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/mailauth/arc"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Forwarder is a trusted forwarder that passed a message on which DMARC fails
// here, or has no answer. It is known by a seal at the end of an ARC chain that
// passes, and then its own word counts: that DMARC passed there for the same
// domain in From. One without a seal is known by a DKIM signature or by SPF, and
// is trusted to have looked before it forwarded.
//
// Whoever got a message from a forwarder can send it again without its ARC
// fields, so that what it said there of DMARC is not heard any more, and its
// DKIM signature still holds. An entry "arc:DOMAIN" is not open to that.
type Forwarder struct {
	// Domain is the one in Config.TrustedForwarders; empty for none.
	Domain string
	// Method is how it is known: arc, dkim or spf.
	Method authres.Method
}

// forwarders are Config.TrustedForwarders: by domain the methods by which it
// may be known, "" for any.
type forwarders map[string][]authres.Method

// forwarderMethods are the words that may stand before a domain.
var forwarderMethods = []authres.Method{authres.ARC, authres.DKIM, authres.SPF}

// splitForwarder takes one entry apart: "METHOD:DOMAIN", or "DOMAIN" with any
// method.
func splitForwarder(entry string) (authres.Method, string) {
	for _, m := range forwarderMethods {
		if domain, ok := strings.CutPrefix(entry, string(m)+":"); ok {
			return m, domain
		}
	}
	return "", entry
}

// readForwarders reads entries that are valid.
func readForwarders(entries []string) forwarders {
	f := make(forwarders, len(entries))
	for _, e := range entries {
		m, domain := splitForwarder(e)
		f[domain] = append(f[domain], m)
	}
	return f
}

// by reports whether domain may be known by the method.
func (f forwarders) by(m authres.Method, domain string) bool {
	return slices.Contains(f[domain], m) || slices.Contains(f[domain], "")
}

// has reports whether domain may be known by any method.
func (f forwarders) has(domain string) bool { return len(f[domain]) > 0 }

// forwarder returns the trusted forwarder that speaks for a message on which
// DMARC fails, or would if what DNS did not answer vouched for nobody; none when
// readers may differ about who the author is. open says that one may speak for
// it when DNS answers.
func (r *Results) forwarder(trusted forwarders, from dmarc.From, m *rawmsg.Message) (w Forwarder, open bool) {
	fails := r.DMARC.Result == authres.Fail || r.DMARC.Result == authres.TempError
	if len(trusted) == 0 || !fails || from.Doubt != "" || from.Literal || len(from.Domains) != 1 {
		return Forwarder{}, false
	}
	known := func(res authres.Result, m authres.Method, domain string) bool {
		if !trusted.by(m, domain) || domain == "" {
			return false
		}
		open = open || res == authres.TempError
		return res == authres.Pass
	}
	if sealer, res := r.sealed(trusted, from.Domains[0], m); res == authres.Pass {
		chain := r.ARC.Result
		if r.ARC.Temporary {
			chain = authres.TempError
		}
		if known(chain, authres.ARC, sealer) {
			return Forwarder{sealer, authres.ARC}, false
		}
	} else if res != "" {
		return Forwarder{}, false // it says itself that it was no better there
	}
	for _, d := range r.DKIM {
		if !d.Partial && known(d.Result, authres.DKIM, d.Domain) {
			return Forwarder{d.Domain, authres.DKIM}, false
		}
	}
	if m := r.SPF.MailFrom; known(m.Result, authres.SPF, m.Domain) {
		return Forwarder{m.Domain, authres.SPF}, false
	}
	return Forwarder{}, open
}

// sealed returns what the trusted handlers at the end of the chain say about
// DMARC for author: pass if one of them does. A handler before one that is not
// trusted has nothing to say: whatever it saw, the other may have changed. So
// may anyone behind the last one what its signature leaves open (uncovered). Of
// one that is not trusted for its seals only the bad word counts. A chain that
// DNS gave no answer about says what it would say.
func (r *Results) sealed(trusted forwarders, author string, m *rawmsg.Message) (sealer string, res authres.Result) {
	sets := r.ARC.Sets
	if r.ARC.Result != authres.Pass && !r.ARC.Temporary || len(sets) == 0 {
		return "", ""
	}
	signed := sets[len(sets)-1].Message.Names
	if !containsFold(signed, "from") || uncovered(m, signed) != "" {
		return "", ""
	}
	for i := len(sets) - 1; i >= 0 && trusted.has(sets[i].Seal.Domain); i-- {
		domain := sets[i].Seal.Domain
		said := said(sets[i], author)
		believed := trusted.by(authres.ARC, domain)
		if said != "" && (believed || said != authres.Pass) {
			sealer, res = domain, said
		}
		if !believed || said == authres.Pass {
			break
		}
	}
	return sealer, res
}

// said returns what a handler says about DMARC for author; pass outweighs the
// rest, "" is nothing.
func said(set arc.Set, author string) (res authres.Result) {
	f, err := authres.Parse([]byte(set.AuthservID + "; " + set.Results))
	if err != nil {
		return ""
	}
	for _, s := range f.Results {
		if s.Method == authres.DMARC && res != authres.Pass && about(s, author) {
			res = s.Result
		}
	}
	return res
}

// about reports whether a result of DMARC is about the domain author.
func about(r authres.ResInfo, author string) bool {
	return slices.ContainsFunc(r.Props, func(p authres.Prop) bool {
		return p.Property == authres.HeaderFrom && strings.EqualFold(strings.TrimSuffix(p.Value, "."), author)
	})
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(x string) bool { return strings.EqualFold(x, s) })
}
