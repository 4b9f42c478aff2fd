package dmarc

import (
	"slices"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

// Override says why a message was not treated as its domain asks
// (RFC 9990 §3.1.1, policy override reason).
type Override string

// The overrides.
const (
	LocalPolicy      Override = "local_policy"
	MailingList      Override = "mailing_list"
	TrustedForwarder Override = "trusted_forwarder"
	TestMode         Override = "policy_test_mode"
)

// Evaluated is policy_evaluated of an aggregate report (RFC 9990 §3.1.1).
type Evaluated struct {
	Disposition string   // none, pass, quarantine or reject
	DKIM, SPF   bool     // an identifier of that method is aligned
	Reason      Override // empty for none
}

// Evaluated returns what a report says of a message that was treated as done,
// for the reason why where that is not what its domain asks. It is for results
// that are pass or fail: the others are not reported.
func (r Result) Evaluated(done Policy, why Override) Evaluated {
	has := func(m authres.Method) bool {
		return slices.ContainsFunc(r.Aligned, func(i Identifier) bool { return i.Method == m })
	}
	e := Evaluated{DKIM: has(authres.DKIM), SPF: has(authres.SPF)}
	if r.Result == authres.Pass {
		e.Disposition = "pass"
		if r.Applied.Published == None {
			e.Disposition = string(None)
		}
		return e
	}
	e.Disposition = string(done)
	switch {
	case done == r.Applied.Published:
	case why != "":
		e.Reason = why
	case done == r.Applied.Effective:
		e.Reason = TestMode
	default:
		e.Reason = LocalPolicy
	}
	return e
}
