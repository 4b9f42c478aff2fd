package policyd

import (
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/unit"
)

// ruleGuard is the rule that Decide names for a client that is closed out. The
// text names the ban.
const ruleGuard = "guard"

// decideGuard refuses a client that is closed out. A ban ends, so that no answer
// is for good. A stranger's connection is closed as well: 421.
func decideGuard(v *Verdict, pr *profile, req *Request, d guard.Decision) {
	if !d.Refuse && !d.Observed {
		return
	}
	code, who := 421, "mail from "
	if pr.outboundFor(req) {
		code, who = 450, "sending from "
	}
	mode := unit.Enforce
	if d.Observed {
		mode = unit.Observe
	}
	v.set(mode, ruleGuard, refusal(code, "7.1", who+formatAddr(req.Client.Addr)+" is not taken until "+untilMinute(d.Ban.Until)+", ban "+d.Ban.ID))
}
