package mailauth

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/mailauth/arc"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
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
	// ARC is the chain of what forwarders said (RFC 8617): none, pass or fail.
	// It is empty without DKIMChecked. Nothing follows from it by itself.
	ARC arc.Result
	// sealable is nil unless Seal may be called.
	sealable *sealable
	// DMARC is whether the domain in From vouches for the message. It is empty
	// without DMARCChecked.
	DMARC        dmarc.Result
	DMARCChecked bool
	// Forwarder is who outweighs a DMARC that is fail, or may become it.
	Forwarder Forwarder
	// forwarderOpen says that DNS did not answer for who may be one.
	forwarderOpen bool
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
	// Term is the term of the record that decided, "" for none. It is a
	// stranger's text.
	Term string
}

// SPFHelo is the verdict about the HELO identity.
type SPFHelo struct {
	Result authres.Result
	// Domain is the HELO name.
	Domain string
	Reason string
	// Term is as in SPFMailFrom.
	Term string
}

// DKIM is the verdict about one signature (RFC 6376). The names come from the
// signature, so they say who signed only when Result is pass. A check that
// broke has no names.
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
	// Bits is the size of the key, 0 where none was read.
	Bits int
	// Testing says that the key is published with t=y.
	Testing bool
	// Time and Expiration are t= and x=, zero where they are missing.
	Time, Expiration time.Time
	// Names are the names in h=.
	Names []string
	// Partial says that the signature leaves out a part of the body (l=), or a
	// field that a reader sees: what stands there may be anyone's, and the
	// signature speaks for no author.
	Partial bool
	// Reason is why Result is not pass, or what is to be noted of one that is.
	Reason string
}

// Policy returns what the domain in From asks to do with the message, where a
// receiver honours that and no trusted forwarder speaks for it, or may when DNS
// answers.
func (r Results) Policy() dmarc.Policy {
	if r.Forwarder.Domain != "" || r.forwarderOpen {
		return dmarc.None
	}
	return r.DMARC.Action()
}

// OpenPolicy returns what the domain in From asks for in case that what the DNS
// did not answer turns out to vouch for nobody: who honours policies has the
// sender try again where it is more than None. It is None where the answers are
// complete, where a trusted forwarder speaks for the message, where the policy
// itself is not known, and where the client's address is not: another try would
// not know it either.
func (r Results) OpenPolicy() dmarc.Policy {
	switch {
	case r.Forwarder.Domain != "":
		return dmarc.None
	case r.forwarderOpen && r.DMARC.Result == authres.Fail:
		return r.DMARC.Applied.Effective
	case r.SPF.MailFrom.Result == "":
		return dmarc.None
	}
	return r.DMARC.Open()
}

// ResInfo returns the results for an Authentication-Results field, in the
// order iprev, spf, dkim, arc, dmarc; arc only where the message has a chain. A
// value that such a field cannot carry is left out, so that authres.Encode
// accepts what it returns.
func (r Results) ResInfo() []authres.ResInfo {
	var out []authres.ResInfo
	if r.IPRev.Result != "" {
		out = append(out, info(authres.IPRev, r.IPRev.Result, r.IPRev.Reason,
			authres.Prop{Property: authres.PolicyIPRev, Value: r.IPRev.Addr.String()}))
	}
	if m := r.SPF.MailFrom; m.Result != "" && !m.NullPath {
		identity := m.Sender
		if !authres.Carries(identity) {
			identity = m.Domain // all that SPF speaks for
		}
		out = append(out, info(authres.SPF, m.Result, m.Reason,
			authres.Prop{Property: authres.SMTPMailFrom, Value: identity}))
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
	if a := r.ARC; a.Result != "" && a.Result != authres.None {
		out = append(out, chainInfo(a))
	}
	if r.DMARCChecked {
		out = append(out, policyInfo(r.DMARC))
	}
	return out
}

// chainInfo is the entry of ARC; header.oldest-pass is RFC 8617 §10.2.
func chainInfo(a arc.Result) authres.ResInfo {
	if a.Result != authres.Pass {
		return info(authres.ARC, a.Result, a.Reason)
	}
	last := a.Sets[len(a.Sets)-1]
	return info(authres.ARC, a.Result, fmt.Sprintf("i=%d, sealed by %s", last.Instance, last.Seal.Domain),
		authres.Prop{Property: authres.HeaderOldestPass, Value: strconv.Itoa(a.OldestPass)})
}

// policyInfo is the entry of DMARC. The policy is told only where one applies
// (RFC 9989 §9.1).
func policyInfo(d dmarc.Result) authres.ResInfo {
	props := []authres.Prop{{Property: authres.HeaderFrom, Value: d.Domain}}
	if d.Result == authres.Pass || d.Result == authres.Fail {
		props = append(props, authres.Prop{Property: authres.PolicyDMARC, Value: string(d.Applied.Effective)})
	}
	return info(authres.DMARC, d.Result, d.Reason, props...)
}

// info builds a ResInfo of the reason and the values that can be carried.
func info(m authres.Method, res authres.Result, reason string, props ...authres.Prop) authres.ResInfo {
	r := authres.ResInfo{Method: m, Result: res}
	if authres.CarriesReason(reason) {
		r.Reason = reason
	}
	for _, p := range props {
		if authres.Carries(p.Value) {
			r.Props = append(r.Props, p)
		}
	}
	return r
}
