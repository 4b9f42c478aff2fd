package policyd

import (
	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// HeldMail says what becomes of mail of an account whose sending is held.
type HeldMail string

// What becomes of it.
const (
	// HeldDefer answers 451: the mail program keeps it and tries again.
	HeldDefer HeldMail = "defer"
	// HeldReject refuses for good; the login at submission fails, too.
	HeldReject HeldMail = "reject"
	// HeldHold takes it into Postfix's hold queue, until somebody looks.
	HeldHold HeldMail = "hold"
)

func (h HeldMail) validate() error {
	switch h {
	case HeldDefer, HeldReject, HeldHold:
		return nil
	}
	return config.Invalid("held", "%q is not defer, reject or hold", string(h))
}

// decideHeld answers for an account whose sending is held. Postfix holds whole
// messages, so with HeldHold recipients pass and the message is held.
func decideHeld(v *Verdict, h HeldMail, req *Request, f *Facts) {
	text := "sending is held for user " + shown(f.User) + "; the administrator of this server can release it"
	switch {
	case h == HeldReject:
		v.set(unit.Enforce, ruleHeld, refusal(554, "7.1", text))
	case h != HeldHold:
		v.set(unit.Enforce, ruleHeld, refusal(451, "7.1", text))
	case counts(req.ProtocolState):
		v.set(unit.Enforce, ruleHeld, Action{word: ActionHold, text: "sending of the account is held"})
	}
}
