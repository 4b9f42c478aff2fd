package scan

import (
	"github.com/gatepost/gatepost/internal/verdict"
)

// named is what enforced rules want by themselves, whatever the score is.
type named struct {
	verdict verdict.Verdict
	// reply goes with Reject.
	reply   string
	discard bool
}

// recipient is what counts for one recipient.
type recipient struct {
	// key is his address as package delivery writes it, "" for all of them.
	key string
	thresholds
	// own are points that count for him alone.
	own float64
}

// decide fills in what follows from res.Score. SMTP has one answer for all
// recipients: the message is refused, deferred or kept aside only as far as all
// agree. Else each has his own verdict, and what would refuse it for one marks
// it for him; the message's is then the mildest, so that a header never takes a
// message out of an inbox whose owner wants it.
func decide(res *Result, n named, rs []recipient, d Direction, greylist float64) {
	if d != Inbound && n.verdict == verdict.Mark {
		n.verdict = verdict.Accept // there is no Junk to put it in
	}
	all := make([]verdict.Verdict, len(rs))
	res.Verdict = verdict.Reject
	for i, r := range rs {
		all[i] = max(n.verdict, r.byScore(d, verdict.Round(res.Score+r.own)))
		res.Verdict = min(res.Verdict, all[i])
	}
	if res.Verdict < verdict.Quarantine {
		for i, r := range rs {
			if v := min(all[i], verdict.Mark); v != res.Verdict {
				if res.ByRcpt == nil {
					res.ByRcpt = map[string]verdict.Verdict{}
				}
				res.ByRcpt[r.key] = v
			}
		}
	}
	if res.Verdict == verdict.Reject {
		res.Reject = n.reply
	}
	res.Discard = n.discard && res.Verdict < verdict.Defer
	res.Greylist = d == Inbound && greylist > 0 && res.Score >= greylist && res.Verdict < verdict.Defer && !res.Discard
}

// thresholds are the scores from which on a verdict holds, 0 for never.
type thresholds struct{ reject, quarantine, mark float64 }

// byScore returns what the thresholds make of a score.
func (t thresholds) byScore(d Direction, score float64) verdict.Verdict {
	switch {
	case t.reject > 0 && score >= t.reject:
		return verdict.Reject
	case t.quarantine > 0 && score >= t.quarantine && d == Inbound:
		return verdict.Quarantine
	case t.mark > 0 && score >= t.mark && d == Inbound:
		return verdict.Mark
	}
	return verdict.Accept
}
