package scan

import (
	"errors"
	"math"
	"slices"
	"sort"
	"strconv"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Config says what scores mean and what rules count. Default fills it.
type Config struct {
	// Reject, Mark and Greylist are scores. From Reject on a message is
	// refused, from Mark on it goes to Junk; 0 switches that verdict off.
	// Greylist is told to whoever may ask a sender to come back, and is no
	// verdict by itself.
	Reject   float64 `yaml:"reject"`
	Mark     float64 `yaml:"mark"`
	Greylist float64 `yaml:"greylist"`
	// Rules changes single rules, by name.
	Rules map[string]RuleConfig `yaml:"rules"`
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

// maxScore bounds a score of the configuration.
const maxScore = 10000

// Validate reports all that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	for _, t := range []struct {
		key   string
		value float64
	}{{"reject", c.Reject}, {"mark", c.Mark}, {"greylist", c.Greylist}} {
		if !(t.value >= 0 && t.value <= maxScore) {
			errs = append(errs, config.Invalid(t.key, "%s is not a score from 0 to %d", points(t.value), maxScore))
		}
	}
	if c.Reject > 0 && c.Mark >= c.Reject {
		errs = append(errs, config.Invalid("mark", "%s is not below reject, which is %s", points(c.Mark), points(c.Reject)))
	}
	names := make([]string, 0, len(c.Rules))
	for name := range c.Rules {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		errs = append(errs, validateRule(name, c.Rules[name]))
	}
	return errors.Join(errs...)
}

func validateRule(name string, rc RuleConfig) error {
	i := slices.IndexFunc(rules, func(r rule) bool { return r.Name == name })
	if i < 0 {
		return config.Invalid("rules."+name, "there is no rule of this name%s", config.Suggest(name, ruleNames()))
	}
	var errs []error
	if !slices.Contains([]unit.Mode{"", unit.Off, unit.Observe, unit.Enforce}, rc.Mode) {
		errs = append(errs, config.Invalid("rules."+name+".mode", "%q is not a mode: use off, observe or enforce", rc.Mode))
	}
	if s := rc.Score; s != nil {
		switch {
		case !(math.Abs(*s) <= maxScore):
			errs = append(errs, config.Invalid("rules."+name+".score", "%s is not a score from -%d to %d", points(*s), maxScore, maxScore))
		case rules[i].fact && *s != 0:
			errs = append(errs, config.Invalid("rules."+name+".score", "this rule tells a fact that is no reason: its score stays 0"))
		}
	}
	return errors.Join(errs...)
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
