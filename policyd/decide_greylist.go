package policyd

import (
	"fmt"

	"github.com/gatepost/gatepost/internal/greylist"
	"github.com/gatepost/gatepost/internal/unit"
)

// ruleGreylist is the rule that Decide names when a stranger has to come back.
const ruleGreylist = "greylist"

// decideGreylist asks the client to come back, unless something else was decided
// already: an action of the administrator stands, even a DUNNO.
//
// The action is DEFER_IF_PERMIT, so that a recipient who does not exist, or whom
// a later restriction refuses, is refused at once.
func decideGreylist(v *Verdict, o greylist.Outcome) {
	if v.Rule != "" || !v.Action.IsZero() && v.Action != Dunno() || !o.Defer {
		return
	}
	a, err := ParseAction(ActionDeferIfPermit + " 4.2.0 " + greylistText(o))
	if err != nil {
		return // a fault of ours defers nobody
	}
	if o.Observe {
		v.set(unit.Observe, ruleGreylist, a)
		return
	}
	v.Action = Action{} // a plain DUNNO gives way
	v.set(unit.Enforce, ruleGreylist, a)
}

// greylistText says what this is and when to come back.
func greylistText(o greylist.Outcome) string {
	return fmt.Sprintf("greylisted: this sender is new here, try again in %d seconds, from %s on",
		o.Seconds(), secondAfter(o))
}

// secondAfter writes when the client may come back, in UTC, rounded up.
func secondAfter(o greylist.Outcome) string {
	t := o.Back
	if rounded := t.Truncate(1e9); rounded.Before(t) {
		t = rounded.Add(1e9)
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// greylistFact returns what the journal shall know of a greylist that was asked,
// "" for one that was not.
func greylistFact(o greylist.Outcome) string {
	switch o.Why {
	case "", greylist.WhyOff, greylist.WhyNull, greylist.WhyNoClient, greylist.WhyClient, greylist.WhyUnsuspect:
		return ""
	}
	text := string(o.Why)
	if o.Suspect != "" {
		text += "; suspicious: " + string(o.Suspect)
	}
	if o.Client != "" {
		text += "; client " + shown(o.Client)
	}
	if o.Why == greylist.WhyPassed {
		text += fmt.Sprintf("; after %d seconds", int(o.Now.Sub(o.First).Seconds()))
	}
	return text
}
