package mailauth

import (
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Forwarder is a trusted forwarder that passed a message on which DMARC fails
// here. It is known by a seal at the end of an ARC chain that passes, and then
// its own word counts: that DMARC passed there for the same domain in From. One
// without a seal is known by a DKIM signature or by SPF, and is trusted to have
// looked before it forwarded.
type Forwarder struct {
	// Domain is the one in Config.TrustedForwarders; empty for none.
	Domain string
	// Method is how it is known: arc, dkim or spf.
	Method authres.Method
}

// forwarder returns the trusted forwarder that speaks for a message on which
// DMARC fails; none when readers may differ about who the author is.
func (r *Results) forwarder(trusted []string, from dmarc.From, m *rawmsg.Message) Forwarder {
	if len(trusted) == 0 || r.DMARC.Result != authres.Fail || from.Doubt != "" || from.Literal || len(from.Domains) != 1 {
		return Forwarder{}
	}
	if sealer, res := r.sealed(trusted, from.Domains[0], m); res == authres.Pass {
		return Forwarder{sealer, authres.ARC}
	} else if res != "" {
		return Forwarder{} // it says itself that it was no better there
	}
	for _, d := range r.DKIM {
		if d.Result == authres.Pass && !d.Partial && slices.Contains(trusted, d.Domain) {
			return Forwarder{d.Domain, authres.DKIM}
		}
	}
	if m := r.SPF.MailFrom; m.Result == authres.Pass && slices.Contains(trusted, m.Domain) {
		return Forwarder{m.Domain, authres.SPF}
	}
	return Forwarder{}
}

// sealed returns what the trusted handlers at the end of the chain say about
// DMARC for author: pass if one of them does. A handler before one that is not
// trusted has nothing to say: whatever it saw, the other may have changed. So
// may anyone behind the last one what its signature leaves open (uncovered).
func (r *Results) sealed(trusted []string, author string, m *rawmsg.Message) (sealer string, res authres.Result) {
	sets := r.ARC.Sets
	if r.ARC.Result != authres.Pass || len(sets) == 0 {
		return "", ""
	}
	signed := sets[len(sets)-1].Message.Names
	if !containsFold(signed, "from") || uncovered(m, signed) != "" {
		return "", ""
	}
	for i := len(sets) - 1; i >= 0 && slices.Contains(trusted, sets[i].Seal.Domain); i-- {
		f, err := authres.Parse([]byte(sets[i].AuthservID + "; " + sets[i].Results))
		if err != nil {
			continue
		}
		for _, said := range f.Results {
			if said.Method != authres.DMARC || !about(said, author) {
				continue
			}
			sealer, res = sets[i].Seal.Domain, said.Result
			if res == authres.Pass {
				return sealer, res
			}
		}
	}
	return sealer, res
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
