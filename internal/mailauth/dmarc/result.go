package dmarc

import "github.com/gatepost/gatepost/internal/mailauth/authres"

// SPF is the result about the MAIL FROM identity (RFC 7208 §2.4), the only one
// of SPF that counts: with a null reverse-path it is postmaster at the HELO name.
type SPF struct {
	Domain string
	Result authres.Result
}

// DKIM is the result about one signature.
type DKIM struct {
	Domain string // the SDID (d=)
	Result authres.Result
	// Partial says that the signature leaves a part of the body out (l=): it
	// never aligns, whatever Result says.
	Partial bool
}

// Identifiers are what SPF and DKIM found out.
type Identifiers struct {
	SPF  SPF
	DKIM []DKIM
}

// Identifier is an Authenticated Identifier.
type Identifier struct {
	Method authres.Method `json:"method"` // spf or dkim
	Domain string         `json:"domain"` // A-labels, in lower case
}

// Applied is the policy that holds.
type Applied struct {
	// Domain is the Policy Domain: where the record stands. Empty: no record.
	Domain string `json:"domain,omitempty"`
	// Tag is where Published comes from: p, sp or np.
	Tag       string `json:"tag,omitempty"`
	Published Policy `json:"published,omitempty"`
	// Effective is Published, or one step weaker with t=y.
	Effective Policy `json:"effective,omitempty"`
	// Record is nil when there is none.
	Record *Record `json:"-"`
}

// Result is the verdict.
type Result struct {
	// Result is pass, fail, none, temperror or permerror.
	Result authres.Result `json:"result"`
	// Reason is for people; empty where Result says all.
	Reason string `json:"reason,omitempty"`
	// Domain is the Author Domain that the rest is about, in A-labels; empty when
	// From has none.
	Domain string `json:"domain,omitempty"`
	// OrgDomain is the Organizational Domain of Domain; empty where it was not
	// needed, or could not be found out.
	OrgDomain string  `json:"org_domain,omitempty"`
	Applied   Applied `json:"applied"`
	// Aligned are the identifiers that vouch for Domain.
	Aligned []Identifier `json:"aligned,omitempty"`
	// Asked are the questions to DNS for this message, in order.
	Asked Facts `json:"asked,omitempty"`
}

// Action returns what a receiver that honours policies does: for a message
// that fails, what its domain asks for; for one whose From cannot be used, so
// that no domain can be asked, Quarantine; else None. A receiver that rejects
// for it alone goes against RFC 9989 §8.
func (r Result) Action() Policy {
	switch r.Result {
	case authres.Fail:
		return r.Applied.Effective
	case authres.PermError:
		return Quarantine
	}
	return None
}

// Open returns the policy that would hold if no more identifiers turned out to
// vouch for the message: where DNS did not answer for now, what the domain asks
// for, else None. RFC 9989 §5.3.6 does not let it be applied yet.
func (r Result) Open() Policy {
	if r.Result == authres.TempError && r.Applied.Effective != "" {
		return r.Applied.Effective
	}
	return None
}

// badness orders results: the worst of several domains counts.
func (r Result) badness() int {
	switch r.Result {
	case authres.Fail:
		if n := r.Applied.Effective.rank(); n > None.rank() {
			return 10 + n
		}
		return 2
	case authres.TempError:
		return 3 + r.Applied.Effective.rank()
	case authres.None:
		return 1
	}
	return 0
}
