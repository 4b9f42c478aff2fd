package scan

import "github.com/gatepost/gatepost/internal/unit"

// State is a rule as an Engine runs it.
type State struct {
	// Name, Group and Text are those of its line.
	Name  string `json:"name"`
	Group string `json:"group"`
	// Score is what it adds now, Usual what it adds unless the configuration
	// says otherwise.
	Score float64   `json:"score"`
	Usual float64   `json:"usual"`
	Mode  unit.Mode `json:"mode"`
	Text  string    `json:"text"`
	// When, Verdict and Tag are those of a rule of the admin.
	When    string `json:"when,omitempty"`
	Verdict string `json:"verdict,omitempty"`
	Tag     string `json:"tag,omitempty"`
	// Hits counts the messages that it hit since the engine was made, or the
	// first of those that it follows (see Follow), Failed those at which it
	// failed.
	Hits   int64 `json:"hits"`
	Failed int64 `json:"failed,omitempty"`
}

// Rules returns all rules with their settings: the built-in ones, those of the
// learned filter and of the allow and deny entries, and the admin's.
func (e *Engine) Rules() []State {
	var out []State
	add := func(r *rule, s setting) {
		st := State{Name: r.Name, Group: r.Group, Score: s.score, Usual: r.Score, Mode: s.mode, Text: r.Text, Hits: s.hits.Load()}
		if r.verdict != 0 {
			st.Verdict = r.verdict.String()
		}
		out = append(out, st)
	}
	for i := range rules {
		add(&rules[i], e.set[i])
	}
	for i := range learnedRules {
		add(&learnedRules[i], e.learned[i])
	}
	for i := range accessRules {
		add(&accessRules[i], e.access.settings[i])
	}
	counts := e.admin.Counts()
	for i, r := range e.cfg.AdminRules {
		st := State{
			Name: r.Name, Group: adminGroup, Score: r.Score, Usual: r.Score, Mode: r.Mode, Text: r.Text,
			When: r.When, Verdict: r.Verdict, Tag: r.Tag, Hits: counts[i].Hits, Failed: counts[i].Failed,
		}
		if st.Mode == "" {
			st.Mode = unit.Enforce
		}
		if st.Text == "" {
			st.Text = adminText
		}
		out = append(out, st)
	}
	for i := range out {
		c := e.before[out[i].Name]
		out[i].Hits, out[i].Failed = out[i].Hits+c.Hits, out[i].Failed+c.Failed
	}
	return out
}

// Follow lets e, which has judged nothing yet, go on with the counts of old: a
// reload is no reason to forget what a rule that is only observed has hit. What
// old still has in hand is not counted.
func (e *Engine) Follow(old *Engine) {
	e.before = map[string]State{}
	for _, s := range old.Rules() {
		e.before[s.Name] = s
	}
}
