package milter

import (
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// PolicyMode says what the policy of the domain in From (DMARC) does.
type PolicyMode string

// The modes.
const (
	// PolicyScores leaves it at the points of the DMARC rules.
	PolicyScores PolicyMode = "score"
	// PolicyEnforced marks mail that a domain wants put aside, and refuses what
	// it wants rejected where the score agrees. Where the DNS did not answer for
	// what may vouch for the message, it has the sender try again.
	PolicyEnforced PolicyMode = "enforce"
)

var (
	replyPolicy      = reply.Must(554, "7.1", "message refused by the DMARC policy of the domain in From")
	replyPolicyLater = reply.Must(451, "7.1", "the DNS did not answer for the DMARC policy of the domain in From, please try again later")
)

// policy is what the domain in From asks to do with the message, and how far
// that goes.
type policy struct {
	// Asked is empty where policies are not enforced.
	Asked dmarc.Policy
	// Open is what would be asked if what the DNS did not answer for now vouched
	// for nobody (RFC 9989 §5.3.6); empty like Asked.
	Open dmarc.Policy
	// Alone says that p=reject refuses whatever the score is.
	Alone bool
	// Agree is the score, without what the DMARC rules add, from which on p=reject
	// refuses: RFC 9989 §7.4 wants more than the policy itself. 0 is never.
	Agree float64
}

// policyOf returns the policy for a message with these results.
func policyOf(cfg *Config, r mailauth.Results) policy {
	if cfg.DMARC != PolicyEnforced {
		return policy{}
	}
	return policy{Asked: r.Policy(), Open: r.OpenPolicy(), Alone: cfg.DMARCRejectAlone, Agree: cfg.Scan.Mark}
}

// verdict returns the mildest verdict that does what is asked; s is nil where
// there is no score.
func (p policy) verdict(s *scan.Result) verdict.Verdict {
	switch {
	case p.Asked == dmarc.Reject && (p.Alone || p.Agree > 0 && withoutPolicy(s) >= p.Agree):
		return verdict.Reject
	case p.Asked == dmarc.Reject, p.Asked == dmarc.Quarantine:
		return verdict.Mark
	case p.Open == dmarc.Reject, p.Open == dmarc.Quarantine:
		return verdict.Defer
	}
	return verdict.Accept
}

// withoutPolicy returns the score without the DMARC rules.
func withoutPolicy(s *scan.Result) float64 {
	if s == nil {
		return 0
	}
	var rest []verdict.Line
	for _, l := range s.Lines {
		if !strings.HasPrefix(l.Name, "DMARC_") {
			rest = append(rest, l)
		}
	}
	return verdict.Sum(rest)
}

// disposition tells the policy that holds, where it stands, what became of the
// message, and why that is not what was asked (RFC 9990 §3.1.1); "" for a result
// without a policy. A policy that cannot be applied yet is told as well.
func disposition(r mailauth.Results, v verdict.Verdict) string {
	d := r.DMARC
	if p := r.OpenPolicy(); p != dmarc.None {
		return fmt.Sprintf("%s if nothing vouches, by %s=%s of %s", p, d.Applied.Tag, d.Applied.Published, d.Applied.Domain)
	}
	if d.Result != authres.Pass && d.Result != authres.Fail {
		return ""
	}
	done := dmarc.None
	switch v {
	case verdict.Mark, verdict.Quarantine:
		done = dmarc.Quarantine
	case verdict.Reject:
		done = dmarc.Reject
	}
	var why dmarc.Override
	if r.Forwarder.Domain != "" {
		why = dmarc.TrustedForwarder
	}
	e := d.Evaluated(done, why)
	text := fmt.Sprintf("%s, by %s=%s of %s; done: %s", d.Applied.Effective, d.Applied.Tag, d.Applied.Published, d.Applied.Domain, e.Disposition)
	if e.Reason != "" {
		text += ", " + string(e.Reason)
	}
	return text
}
