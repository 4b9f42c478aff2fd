package milter

import (
	"slices"

	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// The lines of the score that say that nothing vouches for an author of ours,
// and that an entry of the admin lets the sender in.
const (
	lineForgedLocal = "OWN_DOMAIN_FORGED"
	lineAllowed     = "ALLOWED"
)

var replyForgedLocal = reply.Must(554, "7.1", "the author's domain is served here, and nothing proves that it sent this message")

// forgedLocal reports whether the message claims an author of ours without a
// proof. A rule that only observes has no points and refuses nobody, and what
// the DNS did not answer has no line.
func (f facts) forgedLocal() bool {
	if f.Scan == nil || f.ForgedLocal == unit.Off {
		return false
	}
	has := func(name string) bool {
		return slices.ContainsFunc(f.Scan.Lines, func(l verdict.Line) bool { return l.Name == name && l.Score != 0 })
	}
	return has(lineForgedLocal) && !has(lineAllowed)
}

// wouldRefuse is what the journal has of a setting that is only observed.
func (f facts) wouldRefuse() string {
	if f.ForgedLocal != unit.Observe || !f.forgedLocal() {
		return ""
	}
	return "reject_forged_local_sender: " + replyForgedLocal.String()
}
