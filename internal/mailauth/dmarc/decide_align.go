package dmarc

import (
	"slices"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

// identifiers returns those with the result res, SPF first.
func (e *evaluator) identifiers(res authres.Result) []Identifier {
	ids := e.in.Identifiers
	var out []Identifier
	add := func(m authres.Method, domain string) {
		if d, ok := canonical(domain); ok {
			out = append(out, Identifier{m, d})
		}
	}
	if ids.SPF.Result == res {
		add(authres.SPF, ids.SPF.Domain)
	}
	for _, d := range ids.DKIM {
		if d.Result == res && !d.Partial {
			add(authres.DKIM, d.Domain)
		}
	}
	return out
}

// align looks for identifiers that vouch for r.Domain, and sets the result.
func (e *evaluator) align(r *Result) {
	undecided := false
	for _, i := range e.identifiers(authres.Pass) {
		yes, known := e.aligned(i, r)
		undecided = undecided || !known
		if yes && !slices.Contains(r.Aligned, i) {
			r.Aligned = append(r.Aligned, i)
		}
	}
	if len(r.Aligned) > 0 {
		r.Result = authres.Pass
		return
	}
	if undecided {
		r.Result, r.Reason = authres.TempError, "an organization's lookup had no answer"
		return
	}
	// What had no answer may have been the identifier that vouches.
	for _, i := range e.identifiers(authres.TempError) {
		if yes, known := e.aligned(i, r); yes || !known {
			r.Result, r.Reason = authres.TempError, "an aligned check had no answer"
			return
		}
	}
	r.Result, r.Reason = authres.Fail, "no identifier is aligned"
}

// aligned reports whether i vouches for r.Domain (RFC 9989 §3.2.10); known is
// false when DNS did not tell.
func (e *evaluator) aligned(i Identifier, r *Result) (yes, known bool) {
	if i.Domain == r.Domain {
		return true, true
	}
	if !e.candidate(i, r.Domain, r.Applied.Record) {
		return false, true
	}
	if r.OrgDomain == "" {
		org, _, ok := e.organization(r.Domain)
		if e.need != nil || !ok {
			return false, false
		}
		r.OrgDomain = org
	}
	// An identifier's organization is itself or above it.
	if !under(i.Domain, r.OrgDomain) {
		return false, true
	}
	if e.mode == ModePSL {
		return suffixOrg(i.Domain) == r.OrgDomain, true
	}
	if !slices.Contains(e.walked, i.Domain) {
		if len(e.walked) == MaxIdentifiers {
			return false, false
		}
		e.walked = append(e.walked, i.Domain)
	}
	w := e.walk(i.Domain)
	if e.need != nil || w.failed {
		return false, false
	}
	return w.organization() == r.OrgDomain, true
}
