package policyd

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/greylist"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/unit"
)

// Policy is what Decide goes by: one version of the configuration, checked.
type Policy struct {
	admission admission
	rules     map[State][]rule
	wants     wants // what the rules look at
	needs     ruleNeeds
	late      Action // to outbound mail that can not be judged
	held      HeldMail
	profiles  map[string]*profile
	other     *profile // of a policy_context without one
}

// profile is what holds for requests with one policy_context.
type profile struct {
	outbound    bool // also without a login
	senderLogin unit.Mode
	nullSender  unit.Mode
	rules       bool
	limits      *limit.Set
	// bytes are those of limits that count bytes: at END-OF-MESSAGE the size is
	// known at last.
	bytes *limit.Set
	// inbound says that a limit can concern mail without a login.
	inbound, needsRcpts, needsNew, needsSender, needsUser bool
}

// profile returns what holds for a policy_context.
func (p *Policy) profile(context string) *profile {
	if pr := p.profiles[context]; pr != nil {
		return pr
	}
	if p.other != nil {
		return p.other
	}
	return &profile{}
}

// outboundFor reports whether a request is about a user's mail.
func (pr *profile) outboundFor(req *Request) bool { return pr.outbound || req.SASL.Username != "" }

// Facts are what was found out about one request.
type Facts struct {
	// Late says that the facts could not be found in time.
	Late bool
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
	// Standing has the groups and rates that the account store has for User.
	Standing account.Standing
	// Guard is what the guard says of the client, at RCPT.
	Guard guard.Decision
	// Limits are what the limits say; nil before they were asked. Predicted says
	// that they only tell what would happen, at RCPT.
	Limits    []limit.Result
	Predicted bool
	// SRS is about a recipient in SRS form.
	SRS SRSFacts
	// Admit is about sender, client and recipient at RCPT; nil in other states.
	Admit *AdmitFacts
	// Greylist is what the greylist says; zero where it was not asked.
	Greylist greylist.Outcome

	room *ruleEnv // for what rules see; nil: made anew
}

// The rules that Decide names by itself; the others are limits and Rules.
const (
	ruleLate       = "request_timeout"
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

// Plain reports whether nothing is to be told of v.
func (v *Verdict) Plain() bool { return v.Rule == "" && len(v.Would) == 0 }

// Word returns the verdict in one word of a closed set, for metrics and the
// journal: "dunno", "refuse", "defer", or what the administrator's rule did.
func (v Verdict) Word() string {
	a := v.Action
	switch {
	case a.word == ActionDunno:
		return "dunno"
	case a.word == ActionReject, a.Refuses() && a.word[0] == '5':
		return "reject"
	case a.Refuses(), a.word == ActionDeferIfReject:
		return "defer"
	}
	switch a.word {
	case ActionHold, ActionDiscard, ActionRedirect, ActionBCC, ActionFilter, ActionPrepend, ActionWarn, ActionInfo:
		return strings.ToLower(a.word)
	}
	return "permit"
}

// Decide returns the answer to req at now. Equal arguments give equal verdicts.
// With f.Limits nil it answers what is right before the limits are asked.
func Decide(p Policy, req Request, f Facts, now time.Time) Verdict {
	var v Verdict
	decide(&v, &p, &req, &f, now)
	return v
}

// decide is decideAs with the profile looked up.
func decide(v *Verdict, p *Policy, req *Request, f *Facts, now time.Time) {
	decideAs(v, p, p.profile(req.PolicyContext), req, f, now)
}

// decideAs asks each part in turn; the first that enforces gives the action. pr is
// the profile of req.
func decideAs(v *Verdict, p *Policy, pr *profile, req *Request, f *Facts, now time.Time) {
	if decideGuard(v, pr, req, f.Guard); !v.Action.IsZero() {
		return
	}
	if aboutMail(req.ProtocolState) {
		if pr.outboundFor(req) {
			decideOutbound(v, p, pr, req, f)
		}
		if f.SRS.Form {
			decideSRS(v, *req, f.SRS)
		}
		if v.Action.IsZero() {
			decideAdmission(v, &p.admission, req, f.Admit, now)
		}
		if v.Action.IsZero() {
			decideLimits(v, f)
		}
	}
	if rules := p.rules[req.ProtocolState]; v.Action.IsZero() && pr.rules && len(rules) > 0 {
		decideOrderedRules(v, p, rules, req, f, now)
	}
	if v.Action.IsZero() {
		decideGreylist(v, f.Greylist)
	}
	if v.Action.IsZero() {
		v.Action = Dunno()
	}
}

// aboutMail reports whether a sender and a transaction belong to the state.
func aboutMail(s State) bool {
	return s == StateMail || s == StateRcpt || counts(s)
}

// counts reports whether the recipients are counted in the state.
func counts(s State) bool { return s == StateData || s == StateEndOfMessage }

// decideOutbound asks the account and the sender, in this order.
func decideOutbound(v *Verdict, p *Policy, pr *profile, req *Request, f *Facts) {
	if f.AccountsAway && !f.Late {
		v.set(unit.Enforce, ruleAccounts, p.late)
		return
	}
	if f.Late {
		v.set(unit.Enforce, ruleLate, p.late)
		return
	}
	if req.SASL.Username == "" {
		return
	}
	if f.Held {
		decideHeld(v, p.held, req, f)
		return
	}
	if f.Disabled {
		v.set(unit.Enforce, ruleDisabled, refusal(554, "7.1", "user "+shown(f.User)+" is disabled"))
		return
	}
	if !f.Known {
		v.set(pr.senderLogin, ruleUnknown, refusal(553, "7.1", "user "+shown(f.User)+" has no account here"))
	}
	if req.MailFrom == "" {
		v.set(pr.nullSender, ruleNullSender, refusal(553, "7.1", "user "+shown(f.User)+" may not send with the null sender <>"))
	} else if f.Known && !f.MaySend {
		v.set(pr.senderLogin, ruleSender, refusal(553, "7.1", rightsText(f.User, req.MailFrom, f.SenderLocal)))
	}
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
