package scan

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailaddr"
	adminrule "github.com/gatepost/gatepost/internal/rule"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// Config says what scores mean and what rules count. Default fills it.
type Config struct {
	// Reject, Quarantine, Mark and Greylist are scores. From Reject on a message
	// is refused, from Quarantine on it is kept aside, from Mark on it goes to
	// Junk; 0 switches that verdict off. Greylist is told to whoever may ask a
	// sender to come back, and is no verdict by itself.
	Reject     float64 `yaml:"reject"`
	Quarantine float64 `yaml:"quarantine"`
	Mark       float64 `yaml:"mark"`
	Greylist   float64 `yaml:"greylist"`
	// Rules changes single rules, by name.
	Rules map[string]RuleConfig `yaml:"rules"`
	// Allow and Deny name senders; ALLOWED and DENIED in Rules say what that
	// counts.
	Allow []Entry `yaml:"allow"`
	Deny  []Entry `yaml:"deny"`
	// Domains and Users change this for the mail of some recipients, by domain
	// and by address.
	Domains map[string]RecipientConfig `yaml:"domains"`
	Users   map[string]RecipientConfig `yaml:"users"`
	// AdminRules are the admin's own.
	AdminRules []AdminRule `yaml:"admin_rules"`
}

// RuleConfig changes one rule.
type RuleConfig struct {
	// Mode is enforce unless set. A rule in observe shows its line with 0
	// points and what it would add.
	Mode unit.Mode `yaml:"mode"`
	// Score replaces the rule's own.
	Score *float64 `yaml:"score"`
}

// Default returns the thresholds that rspamd has, and every rule as it is.
func Default() Config { return Config{Reject: 15, Mark: 6, Greylist: 4} }

// PutsAside reports whether some message may get the verdict quarantine or
// discard: by a score, or by a rule of the admin.
func (c Config) PutsAside() bool {
	for _, all := range []map[string]RecipientConfig{c.Domains, c.Users} {
		for _, rc := range all {
			if rc.Quarantine != nil && *rc.Quarantine > 0 {
				return true
			}
		}
	}
	return c.Quarantine > 0 || slices.ContainsFunc(c.AdminRules, func(r AdminRule) bool {
		return r.Verdict == verdict.Quarantine.String() || r.Verdict == discard
	})
}

// maxScore bounds a score of the configuration.
const maxScore = 10000

// Validate reports all that is wrong with c.
func (c Config) Validate() error {
	_, err := compileAdmin(c, adminrule.Options{})
	return errors.Join(c.validate(), err)
}

// validate is Validate without the conditions of the admin's rules.
func (c Config) validate() error {
	server := Thresholds{c.Reject, c.Quarantine, c.Mark}
	errs := []error{server.validate("", server), validateScore("greylist", c.Greylist)}
	for _, name := range sorted(c.Rules) {
		errs = append(errs, validateRule(name, c.Rules[name]))
	}
	errs = append(errs, bothSides("", c.Allow, c.Deny))
	l := newLevels(c)
	for _, name := range sorted(c.Domains) {
		rc, key := c.Domains[name], "domains."+name
		if d, err := mailaddr.ParseDomain(name); err != nil || !strings.Contains(d, ".") {
			errs = append(errs, config.Invalid(key, "%q is not a domain", name))
		}
		errs = append(errs, rc.over(Thresholds{}).validate(key+".", l.domains[folded(name)]), bothSides(key+".", rc.Allow, rc.Deny))
	}
	for _, name := range sorted(c.Users) {
		rc, key := c.Users[name], "users."+name
		if a, err := mailaddr.Parse(name); err != nil || a.Domain == "" {
			errs = append(errs, config.Invalid(key, "%q is not an address", name))
		}
		errs = append(errs, rc.over(Thresholds{}).validate(key+".", l.users[folded(name)]), bothSides(key+".", rc.Allow, rc.Deny))
	}
	return errors.Join(append(errs, c.validateAdmin())...)
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// validate reports what is wrong with thresholds that are set at key, and with
// what they are together with those that hold from above: whole.
func (t Thresholds) validate(key string, whole Thresholds) error {
	errs := []error{
		validateScore(key+"reject", t.Reject), validateScore(key+"quarantine", t.Quarantine), validateScore(key+"mark", t.Mark),
	}
	steps := []struct {
		name  string
		value float64
	}{{"mark", whole.Mark}, {"quarantine", whole.Quarantine}, {"reject", whole.Reject}}
	for i, low := range steps {
		for _, high := range steps[i+1:] {
			if high.value > 0 && low.value >= high.value {
				errs = append(errs, config.Invalid(key+low.name, "%s is not below %s, which is %s", points(low.value), high.name, points(high.value)))
			}
		}
	}
	return errors.Join(errs...)
}

func validateScore(key string, v float64) error {
	if v >= 0 && v <= maxScore {
		return nil
	}
	return config.Invalid(key, "%s is not a score from 0 to %d", points(v), maxScore)
}

// bothSides reports entries that are allowed and denied in one place.
func bothSides(key string, allow, deny []Entry) error {
	denied := map[string]bool{}
	for _, e := range deny {
		denied[e.text] = true
	}
	for i, e := range allow {
		if denied[e.text] {
			return config.Invalid(fmt.Sprintf("%sallow[%d]", key, i), "%s is in deny, too", e.text)
		}
	}
	return nil
}

func validateRule(name string, rc RuleConfig) error {
	r := ruleNamed(name)
	if r == nil {
		return config.Invalid("rules."+name, "there is no rule of this name%s", config.Suggest(name, lineNames()))
	}
	var errs []error
	if !validMode(rc.Mode) {
		errs = append(errs, config.Invalid("rules."+name+".mode", "%q is not a mode: use off, observe or enforce", rc.Mode))
	}
	if s := rc.Score; s != nil {
		switch {
		case !(math.Abs(*s) <= maxScore):
			errs = append(errs, config.Invalid("rules."+name+".score", "%s is not a score from -%d to %d", points(*s), maxScore, maxScore))
		case r.fact && *s != 0:
			errs = append(errs, config.Invalid("rules."+name+".score", "this rule tells a fact that is no reason: its score stays 0"))
		}
	}
	return errors.Join(errs...)
}

func validMode(m unit.Mode) bool {
	return slices.Contains([]unit.Mode{"", unit.Off, unit.Observe, unit.Enforce}, m)
}

// ruleNamed returns the rule or the kind of entry of that name, nil for none.
func ruleNamed(name string) *rule {
	for _, table := range [][]rule{rules, learnedRules, accessRules} {
		for i := range table {
			if table[i].Name == name {
				return &table[i]
			}
		}
	}
	return nil
}

// of returns mode and score of r.
func (c Config) of(r *rule) (unit.Mode, float64) {
	rc := c.Rules[r.Name]
	score := r.Score
	if rc.Score != nil && !r.fact {
		score = *rc.Score
	}
	if rc.Mode == "" {
		return unit.Enforce, score
	}
	return rc.Mode, score
}

func ruleNames() []string {
	names := make([]string, len(rules))
	for i := range rules {
		names[i] = rules[i].Name
	}
	return names
}

// points writes a score as short as it is.
func points(s float64) string { return strconv.FormatFloat(s, 'f', -1, 64) }
