package policyd

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/unit"
)

// Policy is what Decide goes by: one version of the configuration, checked.
type Policy struct {
	SenderLogin unit.Mode
	NullSender  unit.Mode
	Limits      []limit.Limit
	rules       []rule
}

// Facts are what was found out about one request. For inbound mail they are
// zero.
type Facts struct {
	// AccountsAway says that the account store did not answer; the other facts
	// about the account are not known then.
	AccountsAway bool
	// Known, Held and Disabled are the account of the login.
	Known, Held, Disabled bool
	// User is the account's address, or the login in lower case when no account
	// has it. Limits count by it.
	User string
	// MaySend says that the account may use the sender.
	MaySend bool
	// SenderLocal says that the sender's domain is ours, so that an alias can
	// grant the right.
	SenderLocal bool
	// Limits are what the limits say; nil before they were asked. Mine is how
	// many recipients of this transaction were passed before, uncounted.
	Limits []limit.Result
	Mine   int64
}

// The rules that Decide names by itself; the others are limits and Rules.
const (
	ruleAccounts   = "account_store"
	ruleHeld       = "account_held"
	ruleDisabled   = "account_disabled"
	ruleUnknown    = "account_unknown"
	ruleSender     = "reject_sender_login_mismatch"
	ruleNullSender = "reject_null_sender"
)

// Verdict is the answer to one request, with its reason.
type Verdict struct {
	Action Action
	// Rule is what led to the action; empty for a plain DUNNO.
	Rule string
	// Would are the refusals and actions of rules and limits that only observe.
	Would []Would
}

// Would is what a rule in mode observe would have answered.
type Would struct {
	Rule   string
	Action Action
}

// Word returns the verdict in one word of a closed set, for metrics and the
// journal: "dunno", "refuse", "defer", or what the administrator's rule did.
func (v Verdict) Word() string {
	a := v.Action
	switch {
	case a.word == ActionReject, a.Refuses() && a.word[0] == '5':
		return "reject"
	case a.Refuses(), a.word == ActionDeferIfReject:
		return "defer"
	}
	switch a.word {
	case ActionDunno, ActionHold, ActionDiscard, ActionRedirect, ActionBCC, ActionFilter, ActionPrepend, ActionWarn, ActionInfo:
		return strings.ToLower(a.word)
	}
	return "permit"
}

// Decide returns the answer to req. Equal arguments give equal verdicts. With
// f.Limits nil it answers what is right before the limits are asked.
func Decide(p Policy, req Request, f Facts) Verdict {
	v := Verdict{}
	if req.Outbound() && aboutMail(req.ProtocolState) {
		decideOutbound(&v, p, req, f)
	}
	if v.Action.IsZero() {
		decideRules(&v, p, req)
	}
	return v
}

// aboutMail reports whether a sender and a transaction belong to the state.
func aboutMail(s State) bool {
	return s == StateMail || s == StateRcpt || counts(s)
}

// counts reports whether the recipients are counted in the state.
func counts(s State) bool { return s == StateData || s == StateEndOfMessage }

// decideOutbound asks the account, the sender and the limits, in this order.
func decideOutbound(v *Verdict, p Policy, req Request, f Facts) {
	if req.SASL.Username == "" {
		return
	}
	if f.AccountsAway {
		v.set(unit.Enforce, ruleAccounts, refuse(reply.Broken))
		return
	}
	user := shown(f.User)
	if f.Held {
		v.set(unit.Enforce, ruleHeld, refusal(554, "7.1", "sending is held for user "+user+"; the administrator of this server can release it"))
		return
	}
	if f.Disabled {
		v.set(unit.Enforce, ruleDisabled, refusal(554, "7.1", "user "+user+" is disabled"))
		return
	}
	if !f.Known {
		v.set(p.SenderLogin, ruleUnknown, refusal(553, "7.1", "user "+user+" has no account here"))
	}
	if req.MailFrom == "" {
		v.set(p.NullSender, ruleNullSender, refusal(553, "7.1", "user "+user+" may not send with the null sender <>"))
	} else if f.Known && !f.MaySend {
		v.set(p.SenderLogin, ruleSender, refusal(553, "7.1", senderText(user, req.MailFrom, f.SenderLocal)))
	}
	if v.Action.IsZero() {
		decideLimits(v, f)
	}
}

// senderText says who may grant the right: nobody for a domain of others.
func senderText(user, sender string, local bool) string {
	sender = shown(sender)
	text := "user " + user + " may not send as " + sender
	if local {
		text += "; an administrator can add an alias " + sender + " that leads to " + user
	}
	return text
}

// decideLimits refuses by the first limit that does not allow.
func decideLimits(v *Verdict, f Facts) {
	for _, r := range f.Limits {
		if r.Allowed {
			continue
		}
		mode := unit.Observe
		if r.Limit.Enforced() {
			mode = unit.Enforce
		}
		code := 450
		if r.Never() && f.Mine == 0 {
			code = 550 // trying again would not help
		}
		v.set(mode, "limit "+r.Limit.Name, refusal(code, "7.1", LimitText(r, f.Mine)))
	}
}

// LimitText names the limit, what was used of it and when it ends. mine is how
// many recipients the mail in hand had before, uncounted.
func LimitText(r limit.Result, mine int64) string {
	text := fmt.Sprintf("limit %s: %d of %d recipients in %s used by %s",
		r.Limit.Name, r.Used, r.Limit.Rate.Count, unit.Duration(r.Limit.Rate.Window), shown(r.Key))
	if mine > 0 {
		text += fmt.Sprintf(" and %d by this mail", mine)
	} else if r.Asked > 1 && !r.Allowed {
		text += fmt.Sprintf(", this mail has %d", r.Asked)
	}
	if r.Ends.IsZero() {
		return text
	}
	return text + "; ends " + minuteAfter(r.Ends)
}

// minuteAfter writes t in UTC, rounded up: who tries again at that minute is
// not too early.
func minuteAfter(t time.Time) string {
	if rounded := t.Truncate(time.Minute); rounded.Before(t) {
		t = rounded.Add(time.Minute)
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// decideRules takes the first rule that matches and enforces, else DUNNO.
func decideRules(v *Verdict, p Policy, req Request) {
	for i := range p.rules {
		r := &p.rules[i]
		if r.mode == unit.Off || !r.matches(&req) {
			continue
		}
		v.set(r.mode, "rule "+r.name, r.action)
		if r.mode == unit.Enforce {
			return
		}
	}
	v.Action = Dunno()
}

// set takes the action if mode enforces and none was taken, and notes it if
// mode observes.
func (v *Verdict) set(mode unit.Mode, rule string, a Action) {
	switch {
	case mode == unit.Observe:
		v.Would = append(v.Would, Would{Rule: rule, Action: a})
	case mode == unit.Enforce && v.Action.IsZero():
		v.Action, v.Rule = a, rule
	}
}

// refusal is refuse with a text that may hold what a user typed. A text that
// no reply can carry gives a plain refusal of the same class.
func refusal(code int, detail, text string) Action {
	r, err := reply.New(code, detail, text)
	if err != nil {
		r = reply.Refused
		if code/100 == 4 {
			r = reply.Broken
		}
	}
	return refuse(r)
}

// refuse is Refuse for replies that are 4yz or 5yz by construction.
func refuse(r reply.Reply) Action {
	a, err := Refuse(r)
	if err != nil {
		panic("policyd: " + err.Error()) // a code of ours that is none
	}
	return a
}

// maxShown bounds an address in a text: two fit one reply.
const maxShown = 120

// shown returns an address for a text: without controls, and cut.
func shown(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "?")
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
	if len(s) <= maxShown {
		return s
	}
	cut := maxShown
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
