package dmarc

import (
	"slices"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/publicsuffix"
)

// Mode says how the Organizational Domain is found.
type Mode string

// The modes.
const (
	ModeTree Mode = "tree" // RFC 9989
	ModePSL  Mode = "psl"  // RFC 7489
)

// MaxIdentifiers bounds the identifiers whose organization is looked for. One
// beyond it counts as undecided.
const MaxIdentifiers = 10

// Input is what Decide looks at besides the facts.
type Input struct {
	From        From
	Identifiers Identifiers
	// Early says that Identifiers are not known yet: only what is needed
	// whatever they are is asked, and there is no result.
	Early bool
	// Org asks for the Organizational Domain even if nothing hangs on it.
	Org bool
}

// Decide returns the result, or else the question that has to be answered
// first. Equal arguments give equal results.
func Decide(mode Mode, in Input, facts Facts) (Result, *Question) {
	e := evaluator{mode: mode, in: in, facts: facts}
	var r Result
	for i, domain := range in.From.Domains {
		one := e.author(domain)
		if e.need != nil {
			return Result{}, e.need
		}
		if i == 0 || one.badness() > r.badness() {
			r = one
		}
	}
	none := Result{Result: authres.None, Reason: "the author's domain is an address"}
	if in.From.Literal && (r.Result == "" || none.badness() > r.badness()) {
		r = none
	}
	if in.From.Doubt != "" && r.Result != authres.Fail && r.Result != authres.TempError {
		r.Result, r.Reason = authres.PermError, in.From.Doubt
	}
	r.Asked = facts
	return r, nil
}

// evaluator works on one message. The first fact that is missing ends up in
// need, and what is found after it means nothing.
type evaluator struct {
	mode   Mode
	in     Input
	facts  Facts
	need   *Question
	walked []string // identifiers whose organization was looked for
}

// record returns what is known of the record of name, nil when it has to be
// asked for first.
func (e *evaluator) record(name string) *Answer {
	if len(prefix)+len(name) > maxName || !inDNS(name) {
		return &Answer{Outcome: NoRecord}
	}
	return e.fact(Question{Name: name})
}

func (e *evaluator) fact(q Question) *Answer {
	a := e.facts.find(q)
	if a == nil && e.need == nil {
		e.need = &q
	}
	if e.need != nil {
		return nil
	}
	return a
}

// author evaluates one Author Domain.
func (e *evaluator) author(domain string) Result {
	r := Result{Domain: domain}
	own := e.record(domain)
	if own == nil {
		return r
	}
	if own.Outcome == NoAnswer {
		return r.fail(authres.TempError, "the record's lookup had no answer")
	}
	record := at{domain, own.Record}
	if own.Record == nil || own.Record.P != "" && e.orgNeeded(domain, own.Record) {
		org, found, ok := e.organization(domain)
		switch {
		case e.need != nil:
			return r
		case ok:
			r.OrgDomain, record = org, found
		case own.Record == nil:
			return r.fail(authres.TempError, "the record's lookup had no answer")
		}
	}
	if record.record == nil {
		return r.fail(authres.None, "no record")
	}
	r.Applied = Applied{Domain: record.name, Record: record.record}
	if record.record.P == "" {
		r.OrgDomain = ""
		return r.fail(authres.None, "the record gives no policy")
	}
	r.Applied.Tag, r.Applied.Published = e.policy(domain, record)
	r.Applied.Effective = r.Applied.Published
	if record.record.Testing {
		r.Applied.Effective = r.Applied.Published.weaker()
	}
	if e.need != nil || e.in.Early {
		return r
	}
	e.align(&r)
	return r
}

func (r Result) fail(res authres.Result, reason string) Result {
	r.Result, r.Reason = res, reason
	return r
}

// orgNeeded reports whether anything hangs on the organization of domain,
// which has the record own: only a relaxed comparison with another name does,
// and none of them can be equal when the top labels differ.
func (e *evaluator) orgNeeded(domain string, own *Record) bool {
	if e.in.Org || e.mode == ModePSL || own.PSD != PSDUnknown || above(domain) == "" {
		return true // or it is known without a question
	}
	if e.in.Early {
		return false
	}
	return slices.ContainsFunc(e.identifiers(authres.Pass), func(i Identifier) bool {
		return e.candidate(i, domain, own)
	})
}

// candidate reports whether i may align with domain by its organization.
func (e *evaluator) candidate(i Identifier, domain string, r *Record) bool {
	strict := r.StrictSPF
	if i.Method == authres.DKIM {
		strict = r.StrictDKIM
	}
	return !strict && i.Domain != domain && topLabel(i.Domain) == topLabel(domain)
}

// organization finds the Organizational Domain of domain and the record that
// holds for it; false when DNS did not answer.
func (e *evaluator) organization(domain string) (string, at, bool) {
	if e.mode != ModePSL {
		w := e.walk(domain)
		org := w.organization()
		return org, w.applied(org), !w.failed
	}
	org := suffixOrg(domain)
	for _, name := range []string{domain, org} {
		a := e.record(name)
		if a == nil || a.Outcome == NoAnswer {
			return "", at{}, false
		}
		if a.Record != nil {
			return org, at{name, a.Record}, true
		}
	}
	return org, at{}, true
}

// suffixOrg returns the organization by the public suffix list. A suffix is
// its own.
func suffixOrg(domain string) string {
	if org, ok := publicsuffix.Organization(domain); ok {
		return org
	}
	return domain
}

// policy returns the policy for domain and its tag (RFC 9989 §4.7): np holds
// only for names that do not exist, which is asked only where it matters.
func (e *evaluator) policy(domain string, a at) (string, Policy) {
	r := a.record
	if a.name == domain {
		return "p", r.P
	}
	tag, p := "sp", r.SP
	if p == "" {
		tag, p = "p", r.P
	}
	if r.NP == "" || r.NP == p {
		return tag, p
	}
	outcome := Missing
	if inDNS(domain) {
		known := e.fact(Question{Name: domain, Exists: true})
		if known == nil {
			return tag, p
		}
		outcome = known.Outcome
	}
	if outcome == Missing || outcome == NoAnswer && r.NP.rank() < p.rank() {
		return "np", r.NP
	}
	return tag, p
}
