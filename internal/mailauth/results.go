package mailauth

import (
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

// Results are the outcomes of Check. The zero Results say that nothing was
// checked.
type Results struct {
	IPRev IPRev
	SPF   SPF
	// DKIM has one entry for each signature that was looked at, in the order
	// of the header; none for a message without signatures.
	DKIM []DKIM
	// DKIMSkipped counts the signatures beyond the limit.
	DKIMSkipped int
	// DKIMChecked says that signatures were looked for: without it an empty DKIM
	// is not "none".
	DKIMChecked bool
	// Took is how long Check was at it.
	Took time.Duration
}

// IPRev is whether the client's address has a name that leads back to it
// (RFC 8601 §3): pass, fail, temperror, or permerror when there is no name.
type IPRev struct {
	Result authres.Result
	Addr   netip.Addr
	// Name is the name that leads back; empty unless Result is pass.
	Name   string
	Reason string
}

// SPF holds the two identities of RFC 7208 §2.3 and §2.4 apart: one must never
// be taken for the other.
type SPF struct {
	MailFrom SPFMailFrom
	Helo     SPFHelo
}

// SPFMailFrom is the verdict about the MAIL FROM identity.
type SPFMailFrom struct {
	Result authres.Result
	// Domain is the one that was asked.
	Domain string
	// Sender is the identity: the reverse-path, or postmaster@HELO when that
	// is null (RFC 7208 §2.4).
	Sender string
	// NullPath says that the reverse-path was null, so that Domain is HELO's.
	NullPath bool
	Reason   string
}

// SPFHelo is the verdict about the HELO identity.
type SPFHelo struct {
	Result authres.Result
	// Domain is the HELO name.
	Domain string
	Reason string
}

// DKIM is the verdict about one signature (RFC 6376). The names come from the
// signature, so they say who signed only when Result is pass.
type DKIM struct {
	Result authres.Result
	// Domain is the SDID (d=), in lower case.
	Domain string
	// Selector is s=.
	Selector string
	// Identifier is the AUID (i=), or "@" and the SDID.
	Identifier string
	// Algorithm is a=, for example "rsa-sha256".
	Algorithm string
	// B is the beginning of b=, which tells signatures of one domain apart
	// (RFC 6008).
	B string
	// Bits is the size of the RSA key, 0 where none was read.
	Bits int
	// Testing says that the key is published with t=y.
	Testing bool
	// Time and Expiration are t= and x=, zero where they are missing.
	Time, Expiration time.Time
	// Names are the names in h=.
	Names  []string
	Reason string
}

// ResInfo returns the results for an Authentication-Results field, in the
// order iprev, spf, dkim. A value that such a field cannot carry is left out,
// so that authres.Encode accepts what it returns.
func (r Results) ResInfo() []authres.ResInfo {
	var out []authres.ResInfo
	if r.IPRev.Result != "" {
		out = append(out, info(authres.IPRev, r.IPRev.Result, r.IPRev.Reason,
			authres.Prop{Property: authres.PolicyIPRev, Value: r.IPRev.Addr.String()}))
	}
	if m := r.SPF.MailFrom; m.Result != "" && !m.NullPath {
		out = append(out, info(authres.SPF, m.Result, m.Reason,
			authres.Prop{Property: authres.SMTPMailFrom, Value: m.Sender}))
	}
	if h := r.SPF.Helo; h.Result != "" {
		out = append(out, info(authres.SPF, h.Result, h.Reason,
			authres.Prop{Property: authres.SMTPHelo, Value: h.Domain}))
	}
	for _, d := range r.DKIM {
		out = append(out, info(authres.DKIM, d.Result, d.Reason,
			authres.Prop{Property: authres.HeaderD, Value: d.Domain},
			authres.Prop{Property: authres.HeaderS, Value: d.Selector},
			authres.Prop{Property: authres.HeaderA, Value: d.Algorithm},
			authres.Prop{Property: authres.HeaderB, Value: d.B}))
	}
	if len(r.DKIM) == 0 && r.DKIMChecked {
		out = append(out, authres.ResInfo{Method: authres.DKIM, Result: authres.None})
	}
	return out
}

// info builds a ResInfo of the values that can be carried.
func info(m authres.Method, res authres.Result, reason string, props ...authres.Prop) authres.ResInfo {
	r := authres.ResInfo{Method: m, Result: res, Reason: reason}
	for _, p := range props {
		if authres.Carries(p.Value) {
			r.Props = append(r.Props, p)
		}
	}
	return r
}
