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
	Thresholds
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

// Thresholds are the scores from which on a verdict holds, 0 for never.
type Thresholds struct {
	Reject     float64 `json:"reject"`
	Quarantine float64 `json:"quarantine"`
	Mark       float64 `json:"mark"`
}

// shown returns what is told of the thresholds for rs: theirs where they are of
// one mind, the server's else. Mail of our own users has no Junk to go to.
func (l *levels) shown(rs []recipient, d Direction) Thresholds {
	t := rs[0].Thresholds
	for _, r := range rs[1:] {
		if r.Thresholds != t {
			t = l.server
			break
		}
	}
	if d != Inbound {
		t.Quarantine, t.Mark = 0, 0
	}
	return t
}

// byScore returns what the thresholds make of a score.
func (t Thresholds) byScore(d Direction, score float64) verdict.Verdict {
	switch {
	case t.Reject > 0 && score >= t.Reject:
		return verdict.Reject
	case t.Quarantine > 0 && score >= t.Quarantine && d == Inbound:
		return verdict.Quarantine
	case t.Mark > 0 && score >= t.Mark && d == Inbound:
		return verdict.Mark
	}
	return verdict.Accept
}
