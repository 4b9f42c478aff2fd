package policyd

import (
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

// SRSFacts are what was found out about a recipient in SRS form at our SRS
// domain. The zero value is that of any other recipient.
//
// The table that rewrites such a recipient back sees the address alone. Who has
// seen one, in a Return-Path, could have us pass on his mail to a stranger; what
// Postfix relays for him is decided here.
type SRSFacts struct {
	// Form says that the recipient is such an address.
	Form bool
	// Valid says that we made it, not too long ago.
	Valid bool
	// Full says that as much has gone back to its target as may; Ends is when
	// more may.
	Full bool
	Ends time.Time
}

// The rules about SRS addresses.
const (
	ruleSRSSender  = "srs_sender"
	ruleSRSAddress = "srs_address"
	ruleSRSTarget  = "srs_per_target"
)

// decideSRS refuses mail to a recipient in SRS form unless it is a bounce that
// belongs to it. Only what comes from the null sender can be one.
func decideSRS(v *Verdict, req Request, f SRSFacts) {
	if !f.Form || req.ProtocolState != StateRcpt {
		return
	}
	switch {
	case req.MailFrom != "":
		v.set(unit.Enforce, ruleSRSSender, refusal(550, "7.1", "this address takes bounces only"))
	case !f.Valid:
		v.set(unit.Enforce, ruleSRSAddress, refusal(550, "1.1", "this address is not valid, or not any more"))
	case f.Full:
		v.set(unit.Enforce, ruleSRSTarget, refusal(450, "7.1", "too many bounces for this address; ends "+minuteAfter(f.Ends)))
	}
}
