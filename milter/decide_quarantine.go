package milter

import (
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// wantsQuarantine reports whether a rule or the score puts the message aside.
func (f facts) wantsQuarantine() bool {
	return f.Scan != nil && (f.Scan.Discard || f.Scan.Verdict == verdict.Quarantine)
}

// putAside decides about a message that nobody is to have for now. What cannot
// be kept goes to Junk: nothing is thrown away. A user who submits mail is there
// to read a refusal, and lmtpd could not release it to the outside.
func putAside(f facts, d decision) decision {
	switch {
	case !f.wantsQuarantine():
		return d
	case f.Origin.Direction == scan.Outbound:
		return decision{Verdict: verdict.Reject, Reply: replyKept}
	case f.NoQuarantine != "":
		return decision{Verdict: verdict.Mark}
	}
	return decision{Verdict: verdict.Quarantine, Keep: true, Discard: f.Scan.Discard}
}
