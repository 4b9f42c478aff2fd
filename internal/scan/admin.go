package scan

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/reply"
	adminrule "github.com/gatepost/gatepost/internal/rule"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// AdminRule is a rule that the admin writes.
type AdminRule struct {
	// Name is that of its line: capitals, digits and "_".
	Name string `yaml:"name"`
	// When is the condition (package rule) over the facts of env.
	When string `yaml:"when"`
	// Score is what it adds.
	Score float64 `yaml:"score"`
	// Verdict is what it wants by itself: mark, quarantine, defer, reject or
	// discard; "" leaves that to the score.
	Verdict string `yaml:"verdict"`
	// Reply is the text that the sender gets with verdict reject.
	Reply string `yaml:"reply"`
	// Tag is a word that goes with the message.
	Tag string `yaml:"tag"`
	// Text is one sentence for a person, "" for the usual one.
	Text string `yaml:"text"`
	// Mode is enforce unless set.
	Mode unit.Mode `yaml:"mode"`
}

// adminGroup is the theme of the admin's rules, adminText what is told of one
// without a text.
const (
	adminGroup = "admin"
	adminText  = "A rule of the admin."
)

// discard is the verdict that is no rank.
const discard = "discard"

// adminVerdicts are the words of AdminRule.Verdict.
var adminVerdicts = []string{"", "mark", "quarantine", "defer", "reject", discard}

var (
	ruleName = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,39}$`)
	tagWord  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)
)

// compileAdmin compiles the admin's rules.
func compileAdmin(cfg Config, opt adminrule.Options) (*adminrule.Set[*env], error) {
	sources := make([]adminrule.Source, len(cfg.AdminRules))
	known := lineNames()
	for i, r := range cfg.AdminRules {
		sources[i] = adminrule.Source{Name: r.Name, When: r.When, Mode: r.Mode}
		known = append(known, r.Name)
	}
	opt.Check = func(function, arg string) error { return checkCall(function, arg, known) }
	set, err := adminrule.Compile[*env](sources, opt)
	return set, config.Under("admin_rules", err)
}

// checkCall says what is wrong with the argument of one of env's functions. A
// rule that hit names may be one of a list, whose names are not known here; a
// name that is one slip away from one of ours is taken for that.
func checkCall(function, arg string, known []string) error {
	if function != "hit" {
		if !fieldName.MatchString(arg) {
			return fmt.Errorf("%q is not the name of a header field", arg)
		}
		return nil
	}
	if slices.Contains(known, arg) {
		return nil
	}
	if !ruleName.MatchString(arg) {
		return fmt.Errorf("there is no rule %q%s", arg, config.Suggest(strings.ToUpper(arg), known))
	}
	if i := slices.IndexFunc(known, func(k string) bool { return oneSlip(arg, k) }); i >= 0 {
		return fmt.Errorf("there is no rule %q, did you mean %q?", arg, known[i])
	}
	return nil
}

// oneSlip reports whether two different names become one by a letter more, a
// letter less, another letter or two that change places.
func oneSlip(a, b string) bool {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	swapped := len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
	return len(a) <= 1 && len(b) <= 1 || swapped
}

// fieldName is RFC 5322 §2.2.
var fieldName = regexp.MustCompile(`^[!-9;-~]{1,80}$`)

// lineNames returns the names of all lines but those of lists.
func lineNames() []string {
	names := ruleNames()
	for _, r := range slices.Concat(learnedRules, accessRules) {
		names = append(names, r.Name)
	}
	return names
}

// validate reports what is wrong with r besides its condition.
func (r AdminRule) validate(key string, names map[string]bool) error {
	var errs []error
	bad := func(setting, format string, args ...any) {
		errs = append(errs, config.Invalid(key+"."+setting, format, args...))
	}
	switch {
	case !ruleName.MatchString(r.Name):
		bad("name", "%q is not a name: use capitals, digits and \"_\", such as FAX_GATEWAY", r.Name)
	case names[r.Name]:
		bad("name", "there is a rule %s already", r.Name)
	}
	names[r.Name] = true
	if !(math.Abs(r.Score) <= maxScore) {
		bad("score", "%s is not a score from -%d to %d", points(r.Score), maxScore, maxScore)
	}
	if !slices.Contains(adminVerdicts, r.Verdict) {
		bad("verdict", "%q is not a verdict: use mark, quarantine, defer, reject or discard, or give a score", r.Verdict)
	}
	if !validMode(r.Mode) {
		bad("mode", "%q is not a mode: use off, observe or enforce", r.Mode)
	}
	if r.Reply != "" {
		if r.Verdict != verdict.Reject.String() {
			bad("reply", "only verdict: reject tells the sender a text")
		} else if _, err := reply.New(554, "7.1", r.Reply); err != nil {
			bad("reply", "%v", err)
		}
	}
	if r.Tag != "" && !tagWord.MatchString(r.Tag) {
		bad("tag", "%q is not a word of letters, digits, \".\", \"_\" and \"-\"", r.Tag)
	}
	if r.When == "" {
		bad("when", "a condition is missing, such as: from_domain == \"example.com\"")
	}
	if r.Score == 0 && r.Verdict == "" && r.Tag == "" && r.Mode != unit.Observe && r.Mode != unit.Off {
		bad("score", "the rule does nothing: give it a score, a verdict or a tag, or mode: observe")
	}
	return errors.Join(errs...)
}

// validateAdmin reports what is wrong with the admin's rules.
func (c Config) validateAdmin() error {
	names := map[string]bool{}
	for _, n := range lineNames() {
		names[n] = true
	}
	var errs []error
	for i, r := range c.AdminRules {
		errs = append(errs, r.validate(fmt.Sprintf("admin_rules[%d]", i), names))
	}
	return errors.Join(errs...)
}

// adminRules adds the lines of the admin's rules, in their order; each sees the
// lines before its own. One that fails has a line of 0 points that says so.
func (e *Engine) adminRules(f *facts, s *sum) {
	if e.admin.Len() == 0 {
		return
	}
	v := newEnv(f, e.admin.Uses)
	for i, r := range e.cfg.AdminRules {
		v.see(s.res.Lines)
		hit, err := e.admin.Eval(i, v)
		switch {
		case err != nil:
			s.add(verdict.Line{Name: r.Name, Group: adminGroup, Text: "This rule of the admin failed, so it counts nothing.", Options: []string{clip(err.Error(), maxOption)}})
		case hit:
			s.admin(r)
		}
	}
}

// admin adds the line of a rule that hit, and what it wants.
func (s *sum) admin(r AdminRule) {
	l := verdict.Line{Name: r.Name, Group: adminGroup, Score: r.Score, Text: r.Text}
	if l.Text == "" {
		l.Text = adminText
	}
	if r.Mode == unit.Observe {
		l = observed(l)
		if r.Verdict != "" {
			l.Options = append(l.Options, "would "+r.Verdict)
		}
		s.add(l)
		return
	}
	if r.Verdict != "" {
		l.Options = append(l.Options, r.Verdict)
	}
	s.add(l)
	s.tag(r.Tag)
	if r.Verdict == discard {
		s.named.discard = true
		return
	}
	var v verdict.Verdict
	if err := v.UnmarshalText([]byte(r.Verdict)); err == nil && v > s.named.verdict {
		s.named.verdict, s.named.reply = v, r.Reply
	}
}
