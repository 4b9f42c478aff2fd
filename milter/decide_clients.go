package milter

import (
	bans "github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/verdict"
)

// eventOf returns what a message says of the client that brought it, without
// its address. A message that some rule refused whatever its score was says
// nothing: who wrote the rule means the sender, and the client may be a
// provider's. Neither does one that was marked: whoever has a domain of his own
// could else buy his way out of a ban with spam.
func eventOf(f facts, d decision) (bans.Event, bool) {
	if f.Scan == nil || !f.Refusal.IsZero() || f.Fault != nil {
		return bans.Event{}, false
	}
	switch t := f.Scan.Thresholds.Reject; {
	case d.Verdict == verdict.Reject && f.Scan.Verdict == verdict.Reject && t > 0 && f.Scan.Score >= t:
		return bans.Event{Kind: bans.SpamRefused, Score: f.Scan.Score}, true
	case d.Verdict == verdict.Accept && d.Reply.IsZero() && !d.Discard && f.Author.Domain != "" && f.Auth.Proves(f.Author.Domain):
		return bans.Event{Kind: bans.Accepted, Score: f.Scan.Score}, true
	}
	return bans.Event{}, false
}
