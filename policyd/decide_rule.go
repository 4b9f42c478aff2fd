package policyd

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/netaddr"
	ruleexpr "github.com/gatepost/gatepost/internal/rule"
	"github.com/gatepost/gatepost/internal/unit"
)

// maxRules bounds the rules: each is looked at for each request.
const maxRules = 1000

// Rule is one action of the administrator.
type Rule struct {
	// Name stands in the log and the journal.
	Name string `yaml:"name"`
	// Mode is off, observe or enforce; empty means enforce.
	Mode unit.Mode `yaml:"mode"`
	// When says for which requests; every condition that is set must hold.
	When When `yaml:"when"`
	// Action is an action of access(5), for example "REJECT not from there".
	Action string `yaml:"action"`
	// PermitsRelay allows an action that permits: OK, permit_…, a restriction
	// class. It makes an open relay of a server that asks us before
	// reject_unauth_destination.
	PermitsRelay bool `yaml:"permits_relay"`
}

// When is the conditions of a rule. In the configuration a text stands for
// {expr: text}.
type When struct {
	// Expr is a condition in the language of package rule over the attributes and
	// facts of ruleEnv, for example `sender_domain == "example.com" and hour < 6`.
	Expr string `yaml:"expr"`
	// ClientNetworks has the client's address in one of them.
	ClientNetworks []netaddr.Prefix `yaml:"client_networks"`
	// PolicyContext is the service's policy_context in main.cf.
	PolicyContext string `yaml:"policy_context"`
	// ProtocolState is the SMTP event; empty means RCPT.
	ProtocolState string `yaml:"protocol_state"`
}

// UnmarshalScalar reads the short form of a When.
func (w *When) UnmarshalScalar(text string) error {
	*w = When{Expr: text}
	return nil
}

// rule is a Rule that is ready to be asked.
type rule struct {
	name   string
	mode   unit.Mode
	when   When
	state  State
	action Action
	// set has When.Expr compiled, at the place expr; nil without one.
	set  *ruleexpr.Set[*ruleEnv]
	expr int
}

// states are those that a rule can name.
var states = []State{StateConnect, StateEHLO, StateHELO, StateMail, StateRcpt, StateData, StateEndOfMessage, StateVRFY, StateETRN}

// relayPermit returns the licence to permit, if r has it.
func (r Rule) relayPermit() relayPermit {
	if !r.PermitsRelay {
		return relayPermit{}
	}
	return relayPermit{rule: r.Name}
}

// build returns r ready to be asked, and all that is wrong with it.
func (r Rule) build() (rule, error) {
	out := rule{name: r.Name, mode: r.Mode, when: r.When, state: State(strings.ToUpper(r.When.ProtocolState))}
	var errs []error
	if r.Name == "" || len(r.Name) > 64 || validActionText(r.Name) != nil {
		errs = append(errs, config.Invalid("name", "%q is not a name of 1 to 64 bytes", r.Name))
	}
	if out.mode == "" {
		out.mode = unit.Enforce
	}
	errs = append(errs, validMode("mode", out.mode))
	if out.state == "" {
		out.state = StateRcpt
	}
	if !slices.Contains(states, out.state) {
		errs = append(errs, config.Invalid("when.protocol_state", "%q is not a protocol_state of Postfix", r.When.ProtocolState))
	}
	var err error
	if out.action, err = r.action(); err != nil {
		errs = append(errs, config.Invalid("action", "%v", err))
	}
	if out.action.word == ActionPrepend && out.state == StateEndOfMessage {
		errs = append(errs, config.Invalid("action", "PREPEND comes too late at END-OF-MESSAGE"))
	}
	if r.PermitsRelay && len(r.When.ClientNetworks) == 0 && r.When.PolicyContext == "" {
		errs = append(errs, config.Invalid("when", "a rule with permits_relay needs client_networks or policy_context: else everybody may relay"))
	}
	for _, p := range r.When.ClientNetworks {
		if !p.IsValid() || p.Addr().Is4In6() || p.Prefix != p.Masked() {
			errs = append(errs, config.Invalid("when.client_networks", "%s is not a network: use %s", p, p.Masked()))
		}
	}
	return out, errors.Join(errs...)
}

// action builds the rule's action: one of the closed set, or with the licence
// any word of Postfix's.
func (r Rule) action() (Action, error) {
	a, err := ParseAction(r.Action)
	if err == nil || !errors.Is(err, errAction) {
		return a, err
	}
	return permitAction(r.relayPermit(), r.Action)
}

// decideOrderedRules takes the first rule that matches and enforces.
func decideOrderedRules(v *Verdict, p *Policy, rules []rule, req *Request, f *Facts, now time.Time) {
	env := f.room
	filled := false
	for i := range rules {
		r := &rules[i]
		if r.mode == unit.Off || !r.conditions(req) {
			continue
		}
		if r.set != nil {
			if env == nil {
				env = &ruleEnv{}
			}
			if !filled {
				env.fill(p, req, f, now)
				filled = true
			}
			// One that fails is no hit; its Counts tell.
			if hit, err := r.set.Eval(r.expr, env); err != nil || !hit {
				continue
			}
		}
		v.set(r.mode, "rule "+r.name, r.action)
		if r.mode == unit.Enforce {
			return
		}
	}
}

// conditions reports whether every condition of r but its expression holds.
func (r *rule) conditions(req *Request) bool {
	if req.ProtocolState != r.state || r.when.PolicyContext != "" && r.when.PolicyContext != req.PolicyContext {
		return false
	}
	if len(r.when.ClientNetworks) == 0 {
		return true
	}
	for _, p := range r.when.ClientNetworks {
		if req.Client.Addr.IsValid() && p.Contains(req.Client.Addr) {
			return true
		}
	}
	return false
}
