package policyd

import (
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/unit"
)

// ruleDeny begins the rule that Decide names for a deny entry.
const ruleDeny = "deny "

// decideAccess refuses what a deny entry names. It reports whether an allow
// entry holds, which saves the client from the checks of clients and senders.
func decideAccess(v *Verdict, a *admission, f *AdmitFacts) (allowed bool) {
	e := f.Entry
	if e.Name == "" || a.access == unit.Off {
		return false
	}
	if !e.Deny {
		return f.allowed(a)
	}
	v.set(a.access, ruleDeny+entryText(e), refusal(554, "7.1", denyText(e)))
	return false
}

// allowed reports whether an allow entry holds.
func (f *AdmitFacts) allowed(a *admission) bool {
	return f != nil && a.access == unit.Enforce && f.Entry.Name != "" && !f.Entry.Deny
}

// entryText names an entry as the command line does.
func entryText(e access.Entry) string {
	if e.For == "" {
		return named(e.Name)
	}
	return named(e.Name) + " for " + named(e.For)
}

// denyText tells the peer what is not taken, and until when. The reason is for
// the administrator.
func denyText(e access.Entry) string {
	text := "mail of this sender is not accepted here"
	if e.For != "" {
		text = "mail of this sender is not accepted for this recipient"
	}
	if !e.Until.IsZero() {
		text += " until " + untilMinute(e.Until)
	}
	return text
}

// untilMinute writes t in UTC, rounded up.
func untilMinute(t time.Time) string {
	if rounded := t.Truncate(time.Minute); rounded.Before(t) {
		t = rounded.Add(time.Minute)
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}
