package filter

import (
	"strings"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// proof is what the milter found out about the sender.
type proof struct {
	// sender says that the envelope sender is no forgery: SPF passed for its
	// domain, a signature of its domain or of one above holds, or the sender
	// logged in here.
	sender bool
	// dmarcFailed says that the author is one.
	dmarcFailed bool
}

// decideProof reads the Authentication-Results that the milter here wrote. It
// removed all others that bear our name, so that only a message that it looked
// at may be asked.
func decideProof(fields []rawmsg.Field, authservID string, from mailaddr.Address) (p proof) {
	for i := range fields {
		if !fields[i].Is("Authentication-Results") {
			continue
		}
		f, err := authres.Parse([]byte(header.Unfold(fields[i].Value)))
		if err != nil || !strings.EqualFold(f.AuthservID, authservID) {
			continue
		}
		for _, r := range f.Results {
			p.dmarcFailed = p.dmarcFailed || r.Method == authres.DMARC && r.Result == authres.Fail
			p.sender = p.sender || r.Result == authres.Pass && proves(r, from)
		}
	}
	return p
}

// proves reports whether r, which passed, speaks for the envelope sender.
func proves(r authres.ResInfo, from mailaddr.Address) bool {
	for _, prop := range r.Props {
		v := strings.ToLower(prop.Value)
		switch {
		case r.Method == authres.Auth && prop.Property == authres.SMTPAuth:
			return true
		case from.Domain == "":
			return false
		case r.Method == authres.SPF && prop.Property == authres.SMTPMailFrom:
			_, domain, found := strings.Cut(v, "@")
			if !found {
				domain = v
			}
			return domain == from.Domain
		case r.Method == authres.DKIM && prop.Property == authres.HeaderD:
			return v == from.Domain || strings.Contains(v, ".") && strings.HasSuffix(from.Domain, "."+v)
		}
	}
	return false
}
